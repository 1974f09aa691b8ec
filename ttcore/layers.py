"""TTLinear: a drop-in for nn.Linear with a tensor-train weight. A thin nn.Module over ttmatrix."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn

from ttcore import ttmatrix
from ttcore.checks import choice
from ttcore.errors import InputError
from ttcore.shapes import TTShape, shape_of_cores

INITS = ("unit", "glorot", "he")


class TTLinear(nn.Module):
    """y = x Wᵀ + b with W, (out_features, in_features), stored as the cores of a tensor train.

    shape: modes and ranks; ranks are used as given (see TTShape.clipped).
    bias: whether b is learned; it starts as nn.Linear's does.
    init: the start of the cores, see ttmatrix.initialize. The default is the one that trained best over a range of
        shapes in benchmarks/initialization.py.
    generator: a CPU generator to draw from; default torch's own.

    forward maps (..., in_features) to (..., out_features). Raises InputError for an unknown init or an input whose last
    dimension is not in_features.
    """

    bias: Tensor | None

    def __init__(
        self,
        shape: TTShape,
        bias: bool = True,
        init: str = "unit",
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.init = choice(init, INITS, "init")
        empty = [torch.empty(core, device=device, dtype=dtype) for core in shape.core_shapes]
        self.cores = nn.ParameterList([nn.Parameter(core) for core in empty])
        if bias:
            self.bias = nn.Parameter(torch.empty(shape.out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters(generator)

    @classmethod
    def from_cores(
        cls,
        cores: Sequence[np.ndarray | Tensor],
        in_features: int | None = None,
        out_features: int | None = None,
        bias: np.ndarray | Tensor | None = None,
    ) -> TTLinear:
        """A layer with the given cores, core k of shape (r_{k-1}, m_k, n_k, r_k), such as export.load_cores returns."""
        tensors = [_tensor(core) for core in cores]
        shape = shape_of_cores([tuple(core.shape) for core in tensors], in_features, out_features)
        layer = cls(shape, bias=bias is not None, dtype=tensors[0].dtype, device=tensors[0].device)
        with torch.no_grad():
            for parameter, core in zip(layer.cores, tensors, strict=True):
                parameter.copy_(core)
            if layer.bias is not None and bias is not None:
                layer.bias.copy_(_tensor(bias))
        return layer

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw a new start."""
        with torch.no_grad():
            for parameter, core in zip(
                self.cores, ttmatrix.initialize(self.shape, self.init, generator=generator), strict=True
            ):
                parameter.copy_(core)
            if self.bias is not None:
                bound = 1 / sqrt(self.shape.in_features)
                draw = torch.rand(self.shape.out_features, generator=generator, dtype=torch.float64)
                self.bias.copy_((2 * draw - 1) * bound)

    @property
    def in_features(self) -> int:
        return self.shape.in_features

    @property
    def out_features(self) -> int:
        return self.shape.out_features

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1:] != (self.in_features,):
            raise InputError(
                f"the input has shape {tuple(x.shape)}; its last dimension must be in_features = {self.in_features}"
            )
        flat = x.reshape(-1, self.in_features)
        y = ttmatrix.apply(list(self.cores), flat, self.shape)
        if self.bias is not None:
            y = y + self.bias.to(y.dtype)
        return y.reshape(*x.shape[:-1], self.out_features)

    def to_dense(self) -> Tensor:
        """The dense weight, (out_features, in_features); differentiable."""
        return ttmatrix.to_dense(list(self.cores), self.shape)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, in_modes={self.shape.in_modes}, "
            f"out_modes={self.shape.out_modes}, ranks={self.shape.ranks}, bias={self.bias is not None}"
        )


def _tensor(array: np.ndarray | Tensor) -> Tensor:
    """A copy where it is an array: torch warns of sharing one that cannot be written."""
    return array if isinstance(array, Tensor) else torch.from_numpy(np.array(array))
