"""What a run says while it runs, and why it stopped. Plain values and NumPy arrays; no torch.

Each event says in `run` which of the runs that were asked for together it is about, counted from 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np


class StopReason(StrEnum):
    """Why a run ended: a stable key for files, a sentence for people."""

    STEPS_DONE = "steps_done"
    TARGET_REACHED = "target_reached"
    STOPPED = "stopped"
    CONVERGED = "converged"
    NOT_FINITE = "not_finite"
    FAILED = "failed"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES = {
    StopReason.STEPS_DONE: "All steps are done.",
    StopReason.TARGET_REACHED: "The target was reached on the training data.",
    StopReason.STOPPED: "Stopped on request.",
    StopReason.CONVERGED: "Converged: no further step lowers the loss, so this start has reached its minimum.",
    StopReason.NOT_FINITE: (
        "The loss was no longer finite, so the last good cores were kept. Lower the learning rate (a tenth is a good "
        "first try), or choose Adam or another start."
    ),
    StopReason.FAILED: "The training process ended unexpectedly. What had arrived until then is kept.",
}


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good a model is on some samples; what loss and score are, the task says (see scoring).

    Regression: mean squared error and R² over all entries flattened. Classification: cross-entropy in nats, accuracy.
    """

    loss: float
    score: float


@dataclass(frozen=True, kw_only=True)
class Best:
    """The lowest training loss so far, and after how many updates it was reached."""

    loss: float
    # Of the cores of that moment. NaN where it takes a measurement of its own that was not made yet.
    score: float
    step: int


@dataclass(frozen=True, kw_only=True)
class Started:
    """The run has its device; everything that was left open is decided now."""

    run: int = 0
    device: str
    device_name: str
    threads: int
    plan: str
    # Updates done before, where a paused run goes on.
    step: int = 0
    # How many runs train as one with this one, itself included.
    stacked: int = 1


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The losses of every step since the last such event.

    losses[i] is the training loss after first + i updates, before the next one. `step` updates are done by now.
    """

    run: int = 0
    first: int
    step: int
    losses: np.ndarray
    # Time in training alone, over the whole run.
    seconds: float
    best: Best
    # Measured after `step` updates, now and then.
    train: Scores | None = None
    test: Scores | None = None


@dataclass(frozen=True, kw_only=True)
class FullModel:
    """The full weight matrix on the same data: least squares, or logistic regression for classes."""

    run: int = 0
    parameters: int
    train: Scores
    test: Scores
    # (rows, columns): the weight, reduced to what a picture can show.
    weight: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything a run needs to go on as if it had never been interrupted."""

    step: int
    seconds: float
    best: Best
    # Flat arrays in the run's dtype: "cores", "best_cores" and the optimizer's own.
    arrays: dict[str, np.ndarray]
    full_model_done: bool = False


@dataclass(frozen=True, kw_only=True)
class Paused:
    """The run waits; whoever holds this state can let it go on, here or elsewhere."""

    run: int = 0
    state: TrainingState


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The run has ended; its last and its best cores, and what it predicts."""

    run: int = 0
    stop_reason: StopReason
    step: int
    seconds: float
    # After the last update.
    train: Scores
    test: Scores
    best: Best
    # What the best cores reach on the test samples.
    best_test: Scores
    # Core k of shape (r_{k-1}, m_k, n_k, r_k).
    cores: tuple[np.ndarray, ...]
    best_cores: tuple[np.ndarray, ...]
    # The learned weight, reduced to what a picture can show.
    weight: np.ndarray
    # "train" and "test" -> (2, points): actual and predicted entries, evenly picked. Of a regression.
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    # "train" and "test" -> (classes, classes): samples of each class (row) that are taken for each (column).
    confusion: dict[str, np.ndarray] = field(default_factory=dict)


Event = Started | Progress | FullModel | Paused | Finished
