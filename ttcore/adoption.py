"""A sweep's run as one of an engine's history, as if it had been trained there by itself. NumPy only; no torch."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np

from ttcore.cores import apply, dense_weight
from ttcore.curves import Curve
from ttcore.datasets import Dataset
from ttcore.downsample import MOST_CONFUSED, PREDICTION_POINTS, WEIGHT_COLUMNS, WEIGHT_ROWS, pick, pool
from ttcore.events import Finished, FullModel, Progress, Started
from ttcore.jobs import RunJob
from ttcore.metrics import confusion
from ttcore.results import Baseline, RunResult

# A weight of more entries is not multiplied out for a picture.
_MOST_ENTRIES = 2**22


def adopted(result: RunResult, owner: str, baselines: Sequence[Baseline], dataset: Dataset) -> RunJob:
    """The run with its curve and pictures, ready for Engine.adopt. The result must still have its cores."""
    shape = result.config.shape
    full = next((model for model in baselines if model.kind == "full"), None)
    weight = np.zeros((0, 0))
    if shape.padded_in_features * shape.padded_out_features <= _MOST_ENTRIES:
        weight = pool(dense_weight(result.cores, shape.in_features, shape.out_features), WEIGHT_ROWS, WEIGHT_COLUMNS)
    samples = {"train": (dataset.x_train, dataset.y_train), "test": (dataset.x_test, dataset.y_test)}
    return RunJob(
        id=secrets.token_urlsafe(8),
        owner=owner,
        number=0,
        config=result.config,
        curve=curve_of(result),
        started=Started(
            device=result.device,
            device_name=result.device_name,
            threads=result.threads,
            plan=result.plan,
            stacked=result.stacked,
        ),
        latest=Progress(
            first=result.steps, step=result.steps, losses=np.zeros(0), seconds=result.seconds, best=result.best
        ),
        full_model=None
        if full is None
        else FullModel(parameters=full.parameters, train=full.train, test=full.test, weight=np.zeros((0, 0))),
        finished=Finished(
            stop_reason=result.stop_reason,
            step=result.steps,
            seconds=result.seconds,
            train=result.train,
            test=result.test,
            best=result.best,
            best_test=result.best_test,
            cores=result.cores,
            best_cores=(),
            weight=weight,
            predictions={} if dataset.classes else {name: _points(result, x, y) for name, (x, y) in samples.items()},
            confusion={name: _confusion(result, dataset, x, y) for name, (x, y) in samples.items()}
            if 0 < len(dataset.classes) <= MOST_CONFUSED
            else {},
        ),
        reason=result.stop_reason.sentence,
    )


def curve_of(result: RunResult) -> Curve:
    """The run's curve; seconds are known where scores were measured."""
    marks = result.measured[result.measured[:, 0] > 0, :2]
    return Curve.of(result.losses.astype(np.float64), marks, result.measured)


def _points(result: RunResult, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(2, points): actual and predicted entries, evenly picked."""
    shape = result.config.shape
    chosen = pick(y.size, PREDICTION_POINTS)
    predicted = apply(result.cores, x, shape.in_features, shape.out_features)
    # What is too large for the picture's numbers is infinite there.
    with np.errstate(over="ignore"):
        return np.stack([y.reshape(-1)[chosen], predicted.reshape(-1)[chosen]]).astype(np.float32)


def _confusion(result: RunResult, dataset: Dataset, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    shape = result.config.shape
    return confusion(apply(result.cores, x, shape.in_features, shape.out_features) + dataset.offset, y)
