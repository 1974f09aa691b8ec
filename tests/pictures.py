"""Runs as pictures need them, made up without any training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.tables import tiny
from ttcore.config import DataConfig, RunConfig, TrainConfig
from ttcore.curves import Curve, CurveView
from ttcore.engine import RunSnapshot, RunState
from ttcore.events import Best, Finished, Progress, Scores, Started, StopReason


def curve_of(
    losses: np.ndarray, *, seconds: float = 1.0, spread: float = 1.0, accuracies: np.ndarray | None = None
) -> CurveView:
    """A curve of these training losses, told in a few blocks and measured at the end of each.

    accuracies: the training accuracy after each loss, of a run on classes; without them the score is R².
    """
    curve = Curve()
    best = Best(loss=0.0, score=1.0, step=0)
    done = 0
    for block in np.array_split(losses, min(len(losses), 7) or 1):
        first, done = done, done + len(block)
        finite = np.isfinite(block).all() and len(block)
        score = 1 - float(block[-1]) / spread if finite else math.nan
        if accuracies is not None and len(block):
            score = float(accuracies[done - 1])
        train = Scores(loss=float(block[-1]), score=score) if finite else None
        test = Scores(loss=1.1 * train.loss, score=0.5) if train else None
        so_far = seconds * done / max(len(losses), 1)
        curve.add(Progress(first=first, step=done, losses=block, seconds=so_far, best=best, train=train, test=test))
    return curve.view()


def classes_run(**changes: Any) -> RunConfig:
    """A run on the wines: 13 features, three classes."""
    train = TrainConfig(lr=0.02, steps=30, threads=1, device="cpu")
    given: dict[str, Any] = {"in_modes": (5, 3), "out_modes": (2, 2), "ranks": 2, "train": train}
    return RunConfig(data=DataConfig(source="wine"), **given | changes)


def finished_run(**changes: Any) -> Finished:
    rng = np.random.default_rng(1)
    values: dict[str, Any] = {
        "stop_reason": StopReason.STEPS_DONE,
        "step": 30,
        "seconds": 0.5,
        "train": Scores(loss=0.1, score=0.9),
        "test": Scores(loss=0.5, score=0.5),
        "best": Best(loss=0.09, score=0.91, step=28),
        "best_test": Scores(loss=0.5, score=0.5),
        "cores": (np.ones((1, 3, 2, 2)), np.ones((2, 4, 2, 1))),
        "best_cores": (np.ones((1, 3, 2, 2)), np.ones((2, 4, 2, 1))),
        "weight": np.ones((4, 12)),
        "predictions": {"train": rng.normal(size=(2, 80)), "test": rng.normal(size=(2, 64))},
    }
    return Finished(**values | changes)


def run_snapshot(config: RunConfig | None = None, **changes: Any) -> RunSnapshot:
    """A run that has ended as asked; `changes` are fields of the snapshot."""
    finished = changes.pop("finished", finished_run())
    values: dict[str, Any] = {
        "id": "a",
        "owner": "me",
        "number": 1,
        "config": config or tiny(),
        "state": RunState.ENDED,
        "place": 0,
        "others": 0,
        "step": 30,
        "seconds": 0.5,
        "rate": 0.0,
        "speed": None,
        "curve": curve_of(np.geomspace(1, 0.1, 30)),
        "started": Started(device="cpu", device_name="a processor", threads=1, plan="left"),
        "best": finished.best if finished else None,
        "full_model": None,
        "finished": finished,
        "message": StopReason.STEPS_DONE.sentence,
    }
    return RunSnapshot(**values | changes)
