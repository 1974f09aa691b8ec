"""The settings of the Train page: each by its name in the address, with its value for a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from dashboard.address import Address, quoted, text
from ttcore.config import DataConfig, Device, DType, Init, Optimizer, RunConfig, Schedule, TrainConfig
from ttcore.errors import InputError
from ttcore.parse import parse_whole
from ttcore.presets import PRESETS

MAX_SLIDER_RANK = 32

# Settings that other pages have too: how is trained, on which device, and on which data.
TRAIN_FIELDS: dict[str, Callable[[TrainConfig], Any]] = {
    "momentum": lambda train: text(train.momentum),
    "sched": lambda train: train.schedule,
    "decay": lambda train: text(train.decay_fraction),
    "steps": lambda train: text(train.steps),
    "target": lambda train: text(train.target_r2),
    "init": lambda train: train.init,
    "device": lambda train: train.device,
    "dtype": lambda train: train.dtype,
    "ridge": lambda train: text(train.ridge),
    "tf32": lambda train: str(train.tf32).lower(),
    "threads": lambda train: text(train.threads),
}
DATA_FIELDS: dict[str, Callable[[DataConfig], Any]] = {
    "tin": lambda data: text(data.teacher_in_modes),
    "tout": lambda data: text(data.teacher_out_modes),
    "trank": lambda data: text(data.teacher_ranks),
    "ntrain": lambda data: text(data.train_samples),
    "ntest": lambda data: text(data.test_samples),
    "noise": lambda data: text(data.noise),
    "dseed": lambda data: text(data.seed),
}
CHOICES: dict[str, tuple[str, ...]] = {
    "preset": tuple(PRESETS),
    "sched": get_args(Schedule),
    "init": get_args(Init),
    "device": get_args(Device),
    "dtype": get_args(DType),
    "tf32": ("false", "true"),
}


def of_train(fields: dict[str, Callable[[TrainConfig], Any]]) -> dict[str, Callable[[Any], Any]]:
    """Fields of a configuration that holds a TrainConfig as `train`."""
    return {name: _of_part("train", value) for name, value in fields.items()}


def of_data(fields: dict[str, Callable[[DataConfig], Any]]) -> dict[str, Callable[[Any], Any]]:
    """Fields of a configuration that holds a DataConfig as `data`."""
    return {name: _of_part("data", value) for name, value in fields.items()}


def _of_part(part: str, value: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda config: value(getattr(config, part))


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
    preset_of=lambda run: run.data.source,
    fields={
        "in": lambda run: text(run.in_modes),
        "out": lambda run: text(run.out_modes),
        "rank": lambda run: run.ranks if _on_slider(run.ranks) else 8,
        "ranks": lambda run: "" if _on_slider(run.ranks) else text(run.ranks),
        "opt": lambda run: run.train.optimizer,
        "lr": lambda run: text(run.train.lr),
        "seed": lambda run: text(run.train.seed),
        **of_train(TRAIN_FIELDS),
        **of_data(DATA_FIELDS),
    },
    choices=CHOICES | {"opt": get_args(Optimizer)},
    special={"rank": _take_rank},
    shown="run",
)
