"""The gradient of Σ ‖y − W x‖² by each core of a tensor train W, in NumPy: no torch, no autograd.

W is linear in each of its cores, so the gradient by one of them is a contraction of the residual, the inputs and all
the other cores: the network of the loss with that core left out.
Source: Novikov et al. 2015, "Tensorizing Neural Networks", section 5; Oseledets 2011 for the format.
Core k is (r_{k-1}, m_k, n_k, r_k); x is (samples, in_features), y is (samples, out_features).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from ttcore.checks import shown, whole
from ttcore.cores import dense_weight
from ttcore.errors import InputError
from ttcore.gradient_matrix import MAX_SEED
from ttcore.shapes import TTShape

MAX_CORES = 8
MAX_SAMPLES = 64
# Of a core, and of the padded weight.
_MAX_ELEMENTS = 2**16
# The letters of the einsum: samples; input modes, output modes and ranks along the train.
_SAMPLES, _INS, _OUTS, _RANKS = "b", "ijklmngh", "opquvwxy", "rstacde"


@dataclass(frozen=True)
class CoreProblem:
    """Cores, x and y of a small layer, drawn from a seed.

    Raises InputError for what is no tensor train, more than 8 cores, 64 samples or 65,536 entries.
    """

    in_modes: tuple[int, ...] = (2, 3, 2)
    out_modes: tuple[int, ...] = (2, 2, 2)
    ranks: tuple[int, ...] = (2, 2)
    samples: int = 4
    seed: int = 0
    in_features: int | None = None
    out_features: int | None = None

    def __post_init__(self) -> None:
        shape = self.shape
        if shape.num_cores > MAX_CORES:
            raise InputError(f"{shape.num_cores} cores are more than {MAX_CORES}; use fewer modes", "in_modes")
        largest = max(shape.padded_in_features * shape.padded_out_features, *map(prod, shape.core_shapes))
        if largest > _MAX_ELEMENTS:
            raise InputError(f"this layer needs {largest:,} numbers at once; use smaller modes or ranks", "in_modes")
        whole(self.samples, "samples", 1, MAX_SAMPLES)
        whole(self.seed, "seed", 0, MAX_SEED)

    @property
    def shape(self) -> TTShape:
        return TTShape(self.in_modes, self.out_modes, self.ranks, self.in_features, self.out_features)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> CoreProblem:
        """The inverse of to_json; raises InputError for anything else."""
        try:
            modes = {name: tuple(value[name]) for name in ("in_modes", "out_modes", "ranks")}
            return cls(**{**value, **modes})
        except (TypeError, KeyError):
            raise InputError(
                f"a layer is given by its modes, ranks and a seed, and {shown(value)} is not that"
            ) from None

    @cached_property
    def arrays(self) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """The cores, x and y, in float64; entries of the dense weight are about 1."""
        shape, draw = self.shape, np.random.default_rng(self.seed)
        scale = prod(shape.ranks) ** (-1 / (2 * shape.num_cores))
        cores = [scale * draw.standard_normal(core) for core in shape.core_shapes]
        x = draw.standard_normal((self.samples, shape.in_features))
        return cores, x, draw.standard_normal((self.samples, shape.out_features))


def squared_error(cores: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Σ ‖y − W x‖² over the samples, a scalar, in float64."""
    return np.square(_residual(cores, x, y)).sum()


def closed_form(cores: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """The gradient by core k, counted from 0, of the core's shape.

    Inputs are padded with zeros, and so are residuals: a surplus output has no part in the loss.
    """
    ins, outs = [core.shape[1] for core in cores], [core.shape[2] for core in cores]
    operands = [_folded(_residual(cores, x, y), outs), _folded(x, ins), *opened(cores, k)]
    return -2 * np.einsum(core_einsum(len(cores), k), *operands, optimize=True).reshape(cores[k].shape)


def opened(cores: Sequence[np.ndarray], k: int) -> list[np.ndarray]:
    """All cores but number k, without the outer ranks of 1: the first is (m, n, r), the last (r, m, n)."""
    last = len(cores) - 1
    arrays = [core[0] if j == 0 else core[..., 0] if j == last else core for j, core in enumerate(cores)]
    return arrays[:k] + arrays[k + 1 :]


def core_letters(num_cores: int, k: int) -> str:
    """The letters of core k's axes in the einsum: left rank, input mode, output mode, right rank; outer ranks none."""
    left = _RANKS[k - 1] if k else ""
    right = _RANKS[k] if k < num_cores - 1 else ""
    return left + _INS[k] + _OUTS[k] + right


def core_einsum(num_cores: int, k: int) -> str:
    """The contraction that is the gradient by core k, but for the factor −2: "bopq,bijk,ior,skq->rjps" for 3 and 1."""
    others = [core_letters(num_cores, j) for j in range(num_cores) if j != k]
    operands = [_SAMPLES + _OUTS[:num_cores], _SAMPLES + _INS[:num_cores], *others]
    return f"{','.join(operands)}->{core_letters(num_cores, k)}"


def core_code(shape: TTShape, samples: int, k: int) -> str:
    """The closed form for this shape as two remarks and a line of NumPy; `residual` and `x` are folded into modes."""
    d = shape.num_cores
    names = [f"G{j + 1}" for j in range(d) if j != k]
    residual, x = ((samples, *modes) for modes in (shape.out_modes, shape.in_modes))
    return (
        f"# residual: y - x @ W.T as {residual}: samples {_SAMPLES}, outputs {' '.join(_OUTS[:d])}\n"
        f"# x as {x}: samples {_SAMPLES}, inputs {' '.join(_INS[:d])}\n"
        f'gradient = -2 * np.einsum("{core_einsum(d, k)}", {", ".join(["residual", "x", *names])})'
    )


def _residual(cores: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y - x @ dense_weight(cores, x.shape[1], y.shape[1]).T


def _folded(rows: np.ndarray, modes: Sequence[int]) -> np.ndarray:
    """(samples, features), padded with zeros, as (samples, *modes)."""
    padded = np.zeros((len(rows), prod(modes)))
    padded[:, : rows.shape[1]] = rows
    return padded.reshape(len(rows), *modes)
