"""The data set on a device, and what layers reach on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ttcore import metrics, ttmatrix
from ttcore.datasets import Dataset
from ttcore.downsample import PREDICTION_POINTS, pick
from ttcore.events import Scores
from ttcore.planning import ROWS, Plan, plan_contraction
from ttcore.shapes import TTShape
from ttcore.squared_loss import TrainingData

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Runtime:
    """What runs leave open, decided once."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    # For the training batch of all runs together.
    plan: Plan
    # The most elements that any plan may take.
    room: int
    # Steps between two looks at the losses.
    look_every: int


class Samples:
    """Train and test as tensors; `training` is what the losses take."""

    def __init__(self, dataset: Dataset, shape: TTShape, runtime: Runtime) -> None:
        self._runtime = runtime
        self._shape = shape
        # Data that are kept on disk stay there; of them, rows are brought to the device as they are asked for.
        kept = (lambda array: array) if dataset.on_disk else self._tensor
        self._x: dict[Part, Tensor | np.ndarray] = {"train": kept(dataset.x_train), "test": kept(dataset.x_test)}
        self._y = {"train": self._tensor(dataset.y_train), "test": self._tensor(dataset.y_test)}
        self._spread = {"train": metrics.spread(dataset.y_train), "test": metrics.spread(dataset.y_test)}
        # For classification alone, whose scores take a look at the predictions.
        self.offset = self._tensor(dataset.offset) if dataset.offset is not None else None

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, dtype=self._runtime.dtype, device=self._runtime.device)

    @cached_property
    def training(self) -> TrainingData:
        """All training samples in one piece."""
        return TrainingData(self._block("train", slice(None)), self._y["train"], self._shape, offset=self.offset)

    @property
    def train_samples(self) -> int:
        return len(self._y["train"])

    @property
    def train_inputs(self) -> int:
        """Numbers in the training inputs."""
        return self.train_samples * self._shape.in_features

    def rows(self, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        """Training samples by their places: x (rows, in_features) and y (rows, out_features)."""
        x, places = self._x["train"], torch.from_numpy(chosen).to(self._runtime.device)
        return self._tensor(x[chosen]) if isinstance(x, np.ndarray) else x[places], self._y["train"][places]

    def _block(self, part: Part, rows: slice) -> Tensor:
        x = self._x[part]
        return self._tensor(x[rows]) if isinstance(x, np.ndarray) else x[rows]

    def score_of_loss(self, loss: float) -> float:
        """The training score that goes with a training loss: R²; NaN for classification, where it does not follow."""
        return metrics.r2(loss, self._spread["train"]) if self.offset is None else np.nan

    def scores(self, cores: Sequence[Tensor], shape: TTShape, part: Part) -> Scores:
        """What a layer reaches on all samples of a part."""
        predictions, targets = self._predictions(cores, shape, part), self._y[part]
        if self.offset is None:
            loss = functional.mse_loss(predictions, targets).item()
            return Scores(loss=loss, score=metrics.r2(loss, self._spread[part]))
        labels = targets.argmax(1)
        loss = functional.cross_entropy(predictions, labels).item()
        return Scores(loss=loss, score=(predictions.argmax(1) == labels).double().mean().item())

    def points(self, cores: Sequence[Tensor], shape: TTShape, part: Part) -> np.ndarray:
        """(2, points): actual and predicted entries, evenly picked."""
        predictions, targets = self._predictions(cores, shape, part), self._y[part]
        chosen = pick(targets.numel(), PREDICTION_POINTS)
        actual, predicted = (values.cpu().numpy().reshape(-1)[chosen] for values in (targets, predictions))
        with np.errstate(over="ignore"):  # what a diverged run predicts need not fit
            return np.stack([actual, predicted]).astype(np.float32)

    def confusion(self, cores: Sequence[Tensor], shape: TTShape, part: Part) -> np.ndarray:
        """(classes, classes): how many samples of each class (row) are taken for each (column)."""
        classes = shape.out_features
        predicted = self._predictions(cores, shape, part).argmax(1)
        pairs = self._y[part].argmax(1) * classes + predicted
        return torch.bincount(pairs, minlength=classes**2).view(classes, classes).int().cpu().numpy()

    def _predictions(self, cores: Sequence[Tensor], shape: TTShape, part: Part) -> Tensor:
        """(samples, out_features): predicted targets, or logits."""
        count = len(self._y[part])
        device = ttmatrix.device_class(self._runtime.device)
        plan = plan_contraction(shape, min(count, ROWS), device=device, peak_elements=self._runtime.room)
        with torch.no_grad():
            blocks = [
                ttmatrix.apply(cores, self._block(part, slice(begin, begin + ROWS)), shape, plan)
                for begin in range(0, count, ROWS)
            ]
        predictions = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
        return predictions if self.offset is None else predictions + self.offset
