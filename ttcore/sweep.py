"""A sweep while it is done: chunks go to an executor, results come back, at once for whoever looks. No torch.

The executor is any of concurrent.futures: an engine's, a thread's, a cluster's. What it is asked for are the functions
of tasks alone, so the same sweep gives the same numbers wherever it is done.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np

from ttcore import machine, tasks
from ttcore.errors import InputError
from ttcore.results import Baseline, RunResult
from ttcore.sweep_config import SweepConfig
from ttcore.sweep_plan import SweepPlan, plan_sweep
from ttcore.thread_executor import ThreadExecutor

# A chunk whose worker was lost is run again, this often in all.
ATTEMPTS = 3
# Curves and cores of a sweep's runs are kept up to this many bytes; scores always are.
DETAIL_BYTES = 96 * 2**20
# Before anything is measured, the estimate is believed; it counts like so many seconds of measurement.
_BELIEVED = 1.0
# In the place of a chunk: the models to compare with.
_BASELINES = -1


class SweepState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class SweepSnapshot:
    """A sweep at one moment."""

    config: SweepConfig
    plan: SweepPlan
    state: SweepState
    # Results so far by the place of the run in the plan.
    results: Mapping[int, RunResult]
    baselines: tuple[Baseline, ...]
    # Why runs have no result, by place.
    failures: Mapping[int, str]
    # Chunks that are being worked on.
    chunks_in_progress: int
    # Of all work, from 0 to 1, the chunks in progress included as far as they tell.
    fraction: float
    # Time in which it was not paused.
    seconds: float
    # Seconds still to come, by the estimate and by what is measured; None once it has ended.
    eta: float | None
    # A sentence on how it stands, or ended.
    message: str

    @property
    def active(self) -> bool:
        return self.state is not SweepState.ENDED


class Sweep:
    """Runs a sweep on an executor; all methods are quick and safe to call from any thread.

    plan: of the configuration, if it has been made already.
    width: how many chunks the executor is given at once.
    done: results from an earlier, interrupted sweep by place; a chunk is run again unless all of it is done.
    """

    def __init__(
        self,
        config: SweepConfig,
        executor: Executor,
        *,
        plan: SweepPlan | None = None,
        width: int = 1,
        done: Mapping[int, RunResult] | None = None,
    ) -> None:
        self.config = config
        self.plan = plan or plan_sweep(config, machine.free_memory())
        self._executor = executor
        self._width = width
        self._news = threading.Condition()
        # Held while the executor is asked to hold or release its work, so that it ends up as the sweep says.
        self._asking = threading.RLock()
        # Whether this thread is giving work to the executor, whose answer may come at once.
        self._filling = threading.local()
        self._state = SweepState.RUNNING
        self._results: dict[int, RunResult] = dict(done or {})
        self._baselines: tuple[Baseline, ...] = ()
        self._failures: dict[int, str] = {}
        self._detail_bytes = 0
        chunks = self.plan.chunks
        missing = [n for n, chunk in enumerate(chunks) if any(place not in self._results for place in chunk)]
        # The models to compare with come right after the first points.
        self._waiting = deque([*missing[:1], _BASELINES, *missing[1:]])
        self._attempts: dict[int, int] = {}
        self._flying: dict[int, Future[Any] | None] = {}
        self._estimate_before = sum(self.plan.seconds[n] for n in range(len(chunks)) if n not in missing)
        self._estimate_done = 0.0
        self._seconds = 0.0
        self._going_since: float | None = time.monotonic()
        self._message = ""
        # What the last message has to add.
        self._note = ""

    # ---- what a person may ask for ----------------------------------------------------------------------------------

    def start(self) -> Sweep:
        self._fill()
        return self

    def pause(self) -> None:
        """Give nothing further to the executor; an engine's own chunk leaves the device, others finish theirs."""
        with self._asking:
            with self._news:
                if self._state is not SweepState.RUNNING:
                    return
                self._state = SweepState.PAUSED
                self._stop_the_clock()
                self._news.notify_all()
            self._hold_if_paused()

    def resume(self) -> None:
        with self._asking:
            with self._news:
                if self._state is not SweepState.PAUSED:
                    return
                self._state = SweepState.RUNNING
                self._going_since = time.monotonic()
                self._news.notify_all()
            if hasattr(self._executor, "release"):
                self._executor.release()
        self._fill()

    def stop(self) -> None:
        """End the sweep; what is done is kept, the chunk in progress is not."""
        with self._news:
            if self._state is SweepState.ENDED:
                return
            self._waiting.clear()
            self._end(f"Stopped: {len(self._results):,} of {len(self.plan.runs):,} runs are done and kept.")
            flying = [future for future in self._flying.values() if future is not None]
        for future in flying:
            future.cancel()

    def snapshot(self) -> SweepSnapshot:
        with self._news:
            in_progress = self._estimate_in_progress()
            total = sum(self.plan.seconds) or 1.0
            seconds = self._elapsed()
            done = self._estimate_done + in_progress
            ended = self._state is SweepState.ENDED
            # Sums of estimates may miss the whole by a rounding.
            whole = len(self._results) + len(self._failures) == len(self.plan.runs)
            left = 0.0 if whole else max(0.0, total - self._estimate_before - done)
            return SweepSnapshot(
                config=self.config,
                plan=self.plan,
                state=self._state,
                results=dict(self._results),
                baselines=self._baselines,
                failures=dict(self._failures),
                chunks_in_progress=sum(number != _BASELINES for number in self._flying),
                fraction=1.0 if whole else min(1.0, (self._estimate_before + done) / total),
                seconds=seconds,
                eta=None if ended else left * (seconds + _BELIEVED) / (done + _BELIEVED),
                message=self._message,
            )

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it has ended, or does within so many seconds."""
        with self._news:
            return self._news.wait_for(lambda: self._state is SweepState.ENDED, seconds)

    def wait_for_more(self, than: int, seconds: float) -> None:
        """Return when it has more than so many results, has ended, or after so many seconds."""
        with self._news:
            self._news.wait_for(lambda: len(self._results) > than or self._state is SweepState.ENDED, seconds)

    # ---- the executor -----------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Give the executor as much as it takes. It is never called with the lock held: it may answer at once."""
        if getattr(self._filling, "now", False):
            return  # an answer that came at once; the loop below goes on
        self._filling.now = True
        try:
            self._fill_up()
        finally:
            self._filling.now = False

    def _fill_up(self) -> None:
        while True:
            with self._news:
                if self._state is SweepState.RUNNING and not self._waiting and not self._flying:
                    self._end(self._summary())
                if self._state is not SweepState.RUNNING or not self._waiting or len(self._flying) >= self._width:
                    return
                number = self._waiting.popleft()
                self._flying[number] = None
            try:
                future = self._submit(number)
            except Exception as error:
                self._lost(number, error)
                continue
            with self._news:
                self._flying[number] = future
                too_late = self._state is SweepState.ENDED
            if too_late:
                future.cancel()
            self._hold_if_paused()
            future.add_done_callback(partial(self._landed, number))

    def _hold_if_paused(self) -> None:
        with self._asking:
            with self._news:
                paused = self._state is SweepState.PAUSED
            if paused and hasattr(self._executor, "hold"):
                self._executor.hold()

    def _submit(self, number: int) -> Future[Any]:
        if number == _BASELINES:
            return self._executor.submit(tasks.compare_with, data=self.config.data.to_json())
        runs = [self.plan.runs[place].to_json() for place in self.plan.chunks[number]]
        return self._executor.submit(tasks.train_chunk, configs=runs)

    def _landed(self, number: int, future: Future[Any]) -> None:
        try:
            answer = future.result()
            if number != _BASELINES and len(answer) != len(self.plan.chunks[number]):
                raise RuntimeError(f"{len(answer)} results came for a chunk of {len(self.plan.chunks[number])} runs")
        except (Exception, CancelledError) as error:
            self._lost(number, error)
        else:
            self._keep(number, answer)
        self._fill()

    def _keep(self, number: int, answer: Any) -> None:
        with self._news:
            self._flying.pop(number, None)
            if self._state is SweepState.ENDED:
                return
            if number == _BASELINES:
                self._baselines = tuple(answer)
            else:
                self._estimate_done += self.plan.seconds[number]
                for place, result in zip(self.plan.chunks[number], answer, strict=True):
                    self._results[place] = self._within_bounds(result)
            self._news.notify_all()

    def _lost(self, number: int, error: BaseException) -> None:
        """What is refused stays refused; anything else may have been the worker's end, and is tried again."""
        with self._news:
            self._flying.pop(number, None)
            if self._state is SweepState.ENDED:
                return
            self._attempts[number] = self._attempts.get(number, 0) + 1
            if not isinstance(error, InputError) and self._attempts[number] < ATTEMPTS:
                self._waiting.appendleft(number)
            elif number == _BASELINES:
                self._note = f" The models to compare with could not be fitted: {error or type(error).__name__}"
            else:
                self._estimate_done += self.plan.seconds[number]
                sentence = str(error) or f"the worker was lost ({type(error).__name__})"
                self._failures |= {p: sentence for p in self.plan.chunks[number] if p not in self._results}
            self._news.notify_all()

    def _within_bounds(self, result: RunResult) -> RunResult:
        size = result.losses.nbytes + result.measured.nbytes + sum(core.nbytes for core in result.cores)
        if self._detail_bytes + size > DETAIL_BYTES:
            return replace(result, cores=(), losses=result.losses[:0].copy(), measured=np.zeros((0, 6)))
        self._detail_bytes += size
        return result

    # ---- how it stands ----------------------------------------------------------------------------------------------

    def _end(self, message: str) -> None:
        self._stop_the_clock()
        self._state = SweepState.ENDED
        self._message = message
        self._news.notify_all()

    def _summary(self) -> str:
        done, failed = len(self._results), len(self._failures)
        if not failed:
            return f"All {done:,} runs are done.{self._note}"
        return f"{done:,} runs are done, {failed:,} could not be: {next(iter(self._failures.values()))}{self._note}"

    def _stop_the_clock(self) -> None:
        self._seconds, self._going_since = self._elapsed(), None

    def _elapsed(self) -> float:
        return self._seconds + (time.monotonic() - self._going_since if self._going_since is not None else 0.0)

    def _estimate_in_progress(self) -> float:
        return sum(
            getattr(future, "fraction", 0.0) * self.plan.seconds[number]
            for number, future in self._flying.items()
            if number != _BASELINES
        )


def run_sweep(
    config: SweepConfig, executor: Executor | None = None, *, width: int = 1, threads: int | None = None
) -> Iterator[RunResult]:
    """Do a sweep and give each result as soon as it is there.

    executor: any of concurrent.futures; default a thread of this process.
    width: how many chunks it is given at once.
    threads: CPU threads of every run where the configuration leaves them open; default all processors.
    Raises InputError for runs that do not fit in memory, and RuntimeError at the end if some could not be done.
    """
    config = with_threads(config, threads or machine.processors())
    own = ThreadExecutor()
    sweep = Sweep(config, executor or own, width=width).start()
    given: set[int] = set()
    try:
        while True:
            sweep.wait_for_more(len(given), 3600)
            now = sweep.snapshot()
            for place, result in now.results.items():
                if place not in given:
                    given.add(place)
                    yield result
            if not now.active:
                break
        if now.failures:
            raise RuntimeError(now.message)
    finally:
        sweep.stop()
        own.shutdown(wait=False, cancel_futures=True)


def with_threads(config: SweepConfig, threads: int) -> SweepConfig:
    """The sweep with its CPU threads decided, so that it is the same one wherever it is done."""
    if config.train.threads is not None:
        return config
    return replace(config, train=replace(config.train, threads=threads))
