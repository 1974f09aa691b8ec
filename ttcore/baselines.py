"""What a TT layer is compared with, on the same data."""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np

from ttcore import logistic
from ttcore.config import DataConfig
from ttcore.datasets import Dataset, load
from ttcore.downsample import WEIGHT_COLUMNS, WEIGHT_ROWS, pool
from ttcore.events import FullModel


def full_model(config: DataConfig) -> FullModel:
    """The full weight matrix: least squares without a bias, of least norm where many fit; of classes `logistic.fit`.

    Kept for the last few data sets.
    """
    with _LOCK:
        return _kept(config)


# Whoever asks while it is being fitted waits for it instead of fitting it again.
_LOCK = threading.Lock()


@lru_cache(maxsize=8)
def _kept(config: DataConfig) -> FullModel:
    dataset = load(config)
    if dataset.classes:
        classifier = logistic.fit(*dataset.sample(logistic.MAX_SAMPLES))
        weight = classifier.weight
        train, test = dataset.scores_of(classifier.logits)
    else:
        weight = least_squares(dataset)
        train, test = dataset.scores_of(lambda x: x @ weight.T)
    return FullModel(
        parameters=weight.size,
        train=train,
        test=test,
        weight=pool(weight, WEIGHT_ROWS, WEIGHT_COLUMNS).astype(np.float32),
    )


def least_squares(dataset: Dataset) -> np.ndarray:
    """The weight (out_features, in_features) with the least squared training error, of those the one of least norm."""
    fit = dataset.reduced
    return (fit.cross / fit.values[:, None]).T @ fit.right
