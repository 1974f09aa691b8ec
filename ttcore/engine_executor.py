"""An Engine behind the standard interface of concurrent.futures, so that whoever asks need not know who works."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from ttcore.engine import Engine
from ttcore.jobs import TaskFuture
from ttcore.tasks import TASKS


class EngineExecutor(Executor):
    """Takes the functions of ttcore.tasks alone, with their arguments by name; one for everyone who asks.

    Its futures tell in `fraction` how much is done. `hold` takes everything that was asked for off the device, states
    kept, until `release`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._asked: dict[str, TaskFuture] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture:
        if fn not in TASKS.values() or args:
            raise TypeError("an engine takes the functions of ttcore.tasks, with their arguments by name")
        with self._lock:
            self._asked = {task: future for task, future in self._asked.items() if not future.done()}
            task, future = self._engine.submit_task(fn.__name__, kwargs)
            self._asked[task] = future
            return future

    def hold(self) -> None:
        with self._lock:
            for task in self._asked:
                self._engine.pause(task)

    def release(self) -> None:
        with self._lock:
            for task in self._asked:
                self._engine.resume(task)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """The engine goes on for others; with cancel_futures what was asked for here is taken off it."""
        with self._lock:
            asked = list(self._asked.values())
        if cancel_futures:
            for future in asked:
                future.cancel()
