"""Pure functions of predictions and targets; those of regression for NumPy arrays and torch tensors alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from ttcore.events import Scores


def mean_squared_error(predictions: Any, targets: Any) -> float:
    """The mean over all entries of (prediction - target)²; both of the same shape."""
    return float(((predictions - targets) ** 2).mean())


def spread(targets: Any) -> float:
    """The mean squared deviation of all entries from their common mean: the error of the constant prediction."""
    return float(((targets - targets.mean()) ** 2).mean())


def r2(mse: float, target_spread: float) -> float:
    """R² over all entries flattened, as scikit-learn's r2_score gives it on reshape(-1).

    For constant targets it is 1 for a perfect fit and 0 otherwise, as there.
    """
    if target_spread == 0:
        return 1.0 if mse == 0 else 0.0
    return 1 - mse / target_spread


def scores(predictions: Any, targets: Any) -> Scores:
    """Mean squared error and R², for predictions and targets of the same shape."""
    mse = mean_squared_error(predictions, targets)
    return Scores(loss=mse, score=r2(mse, spread(targets)))


def class_scores(logits: np.ndarray, onehot: np.ndarray) -> Scores:
    """Cross-entropy in nats and accuracy, for logits and one-hot targets (samples, classes)."""
    with np.errstate(all="ignore"):  # what a diverged run predicts is not finite, and so is its loss
        below = logits - logits.max(1, keepdims=True)
        loss = float((np.log(np.exp(below).sum(1)) - below[onehot.astype(bool)]).mean())
    return Scores(loss=loss, score=float((logits.argmax(1) == onehot.argmax(1)).mean()))


def confusion(logits: np.ndarray, onehot: np.ndarray) -> np.ndarray:
    """(classes, classes): how many samples of each class (row) are taken for each (column)."""
    classes = onehot.shape[1]
    pairs = onehot.argmax(1) * classes + logits.argmax(1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
