"""One update of parameters by their gradient, for each method, in plain NumPy. What the Gradients page shows as code.

Sources: Polyak 1964 for momentum, as torch.optim.SGD means it; Kingma & Ba 2015, "Adam", algorithm 1. `w` is changed in
place; `memory` is what a method keeps from one update to the next, empty at first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Memory = dict[str, Any]
Update = Callable[[np.ndarray, np.ndarray, Memory, float], None]


def gradient_descent(w: np.ndarray, gradient: np.ndarray, memory: Memory, rate: float) -> None:
    w -= rate * gradient


def momentum(w: np.ndarray, gradient: np.ndarray, memory: Memory, rate: float) -> None:
    memory["velocity"] = 0.9 * memory.get("velocity", 0.0) + gradient
    w -= rate * memory["velocity"]


def adam(w: np.ndarray, gradient: np.ndarray, memory: Memory, rate: float) -> None:
    memory["step"] = t = memory.get("step", 0) + 1
    memory["mean"] = 0.9 * memory.get("mean", 0.0) + 0.1 * gradient
    memory["square"] = 0.999 * memory.get("square", 0.0) + 0.001 * gradient**2
    mean = memory["mean"] / (1 - 0.9**t)
    square = memory["square"] / (1 - 0.999**t)
    w -= rate * mean / (np.sqrt(square) + 1e-8)


UPDATES: dict[str, Update] = {"descent": gradient_descent, "momentum": momentum, "adam": adam}
