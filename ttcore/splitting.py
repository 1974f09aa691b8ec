"""Train and test from samples in one piece: the hold-out, by classes where there are some, and standardization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ttcore.config import DataConfig
from ttcore.errors import InputError


@dataclass(frozen=True)
class Whole:
    """All samples: x (samples, features), y (samples, outputs).

    classes: for classification the name of each output; y is then one-hot.
    """

    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scaling:
    """Inputs are (x - x_mean) / x_std, targets (y - y_mean) / y_std; (features,) and (outputs,).

    An input that is constant in training tells nothing: its std is infinite, so that it is zero everywhere. A constant
    target has a std of 1. One-hot targets stay: 0 and 1.
    """

    x_mean: np.ndarray
    x_std: np.ndarray
    y_mean: np.ndarray
    y_std: np.ndarray


Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
# Where the four parts are put: by name and shape.
Allocate = Callable[[str, tuple[int, int]], np.ndarray]

# So many samples at once are read and scaled, so that nothing as large as the data is held beside them.
_ROWS = 8192


def in_memory(name: str, shape: tuple[int, int]) -> np.ndarray:
    return np.empty(shape)


def split(whole: Whole, config: DataConfig, allocate: Allocate = in_memory) -> tuple[Parts, Scaling]:
    """x_train, y_train, x_test, y_test, standardized by the training samples alone.

    Raises InputError for a class with a single sample, which cannot be on both sides.
    """
    train, test = places(whole, config)
    x_mean, x_std = _mean_and_std(whole.x, train)
    if whole.classes:
        outputs = whole.y.shape[1]
        y_mean, y_std = np.zeros(outputs), np.ones(outputs)
    else:
        y_mean, y_std = _mean_and_std(whole.y, train)
        y_std = np.where(np.isinf(y_std), 1.0, y_std)

    def part(name: str, data: np.ndarray, rows: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        target = allocate(name, (len(rows), data.shape[1]))
        for begin in range(0, len(rows), _ROWS):
            end = begin + _ROWS
            target[begin:end] = (data[rows[begin:end]] - mean) / std
        return target

    parts = (
        part("x_train", whole.x, train, x_mean, x_std),
        part("y_train", whole.y, train, y_mean, y_std),
        part("x_test", whole.x, test, x_mean, x_std),
        part("y_test", whole.y, test, y_mean, y_std),
    )
    return parts, Scaling(x_mean, x_std, y_mean, y_std)


def places(whole: Whole, config: DataConfig) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the training and of the test samples."""
    from sklearn.model_selection import train_test_split

    labels = whole.y.argmax(1) if whole.classes else None
    if labels is not None:
        counts = np.bincount(labels, minlength=len(whole.classes))
        if counts.min() < 2:
            rare = whole.classes[counts.argmin()]
            raise InputError(
                f"class {rare} has {counts.min()} sample{'' if counts.min() == 1 else 's'}, and a hold-out by classes "
                "needs at least two of each; leave that class out or add samples",
                "key",
            )
    train, test = train_test_split(
        np.arange(len(whole.x)), test_size=config.test_samples, train_size=config.train_samples,
        random_state=config.split_seed, stratify=labels,
    )  # fmt: skip
    return train, test


def _mean_and_std(data: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each column over these rows, in two passes; the std of a constant column is infinite."""
    blocks = [rows[begin : begin + _ROWS] for begin in range(0, len(rows), _ROWS)]
    # In units of the largest entry: its square may be too large for a number, or too small.
    peak = np.max([np.abs(data[block]).max(0) for block in blocks], axis=0)
    unit = np.where(peak > 0, peak, 1.0)
    mean = sum((data[block] / unit).sum(0) for block in blocks) / len(rows)
    std = np.sqrt(sum(((data[block] / unit - mean) ** 2).sum(0) for block in blocks) / len(rows))
    mean, std = mean * unit, std * unit
    # Rounding leaves a constant column a spread of its own, which must not be blown up.
    return mean, np.where(std <= 1e-12 * np.abs(mean), np.inf, std)
