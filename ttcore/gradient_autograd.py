"""The same gradients by torch's autograd, through the layer's own forward pass."""

from __future__ import annotations

import numpy as np
import torch

from ttcore import ttmatrix
from ttcore.gradient_cores import CoreProblem
from ttcore.gradient_matrix import MatrixProblem


def by_matrix(problem: MatrixProblem) -> np.ndarray:
    """The gradient of ‖y − W x‖² by W, (out_features, in_features), in float64."""
    weight, x, y = (torch.tensor(array) for array in problem.arrays)
    weight.requires_grad_()
    (y - weight @ x).square().sum().backward()
    return _gradient(weight)


def by_cores(problem: CoreProblem) -> list[np.ndarray]:
    """The gradient of Σ ‖y − W x‖² by each core, of its shape, in float64."""
    arrays, x, y = problem.arrays
    cores = [torch.tensor(array, requires_grad=True) for array in arrays]
    predicted = ttmatrix.apply(cores, torch.tensor(x), problem.shape)
    (torch.tensor(y) - predicted).square().sum().backward()
    return [_gradient(core) for core in cores]


def _gradient(parameter: torch.Tensor) -> np.ndarray:
    assert parameter.grad is not None, "backward has just been called on what comes of it"
    return parameter.grad.numpy()
