"""What an Engine gives its device to, one at a time and in turns: a run with its picture, or a task with its future."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ttcore.config import RunConfig
from ttcore.curves import Curve
from ttcore.events import Finished, FullModel, Progress, Started, TrainingState


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


class WorkerLostError(RuntimeError):
    """The process that worked on a task has ended without an answer; the task may be asked for again."""


class TaskFuture(Future[Any]):
    """The answer of a task that an engine works on."""

    # How much of it is done, from 0 to 1, as far as it tells.
    fraction: float = 0.0
    # What there is of its answer so far, as far as it tells; it stays where the task is stopped.
    told: Any = None


@dataclass(kw_only=True)
class Job:
    """What runs and tasks have in common in the queue."""

    id: str
    state: RunState = RunState.QUEUED
    # Steps per second; None for full speed.
    speed: float | None = None
    # Pause after so many further steps; None runs on.
    steps: int | None = None
    stopping: bool = False
    # Sent to the end of the queue to let others have the device.
    yielding: bool = False
    # Has had the device since somebody asked for it.
    begun: bool = False
    turn_began: float = 0.0
    # Requests sent since it was last given the device.
    asked: int = 0

    def message(self) -> dict[str, Any]:
        """What the worker is told to do, beside who asks and how quickly."""
        raise NotImplementedError


@dataclass(kw_only=True)
class RunJob(Job):
    owner: str
    number: int
    config: RunConfig
    curve: Curve = field(default_factory=Curve)
    saved: TrainingState | None = None
    started: Started | None = None
    latest: Progress | None = None
    full_model: FullModel | None = None
    finished: Finished | None = None
    # A sentence on why it ended.
    reason: str = ""
    recent: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def step(self) -> int:
        if self.finished is not None:
            return self.finished.step
        return self.latest.step if self.latest else 0

    def message(self) -> dict[str, Any]:
        return {"do": "run", "config": self.config.to_json(), "state": self.saved}


@dataclass(kw_only=True)
class TaskJob(Job):
    name: str
    arguments: dict[str, Any]
    future: TaskFuture = field(default_factory=TaskFuture)
    # What the task goes on from, as the worker gave it.
    saved: dict[str, Any] | None = None

    def message(self) -> dict[str, Any]:
        return {"do": "task", "task": self.name, "arguments": self.arguments, "state": self.saved}
