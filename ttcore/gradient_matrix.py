"""The gradient of ‖y − W x‖² by a full matrix W, on one sample, in NumPy: no torch, no autograd.

W is (out_features, in_features), x is (in_features,), y is (out_features,).
Source of the closed form: Petersen & Pedersen 2012, "The Matrix Cookbook", section 2.4.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ttcore.checks import shown, whole
from ttcore.errors import InputError

MAX_SIDE = 8
MAX_SEED = 9999


@dataclass(frozen=True)
class MatrixProblem:
    """W, x and y of these sizes, drawn from a seed; two digits after the point, so that they can be followed by hand.

    Raises InputError for sizes outside 1..8 and seeds outside 0..9999.
    """

    out_features: int = 3
    in_features: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        whole(self.out_features, "out_features", 1, MAX_SIDE)
        whole(self.in_features, "in_features", 1, MAX_SIDE)
        whole(self.seed, "seed", 0, MAX_SEED)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> MatrixProblem:
        """The inverse of to_json; raises InputError for anything else."""
        try:
            return cls(**value)
        except TypeError:
            raise InputError(f"a matrix is given by its sizes and a seed, and {shown(value)} is not that") from None

    @cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """W, x and y, in float64."""
        draw = np.random.default_rng(self.seed)
        sizes = ((self.out_features, self.in_features), (self.in_features,), (self.out_features,))
        weight, x, y = (np.round(draw.standard_normal(size), 2) for size in sizes)
        return weight, x, y


def squared_error(weight: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """‖y − W x‖², a scalar of the arrays' own precision."""
    return np.square(y - weight @ x).sum()


def closed_form(weight: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """−2 (y − W x) xᵀ, (out_features, in_features): a column times a row."""
    return -2 * np.outer(y - weight @ x, x)
