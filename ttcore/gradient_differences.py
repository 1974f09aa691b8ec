"""Gradients by finite differences, and how wrong they are at which step. NumPy alone.

Source: Nocedal & Wright 2006, "Numerical Optimization", section 8.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Loss = Callable[[np.ndarray], np.ndarray]
# Steps from 10⁻¹⁵ to 10³, two for every power of ten.
STEPS = tuple(10.0 ** (half / 2) for half in range(-30, 7))


def central(loss: Loss, at: np.ndarray, h: float) -> np.ndarray:
    """(loss(at + h) − loss(at − h)) / 2h for each entry by itself, in the precision of `at`; of its shape."""
    return _by_entry(at, h, lambda forward, backward: (loss(forward) - loss(backward)) / (2 * h))


def one_sided(loss: Loss, at: np.ndarray, h: float) -> np.ndarray:
    """(loss(at + h) − loss(at)) / h for each entry by itself, in the precision of `at`; of its shape."""
    here = loss(at)
    return _by_entry(at, h, lambda forward, _: (loss(forward) - here) / h)


def _by_entry(at: np.ndarray, h: float, quotient: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    gradient = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        forward, backward = at.copy(), at.copy()
        forward[place] += at.dtype.type(h)
        backward[place] -= at.dtype.type(h)
        gradient[place] = quotient(forward, backward)
    return gradient


def relative_error(gradient: np.ndarray, exact: np.ndarray) -> float:
    """The largest difference of an entry, in parts of the largest exact entry."""
    scale = float(np.abs(exact).max()) or 1.0
    return float(np.abs(gradient - exact).max()) / scale


@dataclass(frozen=True)
class StepErrors:
    """The relative error of differences at every step of STEPS."""

    central: tuple[float, ...]
    one_sided: tuple[float, ...]
    # Central differences of losses in float32.
    single: tuple[float, ...]


def errors_by_step(loss: Loss, at: np.ndarray, exact: np.ndarray, steps: Sequence[float] = STEPS) -> StepErrors:
    """How far differences are from the exact gradient at each step.

    loss: takes arrays of float64 or of float32 and stays within their precision.
    """
    coarse = at.astype(np.float32)
    return StepErrors(
        central=tuple(relative_error(central(loss, at, h), exact) for h in steps),
        one_sided=tuple(relative_error(one_sided(loss, at, h), exact) for h in steps),
        single=tuple(relative_error(central(loss, coarse, h), exact) for h in steps),
    )
