"""load(DataConfig) -> Dataset: the samples, train and test. NumPy only; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from ttcore.config import REFERENCE_SEED, DataConfig
from ttcore.cores import dense_weight
from ttcore.planning import data_bytes

# Data sets up to this size are kept for the next run.
_KEEP_BYTES = 256 * 2**20
# The test rows of the reference task have a draw of their own, so that the training rows stay the published ones.
_REFERENCE_TEST_SEED = 20_123
_REFERENCE_INFORMATIVE = 128


@dataclass(frozen=True)
class Dataset:
    """Samples as float64, read-only: x (samples, in_features), y (samples, out_features)."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(config: DataConfig) -> Dataset:
    """Draw the data of a configuration; the same configuration always gives the same arrays."""
    small = data_bytes(config, "float64") <= _KEEP_BYTES
    return _kept(config) if small else _draw(config)


@lru_cache(maxsize=2)
def _kept(config: DataConfig) -> Dataset:
    return _draw(config)


def _draw(config: DataConfig) -> Dataset:
    dataset = _reference(config) if config.source == "reference" else _planted(config)
    for array in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test):
        array.flags.writeable = False
    return dataset


def _reference(config: DataConfig) -> Dataset:
    """The published draw, standardized per column; further samples of the same coefficients for the test."""
    # It takes a second to import, and only this task needs it.
    from sklearn.datasets import make_regression

    x, y, coefficients = make_regression(
        n_samples=config.train_samples,
        n_features=config.in_features,
        n_informative=_REFERENCE_INFORMATIVE,
        n_targets=config.out_features,
        coef=True,
        random_state=REFERENCE_SEED,
    )
    x_test = np.random.default_rng(_REFERENCE_TEST_SEED).standard_normal((config.test_samples, config.in_features))
    y_test = x_test @ coefficients
    x_mean, x_std, y_mean, y_std = x.mean(0), x.std(0), y.mean(0), y.std(0)
    return Dataset((x - x_mean) / x_std, (y - y_mean) / y_std, (x_test - x_mean) / x_std, (y_test - y_mean) / y_std)


def _planted(config: DataConfig) -> Dataset:
    """Standard-normal inputs through a random tensor train, divided by one number.

    A scale for each column would not keep the teacher's ranks, so all targets share the standard deviation of the
    training targets. Noise is added after that, to train and test alike.
    """
    teacher_draw, train_draw, test_draw, noise_draw = np.random.default_rng(config.seed).spawn(4)
    shape = config.teacher_shape
    cores = [teacher_draw.standard_normal(core) / np.sqrt(prod(core[:3])) for core in shape.core_shapes]
    weight = dense_weight(cores, shape.in_features, shape.out_features)
    x_train = train_draw.standard_normal((config.train_samples, config.in_features))
    x_test = test_draw.standard_normal((config.test_samples, config.in_features))
    y_train, y_test = x_train @ weight.T, x_test @ weight.T
    deviation = y_train.std()
    y_train, y_test = y_train / deviation, y_test / deviation
    if config.noise:
        y_train = y_train + config.noise * noise_draw.standard_normal(y_train.shape)
        y_test = y_test + config.noise * noise_draw.standard_normal(y_test.shape)
    return Dataset(x_train, y_train, x_test, y_test)
