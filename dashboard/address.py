"""Settings <-> the address of the page. What is not the preset's own stands in the address; nothing is dropped unsaid.

The widgets' own binding to the address is not used: it drops what it does not like, and it knows no defaults that
change with a preset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import streamlit as st

from ttcore.config import Device, DType, Init, Optimizer, RunConfig, Schedule
from ttcore.errors import InputError
from ttcore.parse import parse_whole, show_modes
from ttcore.presets import PRESETS

MAX_LENGTH = 200
MAX_SLIDER_RANK = 32
_FIRST = next(iter(PRESETS))
_SEEN = "address_seen"
_PROBLEMS = "address_problems"


def text(value: Any) -> str:
    """A setting as it is typed; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return show_modes(value)
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def _on_slider(ranks: int | tuple[int, ...]) -> bool:
    return isinstance(ranks, int) and ranks <= MAX_SLIDER_RANK


# Key, of the control and in the address alike -> its value for a run.
DEFAULTS: dict[str, Callable[[RunConfig], Any]] = {
    "in": lambda run: text(run.in_modes),
    "out": lambda run: text(run.out_modes),
    "rank": lambda run: run.ranks if _on_slider(run.ranks) else 8,
    "ranks": lambda run: "" if _on_slider(run.ranks) else text(run.ranks),
    "opt": lambda run: run.train.optimizer,
    "lr": lambda run: text(run.train.lr),
    "momentum": lambda run: text(run.train.momentum),
    "sched": lambda run: run.train.schedule,
    "decay": lambda run: text(run.train.decay_fraction),
    "steps": lambda run: text(run.train.steps),
    "target": lambda run: text(run.train.target_r2),
    "init": lambda run: run.train.init,
    "seed": lambda run: text(run.train.seed),
    "device": lambda run: run.train.device,
    "dtype": lambda run: run.train.dtype,
    "ridge": lambda run: text(run.train.ridge),
    "tf32": lambda run: str(run.train.tf32).lower(),
    "threads": lambda run: text(run.train.threads),
    "tin": lambda run: text(run.data.teacher_in_modes),
    "tout": lambda run: text(run.data.teacher_out_modes),
    "trank": lambda run: text(run.data.teacher_ranks),
    "ntrain": lambda run: text(run.data.train_samples),
    "ntest": lambda run: text(run.data.test_samples),
    "noise": lambda run: text(run.data.noise),
    "dseed": lambda run: text(run.data.seed),
}
CHOICES: dict[str, tuple[str, ...]] = {
    "preset": tuple(PRESETS),
    "opt": get_args(Optimizer),
    "sched": get_args(Schedule),
    "init": get_args(Init),
    "device": get_args(Device),
    "dtype": get_args(DType),
    "tf32": ("false", "true"),
}


def read() -> None:
    """Set the controls from a new address: the first one of a session, a typed one, or the browser's Back.

    To be called before any control is drawn. An address without settings changes nothing that a session has already
    set: it is what a link to the page leaves.
    """
    given = _settings_of_address()
    seen = st.session_state.get(_SEEN)
    if seen is None or (given and given != seen):
        values, problems = interpret(given)
        st.session_state.update(values)
        st.session_state[_PROBLEMS] = problems + [
            f"`{key}` is given {len(st.query_params.get_all(key))} times; only the last one is used."
            for key in given
            if len(st.query_params.get_all(key)) > 1
        ]
        st.session_state[_SEEN] = given


def write() -> None:
    """Put the settings that are not the preset's own into the address. To be called after all controls are drawn."""
    values = {key: st.session_state[key] for key in ("preset", *DEFAULTS) if key in st.session_state}
    wanted = deviations(values)
    if wanted != _settings_of_address():
        run = st.query_params.get("run")
        st.query_params.from_dict({**wanted, **({"run": run} if run else {})})
    st.session_state[_SEEN] = wanted


def problems() -> list[str]:
    """What the address asked for and could not have, a sentence each."""
    return list(st.session_state.get(_PROBLEMS, []))


def forget_problems() -> None:
    st.session_state[_PROBLEMS] = []


def preset_values(name: str) -> dict[str, Any]:
    """Every control's value for a preset."""
    return values_of(PRESETS[name].config) | {"preset": name}


def values_of(config: RunConfig) -> dict[str, Any]:
    """Every control's value for a run; as its preset the first one of its data is named."""
    return {"preset": config.data.source, **{key: value(config) for key, value in DEFAULTS.items()}}


def deviations(values: Mapping[str, Any]) -> dict[str, str]:
    """The settings that an address has to name, as text."""
    usual = preset_values(values.get("preset", _FIRST)) | {"preset": _FIRST}
    return {key: str(value) for key, value in values.items() if str(value) != str(usual[key])}


def interpret(given: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The controls' values for the settings of an address, and a sentence on each that no control can hold.

    Text controls take any text up to MAX_LENGTH: what is wrong with it is said beside them.
    """
    wrong: list[str] = []
    name = given.get("preset", _FIRST).lower()
    if name not in PRESETS:
        wrong.append(f"`preset={_short(name)}` is none of {', '.join(PRESETS)}; {_FIRST} is used.")
        name = _FIRST
    values = preset_values(name)
    for key, value in given.items():
        if key == "preset":
            continue
        if key not in DEFAULTS:
            wrong.append(f"`{_short(key)}` is not a setting of this page.")
        elif key in CHOICES:
            if value.lower() in CHOICES[key]:
                values[key] = value.lower()
            else:
                wrong.append(f"`{key}={_short(value)}` is none of {', '.join(CHOICES[key])}; {values[key]} is used.")
        elif len(value) > MAX_LENGTH:
            instead = f"{values[key]} is used" if values[key] != "" else "it stays empty"
            wrong.append(f"`{key}` has {len(value):,} characters, and {MAX_LENGTH} are read at most; {instead}.")
        elif key != "rank":
            values[key] = value
    # Last, for it gives way to a rank per bond.
    if "rank" in given and len(given["rank"]) <= MAX_LENGTH:
        _take_rank(given["rank"], values, wrong)
    return values, wrong


def _take_rank(value: str, values: dict[str, Any], wrong: list[str]) -> None:
    """A rank that the slider cannot show is still a rank: it goes into the free field, if that is free."""
    try:
        rank = parse_whole(value, "rank")
    except InputError:
        rank = 0
    if 1 <= rank <= MAX_SLIDER_RANK:
        values["rank"] = rank
    elif rank > MAX_SLIDER_RANK:
        values["ranks"] = values["ranks"] or str(rank)
    else:
        wrong.append(f"`rank={_short(value)}` is not a whole number of at least 1; {values['rank']} is used.")


def _settings_of_address() -> dict[str, str]:
    return {key: value for key, value in st.query_params.to_dict().items() if key != "run"}


def _short(value: str) -> str:
    """Text from outside as a message quotes it."""
    plain = value.replace("`", "'")
    return plain if len(plain) <= 40 else plain[:37] + "..."
