"""What runs on a kind of task are measured by: the loss that training lowers, and the score that a person asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["regression", "classification"]


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The names of loss and score: as keys of files, and as people read them."""

    task: Task
    loss: str
    score: str
    loss_title: str
    loss_short: str
    # As in "test R²" and "training accuracy".
    score_title: str


SCORINGS: dict[Task, Scoring] = {
    "regression": Scoring(
        task="regression",
        loss="mse",
        score="r2",
        loss_title="mean squared error",
        loss_short="MSE",
        score_title="R²",
    ),
    "classification": Scoring(
        task="classification",
        loss="cross_entropy",
        score="accuracy",
        loss_title="cross-entropy",
        loss_short="cross-entropy",
        score_title="accuracy",
    ),
}
REGRESSION = SCORINGS["regression"]
CLASSIFICATION = SCORINGS["classification"]
