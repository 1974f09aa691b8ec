"""A thread of this process behind the standard interface of concurrent.futures. No torch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ttcore import tasks
from ttcore.control import Control
from ttcore.jobs import TaskFuture


@dataclass(kw_only=True)
class _Job:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    control: Control
    future: TaskFuture = field(default_factory=TaskFuture)


class ThreadExecutor(Executor):
    """Does one thing after another. A chunk of a sweep can be cancelled while it trains, which ends it within a step.

    Futures of chunks tell in `fraction` how much is done. `hold` lets chunks wait between two steps until `release`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self._current: _Job | None = None
        # Lives as long as there is something to do, so that an executor that was left behind keeps no program alive.
        self._thread: threading.Thread | None = None
        self._held = False
        self._shut = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskFuture:
        with self._lock:
            if self._shut:
                raise RuntimeError("the executor has been shut down and takes nothing more")
            control = Control(steps=0 if self._held else None)
            job = _Job(function=fn, arguments=args, options=kwargs, control=control)
            job.future.add_done_callback(lambda future: control.stop() if future.cancelled() else None)
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="ttcore-executor")
                self._thread.start()
        return job.future

    def hold(self) -> None:
        self._all(Control.pause, held=True)

    def release(self) -> None:
        self._all(Control.resume, held=False)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; with cancel_futures the chunk in progress ends too."""
        with self._lock:
            self._shut = True
            thread = self._thread
            jobs = self._unfinished()
        if cancel_futures:
            for job in jobs:
                job.future.cancel()
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def _all(self, ask: Callable[[Control], None], held: bool) -> None:
        with self._lock:
            self._held = held
            for job in self._unfinished():
                ask(job.control)

    def _unfinished(self) -> list[_Job]:
        return [*([self._current] if self._current else []), *self._jobs]

    def _work(self) -> None:
        while True:
            with self._lock:
                self._current = self._jobs.popleft() if self._jobs else None
                if self._current is None:
                    self._thread = None
                    return
                job = self._current
            if not job.future.cancelled():
                self._do(job)
            if job.future.cancelled():
                # Whoever waits for several futures at once learns of the cancellation only now.
                job.future.set_running_or_notify_cancel()

    def _do(self, job: _Job) -> None:
        # A future that is never marked as running can be cancelled until its answer is there, even while that is set.
        with suppress(InvalidStateError):
            try:
                answer = _answer(job)
            except BaseException as error:
                job.future.set_exception(error)
            else:
                job.future.set_result(answer)


def _answer(job: _Job) -> Any:
    """What the function returns. A chunk is trained step by step, and its answer is None if it was cancelled."""
    if job.function is not tasks.train_chunk:
        return job.function(*job.arguments, **job.options)
    from ttcore.chunks import train_in_steps

    for message in train_in_steps(*job.arguments, **job.options, control=job.control):
        job.future.fraction = message.get("fraction", job.future.fraction)
        if "value" in message:
            return message["value"]
    return None
