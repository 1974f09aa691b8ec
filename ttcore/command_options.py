"""Options that the commands share, as settings of the data, the training and the run. No torch."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from ttcore.checks import choice
from ttcore.config import DataConfig, RunConfig, TrainConfig, with_modes
from ttcore.errors import InputError
from ttcore.parse import parse_flag, parse_modes, parse_ranks, parse_real, parse_whole
from ttcore.presets import OWN_TRAIN, preset, usual_steps

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
    "weight-decay": ("train", "weight_decay", parse_real, "each step shrinks the cores by this times the rate"),
    "schedule": ("train", "schedule", _text, "constant, or decay: constant and then linear to zero"),
    "decay-fraction": ("train", "decay_fraction", parse_real, "the last fraction of the steps, over which it falls"),
    "ridge": ("train", "ridge", parse_real, "of als: how strongly a core is held where the data do not determine it"),
    "batch-size": ("train", "batch_size", parse_whole, "samples in a step of Adam and SGD; all of them by default"),
    "steps": ("train", "steps", parse_whole, "updates; for lbfgs iterations, for als cores solved for"),
    "target": ("train", "target", parse_real, "stop when the training R², or accuracy, reaches this"),
    "init": ("train", "init", _text, "start: unit, glorot or he"),
    "seed": ("train", "seed", parse_whole, "seed of the start"),
    "dtype": ("train", "dtype", _text, "float32 or float64"),
    "device": ("train", "device", _text, "auto, cpu or cuda"),
    "tf32": ("train", "tf32", parse_flag, "true for quicker, coarser products of float32 on a GPU"),
    "threads": ("train", "threads", parse_whole, "CPU threads"),
    "data-seed": ("data", "seed", parse_whole, "seed of planted and synthetic data"),
    "teacher-in-modes": ("data", "teacher_in_modes", parse_modes, "input modes of the planted teacher"),
    "teacher-out-modes": ("data", "teacher_out_modes", parse_modes, "output modes of the planted teacher"),
    "teacher-ranks": ("data", "teacher_ranks", parse_ranks, "ranks of the planted teacher"),
    "train-samples": ("data", "train_samples", parse_whole, "training samples of the planted data"),
    "test-samples": ("data", "test_samples", parse_whole, "test samples of the planted data"),
    "noise": ("data", "noise", parse_real, "noise on targets whose standard deviation is 1"),
    "samples": ("data", "samples", parse_whole, "of synthetic regression: samples, train and test together"),
    "features": ("data", "features", parse_whole, "of synthetic regression: features"),
    "informative": ("data", "informative", parse_whole, "of synthetic regression: features that matter"),
    "outputs": ("data", "outputs", parse_whole, "of synthetic regression: targets"),
    "effective-rank": (
        "data",
        "effective_rank",
        parse_whole,
        "of synthetic regression: the inputs'; 0 for full rank",
    ),
    "test-fraction": ("data", "test_fraction", parse_real, "the part of the samples that is held out, e.g. 0.2"),
    "split-seed": ("data", "split_seed", parse_whole, "draws which samples are held out"),
}
OPTIONS = tuple(_OPTIONS)

Given = dict[str, dict[str, Any]]
"""Settings that were given, by part ("run", "train", "data") and field."""


def add_options(parser: argparse._ActionsContainer, options: Collection[str] = OPTIONS) -> None:
    for option in options:
        parser.add_argument(f"--{option}", metavar=option.upper().replace("-", "_"), help=_OPTIONS[option][3])


def add_table_options(parser: argparse._ActionsContainer) -> None:
    """A file, or a data set of OpenML, to learn from."""
    parser.add_argument("--data", metavar="FILE", help="your own data: CSV, TSV, Parquet, NPY or NPZ")
    parser.add_argument("--openml", metavar="NAME", help="a data set of OpenML, e.g. iris, iris:1 or 61")
    parser.add_argument("--targets", metavar="COLUMNS", help="of your own data: what is to be learnt, commas between")
    parser.add_argument("--task", help="of them: regression or classification; by default as the target looks")
    parser.add_argument("--drop-missing", action="store_true", help="of them: leave out rows with missing values")


def table_config(asked: argparse.Namespace) -> DataConfig | None:
    """The data that --data or --openml name, prepared; None without either."""
    if asked.data is None and asked.openml is None:
        if asked.targets is not None or asked.task is not None or asked.drop_missing:
            raise InputError("--targets, --task and --drop-missing belong to your own data; name it with --data")
        return None
    if asked.data is not None and asked.openml is not None:
        raise InputError("--data and --openml both say what to learn from; give one of them", "openml")
    if asked.preset is not None:
        raise InputError("--preset and your own data both say what to learn from; give one of them", "preset")
    # Loads what few runs need.
    from ttcore.own_data import from_file, from_openml

    targets = tuple(part.strip() for part in (asked.targets or "").split(",") if part.strip())
    if asked.targets is not None and not targets:
        raise InputError("targets is empty; give the names of columns with commas between", "targets")
    task = choice(asked.task or "auto", ("auto", "regression", "classification"), "task")
    try:
        if asked.openml is not None:
            return from_openml(asked.openml, targets, task, asked.drop_missing)
        return from_file(Path(asked.data), targets, task, asked.drop_missing)
    except InputError as error:
        if error.field == "missing" and not asked.drop_missing:
            raise InputError(f"{error} (--drop-missing leaves them out)", "drop_missing") from None
        raise


def held_table(data: DataConfig) -> tuple[str, ...]:
    """Sentences on the prepared table that these data are, and on what was done to it; none for other data.

    Raises InputError (field "data") for a table that is not held here, or that is not the one described.
    """
    if data.source != "table":
        return ()
    from ttcore.table_store import TableStore

    try:
        stored = TableStore().held(data)
    except InputError as error:
        again = "; give it again with --data FILE, or with --openml NAME if it came from there"
        raise InputError(f"{str(error).partition(';')[0]}{again}", "data") from None
    what = f"{stored.outputs:,} classes" if stored.task == "classification" else "regression"
    targets = ", ".join(stored.targets[:8]) + (", ..." if len(stored.targets) > 8 else "")
    return (
        f"{stored.title}: {stored.samples:,} samples; {targets} ({what}) from {stored.features:,} "
        f"{'feature' if stored.features == 1 else 'features'}",
        *stored.notes,
    )


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
    table = table_config(asked)
    if table is None:
        data = data_config(base.data, given)
    elif asked.config is None:
        base = RunConfig(**with_modes({"data": table}), train=OWN_TRAIN)
        data = data_config(table, given)
    else:
        # The file's hold-out and, for data of the same size, its layer are meant for these data too.
        split = {name: getattr(base.data, name) for name in ("test_fraction", "split_seed") if base.data.spec.is_split}
        data = data_config(table, given | {"data": split | given["data"]})
    run: dict[str, Any] = {"data": data, "ranks": base.ranks} | given["run"]
    if keeps_modes(given, base.data, data):
        run |= {"in_modes": base.in_modes, "out_modes": base.out_modes}
    return RunConfig(**with_modes(run), train=train_config(base.train, given))


def keeps_modes(given: Given, base: DataConfig, data: DataConfig) -> bool:
    """Whether the base's modes hold, since nothing was given that asks for others."""
    same_size = (base.in_features, base.out_features) == (data.in_features, data.out_features)
    return same_size and not any(name.endswith("_modes") for name in [*given["run"], *given["data"]])


def data_config(base: DataConfig, given: Given) -> DataConfig:
    fixed = next((name for name in ("samples", "features", "outputs") if name in given["data"]), None)
    if base.source == "table" and fixed is not None:
        raise InputError(f"{fixed} cannot be set for your own data, which have their size; leave it out", fixed)
    values = _values(base)
    if base.spec.is_split:
        # They follow from what is given.
        values |= {"train_samples": None, "test_samples": None}
    return DataConfig(**values | given["data"])


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
