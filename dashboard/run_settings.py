"""The settings of the Train page: each by its name in the address, with its value for a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, get_args

from dashboard.address import OWN, TABLE, Address, quoted, text
from dashboard.data_tables import data_of
from ttcore.config import DataConfig, Device, DType, Init, Optimizer, RunConfig, Schedule, TrainConfig
from ttcore.errors import InputError
from ttcore.parse import parse_whole
from ttcore.presets import OWN_TRAIN, PRESETS
from ttcore.sources import SOURCES, Source

MAX_SLIDER_RANK = 32
_START_RANK = 8

# Settings that other pages have too: how is trained, on which device, and on which data.
TRAIN_FIELDS: dict[str, Callable[[TrainConfig], Any]] = {
    "momentum": lambda train: text(train.momentum),
    "wd": lambda train: text(train.weight_decay),
    "batch": lambda train: text(train.batch_size),
    "sched": lambda train: train.schedule,
    "decay": lambda train: text(train.decay_fraction),
    "steps": lambda train: text(train.steps),
    "target": lambda train: text(train.target),
    "init": lambda train: train.init,
    "device": lambda train: train.device,
    "dtype": lambda train: train.dtype,
    "ridge": lambda train: text(train.ridge),
    "tf32": lambda train: str(train.tf32).lower(),
    "threads": lambda train: text(train.threads),
}
# Field of an address -> the setting of the data that it holds.
DATA_SETTINGS = {
    "tin": "teacher_in_modes",
    "tout": "teacher_out_modes",
    "trank": "teacher_ranks",
    "ntrain": "train_samples",
    "ntest": "test_samples",
    TABLE: "key",
    "n": "samples",
    "p": "features",
    "inf": "informative",
    "q": "outputs",
    "eff": "effective_rank",
    "noise": "noise",
    "dseed": "seed",
    "frac": "test_fraction",
    "split": "split_seed",
}
# A table has its sizes, and they are not to be chosen.
_OF_A_TABLE = ("key", "test_fraction", "split_seed")
CHOICES: dict[str, tuple[str, ...]] = {
    "preset": (*PRESETS, OWN),
    "sched": get_args(Schedule),
    "init": get_args(Init),
    "device": get_args(Device),
    "dtype": get_args(DType),
    "tf32": ("false", "true"),
}


def of_train(fields: dict[str, Callable[[TrainConfig], Any]]) -> dict[str, Callable[[Any], Any]]:
    """Fields of a configuration that holds a TrainConfig as `train`."""
    return {name: _of_part("train", value) for name, value in fields.items()}


def settings_of(source: Source) -> dict[str, str]:
    """The fields that data of this source have, and the setting that each of them holds."""
    settings = _OF_A_TABLE if source == "table" else SOURCES[source].settings
    return {name: setting for name, setting in DATA_SETTINGS.items() if setting in settings}


def source_of(preset: str) -> Source:
    """Where the data of a task come from."""
    return "table" if preset == OWN else PRESETS[preset].config.data.source


def foreign_fields(preset: str) -> set[str]:
    """The fields of data that this task does not have."""
    return set(DATA_SETTINGS) - set(settings_of(source_of(preset)))


def data_fields() -> dict[str, Callable[[Any], str]]:
    """Fields of a configuration that holds a DataConfig as `data`; empty where its source does not have them."""
    return {name: _of_part("data", _data_field(name)) for name in DATA_SETTINGS}


def _data_field(name: str) -> Callable[[DataConfig], str]:
    def value(data: DataConfig) -> str:
        setting = settings_of(data.source).get(name)
        return text(getattr(data, setting)) if setting else ""

    return value


def _of_part(part: str, value: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda config: value(getattr(config, part))


def preset_of(data: DataConfig) -> str:
    """The preset whose data are of this source and most like these; OWN for a table."""
    if data.source == "table":
        return OWN
    alike = [name for name, preset in PRESETS.items() if preset.config.data.source == data.source]
    return max(alike, key=lambda name: _likeness(PRESETS[name].config.data, data))


def _likeness(data: DataConfig, other: DataConfig) -> tuple[bool, int]:
    """Whether both or none are a planted matrix of low rank, and in how many settings they agree."""
    low_rank = [len(one.teacher_in_modes or ()) == 2 and one.teacher_in_modes[1] == 1 for one in (data, other)]
    equal = [getattr(data, name) == getattr(other, name) for name in DATA_SETTINGS.values()]
    return low_rank[0] == low_rank[1], sum(equal)


@lru_cache(maxsize=64)
def own_run(data: DataConfig) -> RunConfig:
    """What to start with on data that a person brings."""
    in_modes, out_modes = data.usual_modes
    largest = RunConfig(data=data, in_modes=in_modes, out_modes=out_modes, ranks=_START_RANK, train=OWN_TRAIN)
    # Not above the useful ranks, and a layer that is smaller than the full one where there is such a rank.
    ranks = range(max(largest.shape.ranks, default=1), 0, -1)
    runs = [replace(largest, ranks=rank) for rank in ranks]
    return next((run for run in runs if run.shape.parameter_ratio < 1), runs[-1])


def _own_start(table: str) -> RunConfig | None:
    data = data_of(table)
    return own_run(data) if data is not None else None


def take_table(value: str, values: dict[str, Any], wrong: list[str]) -> None:
    """The key of a table that is held here, for a person's own data."""
    if value and data_of(value) is None:
        wrong.append(f"`{TABLE}={quoted(value)}` is no table that is held here; prepare the file on the Data page.")
    else:
        values[TABLE] = value


def _on_slider(ranks: int | tuple[int, ...]) -> bool:
    return isinstance(ranks, int) and ranks <= MAX_SLIDER_RANK


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
        wrong.append(f"`rank={quoted(value)}` is not a whole number of at least 1; {values['rank']} is used.")


RUN: Address[RunConfig] = Address(
    prefix="",
    starts={name: preset.config for name, preset in PRESETS.items()},
    own=_own_start,
    preset_of=lambda run: preset_of(run.data),
    fields={
        "in": lambda run: text(run.in_modes),
        "out": lambda run: text(run.out_modes),
        "rank": lambda run: run.ranks if _on_slider(run.ranks) else 8,
        "ranks": lambda run: "" if _on_slider(run.ranks) else text(run.ranks),
        "opt": lambda run: run.train.optimizer,
        "lr": lambda run: text(run.train.lr),
        "seed": lambda run: text(run.train.seed),
        **of_train(TRAIN_FIELDS),
        **data_fields(),
    },
    foreign=foreign_fields,
    choices=CHOICES | {"opt": get_args(Optimizer)},
    special={"rank": _take_rank, TABLE: take_table},
    shown="run",
)
