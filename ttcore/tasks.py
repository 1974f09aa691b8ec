"""What may be asked of an executor, here or on another machine: plain functions of plain values.

Importing this loads no torch, so that whoever only asks stays light; each function loads what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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
    """The closed-form models to compare TT layers with, on data as DataConfig.to_json gives it."""
    from ttcore.config import DataConfig
    from ttcore.linear_models import compare

    return list(compare(DataConfig.from_json(data)))


TASKS: dict[str, Callable[..., Any]] = {task.__name__: task for task in (train_chunk, compare_with)}
