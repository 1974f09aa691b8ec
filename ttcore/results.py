"""What is kept of runs and of models to compare them with. Plain values and NumPy arrays; no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ttcore.config import RunConfig
from ttcore.events import Best, Finished, Scores, Started, StopReason

BaselineKind = Literal["full", "ridge", "low_rank", "low_rank_ridge", "constant"]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A linear model on the same data as the TT layers it stands beside. A bias is not counted.

    "full": least squares with the full weight matrix, of least norm; "ridge": the same with a penalty;
    "low_rank": the best weight of its rank, of least norm; "low_rank_ridge": the same with a penalty; "constant": what
    is predicted without a look at the inputs, the mean of the training targets or the shares of the classes.
    Of classes "full" and "low_rank" are logistic regressions, and "ridge" is ridge regression of the one-hot targets:
    it predicts no probabilities, so its loss is NaN.
    """

    kind: BaselineKind
    # The weight's rank; None for a full matrix.
    rank: int | None = None
    # in_features x out_features, or rank x (in_features + out_features); 0 of the constant.
    parameters: int
    # The ridge penalty on the squared norm of the weight, chosen by cross-validation; None without one.
    penalty: float | None = None
    train: Scores
    test: Scores


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One run that has ended, with all that is needed to draw it and to go on working with its cores."""

    config: RunConfig
    device: str
    device_name: str
    threads: int
    plan: str
    # How many runs trained as one with it, itself included.
    stacked: int
    stop_reason: StopReason
    steps: int
    # Training time; of all runs that trained as one together.
    seconds: float
    # After the last update.
    train: Scores
    test: Scores
    # The lowest training loss, and what the cores of that moment reach on the test samples.
    best: Best
    best_test: Scores
    # Core k of shape (r_{k-1}, m_k, n_k, r_k), after the last update.
    cores: tuple[np.ndarray, ...] = ()
    # Training loss t after t updates: (losses,), in the run's number format.
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    # (points, 6): step, seconds, train loss, train score, test loss, test score.
    measured: np.ndarray = field(default_factory=lambda: np.zeros((0, 6)))


def run_result(config: RunConfig, started: Started, finished: Finished) -> RunResult:
    """What a run's first and last event say of it; its cores and its curve left out."""
    return RunResult(
        config=config,
        device=started.device,
        device_name=started.device_name,
        threads=started.threads,
        plan=started.plan,
        stacked=started.stacked,
        stop_reason=finished.stop_reason,
        steps=finished.step,
        seconds=finished.seconds,
        train=finished.train,
        test=finished.test,
        best=finished.best,
        best_test=finished.best_test,
    )
