"""Many runs as one: their cores stand as rows of one matrix, ranks padded with zeros to the largest at each bond.

Padded entries stay exactly zero under gradient steps: the gradient of each is a product with its neighbour's padding,
and an update from a zero gradient and zero moments is zero. So no masks are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from ttcore.shapes import TTShape, stacked_shape


class Stack:
    """The layout of R runs with the same modes and sizes, one row of parameters for each.

    shapes: the runs' own shapes.
    shape: the common one, with the largest rank at every bond; core k of all runs is (R, r_{k-1}, m_k, n_k, r_k).
    """

    def __init__(self, shapes: Sequence[TTShape]) -> None:
        self.shapes = tuple(shapes)
        self.shape = stacked_shape(shapes)
        self._sizes = [prod(core) for core in self.shape.core_shapes]

    def __len__(self) -> int:
        return len(self.shapes)

    def cores(self, flat: Tensor) -> list[Tensor]:
        """The common cores as views of the parameters, (R, P)."""
        parts = flat.split(self._sizes, dim=1)
        return [part.view(len(flat), *core) for part, core in zip(parts, self.shape.core_shapes, strict=True)]

    def own_cores(self, flat: Tensor, row: int) -> list[Tensor]:
        """One run's cores at its own ranks, as views."""
        own = self.shapes[row].core_shapes
        return [core[row, :left, :, :, :right] for core, (left, _, _, right) in zip(self.cores(flat), own, strict=True)]

    def own_parameters(self, flat: Tensor, row: int) -> Tensor:
        """One run's parameters without padding, core after core in one vector."""
        return torch.cat([core.reshape(-1) for core in self.own_cores(flat, row)])

    def pack(self, parameters: Sequence[Tensor]) -> Tensor:
        """The inverse of own_parameters for all runs: (R, P), padded with zeros."""
        flat = parameters[0].new_zeros(len(self), sum(self._sizes))
        for row, own in enumerate(parameters):
            sizes = [prod(core) for core in self.shapes[row].core_shapes]
            for target, part in zip(self.own_cores(flat, row), own.split(sizes), strict=True):
                target.copy_(part.view(target.shape))
        return flat
