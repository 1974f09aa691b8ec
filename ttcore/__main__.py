"""python -m ttcore: the same runs without a browser.

Exit codes: 0 it ended as asked, 2 bad input, 3 the loss was no longer finite, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from ttcore.config import DataConfig, RunConfig, TrainConfig, with_modes
from ttcore.control import Control
from ttcore.errors import InputError
from ttcore.events import Finished, FullModel, Progress, Started, StopReason
from ttcore.parse import parse_flag, parse_modes, parse_ranks, parse_real, parse_whole
from ttcore.presets import PRESETS, preset, usual_steps

EXIT_INPUT, EXIT_NOT_FINITE, EXIT_INTERRUPTED = 2, 3, 130
_EXIT_CODES = {StopReason.NOT_FINITE: EXIT_NOT_FINITE, StopReason.STOPPED: EXIT_INTERRUPTED}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see python -m ttcore train --help")


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


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    control = Control()
    try:
        asked = _parser().parse_args(arguments)
        return _train(_config(asked), control, as_json=asked.json)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m ttcore", description="Train tensor-train layers without a browser.")
    commands = parser.add_subparsers(required=True, metavar="command", parser_class=_Parser)
    train = commands.add_parser("train", help="train one layer on a preset's data, beside the full model")
    train.add_argument("--preset", default=None, help=f"{' or '.join(PRESETS)}; the default is reference")
    train.add_argument("--config", metavar="FILE", help="a run's settings as JSON; options given here change them")
    train.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    for option, (_, _, _, text) in _OPTIONS.items():
        train.add_argument(f"--{option}", metavar=option.upper().replace("-", "_"), help=text)
    return parser


def _config(asked: argparse.Namespace) -> RunConfig:
    """The preset or the file, changed by the options that were given."""
    if asked.config is not None and asked.preset is not None:
        raise InputError("--config and --preset both say where to start from; give one of them")
    base = _read_config(asked.config) if asked.config is not None else preset(asked.preset or "reference")
    given: dict[str, dict[str, Any]] = {"run": {}, "train": {}, "data": {}}
    for option, (part, name, parse, _) in _OPTIONS.items():
        text = getattr(asked, option.replace("-", "_"))
        if text is not None:
            given[part][name] = parse(text, option.replace("-", "_"))
    data = DataConfig(**_values(base.data) | given["data"])
    run: dict[str, Any] = {"data": data, "ranks": base.ranks} | given["run"]
    # The base's modes hold as long as nothing was given that asks for others.
    if not any(name.endswith("_modes") for name in [*given["run"], *given["data"]]):
        run |= {"in_modes": base.in_modes, "out_modes": base.out_modes}
    train = _values(base.train) | given["train"]
    if "optimizer" in given["train"] and "steps" not in given["train"]:
        train["steps"] = usual_steps(train["optimizer"], train["steps"])
    return RunConfig(**with_modes(run), train=TrainConfig(**train))


def _values(config: DataConfig | TrainConfig) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in fields(config)}


def _read_config(path: str) -> RunConfig:
    """A run's settings from a JSON file: the settings alone, or a saved result that holds them as "config"."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise InputError(f"the config file {path} cannot be read: {reason}") from None
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


def _train(config: RunConfig, control: Control, as_json: bool) -> int:
    previous = signal.signal(signal.SIGINT, lambda *_: control.stop())
    try:
        # Loading torch takes a second, which bad input need not wait for.
        from ttcore.report import result_object, summary_sentence
        from ttcore.training import train

        screen = _Screen(config)
        started = full_model = finished = None
        for event in train(config, control):
            match event:
                case Started():
                    started = event
                    screen.say(f"{config.shape.num_parameters:,} parameters on {event.device}, {event.threads} threads")
                    if note := " ".join(filter(None, [config.clipped_note, config.padding_note])):
                        screen.say(note)
                case Progress():
                    screen.progress(event)
                case FullModel():
                    full_model = event
                case Finished():
                    finished = event
    finally:
        signal.signal(signal.SIGINT, previous)
    assert started is not None and finished is not None, "a run that does not raise ends with Finished"
    screen.say(finished.stop_reason.sentence)
    if as_json:
        print(json.dumps(result_object(config, started, finished, full_model), allow_nan=False))
    else:
        print(summary_sentence(config, finished, full_model))
    return _EXIT_CODES.get(finished.stop_reason, 0)


class _Screen:
    """Progress on standard error: one line that changes on a terminal, a line every few seconds elsewhere."""

    def __init__(self, config: RunConfig) -> None:
        self._steps = config.train.steps
        self._live = sys.stderr.isatty()
        self._interval = 0.2 if self._live else 5.0
        self._shown_at = time.monotonic() if not self._live else 0.0
        self._open_line = False

    def progress(self, event: Progress) -> None:
        now = time.monotonic()
        if now - self._shown_at < self._interval:
            return
        self._shown_at = now
        rate = event.step / event.seconds if event.seconds > 0 else 0.0
        eta = f"{(self._steps - event.step) / rate:.0f} s left" if rate else ""
        line = f"step {event.step:,} of {self._steps:,}  {rate:,.0f} steps/s  {eta}  best train R² {event.best.r2:.4f}"
        if self._live:
            print(f"\r{line:<78}", end="", file=sys.stderr, flush=True)
            self._open_line = True
        else:
            print(line, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        if self._open_line:
            print(file=sys.stderr)
            self._open_line = False
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
