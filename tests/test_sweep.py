"""A sweep over executors that the test drives by hand, and over real ones: what it asks for, keeps and says."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.sweeps import ROOM, full, grid, made_up
from tests.test_tasks import differences
from ttcore import Engine, InputError, RunConfig, sweep, tasks
from ttcore.engine_executor import EngineExecutor
from ttcore.jobs import WorkerLostError
from ttcore.results import RunResult
from ttcore.sweep import ATTEMPTS, Sweep, SweepSnapshot, SweepState, run_sweep, with_threads
from ttcore.sweep_plan import plan_sweep

PATIENCE = 60.0
# Six chunks: three of Adam's, three by themselves.
CONFIG = grid(ranks=(1, 2, 3), seeds=range(10), optimizers=("adam",), steps=20)
ALONE = grid(ranks=(1, 2, 3), seeds=(0, 1), optimizers=("lbfgs",), steps=20)


class Told(Future[Any]):
    """A future that the test settles, with the call that asked for it."""

    fraction = 0.0

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        super().__init__()
        self.function = function
        self.options = options

    @property
    def is_chunk(self) -> bool:
        return self.function is tasks.train_chunk

    def answer(self) -> None:
        """As a worker would, but for the training."""
        if self.is_chunk:
            self.set_result([made_up(RunConfig.from_json(config)) for config in self.options["configs"]])
        else:
            assert self.function is tasks.compare_with
            self.set_result([full()])


class ByHand(Executor):
    """Keeps what it is asked for until the test settles it."""

    def __init__(self) -> None:
        self.asked: list[Told] = []
        self.held = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Told:
        assert not args
        self.asked.append(Told(fn, kwargs))
        return self.asked[-1]

    @property
    def open(self) -> list[Told]:
        return [future for future in self.asked if not future.done()]

    @property
    def next(self) -> Told:
        return self.open[0]

    def answer_all(self) -> None:
        while self.open:
            self.next.answer()


class Holding(ByHand):
    """One whose work can be held, as an engine's can."""

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False


class AtOnce(Executor):
    """Has done it by the time that it is asked for."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Told:
        future = Told(fn, kwargs)
        future.answer()
        return future


def started(config: Any = CONFIG, executor: Executor | None = None, **options: Any) -> tuple[Sweep, Any]:
    executor = executor or ByHand()
    return Sweep(config, executor, plan=plan_sweep(config, ROOM), **options).start(), executor


def ended_well(one: Sweep) -> SweepSnapshot:
    now = one.snapshot()
    assert now.state is SweepState.ENDED
    assert not now.failures
    assert [now.results[place].config for place in range(len(now.plan.runs))] == list(now.plan.runs)
    assert now.message == f"All {len(now.plan.runs):,} runs are done."
    assert (now.fraction, now.eta, now.chunks_in_progress) == (1.0, None, 0)
    assert not now.active
    return now


# ---- forward --------------------------------------------------------------------------------------------------------


def test_chunks_are_done_one_after_another_with_the_models_after_the_first():
    one, executor = started()
    order = []
    while executor.open:
        assert len(executor.open) == 1
        future = executor.next
        order.append(tuple(RunConfig.from_json(c) for c in future.options["configs"]) if future.is_chunk else None)
        future.answer()
    chunks = [tuple(one.plan.runs[place] for place in chunk) for chunk in one.plan.chunks]
    assert order == [chunks[0], None, *chunks[1:]]
    assert ended_well(one).baselines == (full(),)


@pytest.mark.parametrize("width", [1, 2, 3, 100])
def test_no_more_is_asked_for_at_once_than_fits(width):
    one, executor = started(ALONE, width=width)
    most, choose = 0, random.Random(width)
    while executor.open:
        most = max(most, len(executor.open))
        assert one.snapshot().chunks_in_progress == sum(future.is_chunk for future in executor.open)
        choose.choice(executor.open).answer()
    assert most == min(width, len(one.plan.chunks) + 1)
    ended_well(one)


def test_fraction_and_time_to_come_are_sane():
    one, executor = started(ALONE, width=2)
    told = [one.snapshot()]
    while executor.open:
        for future in executor.open:
            for fraction in (0.25, 0.5, 1.0):
                future.fraction = max(future.fraction, fraction)
                told.append(one.snapshot())
        executor.next.answer()
        told.append(one.snapshot())
    fractions = [now.fraction for now in told]
    assert (fractions[0], fractions[-1]) == (0, 1)
    assert all(left <= right + 1e-12 for left, right in pairwise(fractions))
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert all(now.eta is not None and now.eta >= 0 for now in told if now.active)
    assert told[0].eta == pytest.approx(sum(one.plan.seconds), rel=0.5)
    assert all(left.seconds <= right.seconds for left, right in pairwise(told))
    ended_well(one)


@pytest.mark.parametrize("seeds", range(1, 40))
def test_the_end_is_the_whole_whatever_the_estimates_add_up_to(seeds):
    one, executor = started(grid(ranks=(1, 2, 3), seeds=range(seeds), optimizers=("adam", "lbfgs")), width=9)
    choose = random.Random(seeds)
    while executor.open:
        choose.choice(executor.open).answer()
    ended_well(one)


def test_an_executor_may_answer_at_once_however_many_there_are():
    many = grid(ranks=(2,), seeds=range(3000), optimizers=("lbfgs",))
    one, _ = started(many, AtOnce())
    assert one.wait(0)
    assert len(ended_well(one).plan.chunks) == 3000


def test_a_finished_sweep_asks_for_the_models_alone():
    whole = {place: made_up(run) for place, run in enumerate(plan_sweep(CONFIG, ROOM).runs)}
    one, executor = started(done=whole)
    assert [future.is_chunk for future in executor.asked] == [False]
    now = one.snapshot()
    assert now.fraction == 1
    assert now.eta == 0
    executor.answer_all()
    ended_well(one)


# ---- pause, resume, stop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(8))
@pytest.mark.parametrize("answers_while_paused", [False, True])
@pytest.mark.parametrize("kind", [ByHand, Holding])
def test_paused_and_resumed_at_any_point(after, answers_while_paused, kind):
    one, executor = started(ALONE, kind(), width=2)
    for _ in range(after):
        if executor.open:
            executor.next.answer()
    was_active = one.snapshot().active
    asked = len(executor.asked)
    one.pause()
    one.pause()
    if was_active:
        assert one.snapshot().state is SweepState.PAUSED
        assert executor.held == (kind is Holding)
        if answers_while_paused:
            executor.answer_all()
        assert len(executor.asked) == asked, "nothing further is given to it"
        clock = one.snapshot().seconds
        assert one.snapshot().seconds == clock
    one.resume()
    one.resume()
    assert not executor.held
    executor.answer_all()
    ended_well(one)


@pytest.mark.parametrize("after", range(8))
@pytest.mark.parametrize("paused", [False, True])
def test_stopped_at_any_point(after, paused):
    one, executor = started(ALONE, width=2)
    for _ in range(after):
        if executor.open:
            executor.next.answer()
    before = one.snapshot()
    if not before.active:
        one.stop()
        ended_well(one)
        return
    if paused:
        one.pause()
    asked = len(executor.asked)
    one.stop()
    now = one.snapshot()
    assert now.state is SweepState.ENDED
    assert now.results.keys() == before.results.keys()
    assert now.message == f"Stopped: {len(before.results)} of {len(one.plan.runs)} runs are done and kept."
    assert (now.eta, now.chunks_in_progress) == (None, 0)
    assert now.fraction < 1
    assert not executor.open, "what was in progress is cancelled"
    for request in (one.pause, one.resume, one.stop):
        request()
    assert one.snapshot().message == now.message
    assert len(executor.asked) == asked
    assert one.wait(0)


def test_an_answer_that_comes_after_the_stop_is_not_kept():
    class Stubborn(ByHand):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Told:
            future = super().submit(fn, *args, **kwargs)
            future.set_running_or_notify_cancel()
            return future

    one, executor = started(executor=Stubborn())
    one.stop()
    executor.answer_all()
    assert not one.snapshot().results
    assert len(executor.asked) == 1


def test_what_is_being_handed_over_when_it_is_paused_is_held_too():
    class Slow(Holding):
        """Is asked to hold while it takes something over."""

        def __init__(self) -> None:
            super().__init__()
            self.late: Callable[[], None] = lambda: None
            self.going: set[int] = set()

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Told:
            self.late()
            self.going.add(len(self.asked))
            return super().submit(fn, *args, **kwargs)

        def hold(self) -> None:
            super().hold()
            self.going.clear()

    executor = Slow()
    one = Sweep(CONFIG, executor, plan=plan_sweep(CONFIG, ROOM))
    executor.late = one.pause
    one.start()
    assert one.snapshot().state is SweepState.PAUSED
    assert not executor.going, "what came after the request is held as well"
    executor.late = one.stop
    one.resume()
    executor.next.answer()
    assert not executor.open, "what came after the stop is cancelled"


def test_pause_and_resume_at_the_same_time_leave_nothing_held():
    class Late(Holding):
        """Takes its time to hold, in which somebody else resumes."""

        def hold(self) -> None:
            other = threading.Thread(target=one.resume)
            other.start()
            other.join(0.2)
            super().hold()
            resumed.append(other)

    resumed: list[threading.Thread] = []
    executor = Late()
    one = Sweep(CONFIG, executor, plan=plan_sweep(CONFIG, ROOM)).start()
    one.pause()
    resumed[0].join(PATIENCE)
    assert one.snapshot().state is SweepState.RUNNING
    assert not executor.held
    one.stop()


# ---- losses and refusals --------------------------------------------------------------------------------------------

LOSSES: Sequence[BaseException] = [WorkerLostError("gone"), RuntimeError("wet floor"), CancelledError(), OSError()]


@pytest.mark.parametrize("error", LOSSES, ids=repr)
def test_a_lost_chunk_is_done_again_and_then_told(error):
    one, executor = started(ALONE)
    tried, lost = 0, executor.next.options
    while executor.open:
        future = executor.next
        if future.options == lost:
            tried += 1
            future.set_exception(error)
        else:
            future.answer()
    assert tried == ATTEMPTS
    now = one.snapshot()
    assert now.state is SweepState.ENDED
    [place] = one.plan.chunks[0]
    assert list(now.failures) == [place]
    assert str(error) in now.failures[place]
    assert type(error).__name__ in now.failures[place] or str(error)
    assert now.results.keys() == set(range(len(one.plan.runs))) - {place}
    assert now.message == f"5 runs are done, 1 could not be: {now.failures[place]}"
    assert now.fraction == 1


def test_a_chunk_that_is_lost_once_is_done_in_the_end():
    one, executor = started(ALONE)
    again: set[str] = set()
    while executor.open:
        future = executor.next
        if str(future.options) not in again:
            again.add(str(future.options))
            future.set_exception(WorkerLostError("gone"))
        else:
            future.answer()
    assert ended_well(one).baselines == (full(),)


def test_what_is_refused_is_not_asked_for_again():
    one, executor = started(ALONE)
    while executor.open:
        future = executor.next
        if future.is_chunk:
            future.set_exception(InputError("too large"))
        else:
            future.answer()
    chunks = [future for future in executor.asked if future.is_chunk]
    assert len(chunks) == len(one.plan.chunks)
    now = one.snapshot()
    assert now.message == "0 runs are done, 6 could not be: too large"
    assert set(now.failures.values()) == {"too large"}


@pytest.mark.parametrize("error", [InputError("no"), WorkerLostError("gone")])
def test_without_models_to_compare_with_the_rest_is_done(error):
    one, executor = started()
    while executor.open:
        future = executor.next
        future.answer() if future.is_chunk else future.set_exception(error)
    now = one.snapshot()
    assert not now.active and len(now.results) == len(now.plan.runs) and now.baselines == ()
    assert now.message == f"All 30 runs are done. The models to compare with could not be fitted: {error}"


@pytest.mark.parametrize("error", [RuntimeError("cannot schedule new futures after shutdown"), InputError("no")])
def test_an_executor_that_takes_nothing_fails_all_runs(error):
    class Shut(Executor):
        asked = 0

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            self.asked += 1
            raise error

    one, executor = started(ALONE, Shut())
    now = one.snapshot()
    assert now.state is SweepState.ENDED
    assert list(now.failures) == list(range(6))
    assert str(error) in now.message
    assert executor.asked == 7 * (1 if isinstance(error, InputError) else ATTEMPTS)
    assert now.fraction == 1


# ---- what was done before -------------------------------------------------------------------------------------------


def test_whole_chunks_are_not_done_again_and_parts_are():
    plan = plan_sweep(CONFIG, ROOM)
    first, second, third = plan.chunks
    done = {place: made_up(plan.runs[place], seconds=99.0) for place in [*first, *second[:2]]}
    one, executor = started(done=done)
    now = one.snapshot()
    assert now.results == done
    assert now.fraction == pytest.approx(plan.seconds[0] / sum(plan.seconds))
    asked = []
    while executor.open:
        if executor.next.is_chunk:
            asked.append([RunConfig.from_json(config) for config in executor.next.options["configs"]])
        executor.next.answer()
    assert asked == [[plan.runs[place] for place in chunk] for chunk in (second, third)]
    now = ended_well(one)
    assert {place for place, result in now.results.items() if result.seconds == 99} == set(first)


def test_a_run_that_was_done_before_has_not_failed():
    plan = plan_sweep(CONFIG, ROOM)
    kept = plan.chunks[1][0]
    one, executor = started(done={kept: made_up(plan.runs[kept])})
    while executor.open:
        future = executor.next
        future.set_exception(InputError("too large")) if future.is_chunk else future.answer()
    now = one.snapshot()
    assert list(now.results) == [kept]
    assert now.failures.keys() == set(range(len(plan.runs))) - {kept}
    assert now.message.startswith("1 runs are done, 29 could not be")
    assert now.fraction == 1


def test_scores_are_kept_where_curves_are_too_many(monkeypatch):
    [sample] = [made_up(plan_sweep(ALONE, ROOM).runs[0])]
    size = sample.losses.nbytes + sample.measured.nbytes + sum(core.nbytes for core in sample.cores)
    monkeypatch.setattr(sweep, "DETAIL_BYTES", 2.5 * size)
    one, executor = started(ALONE)
    executor.answer_all()
    results = list(ended_well(one).results.values())
    with_detail = [result for result in results if result.cores]
    assert 1 <= len(with_detail) < len(results)
    for result in results:
        assert result.train == made_up(result.config).train
        if not result.cores:
            assert (result.losses.shape, result.measured.shape) == ((0,), (0, 6))
            assert result.losses.dtype == sample.losses.dtype
    total = sum(
        result.losses.nbytes + result.measured.nbytes + sum(core.nbytes for core in result.cores) for result in results
    )
    assert total <= 2.5 * size


# ---- many hands -----------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", [None, "thread"])
def test_many_who_press_everything_at_once_end_it_all_the_same(kind):
    class Answering(ThreadPoolExecutor):
        """Answers from threads of its own."""

        held = False

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            told = Told(fn, kwargs)
            super().submit(told.answer)
            return told

        def hold(self) -> None:
            self.held = True

        def release(self) -> None:
            self.held = False

    with Answering(3) as executor:
        one = Sweep(grid(ranks=(1, 2), seeds=range(100)), executor, width=4)
        presses = [one.pause, one.resume, one.resume, one.snapshot, lambda: one.wait_for_more(3, 0.001)]

        def press(number: int) -> None:
            choose = random.Random(number)
            for _ in range(150):
                choose.choice(presses)()

        threads = [threading.Thread(target=press, args=(n,), daemon=True) for n in range(8)]
        for thread in threads:
            thread.start()
        one.start()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        if kind == "thread":
            one.stop()
            assert one.wait(PATIENCE)
            return
        one.resume()
        assert one.wait(PATIENCE), "it comes to its end"
        assert not executor.held
        ended_well(one)


# ---- real executors -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected() -> list[RunResult]:
    """What a thread of this process makes of the sweep."""
    results = {result.config: result for result in run_sweep(CONFIG)}
    return [results[run] for run in plan_sweep(CONFIG, ROOM).runs]


def same(results: Sequence[RunResult], expected: Sequence[RunResult]) -> bool:
    return differences(list(results), list(expected)) == []


def test_an_engine_gives_what_a_thread_gives(expected):
    engine = Engine(threads=1)
    try:
        assert engine.wait_until_ready(PATIENCE)
        one = Sweep(CONFIG, EngineExecutor(engine), plan=plan_sweep(CONFIG, ROOM)).start()
        for _ in range(5):
            one.wait_for_more(len(one.snapshot().results), 0.02)
            one.pause()
            one.resume()
        assert one.wait(PATIENCE)
        now = ended_well(one)
        assert same([now.results[place] for place in range(len(expected))], expected)
        assert now.baselines == tuple(tasks.compare_with(CONFIG.data.to_json()))
        # Held on the device, and let go.
        long = grid(ranks=(1, 2), steps=10_000_000)
        other = Sweep(long, EngineExecutor(engine), plan=plan_sweep(long, ROOM)).start()
        other.pause()
        assert list(run_sweep(ALONE, EngineExecutor(engine))), "another has the device meanwhile"
        other.stop()
        assert not other.snapshot().results
    finally:
        engine.close()


def test_an_engine_that_is_closed_fails_the_rest():
    engine = Engine(threads=1)
    one = Sweep(grid(ranks=(1,), steps=10_000_000), EngineExecutor(engine)).start()
    engine.close()
    assert one.wait(PATIENCE)
    assert one.snapshot().message.startswith("0 runs are done, 1 could not be")


def test_the_standard_librarys_executor_gives_the_same(expected):
    with ThreadPoolExecutor(1) as executor:
        results = {result.config: result for result in run_sweep(CONFIG, executor, width=2)}
    assert same([results[run] for run in plan_sweep(CONFIG, ROOM).runs], expected)


def test_each_result_is_given_once_and_as_soon_as_it_is_there():
    executor = ByHand()
    given: list[RunResult] = []
    results = run_sweep(CONFIG, executor)
    reader = threading.Thread(target=lambda: given.extend(results), daemon=True)
    reader.start()
    deadline = threading.Event()
    while reader.is_alive():
        if executor.open:
            before = len(given)
            chunk = executor.next
            chunk.answer()
            while chunk.is_chunk and len(given) < before + len(chunk.options["configs"]):
                assert not deadline.wait(0.001)
        reader.join(0.001)
    assert len(given) == len({result.config for result in given}) == 30


def test_failures_are_raised_at_the_end():
    executor = ByHand()
    given: list[RunResult] = []
    errors: list[BaseException] = []

    def read() -> None:
        try:
            given.extend(run_sweep(ALONE, executor))
        except RuntimeError as error:
            errors.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    refused = False
    while reader.is_alive():
        if executor.open and executor.next.is_chunk and not refused:
            refused = True
            executor.next.set_exception(InputError("too large"))
        elif executor.open:
            executor.next.answer()
        reader.join(0.001)
    # The generator has given the other results before.
    assert [str(error) for error in errors] == ["5 runs are done, 1 could not be: too large"]


def test_whoever_stops_reading_stops_the_sweep():
    executor = AtOnceThenNever()
    results = run_sweep(ALONE, executor)
    assert isinstance(results, Generator)
    assert next(results).config == plan_sweep(ALONE, ROOM).runs[0]
    results.close()
    assert all(future.done() for future in executor.asked)
    assert len(executor.asked) == 2


class AtOnceThenNever(ByHand):
    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Told:
        future = super().submit(fn, *args, **kwargs)
        if len(self.asked) == 1:
            future.answer()
        return future


def test_runs_that_do_not_fit_are_refused_before_anything_is_asked_for():
    executor = ByHand()
    heavy = grid(train_samples=10**7, test_samples=10**7, teacher_in_modes=(64, 64), in_modes=(64, 64), ranks=(1,))
    with pytest.raises(InputError, match="free"):
        next(run_sweep(heavy, executor))
    assert not executor.asked


def test_threads_are_decided_once():
    left_open = grid(threads=None)
    assert with_threads(left_open, 3).train.threads == 3
    assert with_threads(grid(threads=2), 3) == grid(threads=2)
    [result] = run_sweep(grid(threads=None, ranks=(1,), steps=3), threads=1)
    assert (result.threads, result.config.train.threads) == (1, 1)
    assert np.isfinite(result.losses).all()
