"""Pure functions of predictions and targets, for NumPy arrays and torch tensors alike."""

from __future__ import annotations

from typing import Any

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
    """Both, for predictions and targets of the same shape."""
    mse = mean_squared_error(predictions, targets)
    return Scores(mse=mse, r2=r2(mse, spread(targets)))
