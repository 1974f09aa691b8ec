"""load(DataConfig) -> Dataset: the samples, train and test. NumPy only; no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ttcore import drawn
from ttcore.bundled import bundled
from ttcore.config import DataConfig
from ttcore.cores import apply
from ttcore.events import Scores
from ttcore.logistic import constant
from ttcore.metrics import class_scores, scores
from ttcore.planning import data_bytes, files_of, is_on_disk
from ttcore.reduced import Reduced, reduced, reduced_by_blocks
from ttcore.splitting import Allocate, Scaling, Whole, in_memory, split
from ttcore.table_store import TableStore

# Data sets up to this size are kept for the next run.
_KEEP_BYTES = 256 * 2**20
# So many samples are predicted at once.
_ROWS = 8192
PARTS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Dataset:
    """Samples as float64, read-only: x (samples, in_features), y (samples, out_features).

    classes: for classification the name of each output; y is then one-hot.
    scaling: what was subtracted and divided by, from the training samples; None where nothing was.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...] = ()
    scaling: Scaling | None = None
    # Then they are memory maps in float32, of which a run reads the rows that it needs.
    on_disk: bool = False

    @property
    def offset(self) -> np.ndarray | None:
        """What is added to a classifier's logits: the log of each class's share of the training samples; else None.

        It stands for the mean that is subtracted from the targets of a regression, and is not trained. A class that
        training never sees counts as half a sample.
        """
        if not self.classes:
            return None
        return np.log(constant(self.y_train))

    @cached_property
    def reduced(self) -> Reduced:
        """The training samples as linear models in closed form need them."""
        if self.on_disk:
            return reduced_by_blocks(self.x_train, self.y_train, np.arange(len(self.x_train)))
        return reduced(self.x_train, self.y_train)

    def scores_of(self, predict: Callable[[np.ndarray], np.ndarray]) -> tuple[Scores, Scores]:
        """Train and test scores of a function from inputs (samples, in_features) to targets, or to logits."""
        score = class_scores if self.classes else scores
        train, test = (
            np.concatenate(
                [predict(np.asarray(x[begin : begin + _ROWS], np.float64)) for begin in range(0, len(x), _ROWS)]
            )
            for x in (self.x_train, self.x_test)
        )
        return score(train, self.y_train), score(test, self.y_test)

    def sample(self, most: int) -> tuple[np.ndarray, np.ndarray]:
        """Training inputs and targets, as float64; of data on disk at most so many of them, drawn at random."""
        if not self.on_disk or len(self.x_train) <= most:
            return np.asarray(self.x_train, np.float64), np.asarray(self.y_train, np.float64)
        rows = np.sort(np.random.default_rng(0).choice(len(self.x_train), most, replace=False))
        return np.asarray(self.x_train[rows], np.float64), np.asarray(self.y_train[rows], np.float64)

    def layer_scores(self, cores: Sequence[np.ndarray], in_features: int, out_features: int) -> tuple[Scores, Scores]:
        """Train and test scores of a tensor-train layer on these data."""
        offset = self.offset if self.classes else 0.0
        return self.scores_of(lambda x: apply(cores, x, in_features, out_features) + offset)


def load(config: DataConfig) -> Dataset:
    """Draw or read the data of a configuration; the same configuration always gives the same arrays.

    What is too large to be held by every run (see planning.is_on_disk) is kept in files, and drawn or split once.
    Raises InputError for a prepared table that is not held here.
    """
    if is_on_disk(config):
        return _mapped(config)
    small = data_bytes(config, "float64") <= _KEEP_BYTES
    return _kept(config) if small else _load(config)


@lru_cache(maxsize=2)
def _kept(config: DataConfig) -> Dataset:
    return _load(config)


@lru_cache(maxsize=2)
def _mapped(config: DataConfig) -> Dataset:
    """The parts as memory maps, with what is small beside them."""

    def make(folder: Path) -> None:
        def allocate(name: str, shape: tuple[int, int]) -> np.ndarray:
            return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)

        dataset = _load(config, allocate)
        small: dict[str, Any] = asdict(dataset.scaling) if dataset.scaling is not None else {}
        np.savez(folder / "small.npz", classes=np.array(dataset.classes, dtype=str), **small)

    for attempt in range(2):
        folder = TableStore().derived(files_of(config), make)
        try:
            parts = [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in PARTS]
        except FileNotFoundError:
            # Another process has made room just then.
            if attempt:
                raise
        else:
            break
    with np.load(folder / "small.npz", allow_pickle=False) as small:
        scaling = Scaling(*(small[field.name] for field in fields(Scaling))) if "x_mean" in small else None
        x_train, y_train, x_test, y_test = parts
        classes = tuple(map(str, small["classes"]))
        return Dataset(x_train, y_train, x_test, y_test, classes, scaling, on_disk=True)


def _load(config: DataConfig, allocate: Allocate = in_memory) -> Dataset:
    match config.source:
        case "reference":
            dataset = Dataset(*drawn.reference(config))
        case "planted":
            dataset = Dataset(*drawn.planted(config, allocate))
        case _:
            whole = _whole(config)
            parts, scaling = split(whole, config, allocate)
            dataset = Dataset(*parts, whole.classes, scaling)
    for array in (dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test):
        array.flags.writeable = False
    return dataset


def _whole(config: DataConfig) -> Whole:
    if config.source == "regression":
        return drawn.regression(config)
    if config.source == "table":
        stored = TableStore().held(config)
        return Whole(*stored.arrays(), stored.target_names if config.task_kind == "classification" else ())
    return bundled(config.source)
