"""Engine: the worker process, the queue, the history of all runs, and snapshots for whoever draws them.

One job is on the device at a time: a run, which has a picture, or a task, which has an answer. They wait first come,
first served, but a new run goes before all tasks. While others wait, a job that has had the device for TURN_SECONDS
goes to the end of the queue and later goes on exactly where it was; a task makes way for a new run much sooner. A
paused job hands its state over and leaves the device.

Knows nothing of streamlit and nothing of torch: the worker is a program of its own (see worker).
"""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ttcore.config import RunConfig
from ttcore.control import checked_speed
from ttcore.curves import CurveView
from ttcore.errors import InputError
from ttcore.events import (
    Best,
    Event,
    Finished,
    FullModel,
    Paused,
    Progress,
    Scores,
    Started,
    StopReason,
)
from ttcore.jobs import Job, RunJob, RunState, TaskFuture, TaskJob, WorkerLostError
from ttcore.worker_process import WorkerProcess

TURN_SECONDS = 10.0
# A task makes way for a run that has not begun after so long: whoever presses Train wants to see it move.
TASK_TURN_SECONDS = 0.5
# A stop that the run has not answered by then is carried out without it.
STOP_SECONDS = 0.35
# A worker that still does not answer after as long again is ended: it may be deep in a single long operation.
GIVE_UP_SECONDS = 1.5
# Finished runs are kept up to this many bytes; beyond it the oldest go.
HISTORY_BYTES = 256 * 2**20
# A worker that dies this often before it was ready is not started again by itself.
_FAILED_STARTS = 3
_RATE_WINDOW = 2.0

_WORKER = (sys.executable, "-m", "ttcore.worker")


@dataclass(frozen=True, kw_only=True)
class RunSnapshot:
    """A run at one moment; arrays are read-only and stay valid."""

    id: str
    owner: str
    number: int
    config: RunConfig
    state: RunState
    # Runs that have their turn before this one; 0 unless queued.
    place: int
    # Runs that share the device with this one in turns.
    others: int
    step: int
    seconds: float
    # Steps per second of late, by the clock on the wall; 0 while unknown.
    rate: float
    speed: float | None
    curve: CurveView
    started: Started | None
    best: Best | None
    full_model: FullModel | None
    finished: Finished | None
    # A sentence on why the run ended or failed.
    message: str

    @property
    def active(self) -> bool:
        return self.state is not RunState.ENDED

    @property
    def eta(self) -> float | None:
        """Seconds still to come at the present rate; None while that is unknown."""
        return (self.config.train.steps - self.step) / self.rate if self.rate > 0 else None


class Engine:
    """Runs for every page and session. All methods are quick and safe to call from any thread.

    threads: CPU threads of the worker where a run leaves them open.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads
        self._news = threading.Condition(threading.RLock())
        self._runs: dict[str, RunJob] = {}
        self._tasks: dict[str, TaskJob] = {}
        self._queue: deque[Job] = deque()
        self._current: Job | None = None
        # Answers are given from a thread of their own: who hears one may ask for the next, whatever it holds.
        self._answers = ThreadPoolExecutor(1, thread_name_prefix="engine-answers")
        self._worker: WorkerProcess | None = None
        self._failed_starts = 0
        self._submitted = 0
        self._closed = False
        self.machine: dict[str, Any] | None = None
        with self._news:
            self._start_worker()

    # ---- what a session may ask for -----------------------------------------------------------------------------

    def submit(self, config: RunConfig, owner: str, *, speed: float | None = None, steps: int | None = None) -> str:
        """Queue a run and return its id. steps: pause after so many; speed: steps per second, None for full."""
        speed = checked_speed(speed)
        with self._news:
            self._submitted += 1
            run = RunJob(
                id=secrets.token_urlsafe(8),
                owner=owner,
                number=self._submitted,
                config=config,
                speed=speed,
                steps=steps,
            )
            self._runs[run.id] = run
            self._forget_oldest()
            self._queue_before_tasks(run)
            return run.id

    def submit_task(self, name: str, arguments: dict[str, Any]) -> tuple[str, TaskFuture]:
        """Queue one of the worker's tasks (see tasks) and return its id, for pause, resume and stop, and its future.

        The future raises InputError for what the task refuses, and WorkerLostError if the worker dies with it.
        Cancelling it takes the task off the device.
        """
        with self._news:
            task = TaskJob(id=secrets.token_urlsafe(8), name=name, arguments=arguments)
            if self._closed:
                _settle(task.future, task.future.cancel)
                return task.id, task.future
            self._tasks[task.id] = task
            self._queue.append(task)
            task.future.add_done_callback(lambda future: self.stop(task.id) if future.cancelled() else None)
            self._dispatch()
            return task.id, task.future

    def adopt(self, finished: RunJob) -> str:
        """Add a run that has ended elsewhere to the history; its id."""
        with self._news:
            self._submitted += 1
            finished.number = self._submitted
            finished.state = RunState.ENDED
            self._runs[finished.id] = finished
            self._forget_oldest()
            return finished.id

    def pause(self, job_id: str) -> None:
        """Take a run or a task off the device; it waits until it is resumed."""
        with self._news:
            job = self._active(job_id)
            if job is None:
                return
            job.steps = 0
            if job is self._current:
                job.yielding = False
                self._ask("pause", job)
            elif job.state is RunState.QUEUED:
                self._queue.remove(job)
                job.state = RunState.PAUSED
            self._news.notify_all()

    def resume(self, job_id: str) -> None:
        self._go_on(job_id, None)

    def step(self, run_id: str) -> None:
        """One step, then pause again."""
        self._go_on(run_id, 1)

    def set_speed(self, run_id: str, speed: float | None) -> None:
        """Steps per second from now on; None for full speed."""
        speed = checked_speed(speed)
        with self._news:
            run = self._active(run_id)
            if isinstance(run, RunJob) and run.speed != speed:
                run.speed = speed
                run.recent.clear()
                if run is self._current:
                    self._ask("speed", run, speed=speed)

    def stop(self, job_id: str) -> None:
        """End a run, and keep what it has reached; or a task, which then has no answer."""
        with self._news:
            run = self._active(job_id)
            if run is None or run.stopping:
                return
            run.stopping = True
            if run is self._current:
                self._ask("stop", run)
            elif isinstance(run, TaskJob) or (run.saved is None and run.state is RunState.QUEUED):
                if run in self._queue:
                    self._queue.remove(run)
                self._end(run, StopReason.STOPPED)
                return
            else:
                # The worker is asked for the result of the saved cores before anything else has its turn.
                if run in self._queue:
                    self._queue.remove(run)
                run.state = RunState.QUEUED
                self._queue.appendleft(run)
                self._dispatch()
            _later(STOP_SECONDS, self._stop_without_worker, run)

    def snapshot(self, run_id: str) -> RunSnapshot | None:
        """A run as it is now, or None if there is none of that id (any more)."""
        with self._news:
            run = self._runs.get(run_id)
            return self._snapshot(run) if run else None

    def runs(self, owner: str) -> list[RunSnapshot]:
        """All runs of an owner, newest first."""
        with self._news:
            return [self._snapshot(run) for run in reversed(self._runs.values()) if run.owner == owner]

    def wait(self, run_id: str, ready: Callable[[RunSnapshot], bool], timeout: float) -> RunSnapshot | None:
        """The run's snapshot as soon as it is `ready`, or when the time is up."""
        deadline = time.monotonic() + timeout
        with self._news:
            while True:
                snapshot = self.snapshot(run_id)
                left = deadline - time.monotonic()
                if snapshot is None or ready(snapshot) or left <= 0:
                    return snapshot
                self._news.wait(left)

    def wait_until_ready(self, timeout: float) -> bool:
        """Whether the worker has warmed up within `timeout` seconds."""
        with self._news:
            return self._news.wait_for(lambda: self.machine is not None, timeout)

    def close(self) -> None:
        """End the worker; the engine takes no further runs."""
        with self._news:
            self._closed = True
            worker, self._worker = self._worker, None
            for job in [*self._runs.values(), *self._tasks.values()]:
                if job.state is not RunState.ENDED:
                    self._end(job, StopReason.STOPPED)
        if worker is not None:
            worker.kill()
        self._answers.shutdown(wait=False)

    @property
    def worker_pid(self) -> int | None:
        with self._news:
            return self._worker.pid if self._worker else None

    # ---- the queue ----------------------------------------------------------------------------------------------

    def _active(self, job_id: str) -> RunJob | TaskJob | None:
        job = self._runs.get(job_id) or self._tasks.get(job_id)
        return job if job is not None and job.state is not RunState.ENDED else None

    def _go_on(self, job_id: str, steps: int | None) -> None:
        with self._news:
            run = self._active(job_id)
            if run is None or run.stopping:
                return
            run.steps = steps
            if run is self._current:
                # Still on the device: a pause that was asked for has not been answered yet, or a step is under way.
                run.yielding = False
                self._ask("resume" if steps is None else "step", run)
            elif run.state is RunState.PAUSED:
                run.state = RunState.QUEUED
                if isinstance(run, RunJob):
                    # Somebody has just pressed a button and looks.
                    run.begun = False
                    self._queue_before_tasks(run)
                else:
                    self._queue.append(run)
                    self._dispatch()
            self._news.notify_all()

    def _queue_before_tasks(self, run: RunJob) -> None:
        first_task = next((i for i, job in enumerate(self._queue) if isinstance(job, TaskJob)), len(self._queue))
        self._queue.insert(first_task, run)
        if self._current is not None:
            self._give_way(self._current)
        self._dispatch()

    def _dispatch(self) -> None:
        """Give the device to the next in the queue, if it is free."""
        if self._closed or self._current is not None or not self._queue:
            return
        if self._worker is None:
            self._failed_starts = 0
            self._start_worker()
        assert self._worker is not None
        if not self._worker.ready:
            return
        job = self._queue.popleft()
        self._current = job
        job.state = RunState.RUNNING
        job.yielding = False
        job.turn_began = time.monotonic()
        told = job.message()
        self._ask(told.pop("do"), job, speed=job.speed, steps=job.steps, stop=job.stopping, **told)
        job.asked, job.begun = 0, True
        self._news.notify_all()

    def _leave_device(self, heard: int) -> None:
        """The current run's turn is over; `heard` of the requests sent in it came in time."""
        assert self._current is not None
        run, self._current = self._current, None
        if run.state is not RunState.ENDED:
            if run.stopping and isinstance(run, TaskJob):
                self._end(run, StopReason.STOPPED)
            elif run.stopping or heard < run.asked:
                # It has been asked to do something since it stepped aside.
                run.state = RunState.QUEUED
                self._queue.appendleft(run)
            elif run.yielding:
                run.state = RunState.QUEUED
                self._queue.append(run)
            else:
                run.state = RunState.PAUSED
        self._dispatch()

    def _ask(self, do: str, run: Job, **rest: Any) -> None:
        run.asked += 1
        if self._worker is not None:
            self._worker.send({"do": do, "run": run.id, **rest})

    def _stop_without_worker(self, run: Job) -> None:
        """The run is loading data, solving least squares or waiting behind others: end it all the same."""
        with self._news:
            if run.state is RunState.ENDED or self._closed:
                return
            if run is self._current:
                # The worker may be about to answer, with the cores; if it is not, it is in the way of the next run.
                _later(GIVE_UP_SECONDS, self._give_up, run)
            else:
                self._queue.remove(run)
            self._end(run, StopReason.STOPPED)

    def _give_up(self, run: Job) -> None:
        """End a worker that has not come back from a run that was stopped."""
        with self._news:
            if run is self._current and not self._closed:
                self._current = None
                self._restart_worker()
                self._dispatch()

    def _end(self, job: Job, reason: StopReason, message: str = "", mend: bool = False) -> None:
        """Mark a job as ended by the engine; a run with what had arrived of it, a task without an answer."""
        job.state = RunState.ENDED
        if isinstance(job, RunJob):
            job.reason = message or reason.sentence
            if job.finished is None:
                job.finished = _finished_from_what_arrived(job, reason)
            job.saved = None
        elif isinstance(job, TaskJob):
            if reason is StopReason.STOPPED:
                self._answer(job, job.future.cancel)
            else:
                error = InputError(message) if mend else WorkerLostError(message or reason.sentence)
                self._answer(job, lambda: job.future.set_exception(error))
        self._news.notify_all()

    def _answer(self, task: TaskJob, settle: Callable[[], object]) -> None:
        """A task is done with: its future is settled, unless whoever holds it has cancelled it."""
        task.state = RunState.ENDED
        self._tasks.pop(task.id, None)
        # While the interpreter ends there is no such thread any more, and nobody who would hear it.
        with suppress(RuntimeError):
            self._answers.submit(_settle, task.future, settle)

    def _forget_oldest(self) -> None:
        kept = 0
        for run in reversed(list(self._runs.values())):
            kept += _bytes_of(run)
            if kept > HISTORY_BYTES and run.state is RunState.ENDED:
                del self._runs[run.id]

    def _snapshot(self, run: RunJob) -> RunSnapshot:
        others = len(self._queue) + (self._current is not None) if run.state in _WAITING else 0
        return RunSnapshot(
            id=run.id,
            owner=run.owner,
            number=run.number,
            config=run.config,
            state=run.state,
            place=self._queue.index(run) + (self._current is not None) if run in self._queue else 0,
            others=max(0, others - 1),
            step=run.step,
            seconds=run.latest.seconds if run.latest else 0.0,
            rate=_rate(run),
            speed=run.speed,
            curve=run.curve.view(),
            started=run.started,
            best=run.finished.best if run.finished else run.latest.best if run.latest else None,
            full_model=run.full_model,
            finished=run.finished,
            message=run.reason,
        )

    # ---- the worker ---------------------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        arguments = ["--threads", str(self._threads)] if self._threads else []
        self._worker = WorkerProcess([*_WORKER, *arguments], self._hear, self._worker_died)

    def _restart_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
        self._start_worker()

    def _hear(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        with self._news:
            if worker is not self._worker:
                return
            if "ready" in message:
                self.machine = message["ready"]
                worker.ready = True
                self._failed_starts = 0
                self._dispatch()
            elif self._current is not None and message["run"] == self._current.id:
                if "error" in message:
                    self._end(self._current, StopReason.FAILED, message["error"], mend=message["mend"])
                elif "ended" in message:
                    self._leave_device(message["ended"])
                elif isinstance(self._current, RunJob):
                    self._note(self._current, message["event"])
                elif isinstance(self._current, TaskJob):
                    self._note_task(self._current, message)
            self._news.notify_all()

    def _note_task(self, task: TaskJob, message: dict[str, Any]) -> None:
        if "value" in message:
            self._answer(task, lambda: task.future.set_result(message["value"]))
        elif "state" in message:
            task.saved = message["state"]
        else:
            task.future.fraction = message["fraction"]
            task.future.told = message.get("told", task.future.told)
            self._give_way(task)

    def _note(self, run: RunJob, event: Event) -> None:
        match event:
            case Started():
                run.started = event
                run.recent.clear()
            case Progress():
                run.latest = event
                run.curve.add(event)
                now = time.monotonic()
                run.recent.append((now, event.step))
                while len(run.recent) > 2 and now - run.recent[0][0] > _RATE_WINDOW:
                    run.recent.popleft()
                self._give_way(run)
            case FullModel():
                run.full_model = event
            case Paused():
                run.saved = event.state
            case Finished():
                run.finished = event
                self._end(run, event.stop_reason)

    def _give_way(self, job: Job) -> None:
        """While others wait, nobody holds the device for longer than a turn."""
        if not self._queue or job.steps is not None or job.yielding or job.stopping:
            return
        new_runs = any(isinstance(other, RunJob) and not other.begun for other in self._queue)
        turn = TASK_TURN_SECONDS if isinstance(job, TaskJob) and new_runs else TURN_SECONDS
        if time.monotonic() - job.turn_began >= turn:
            job.yielding = True
            self._ask("pause", job)

    def _worker_died(self, worker: WorkerProcess, exit_code: int) -> None:
        with self._news:
            if worker is not self._worker or self._closed:
                return
            self._worker = None
            if not worker.ready:
                self._failed_starts += 1
            run, self._current = self._current, None
            if run is not None and run.state is not RunState.ENDED:
                reason = StopReason.STOPPED if run.stopping else StopReason.FAILED
                self._end(run, reason)
            if self._failed_starts < _FAILED_STARTS:
                self._start_worker()
                self._dispatch()
            else:
                sentence = (
                    f"The training process does not start (exit code {exit_code}); the server's log says why. "
                    "Mend that and press Train again."
                )
                while self._queue:
                    self._end(self._queue.popleft(), StopReason.FAILED, sentence)


def _settle(future: TaskFuture, settle: Callable[[], object]) -> None:
    """Give a future its answer, unless it is cancelled; of that, too, all learn who wait for it."""
    with suppress(InvalidStateError):
        settle()
    if future.cancelled():
        future.set_running_or_notify_cancel()


def _later(seconds: float, do: Callable[[Job], None], run: Job) -> None:
    timer = threading.Timer(seconds, do, [run])
    timer.daemon = True
    timer.start()


_WAITING = (RunState.QUEUED, RunState.RUNNING)


def _finished_from_what_arrived(run: RunJob, reason: StopReason) -> Finished | None:
    """The result of a run whose worker cannot be asked any more; None if nothing had been measured."""
    measured = run.curve.view().measured
    if run.latest is None or not len(measured):
        return None
    _, _, train_loss, train_score, test_loss, test_score = (float(value) for value in measured[-1])
    arrays = run.saved.arrays if run.saved else {}
    return Finished(
        stop_reason=reason,
        step=run.latest.step,
        seconds=run.latest.seconds,
        train=Scores(loss=train_loss, score=train_score),
        test=Scores(loss=test_loss, score=test_score),
        best=run.latest.best,
        # The best cores cannot be measured here: what was measured last stands in for them.
        best_test=Scores(loss=test_loss, score=test_score),
        cores=_split(arrays.get("cores"), run),
        best_cores=_split(arrays.get("best_cores"), run),
        weight=np.zeros((0, 0)),
    )


def _split(flat: np.ndarray | None, run: RunJob) -> tuple[np.ndarray, ...]:
    if flat is None:
        return ()
    shapes = run.config.shape.core_shapes
    ends = np.cumsum([prod(shape) for shape in shapes])
    return tuple(part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True))


def _rate(run: RunJob) -> float:
    if len(run.recent) < 2:
        return 0.0
    (began, first), (ended, last) = run.recent[0], run.recent[-1]
    return (last - first) / (ended - began) if ended > began else 0.0


def _bytes_of(run: RunJob) -> int:
    size = run.curve.view().nbytes
    if run.finished is not None:
        arrays = [
            *run.finished.cores,
            *run.finished.best_cores,
            *run.finished.predictions.values(),
            *run.finished.confusion.values(),
            run.finished.weight,
        ]
        size += sum(array.nbytes for array in arrays)
    if run.full_model is not None:
        size += run.full_model.weight.nbytes
    if run.saved is not None:
        size += sum(array.nbytes for array in run.saved.arrays.values())
    return size
