"""What a TT layer is compared with, on the same data."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ttcore.config import DataConfig
from ttcore.datasets import Dataset, load
from ttcore.downsample import WEIGHT_COLUMNS, WEIGHT_ROWS, pool
from ttcore.events import FullModel
from ttcore.metrics import scores


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
    left, values, right = thin_svd(dataset.x_train)
    return ((left.T @ dataset.y_train) / values[:, None]).T @ right


def thin_svd(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """left (rows, r), values (r), largest first, and right (r, columns), whose product is the matrix (rows, columns).

    r is the numerical rank: values within rounding of zero are left out, by the rule of np.linalg.matrix_rank. A matrix
    of zeros or without entries has r = 0.
    """
    # LAPACK is about twice as fast on the tall one of the two.
    wide = matrix.shape[0] < matrix.shape[1]
    left, values, right = np.linalg.svd(matrix.T if wide else matrix, full_matrices=False)
    if wide:
        left, right = right.T, left.T
    kept = values > values.max(initial=0.0) * max(matrix.shape) * np.finfo(np.float64).eps
    return left[:, kept], values[kept], right[kept]
