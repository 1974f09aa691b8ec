from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, wait

import pytest

from tests.tables import same_arrays, tiny
from ttcore import InputError, tasks
from ttcore.thread_executor import ThreadExecutor

PATIENCE = 30.0
ENDLESS = [tiny(steps=10_000_000).to_json()]


def until(what, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.01)
    assert what()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "ttcore-executor"]


def test_a_chunk_is_what_the_task_gives():
    configs = [tiny(ranks=rank).to_json() for rank in (1, 2)]
    executor = ThreadExecutor()
    future = executor.submit(tasks.train_chunk, configs=configs)
    for here, there in zip(future.result(PATIENCE), tasks.train_chunk(configs), strict=True):
        assert (here.config, here.train, here.test) == (there.config, there.train, there.test)
        assert same_arrays(here.cores, there.cores) and same_arrays([here.losses], [there.losses])
    assert future.fraction == 1.0


def test_any_function_and_its_errors():
    executor = ThreadExecutor()
    assert executor.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)
    with pytest.raises(InputError, match="unknown key"):
        executor.submit(tasks.train_chunk, configs=[{"rank": 1}]).result(PATIENCE)
    assert executor.submit(int, "12", base=3).result(PATIENCE) == 5


def test_a_cancelled_chunk_makes_way_at_once():
    executor = ThreadExecutor()
    endless = executor.submit(tasks.train_chunk, configs=ENDLESS)
    waiting = executor.submit(tasks.train_chunk, configs=ENDLESS)
    last = executor.submit(max, 1, 2)
    time.sleep(0.3)
    assert not endless.done()
    began = time.monotonic()
    assert endless.cancel() and waiting.cancel()
    assert last.result(PATIENCE) == 2
    assert time.monotonic() - began < 2
    with pytest.raises(CancelledError):
        endless.result()
    # Those who wait for several at once hear of it too.
    assert wait([endless, waiting], PATIENCE).done == {endless, waiting}


def test_a_held_chunk_goes_on_where_it_was():
    executor = ThreadExecutor()
    config = [tiny(steps=6_000).to_json()]
    future = executor.submit(tasks.train_chunk, configs=config)
    until(lambda: future.fraction > 0)
    executor.hold()
    later = executor.submit(tasks.train_chunk, configs=[tiny().to_json()])
    time.sleep(0.1)
    before = future.fraction
    time.sleep(0.3)
    assert future.fraction == before < 1 and not later.done()
    executor.release()
    assert same_arrays([future.result(PATIENCE)[0].losses], [tasks.train_chunk(config)[0].losses])
    assert later.result(PATIENCE)[0].steps == 30


def test_it_ends_with_what_it_was_given_and_keeps_no_thread():
    executor = ThreadExecutor()
    executor.submit(int)
    executor.shutdown()
    until(lambda: not threads())
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(int)

    held = ThreadExecutor()
    held.hold()
    futures = [held.submit(tasks.train_chunk, configs=ENDLESS) for _ in range(2)]
    held.shutdown(cancel_futures=True)
    assert all(future.cancelled() for future in futures)
    until(lambda: not threads())
