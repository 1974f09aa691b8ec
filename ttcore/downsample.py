"""Fewer points for a picture, with every extreme kept. NumPy only."""

from __future__ import annotations

import numpy as np

# The largest picture of a weight, and the most points of a picture of predictions: more than a screen can tell apart.
WEIGHT_ROWS, WEIGHT_COLUMNS = 64, 512
# A confusion matrix of more classes is not made: nobody could read it.
MOST_CONFUSED = 100
PREDICTION_POINTS = 1500


def envelope(
    values: np.ndarray, max_points: int, *, positions: np.ndarray | None = None, logarithmic: bool = False
) -> np.ndarray:
    """Indices of at most `max_points` (4 or more) entries that draw the same curve: lowest and highest of many bins.

    values: (points,), NaN allowed. The first and the last entry are always among them; indices rise strictly.
    positions: (points,), where the values stand on the axis, rising strictly from 0; default 0, 1, 2 and so on.
    logarithmic: bins of equal width on a logarithmic axis of 1 + position.
    """
    count = len(values)
    if count <= max_points:
        return np.arange(count)
    end = count if positions is None else int(positions[-1]) + 1
    bins = (max_points - 2) // 2
    if logarithmic:
        edges = np.unique(np.geomspace(1, end + 1, bins + 1).astype(np.int64) - 1)[:-1]
    else:
        edges = np.linspace(0, end, bins + 1).astype(np.int64)[:-1]
    starts = edges if positions is None else np.unique(np.searchsorted(positions, edges))
    lows = np.fmin.reduceat(values, starts)
    highs = np.fmax.reduceat(values, starts)
    # The position of each extreme: the first entry of its bin that equals it.
    bin_of = np.repeat(np.arange(len(starts)), np.diff(starts, append=count))
    low_at = _first_of_each_bin(values == lows[bin_of], bin_of, starts)
    high_at = _first_of_each_bin(values == highs[bin_of], bin_of, starts)
    return np.unique(np.concatenate([[0], low_at, high_at, [count - 1]]))


def _first_of_each_bin(hit: np.ndarray, bin_of: np.ndarray, starts: np.ndarray) -> np.ndarray:
    positions = np.flatnonzero(hit)
    first = starts.copy()  # a bin of nothing but NaN keeps its start
    bins, where = np.unique(bin_of[positions], return_index=True)
    first[bins] = positions[where]
    return first


def pool(matrix: np.ndarray, max_rows: int, max_columns: int) -> np.ndarray:
    """A matrix of at most that size: each block is shown by its entry of largest magnitude, sign kept."""
    return _pool_columns(_pool_columns(matrix, max_columns).T, max_rows).T


def _pool_columns(matrix: np.ndarray, most: int) -> np.ndarray:
    rows, columns = matrix.shape
    if columns <= most:
        return matrix
    width = -(-columns // most)
    padded = np.zeros((rows, -(-columns // width) * width), matrix.dtype)
    padded[:, :columns] = matrix
    blocks = padded.reshape(rows, -1, width)
    largest = np.abs(blocks).argmax(axis=2)
    return np.take_along_axis(blocks, largest[..., None], axis=2)[..., 0]


def pick(count: int, most: int) -> np.ndarray:
    """At most `most` evenly spaced indices of 0..count-1."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(np.int64)
