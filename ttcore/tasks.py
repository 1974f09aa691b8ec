"""What may be asked of an executor, here or on another machine: plain functions of plain values.

Importing this loads no torch, so that whoever only asks stays light; each function loads what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ttcore.results import Baseline, RunResult


def train_chunk(configs: Sequence[Any], threads: int | None = None) -> list[RunResult]:
    """Train runs that can share every step as one; their results, in order.

    configs: runs as RunConfig.to_json gives them.
    threads: CPU threads where they leave them open; default all that the process may use.
    Raises InputError for what does not fit in memory, or needs a GPU where there is none.
    """
    from ttcore.chunks import train_in_steps

    for message in train_in_steps(configs, threads):
        if "value" in message:
            return message["value"]
    raise AssertionError("a chunk that nobody stops ends with its results")


def compare_with(data: Any) -> list[Baseline]:
    """The models to compare TT layers with, on data as DataConfig.to_json gives it."""
    from ttcore.comparison import compare
    from ttcore.config import DataConfig

    return list(compare(DataConfig.from_json(data)))


def matrix_gradient(problem: Any) -> np.ndarray:
    """Autograd's gradient of ‖y − W x‖² by W, (out_features, in_features); MatrixProblem.to_json gives the problem."""
    from ttcore.gradient_autograd import by_matrix
    from ttcore.gradient_matrix import MatrixProblem

    return by_matrix(MatrixProblem.from_json(problem))


def core_gradients(problem: Any) -> list[np.ndarray]:
    """Autograd's gradient of Σ ‖y − W x‖² by each core of W; CoreProblem.to_json gives the problem."""
    from ttcore.gradient_autograd import by_cores
    from ttcore.gradient_cores import CoreProblem

    return by_cores(CoreProblem.from_json(problem))


def race(race: Any) -> list[dict[str, Any]]:
    """Let methods train the same layer side by side; RaceConfig.to_json gives the race, Lane.to_json each answer."""
    from ttcore.race import race_in_steps

    for message in race_in_steps(race):
        if "value" in message:
            return message["value"]
    raise AssertionError("a race that nobody stops ends with its lanes")


def compare_updates(race: Any, steps: int = 50) -> list[dict[str, Any]]:
    """How far the hand-written updates are from torch.optim's after so many steps; see gradient_optimizers."""
    from ttcore.checks import whole
    from ttcore.gradient_optimizers import compare_with_torch
    from ttcore.gradient_race import MAX_STEPS, RaceConfig

    return compare_with_torch(RaceConfig.from_json(race), whole(steps, "steps", 1, MAX_STEPS))


TASKS: dict[str, Callable[..., Any]] = {
    task.__name__: task for task in (train_chunk, compare_with, matrix_gradient, core_gradients, race, compare_updates)
}
