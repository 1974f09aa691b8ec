"""What a TT layer is compared with, on the same data."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ttcore.config import DataConfig
from ttcore.datasets import Dataset, load
from ttcore.downsample import pool
from ttcore.events import FullModel
from ttcore.metrics import scores

# The largest picture of a weight: more than a screen can tell apart.
WEIGHT_ROWS, WEIGHT_COLUMNS = 64, 512


def full_model(config: DataConfig) -> FullModel:
    """Least squares with the full weight matrix and no bias; the minimum-norm solution where many fit.

    Kept for the last few data sets.
    """
    return _kept(config)


@lru_cache(maxsize=8)
def _kept(config: DataConfig) -> FullModel:
    dataset = load(config)
    weight = least_squares(dataset)
    return FullModel(
        parameters=weight.size,
        train=scores(dataset.x_train @ weight.T, dataset.y_train),
        test=scores(dataset.x_test @ weight.T, dataset.y_test),
        weight=pool(weight, WEIGHT_ROWS, WEIGHT_COLUMNS).astype(np.float32),
    )


def least_squares(dataset: Dataset) -> np.ndarray:
    """The weight (out_features, in_features) with the least squared training error, of those the one of least norm."""
    solution, *_ = np.linalg.lstsq(dataset.x_train, dataset.y_train, rcond=None)
    return solution.T
