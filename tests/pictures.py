"""Runs as pictures need them, made up without any training."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.tables import tiny
from ttcore.config import RunConfig
from ttcore.curves import Curve, CurveView
from ttcore.engine import RunSnapshot, RunState
from ttcore.events import Best, Finished, Progress, Scores, Started, StopReason


def curve_of(losses: np.ndarray, *, seconds: float = 1.0, spread: float = 1.0) -> CurveView:
    """A curve of these training losses, told in a few blocks and measured at the end of each."""
    curve = Curve()
    best = Best(mse=0.0, r2=1.0, step=0)
    done = 0
    for block in np.array_split(losses, min(len(losses), 7) or 1):
        first, done = done, done + len(block)
        finite = np.isfinite(block).all() and len(block)
        train = Scores(mse=float(block[-1]), r2=1 - float(block[-1]) / spread) if finite else None
        test = Scores(mse=1.1 * train.mse, r2=0.5) if train else None
        so_far = seconds * done / max(len(losses), 1)
        curve.add(Progress(first=first, step=done, losses=block, seconds=so_far, best=best, train=train, test=test))
    return curve.view()


def finished_run(**changes: Any) -> Finished:
    rng = np.random.default_rng(1)
    values: dict[str, Any] = {
        "stop_reason": StopReason.STEPS_DONE,
        "step": 30,
        "seconds": 0.5,
        "train": Scores(mse=0.1, r2=0.9),
        "test": Scores(mse=0.5, r2=0.5),
        "best": Best(mse=0.09, r2=0.91, step=28),
        "best_test": Scores(mse=0.5, r2=0.5),
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
