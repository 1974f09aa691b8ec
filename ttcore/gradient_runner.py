"""One runner of a race: the parameters of a layer, their loss and gradient by the engine, the update by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ttcore.datasets import load
from ttcore.gradient_race import DIVERGED, Lane, Method, RaceConfig
from ttcore.gradient_updates import UPDATES
from ttcore.planning import plan_contraction
from ttcore.squared_loss import TrainingData, squared_loss
from ttcore.stack import Stack
from ttcore.ttmatrix import initialize


class Course:
    """What all runners have in common: the samples x (B, in_features), y (B, out_features), and the start."""

    def __init__(self, config: RaceConfig) -> None:
        data = load(config.data)
        self.shape = config.shape
        self.x, self.y = (torch.tensor(array, dtype=torch.float64) for array in (data.x_train, data.y_train))
        self.stack = Stack([self.shape])
        self.training = TrainingData(self.x, self.y, self.shape)
        self.plan = plan_contraction(self.shape, len(self.x), training=True)
        generator = torch.Generator().manual_seed(config.seed)
        cores = initialize(self.shape, generator=generator, dtype=torch.float64)
        # All parameters in one vector.
        self.start: Tensor = torch.cat([core.reshape(-1) for core in cores])


class Runner:
    """A method on the course."""

    def __init__(self, course: Course, method: Method, rate: float) -> None:
        self.method: Method = method
        self.rate = rate
        flat = course.stack.pack([course.start])
        gradient = torch.zeros_like(flat)
        self._loss = squared_loss(course.stack, flat, gradient, course.training, course.plan)
        # Views: the loss reads the one and writes the other.
        self.parameters, self._gradient = flat[0].numpy(), gradient[0].numpy()
        self._memory: dict[str, Any] = {}
        self._losses: list[float] = []
        self._diverged: int | None = None
        self._look()

    @property
    def running(self) -> bool:
        return self._diverged is None

    def advance(self) -> None:
        """One update, unless it has diverged."""
        if self.running:
            with np.errstate(all="ignore"):
                UPDATES[self.method](self.parameters, self._gradient, self._memory, self.rate)
            self._look()

    @torch.inference_mode()
    def _look(self) -> None:
        """The loss of the present parameters, and their gradient for the next update."""
        loss = float(self._loss()[0])
        if np.isfinite(loss) and (not self._losses or loss <= DIVERGED * self._losses[0]):
            self._losses.append(loss)
        else:
            self._diverged = len(self._losses)

    def lane(self) -> Lane:
        return Lane(self.method, self.rate, np.array(self._losses), self._diverged)

    def saved(self) -> dict[str, Any]:
        """Everything of it that has to outlast a pause."""
        return {"parameters": self.parameters.copy(), "memory": self._memory, **self.lane().to_json()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what `saved` gave."""
        self.parameters[:] = saved["parameters"]
        self._memory = dict(saved["memory"])
        # The last loss is measured anew, with its gradient.
        self._losses = saved["losses"].tolist() if saved["diverged"] is not None else saved["losses"][:-1].tolist()
        self._diverged = saved["diverged"]
        if self.running:
            self._look()
