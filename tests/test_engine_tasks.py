"""Tasks on an engine with its real worker process: the same numbers as here, and a device that is shared in turns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, as_completed
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tables import tiny
from tests.test_tasks import as_json, differences
from ttcore import Engine, InputError, engine
from ttcore.engine import RunState, WorkerLostError
from ttcore.engine_executor import EngineExecutor
from ttcore.jobs import TaskFuture, TaskJob
from ttcore.results import RunResult
from ttcore.tasks import compare_with, train_chunk

ROOT = Path(engine.__file__).parent.parent
# Longer than anything here takes, on a machine that is busy with other things.
PATIENCE = 60.0
CHUNK = as_json([tiny(ranks=rank, seed=seed, steps=200) for rank in (1, 2) for seed in (0, 1)])
LONG = as_json([tiny(ranks=rank, steps=6000) for rank in (1, 2)])
ENDLESS = as_json([tiny(steps=10_000_000)])


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    one = Engine(threads=1)
    assert one.wait_until_ready(PATIENCE)
    yield one
    one.close()


@pytest.fixture
def tasks(shared: Engine) -> Iterator[Engine]:
    """The shared engine, left with nothing to do."""
    yield shared
    for job in [*shared._runs, *shared._tasks]:
        shared.stop(job)
    until(lambda: shared._current is None and not shared._queue)


def until(ready: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.002)


def under_way(future: Future[Any]) -> None:
    until(lambda: getattr(future, "fraction", 0.0) > 0)


def state_of(one: Engine, task: str) -> RunState | None:
    job = one._tasks.get(task)
    return job.state if job else None


def same(answer: list[RunResult], configs: list[dict[str, Any]]) -> bool:
    """Whether it is what the function gives here, but for the time that it took."""
    expected = _in_process(json.dumps(configs))
    return [d for d in differences(answer, expected) if not d.split(":")[0].endswith(".plan")] == []


@cache
def _in_process(configs: str) -> list[RunResult]:
    torch.set_num_threads(1)
    return train_chunk(json.loads(configs), threads=1)


# ---- answers --------------------------------------------------------------------------------------------------------


def test_an_answer_is_what_the_function_gives_here(tasks):
    _, future = tasks.submit_task("train_chunk", {"configs": CHUNK})
    assert same(future.result(PATIENCE), CHUNK)
    assert future.fraction == 1
    data = tiny().data.to_json()
    _, models = tasks.submit_task("compare_with", {"data": data})
    assert models.result(PATIENCE) == compare_with(data)
    assert not tasks._tasks, "what is done with is forgotten"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU here")
def test_a_refusal_arrives_as_one(tasks):
    pid = tasks.worker_pid
    _, future = tasks.submit_task("train_chunk", {"configs": as_json([tiny(device="cuda")])})
    with pytest.raises(InputError, match="no CUDA GPU"):
        future.result(PATIENCE)
    _, future = tasks.submit_task("compare_with", {"data": {"source": "thin air"}})
    with pytest.raises(InputError, match="thin air"):
        future.result(PATIENCE)
    assert tasks.worker_pid == pid


def test_what_fails_otherwise_is_the_workers_fault(tasks):
    _, future = tasks.submit_task("train_chunk", {"nothing": 1})
    with pytest.raises(WorkerLostError, match="TypeError"):
        future.result(PATIENCE)
    _, future = tasks.submit_task("no such task", {})
    with pytest.raises(WorkerLostError):
        future.result(PATIENCE)
    _, future = tasks.submit_task("train_chunk", {"configs": CHUNK[:1]})
    assert same(future.result(PATIENCE), CHUNK[:1])


# ---- pause, stop, cancel --------------------------------------------------------------------------------------------


def test_paused_and_resumed_gives_the_same_numbers(tasks, monkeypatch):
    told: list[float] = []
    original = Engine._note_task

    def listening(one: Engine, job: TaskJob, message: dict[str, Any]) -> None:
        if job.id == task and "fraction" in message:
            told.append(message["fraction"])
        original(one, job, message)

    monkeypatch.setattr(Engine, "_note_task", listening)
    task = ""
    task, future = tasks.submit_task("train_chunk", {"configs": LONG})
    for _ in range(3):
        tasks.resume(task)
        before = future.fraction
        until(lambda: future.fraction > before)  # noqa: B023 - it is looked at at once
        tasks.pause(task)
        until(lambda: state_of(tasks, task) in (RunState.PAUSED, None))
        assert not future.done(), "it was interrupted"
    # The device is free meanwhile.
    _, other = tasks.submit_task("train_chunk", {"configs": CHUNK})
    assert same(other.result(PATIENCE), CHUNK)
    tasks.resume(task)
    assert same(future.result(PATIENCE), LONG)
    assert len(told) > 3, "after every pause more was told"
    assert told == sorted(told), "it goes on where it was"


def test_requests_in_quick_succession_are_all_heard(tasks):
    task, future = tasks.submit_task("train_chunk", {"configs": LONG})
    for _ in range(20):
        tasks.pause(task)
        tasks.resume(task)
    assert same(future.result(PATIENCE), LONG)


def test_a_task_that_is_paused_before_its_turn_waits(tasks):
    _, first = tasks.submit_task("train_chunk", {"configs": ENDLESS})
    task, future = tasks.submit_task("train_chunk", {"configs": CHUNK})
    tasks.pause(task)
    first.cancel()
    _, third = tasks.submit_task("train_chunk", {"configs": CHUNK[:1]})
    assert third.result(PATIENCE)
    assert state_of(tasks, task) is RunState.PAUSED
    tasks.resume(task)
    assert same(future.result(PATIENCE), CHUNK)


@pytest.mark.parametrize("how", ["cancel", "stop"])
def test_what_is_cancelled_frees_the_device(tasks, how):
    pid = tasks.worker_pid
    task, future = tasks.submit_task("train_chunk", {"configs": ENDLESS})
    queued_task, queued = tasks.submit_task("train_chunk", {"configs": ENDLESS})
    _, last = tasks.submit_task("train_chunk", {"configs": CHUNK})
    under_way(future)
    for one, its in ((queued_task, queued), (task, future)):
        its.cancel() if how == "cancel" else tasks.stop(one)
    assert same(last.result(PATIENCE), CHUNK)
    for its in (future, queued):
        with pytest.raises(CancelledError):
            its.result(PATIENCE)
    assert tasks.worker_pid == pid, "the worker stopped by itself"


def test_a_paused_task_can_be_cancelled(tasks):
    task, future = tasks.submit_task("train_chunk", {"configs": ENDLESS})
    under_way(future)
    tasks.pause(task)
    until(lambda: state_of(tasks, task) is RunState.PAUSED)
    assert future.cancel()
    assert state_of(tasks, task) is None
    tasks.resume(task)
    assert tasks._current is None


def test_whoever_waits_for_several_hears_of_cancelled_ones(tasks):
    _, future = tasks.submit_task("train_chunk", {"configs": ENDLESS})
    stopped_task, stopped = tasks.submit_task("train_chunk", {"configs": ENDLESS})
    _, last = tasks.submit_task("train_chunk", {"configs": CHUNK})
    under_way(future)
    future.cancel()
    tasks.stop(stopped_task)
    # As the standard library's own executors do it.
    assert set(as_completed([future, stopped, last], timeout=10)) == {future, stopped, last}


# ---- a lost worker --------------------------------------------------------------------------------------------------


def test_a_killed_worker_is_told_and_the_engine_goes_on(tasks):
    task, parked = tasks.submit_task("train_chunk", {"configs": LONG})
    under_way(parked)
    tasks.pause(task)
    until(lambda: state_of(tasks, task) is RunState.PAUSED)
    _, lost = tasks.submit_task("train_chunk", {"configs": ENDLESS})
    _, queued = tasks.submit_task("train_chunk", {"configs": CHUNK})
    under_way(lost)
    assert tasks.worker_pid is not None
    os.kill(tasks.worker_pid, signal.SIGKILL)
    with pytest.raises(WorkerLostError):
        lost.result(PATIENCE)
    assert same(queued.result(PATIENCE), CHUNK)
    tasks.resume(task)
    assert same(parked.result(PATIENCE), LONG)


# ---- turns ----------------------------------------------------------------------------------------------------------


def test_a_new_run_begins_soon_and_the_chunk_goes_on_later(tasks):
    long = as_json([tiny(ranks=rank, steps=40_000) for rank in (1, 2)])
    _, future = tasks.submit_task("train_chunk", {"configs": long})
    under_way(future)
    _, queued = tasks.submit_task("train_chunk", {"configs": CHUNK})
    began = time.monotonic()
    run = tasks.submit(tiny(steps=50), "me")
    snapshot = tasks.wait(run, lambda now: now.step > 0 or not now.active, PATIENCE)
    assert snapshot is not None and snapshot.step > 0
    assert time.monotonic() - began < 5
    assert not future.done() and not queued.done(), "it went before both"
    snapshot = tasks.wait(run, lambda now: not now.active, PATIENCE)
    assert snapshot is not None and snapshot.step == 50
    assert same(queued.result(PATIENCE), CHUNK)
    assert same(future.result(PATIENCE), long)


def test_a_new_run_does_not_wait_for_one_that_has_begun(tasks):
    # One that has had the device stands before it in the queue; the task makes way all the same.
    first = tasks.submit(tiny(steps=10_000_000), "me", steps=3)
    assert tasks.wait(first, lambda now: now.state is RunState.PAUSED, PATIENCE)
    _, future = tasks.submit_task("train_chunk", {"configs": ENDLESS})
    under_way(future)
    tasks.resume(first)
    began = time.monotonic()
    second = tasks.submit(tiny(steps=10), "me")
    tasks.wait(first, lambda now: now.step > 3, PATIENCE)
    assert time.monotonic() - began < 5
    tasks.stop(first)
    snapshot = tasks.wait(second, lambda now: not now.active, PATIENCE)
    assert snapshot is not None and snapshot.step == 10


def test_two_who_ask_take_turns(tasks, monkeypatch):
    monkeypatch.setattr(engine, "TURN_SECONDS", 0.05)
    ann, bob = EngineExecutor(tasks), EngineExecutor(tasks)
    long = as_json([tiny(ranks=rank, steps=8_000) for rank in (1, 2)])
    futures = [ann.submit(train_chunk, configs=long), bob.submit(train_chunk, configs=long)]
    names = dict(zip(tasks._tasks, "ab", strict=True))
    turns = ""
    while not all(future.done() for future in futures):
        current = tasks._current
        name = names.get(current.id, "") if current else ""
        if name and not turns.endswith(name):
            turns += name
        time.sleep(0.002)
    assert len(turns) >= 4, f"they alternate: {turns}"
    for future in futures:
        assert same(future.result(PATIENCE), long)


# ---- the executor ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [print, lambda: None, partial(train_chunk), len, same])
def test_an_engine_takes_its_tasks_alone(tasks, function):
    with pytest.raises(TypeError, match=r"ttcore\.tasks"):
        EngineExecutor(tasks).submit(function)
    with pytest.raises(TypeError, match="by name"):
        EngineExecutor(tasks).submit(train_chunk, CHUNK)


def test_hold_leaves_the_device_and_release_goes_on(tasks):
    ann, bob = EngineExecutor(tasks), EngineExecutor(tasks)
    held = [ann.submit(train_chunk, configs=LONG), ann.submit(train_chunk, configs=CHUNK)]
    under_way(held[0])
    ann.hold()
    assert same(bob.submit(train_chunk, configs=CHUNK).result(PATIENCE), CHUNK)
    assert not any(future.done() for future in held)
    until(lambda: tasks._current is None)
    ann.release()
    assert same(held[0].result(PATIENCE), LONG)
    assert same(held[1].result(PATIENCE), CHUNK)


def test_shutting_down_takes_off_what_was_asked_for_here_alone(tasks):
    ann, bob = EngineExecutor(tasks), EngineExecutor(tasks)
    hers = [ann.submit(train_chunk, configs=ENDLESS) for _ in range(2)]
    his = bob.submit(train_chunk, configs=CHUNK)
    ann.shutdown(cancel_futures=True)
    assert same(his.result(PATIENCE), CHUNK)
    assert all(future.cancelled() for future in hers)


def test_whoever_hears_an_answer_may_ask_again(tasks):
    executor, done, lock = EngineExecutor(tasks), threading.Event(), threading.Lock()
    heard: list[float] = []

    def next_one(future: Future[Any]) -> None:
        # Whatever lock the listener holds: whoever holds it may be asking the engine for something, too.
        with lock:
            heard.append(future.result()[0].steps)
            if len(heard) == 5:
                done.set()
                return
            executor.submit(train_chunk, configs=CHUNK[:1]).add_done_callback(next_one)

    with lock:
        executor.submit(train_chunk, configs=CHUNK[:1]).add_done_callback(next_one)
    while not done.wait(0.01):
        with lock:
            executor.hold()
            executor.release()
        assert len(heard) < 5 or done.is_set()
    assert heard == [200] * 5


# ---- the end --------------------------------------------------------------------------------------------------------

WITHOUT_WARMING_UP = (
    sys.executable,
    "-c",
    "from ttcore import worker\nworker._warm_up = lambda _: {'gpu': '', 'torch': ''}\nworker.main()",
)


def test_close_settles_all_futures(monkeypatch):
    monkeypatch.setattr(engine, "_WORKER", WITHOUT_WARMING_UP)
    one = Engine(threads=1)
    futures: list[TaskFuture] = []
    try:
        tickets = [one.submit_task("train_chunk", {"configs": ENDLESS}) for _ in range(3)]
        futures = [future for _, future in tickets]
        again: list[Future[Any]] = []
        futures[0].add_done_callback(lambda _: again.append(one.submit_task("train_chunk", {"configs": CHUNK})[1]))
        under_way(futures[0])
        one.pause(tickets[2][0])
    finally:
        one.close()
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(PATIENCE)
    until(lambda: bool(again))
    # What is asked for too late is settled at once.
    late = [*again, one.submit_task("train_chunk", {"configs": CHUNK})[1]]
    assert all(future.cancelled() for future in late)
    assert set(as_completed([*futures, *late], timeout=10)) == {*futures, *late}
    one.close()


def test_an_engine_that_is_closed_at_exit_says_nothing():
    program = textwrap.dedent(
        f"""
        import atexit
        from ttcore import engine
        engine._WORKER = {WITHOUT_WARMING_UP!r}
        one = engine.Engine(threads=1)
        atexit.register(one.close)
        _, future = one.submit_task("train_chunk", {{"configs": {ENDLESS!r}}})
        while not future.fraction:
            pass
        """
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
