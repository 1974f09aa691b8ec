"""Whether an update written by hand is torch's: both train the same layer from the same start, step by step.

The hand-written side takes the gradient in closed form and updates in NumPy; torch's side takes autograd through the
layer and torch.optim. They share the start and nothing else.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ttcore import ttmatrix
from ttcore.gradient_race import Method, RaceConfig
from ttcore.gradient_runner import Course, Runner


def compare_with_torch(config: RaceConfig, steps: int) -> list[dict[str, Any]]:
    """For each entry {"method", "steps": compared, "difference": the largest of a parameter, "largest": parameter}.

    A comparison ends early where a method has diverged: there is nothing left to compare.
    """
    course = Course(config)
    return [_compare(course, method, rate, steps) for method, rate in config.entries]


def _compare(course: Course, method: Method, rate: float, steps: int) -> dict[str, Any]:
    runner = Runner(course, method, rate)
    parameters = course.start.clone().requires_grad_()
    optimizer = _optimizer(method, parameters, rate)
    compared, difference, largest = 0, 0.0, 0.0
    for _ in range(steps):
        runner.advance()
        if not runner.running:
            break
        optimizer.zero_grad()
        predicted = ttmatrix.apply(_cores(parameters, course), course.x, course.shape)
        (predicted - course.y).square().mean().backward()
        optimizer.step()
        theirs = parameters.detach().numpy()
        compared += 1
        difference = max(difference, float(np.abs(runner.parameters - theirs).max()))
        largest = max(largest, float(np.abs(theirs).max()))
    return {"method": method, "steps": compared, "difference": difference, "largest": largest}


def _optimizer(method: Method, parameters: Tensor, rate: float) -> torch.optim.Optimizer:
    match method:
        case "descent":
            return torch.optim.SGD([parameters], lr=rate)
        case "momentum":
            return torch.optim.SGD([parameters], lr=rate, momentum=0.9)
        case "adam":
            return torch.optim.Adam([parameters], lr=rate)


def _cores(parameters: Tensor, course: Course) -> list[Tensor]:
    shapes = course.shape.core_shapes
    parts = parameters.split([prod(core) for core in shapes])
    return [part.view(core) for part, core in zip(parts, shapes, strict=True)]
