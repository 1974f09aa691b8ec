"""python -m ttcore train: one run, with its progress and its result."""

from __future__ import annotations

import argparse
import json
import signal

from ttcore.command_options import EXIT_INTERRUPTED, EXIT_NOT_FINITE, add_options, add_table_options, held_table
from ttcore.command_screen import Screen
from ttcore.config import RunConfig
from ttcore.control import Control
from ttcore.events import Finished, FullModel, Progress, Started, StopReason
from ttcore.presets import PRESETS

_EXIT_CODES = {StopReason.NOT_FINITE: EXIT_NOT_FINITE, StopReason.STOPPED: EXIT_INTERRUPTED}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default=None, help=f"one of {', '.join(PRESETS)}; the default is reference")
    parser.add_argument("--config", metavar="FILE", help="a run's settings as JSON; options given here change them")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")
    add_table_options(parser)
    add_options(parser)


def train_command(config: RunConfig, as_json: bool) -> int:
    """Train, say how it goes on standard error and what came of it on standard output; the exit code."""
    notes = held_table(config.data)
    control = Control()
    previous = signal.signal(signal.SIGINT, lambda *_: control.stop())
    try:
        # Loading torch takes a second, which bad input need not wait for.
        from ttcore.report import result_object, summary_sentence
        from ttcore.training import train

        screen = Screen()
        for note in notes:
            screen.say(note)
        started = full_model = finished = None
        for event in train(config, control):
            match event:
                case Started():
                    started = event
                    screen.say(f"{config.shape.num_parameters:,} parameters on {event.device}, {event.threads} threads")
                    if note := " ".join(filter(None, [config.clipped_note, config.padding_note])):
                        screen.say(note)
                case Progress():
                    screen.progress(_line(event, config.train.steps, config.data.scoring.score_title))
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


def _line(event: Progress, steps: int, score: str) -> str:
    rate = event.step / event.seconds if event.seconds > 0 else 0.0
    eta = f"{(steps - event.step) / rate:.0f} s left" if rate else ""
    return f"step {event.step:,} of {steps:,}  {rate:,.0f} steps/s  {eta}  best train {score} {event.best.score:.4f}"
