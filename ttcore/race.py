"""A race: several methods train the same layer from the same start, one step of each in turn, as one job."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

from ttcore.control import Control, Turn
from ttcore.gradient_race import RaceConfig
from ttcore.gradient_runner import Course, Runner

# Seconds between two messages on how far it is.
TOLD_SECONDS = 0.1


def race_in_steps(
    race: Any, *, control: Control | None = None, state: dict[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Run a race and say how far it is; lanes as gradient_race.Lane.to_json gives them.

    Yields {"fraction": done, "told": lanes} about ten times a second, {"state": ...} at a pause, last {"value": lanes}.
    race: as RaceConfig.to_json gives it.
    control: looked at between steps, and told the race's pace; a race that it stops has no value. Without one the race
        goes as quick as it can.
    state: of an earlier pause; the race goes on as if it had not been interrupted.
    Raises InputError for what RaceConfig refuses.
    """
    config = RaceConfig.from_json(race)
    if control is None:
        control = Control()
    elif config.pace is not None:
        control.set_speed(config.pace)
    # A second thread costs more than it brings on tensors this small.
    torch.set_num_threads(1)
    course = Course(config)
    runners = [Runner(course, method, rate) for method, rate in config.entries]
    step = 0
    if state is not None:
        step = state["step"]
        for runner, saved in zip(runners, state["runners"], strict=True):
            runner.restore(saved)
    told_at = -TOLD_SECONDS
    while step < config.steps and any(runner.running for runner in runners):
        turn = control.turn()
        if turn is Turn.PAUSE:
            yield {"state": {"step": step, "runners": [runner.saved() for runner in runners]}}
            control.wait_while_paused()
            continue
        if turn is Turn.STOP:
            yield _told(step / config.steps, runners)
            return
        for runner in runners:
            runner.advance()
        step += 1
        if time.monotonic() - told_at >= TOLD_SECONDS:
            told_at = time.monotonic()
            yield _told(step / config.steps, runners)
    yield _told(1.0, runners)
    yield {"value": [runner.lane().to_json() for runner in runners]}


def _told(fraction: float, runners: list[Runner]) -> dict[str, Any]:
    return {"fraction": fraction, "told": [runner.lane().to_json() for runner in runners]}
