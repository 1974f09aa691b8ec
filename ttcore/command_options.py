"""Options that the commands share, as settings of the data, the training and the run. No torch."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from ttcore.config import DataConfig, RunConfig, TrainConfig, with_modes
from ttcore.errors import InputError
from ttcore.parse import parse_flag, parse_modes, parse_ranks, parse_real, parse_whole
from ttcore.presets import preset, usual_steps

EXIT_INPUT, EXIT_NOT_FINITE, EXIT_INTERRUPTED = 2, 3, 130


class Parser(argparse.ArgumentParser):
    """Says what is wrong with an InputError instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def _text(value: str, field: str) -> str:
    return value


# Option -> (part of the configuration, its field, how its text is read, help).
_OPTIONS: dict[str, tuple[str, str, Callable[[str, str], Any], str]] = {
    "in-modes": ("run", "in_modes", parse_modes, "input modes, e.g. 8,8,8,8"),
    "out-modes": ("run", "out_modes", parse_modes, "output modes, e.g. 2,2,2,2"),
    "ranks": ("run", "ranks", parse_ranks, "one rank for every bond, or one for each: 8 or 4,8,4"),
    "optimizer": ("train", "optimizer", _text, "adam, sgd, lbfgs or als (alternating least squares)"),
    "lr": ("train", "lr", parse_real, "learning rate of Adam and SGD"),
    "momentum": ("train", "momentum", parse_real, "momentum of SGD"),
    "schedule": ("train", "schedule", _text, "constant, or decay: constant and then linear to zero"),
    "decay-fraction": ("train", "decay_fraction", parse_real, "the last fraction of the steps, over which it falls"),
    "ridge": ("train", "ridge", parse_real, "of als: how strongly a core is held where the data do not determine it"),
    "steps": ("train", "steps", parse_whole, "updates; for lbfgs iterations, for als cores solved for"),
    "target-r2": ("train", "target_r2", parse_real, "stop when the training R² reaches this"),
    "init": ("train", "init", _text, "start: unit, glorot or he"),
    "seed": ("train", "seed", parse_whole, "seed of the start"),
    "dtype": ("train", "dtype", _text, "float32 or float64"),
    "device": ("train", "device", _text, "auto, cpu or cuda"),
    "tf32": ("train", "tf32", parse_flag, "true for quicker, coarser products of float32 on a GPU"),
    "threads": ("train", "threads", parse_whole, "CPU threads"),
    "data-seed": ("data", "seed", parse_whole, "seed of the planted data"),
    "teacher-in-modes": ("data", "teacher_in_modes", parse_modes, "input modes of the planted teacher"),
    "teacher-out-modes": ("data", "teacher_out_modes", parse_modes, "output modes of the planted teacher"),
    "teacher-ranks": ("data", "teacher_ranks", parse_ranks, "ranks of the planted teacher"),
    "train-samples": ("data", "train_samples", parse_whole, "training samples of the planted data"),
    "test-samples": ("data", "test_samples", parse_whole, "test samples of the planted data"),
    "noise": ("data", "noise", parse_real, "noise on the planted targets, whose standard deviation is 1"),
}
OPTIONS = tuple(_OPTIONS)

Given = dict[str, dict[str, Any]]
"""Settings that were given, by part ("run", "train", "data") and field."""


def add_options(parser: argparse._ActionsContainer, options: Collection[str] = OPTIONS) -> None:
    for option in options:
        parser.add_argument(f"--{option}", metavar=option.upper().replace("-", "_"), help=_OPTIONS[option][3])


def given_options(asked: argparse.Namespace, options: Collection[str] = OPTIONS) -> Given:
    """The settings among these options that were given; raises InputError for text that is no value."""
    given: Given = {"run": {}, "train": {}, "data": {}}
    for option in options:
        part, name, parse, _ = _OPTIONS[option]
        text = getattr(asked, option.replace("-", "_"))
        if text is not None:
            given[part][name] = parse(text, option.replace("-", "_"))
    return given


def run_config(asked: argparse.Namespace) -> RunConfig:
    """The run of a preset or of a file, changed by the options that were given; raises InputError."""
    if asked.config is not None and asked.preset is not None:
        raise InputError("--config and --preset both say where to start from; give one of them")
    base = _read_config(asked.config) if asked.config is not None else preset(asked.preset or "reference")
    given = given_options(asked)
    run: dict[str, Any] = {"data": data_config(base.data, given), "ranks": base.ranks} | given["run"]
    if keeps_modes(given):
        run |= {"in_modes": base.in_modes, "out_modes": base.out_modes}
    return RunConfig(**with_modes(run), train=train_config(base.train, given))


def keeps_modes(given: Given) -> bool:
    """Whether the base's modes hold, since nothing was given that asks for others."""
    return not any(name.endswith("_modes") for name in [*given["run"], *given["data"]])


def data_config(base: DataConfig, given: Given) -> DataConfig:
    return DataConfig(**_values(base) | given["data"])


def train_config(base: TrainConfig, given: Given) -> TrainConfig:
    """With the usual number of steps of an optimizer that was given without one."""
    train = _values(base) | given["train"]
    if "optimizer" in given["train"] and "steps" not in given["train"]:
        train["steps"] = usual_steps(train["optimizer"], train["steps"])
    return TrainConfig(**train)


def _values(config: DataConfig | TrainConfig) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in fields(config)}


def read_text(path: str, what: str) -> str:
    """A text file as a whole; raises InputError, which calls it `what`."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise InputError(f"the {what} {path} cannot be read: {reason}") from None


def _read_config(path: str) -> RunConfig:
    """A run's settings from a JSON file: the settings alone, or a saved result that holds them as "config"."""
    text = read_text(path, "config file")
    if not text.strip():
        raise InputError(f"the config file {path} is empty; {{}} would mean the reference run")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the config file {path} is not JSON: {error}") from None
    if isinstance(value, dict) and "config" in value and "stop_reason" in value:
        value = value["config"]
    try:
        return RunConfig.from_json(value)
    except InputError as error:
        raise InputError(f"in the config file {path}: {error}", error.field) from None
