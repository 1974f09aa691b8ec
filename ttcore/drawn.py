"""Data that are drawn from a seed: the reference task, planted teachers, make_regression. NumPy only; no torch."""

from __future__ import annotations

from math import prod

import numpy as np

from ttcore.config import REFERENCE_SEED, DataConfig
from ttcore.cores import dense_weight
from ttcore.splitting import Allocate, Parts, Whole, in_memory

# The test rows of the reference task have a draw of their own, so that the training rows stay the published ones.
_REFERENCE_TEST_SEED = 20_123
_REFERENCE_INFORMATIVE = 128
# So many samples are drawn at once.
_ROWS = 8192


def reference(config: DataConfig) -> Parts:
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
    return ((x - x_mean) / x_std, (y - y_mean) / y_std, (x_test - x_mean) / x_std, (y_test - y_mean) / y_std)


def planted(config: DataConfig, allocate: Allocate = in_memory) -> Parts:
    """Standard-normal inputs through a random tensor train, divided by one number.

    A scale for each column would not keep the teacher's ranks, so all targets share the standard deviation of the
    training targets. Noise is added after that, to train and test alike.
    """
    teacher_draw, train_draw, test_draw, noise_draw = np.random.default_rng(config.seed).spawn(4)
    shape = config.teacher_shape
    cores = [teacher_draw.standard_normal(core) / np.sqrt(prod(core[:3])) for core in shape.core_shapes]
    weight = dense_weight(cores, shape.in_features, shape.out_features)

    def drawn(name: str, draw: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
        x = allocate(f"x_{name}", (samples, config.in_features))
        y = allocate(f"y_{name}", (samples, config.out_features))
        for begin in range(0, samples, _ROWS):
            block = draw.standard_normal((min(_ROWS, samples - begin), config.in_features))
            x[begin : begin + _ROWS], y[begin : begin + _ROWS] = block, block @ weight.T
        return x, y

    x_train, y_train = drawn("train", train_draw, config.train_samples)
    x_test, y_test = drawn("test", test_draw, config.test_samples)
    deviation = y_train.std(dtype=np.float64)
    for y in (y_train, y_test):
        y /= deviation
        if config.noise:
            y += config.noise * noise_draw.standard_normal(y.shape)
    return x_train, y_train, x_test, y_test


def regression(config: DataConfig) -> Whole:
    """make_regression with the noise in units of the targets' own standard deviation."""
    from sklearn.datasets import make_regression

    x, y = make_regression(
        n_samples=config.samples,
        n_features=config.features,
        n_informative=config.informative,
        n_targets=config.outputs,
        effective_rank=config.effective_rank or None,
        random_state=config.seed,
    )
    y = y.reshape(config.samples, config.outputs)
    deviation = y.std(0)
    y = y / np.where(deviation > 0, deviation, 1.0)
    if config.noise:
        y += config.noise * np.random.default_rng(config.seed).standard_normal(y.shape)
    return Whole(x, y)
