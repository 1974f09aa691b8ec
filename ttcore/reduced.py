"""Samples in as few rows and columns as any linear model needs of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# So many samples of data on disk are read at once.
_ROWS = 4096


@dataclass(frozen=True)
class Reduced:
    """‖x B - targets‖² of samples is ‖x' right B - y'‖² + outside for every weight B (features, outputs).

    values: the singular values of the inputs that are above rounding, largest first, (r). right: (r, features).
    x: x' = left values, (rows, r), and y: y', (rows, outputs). Rows are the samples themselves, or r of them that stand
    for all; left has orthonormal columns either way.
    """

    values: np.ndarray
    right: np.ndarray
    x: np.ndarray
    y: np.ndarray
    outside: float

    @property
    def cross(self) -> np.ndarray:
        """leftᵀ y: (r, outputs)."""
        return self.x.T @ self.y / self.values[:, None]


def reduced(x: np.ndarray, y: np.ndarray) -> Reduced:
    """By a singular value decomposition: x (samples, features), y (samples, outputs)."""
    left, values, right = thin_svd(x)
    return Reduced(values, right, left * values, y, 0.0)


def reduced_by_blocks(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Reduced:
    """By xᵀx, block after block of these rows: for inputs too large to be held, with more samples than features.

    What it cannot see are singular values below about 1e-8 of the largest one.
    """
    gram, cross, square = np.zeros((x.shape[1],) * 2), np.zeros((x.shape[1], y.shape[1])), 0.0
    for begin in range(0, len(rows), _ROWS):
        chosen = rows[begin : begin + _ROWS]
        block, targets = np.asarray(x[chosen], np.float64), np.asarray(y[chosen], np.float64)
        gram += block.T @ block
        cross += block.T @ targets
        square += float((targets**2).sum())
    squares, vectors = np.linalg.eigh(gram)
    kept = squares > squares.max(initial=0.0) * len(squares) * np.finfo(np.float64).eps
    values, right = np.sqrt(squares[kept])[::-1], vectors[:, kept][:, ::-1].T
    targets = right @ cross / values[:, None]
    return Reduced(values, right, np.diag(values), targets, max(0.0, square - float((targets**2).sum())))


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
