"""The engine with its real worker process. Tests wait for what happens, not for a time; a promised time is held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tables import same_arrays, tiny
from ttcore import Engine, InputError, RunConfig, StopReason, engine, train
from ttcore.engine import RunSnapshot, RunState
from ttcore.events import Finished

ROOT = Path(engine.__file__).parent.parent
# Longer than anything here takes, on a machine that is busy with other things.
PATIENCE = 60.0
ENDLESS = tiny(steps=10_000_000)


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    one = Engine(threads=1)
    assert one.wait_until_ready(PATIENCE)
    yield one
    one.close()


@pytest.fixture
def runs(shared: Engine) -> Iterator[Engine]:
    """The shared engine, left empty of active runs."""
    yield shared
    for run in list(shared._runs):
        shared.stop(run)
        wait(shared, run, lambda snapshot: not snapshot.active)


def wait(where: Engine, run: str, ready: Callable[[RunSnapshot], bool], seconds: float = PATIENCE) -> RunSnapshot:
    snapshot = where.wait(run, ready, seconds)
    assert snapshot is not None
    assert ready(snapshot), f"{snapshot.state} at step {snapshot.step}: {snapshot.message}"
    return snapshot


def ended(snapshot: RunSnapshot) -> bool:
    return not snapshot.active


def paused(snapshot: RunSnapshot) -> bool:
    return snapshot.state is RunState.PAUSED


def paused_at(step: int) -> Callable[[RunSnapshot], bool]:
    return lambda snapshot: paused(snapshot) and snapshot.step == step


def moving(snapshot: RunSnapshot) -> bool:
    return snapshot.step > 0


def in_process(config: RunConfig) -> tuple[np.ndarray, Finished]:
    torch.set_num_threads(1)
    events = list(train(config, default_threads=1))
    losses = np.concatenate([event.losses for event in events if hasattr(event, "losses")])
    assert isinstance(events[-1], Finished)
    return losses, events[-1]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


# ---- one run --------------------------------------------------------------------------------------------------------


def test_a_run_gives_what_it_gives_in_process(runs):
    config = tiny(steps=200, threads=None)
    snapshot = wait(runs, runs.submit(config, "me"), ended)
    losses, finished = in_process(config)
    assert np.array_equal(snapshot.curve.losses, losses)
    assert snapshot.finished is not None and snapshot.finished.best == finished.best
    assert same_arrays(snapshot.finished.cores, finished.cores)
    assert snapshot.started is not None and snapshot.started.threads == 1
    assert snapshot.full_model is not None and snapshot.full_model.parameters == 48
    assert (snapshot.step, snapshot.best) == (200, finished.best)
    assert snapshot.message == StopReason.STEPS_DONE.sentence


def test_pause_step_and_resume_change_no_number(runs):
    config = tiny(steps=400)
    run = runs.submit(config, "me", steps=3)
    assert wait(runs, run, paused).step == 3
    for step in (4, 5, 6):
        runs.step(run)
        assert wait(runs, run, paused_at(step)).step == step
    runs.resume(run)
    snapshot = wait(runs, run, ended)
    assert np.array_equal(snapshot.curve.losses, in_process(config)[0])


def test_requests_in_quick_succession_are_all_heard(runs):
    run = runs.submit(tiny(steps=10_000), "me", steps=0)
    wait(runs, run, paused)
    for _ in range(15):
        runs.resume(run)
        runs.pause(run)
    at = wait(runs, run, paused).step
    for _ in range(5):
        # As soon as it says that it is paused, it can be told to step.
        runs.step(run)
        at += 1
        wait(runs, run, paused_at(at))
    for _ in range(8):
        runs.pause(run)
        runs.resume(run)
    wait(runs, run, ended)


def test_pause_is_answered_in_time_and_a_reset_run_repeats_itself(runs):
    run = runs.submit(ENDLESS, "me")
    wait(runs, run, lambda now: now.step >= 5)
    runs.pause(run)
    snapshot = wait(runs, run, paused, 0.5)
    runs.resume(run)
    wait(runs, run, lambda later: later.step > snapshot.step)
    again = runs.submit(tiny(steps=5), "me")
    runs.stop(run)
    losses = wait(runs, again, ended).curve.losses
    assert np.array_equal(losses, snapshot.curve.losses[:5])


def test_stop_is_answered_in_time_with_what_was_reached(runs):
    run = runs.submit(ENDLESS, "me")
    wait(runs, run, lambda snapshot: snapshot.step > 100)
    runs.stop(run)
    snapshot = wait(runs, run, ended, 0.5)
    assert snapshot.finished is not None and snapshot.finished.stop_reason is StopReason.STOPPED
    assert snapshot.finished.cores[0].shape == (1, 3, 2, 2)
    assert snapshot.message == StopReason.STOPPED.sentence


def test_a_paused_run_is_stopped_with_the_result_of_its_cores(runs):
    run = runs.submit(tiny(), "me", steps=7)
    wait(runs, run, paused)
    runs.stop(run)
    snapshot = wait(runs, run, ended, 0.5)
    _, expected = in_process(tiny(steps=7))
    assert snapshot.finished is not None and snapshot.finished.train == expected.train
    assert same_arrays(snapshot.finished.cores, expected.cores)


def test_slow_motion_and_full_speed(runs):
    run = runs.submit(ENDLESS, "me", speed=2.0)
    wait(runs, run, lambda snapshot: snapshot.step >= 2)
    assert wait(runs, run, moving).step < 20
    runs.set_speed(run, None)
    wait(runs, run, lambda snapshot: snapshot.step > 500)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(InputError, match="speed"):
            runs.set_speed(run, wrong)
        with pytest.raises(InputError, match="speed"):
            runs.submit(tiny(), "me", speed=wrong)


def test_a_stop_also_reaches_a_run_that_is_loading_its_data(runs):
    done = runs.submit(tiny(), "me")
    wait(runs, done, ended)
    before = runs.worker_pid
    heavy = tiny(teacher_in_modes=(64, 32), in_modes=(64, 32), train_samples=20_000, test_samples=20_000)
    run = runs.submit(heavy, "me")
    wait(runs, run, lambda snapshot: snapshot.started is not None)
    assert wait(runs, run, lambda snapshot: True).step == 0
    runs.stop(run)
    snapshot = wait(runs, run, ended, 0.5)
    assert snapshot.message == StopReason.STOPPED.sentence
    # The worker was ended for it; another has taken its place, and what was there is there.
    assert before is not None and gone_within(before, 2)
    after = runs.snapshot(done)
    assert after is not None and len(after.curve.losses) == 30
    wait(runs, runs.submit(tiny(), "me"), ended)


# ---- many runs ------------------------------------------------------------------------------------------------------


def test_runs_wait_in_line_and_owners_see_their_own(runs):
    first = runs.submit(ENDLESS, "ann")
    second = runs.submit(ENDLESS, "bob")
    third = runs.submit(tiny(), "ann")
    wait(runs, first, moving)
    places = [wait(runs, run, lambda snapshot: True).place for run in (first, second, third)]
    assert places == [0, 1, 2]
    assert [snapshot.id for snapshot in runs.runs("bob")] == [second]
    assert [snapshot.id for snapshot in runs.runs("ann")][:2] == [third, first]
    assert runs.snapshot(second).state is RunState.QUEUED and runs.snapshot(second).others == 2

    runs.pause(second)
    assert wait(runs, second, paused).place == 0
    assert runs.snapshot(third).place == 1
    runs.pause(first)
    # A paused run leaves the device to the next.
    assert wait(runs, third, ended).finished is not None
    runs.resume(second)
    wait(runs, second, moving)
    assert runs.snapshot(first).state is RunState.PAUSED
    runs.stop(second)
    assert wait(runs, second, ended, 0.5).finished is not None


def test_a_queued_run_is_stopped_at_once(runs):
    first, second = runs.submit(ENDLESS, "ann"), runs.submit(ENDLESS, "bob")
    runs.stop(second)
    snapshot = runs.snapshot(second)
    assert not snapshot.active and snapshot.message == StopReason.STOPPED.sentence
    wait(runs, first, moving)


def test_runs_take_turns_and_their_numbers_do_not_change(runs, monkeypatch):
    monkeypatch.setattr(engine, "TURN_SECONDS", 0.05)
    monkeypatch.setattr(engine, "STOP_SECONDS", 5.0)
    configs = [tiny(steps=4000, lr=0.01, seed=seed, schedule="decay") for seed in (1, 2)]
    both = [runs.submit(config, owner) for config, owner in zip(configs, ("ann", "bob"), strict=True)]
    turns: list[str] = []
    while any(runs.snapshot(run).active for run in both):
        running = [run for run in both if runs.snapshot(run).state is RunState.RUNNING]
        if running and (not turns or turns[-1] != running[0]):
            turns.append(running[0])
        time.sleep(0.005)
    assert len(turns) >= 4, "they alternate"
    for run, config in zip(both, configs, strict=True):
        losses, finished = in_process(config)
        snapshot = runs.snapshot(run)
        assert np.array_equal(snapshot.curve.losses, losses)
        assert same_arrays(snapshot.finished.cores, finished.cores)


def test_old_runs_are_forgotten_when_there_is_too_much(runs, monkeypatch):
    old = [runs.submit(tiny(steps=500), "me") for _ in range(3)]
    for run in old:
        wait(runs, run, ended)
    size = engine._bytes_of(runs._runs[old[0]])
    monkeypatch.setattr(engine, "HISTORY_BYTES", 2.5 * size)
    active = runs.submit(ENDLESS, "me")
    assert runs.snapshot(old[0]) is None
    assert runs.snapshot(old[1]) is not None and runs.snapshot(old[2]) is not None
    monkeypatch.setattr(engine, "HISTORY_BYTES", 0)
    runs.submit(tiny(), "me")
    assert runs.snapshot(old[2]) is None
    assert runs.snapshot(active) is not None, "never one that is not done"


def test_what_is_not_there_is_no_error(runs):
    assert runs.snapshot("nothing") is None
    assert runs.wait("nothing", ended, 1) is None
    for request in (runs.pause, runs.resume, runs.step, runs.stop):
        request("nothing")
    runs.set_speed("nothing", 3)
    assert runs.runs("nobody") == []


def test_requests_to_an_ended_run_change_nothing(runs):
    run = runs.submit(tiny(), "me")
    before = wait(runs, run, ended)
    for request in (runs.pause, runs.resume, runs.step, runs.stop):
        request(run)
    assert runs.snapshot(run).message == before.message
    assert runs.snapshot(run).state is RunState.ENDED


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU here")
def test_a_refusal_in_the_worker_is_the_runs_message(runs):
    pid = runs.worker_pid
    run = runs.submit(tiny(device="cuda"), "me")
    assert "no CUDA GPU" in wait(runs, run, ended).message
    wait(runs, runs.submit(tiny(), "me"), ended)
    assert runs.worker_pid == pid


def test_a_killed_worker_fails_its_run_alone(runs):
    done = runs.submit(tiny(), "ann")
    wait(runs, done, ended)
    parked = runs.submit(tiny(), "ann", steps=5)
    wait(runs, parked, paused)
    running = runs.submit(ENDLESS, "bob")
    queued = runs.submit(tiny(steps=50), "ann")
    wait(runs, running, lambda snapshot: len(snapshot.curve.measured) > 0)

    os.kill(runs.worker_pid, signal.SIGKILL)
    failed = wait(runs, running, ended, 2.0)
    assert failed.message == StopReason.FAILED.sentence
    assert failed.finished is not None and failed.finished.stop_reason is StopReason.FAILED
    assert len(failed.curve.losses) > 0, "what had arrived is kept"
    assert runs.snapshot(done).finished.cores and runs.snapshot(parked).state is RunState.PAUSED
    # The next run starts with the next worker, and the parked one goes on where it was.
    assert np.array_equal(wait(runs, queued, ended).curve.losses, in_process(tiny(steps=50))[0])
    runs.resume(parked)
    assert np.array_equal(wait(runs, parked, ended).curve.losses, in_process(tiny())[0])


WORKER = "from ttcore import worker\nworker._warm_up = lambda _: {'gpu': '', 'torch': ''}\n"


def with_worker(monkeypatch: pytest.MonkeyPatch, before: str, main: str = "worker.main()") -> None:
    """The engine's worker with code of our own around it, and no warming up."""
    program = WORKER + textwrap.dedent(before) + "\n" + main
    monkeypatch.setattr(engine, "_WORKER", (sys.executable, "-c", program))


@pytest.fixture
def make() -> Iterator[Callable[[], Engine]]:
    made: list[Engine] = []

    def start() -> Engine:
        made.append(Engine(threads=1))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_what_is_printed_disturbs_nothing(monkeypatch, make, capfd):
    with_worker(
        monkeypatch,
        """
        import os
        from ttcore import training
        os.write(1, b'noise before anything\\n')
        original = training.train
        def noisy(*arguments, **options):
            print('noise by print')
            os.write(1, b'noise by the system\\n')
            yield from original(*arguments, **options)
        training.train = noisy
        """,
    )
    one = make()
    snapshot = wait(one, one.submit(tiny(), "me"), ended)
    assert len(snapshot.curve.losses) == 30
    assert "noise by the system" in capfd.readouterr().err


def test_an_unexpected_error_is_a_sentence_and_the_worker_lives(monkeypatch, make):
    with_worker(
        monkeypatch,
        """
        from ttcore import training
        original = training.train
        def failing(config, *arguments, **options):
            if config.train.seed == 1:
                raise RuntimeError('the floor is wet')
            if config.train.seed == 2:
                raise MemoryError
            yield from original(config, *arguments, **options)
        training.train = failing
        """,
    )
    one = make()
    failed, poor, fine = (one.submit(tiny(seed=seed), "me") for seed in (1, 2, 3))
    message = wait(one, failed, ended).message
    assert "the floor is wet" in message and "Traceback" not in message and "\n" not in message
    assert "out of memory" in wait(one, poor, ended).message
    assert len(wait(one, fine, ended).curve.losses) == 30


def test_a_worker_that_never_starts_is_given_up_and_tried_again_on_request(monkeypatch, make, tmp_path):
    starts = tmp_path / "starts"
    count = f"from pathlib import Path\nlog = Path({str(starts)!r})\nlog.open('a').write('x')\nraise SystemExit(7)"
    monkeypatch.setattr(engine, "_WORKER", (sys.executable, "-c", count))
    one = make()
    deadline = time.monotonic() + PATIENCE
    while one.worker_pid is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert starts.read_text() == "xxx"
    runs = [one.submit(tiny(), "me") for _ in range(2)]
    messages = [wait(one, run, ended).message for run in runs]
    assert all(messages) and any("exit code 7" in message for message in messages)

    with_worker(monkeypatch, "")
    assert len(wait(one, one.submit(tiny(), "me"), ended).curve.losses) == 30


def test_a_worker_that_cannot_start_again_is_given_up_too(monkeypatch, make, tmp_path):
    with_worker(monkeypatch, "")
    one = make()
    assert one.wait_until_ready(PATIENCE)
    starts = tmp_path / "starts"
    count = f"open({str(starts)!r}, 'a').write('x')\nraise SystemExit(7)"
    monkeypatch.setattr(engine, "_WORKER", (sys.executable, "-c", count))
    os.kill(one.worker_pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while (one.worker_pid is not None or not starts.exists()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert starts.read_text() == "xxx"


# ---- the end --------------------------------------------------------------------------------------------------------


def test_close_ends_the_worker_and_all_runs(monkeypatch, make):
    with_worker(monkeypatch, "")
    one = make()
    running, queued = one.submit(ENDLESS, "me"), one.submit(tiny(), "me")
    wait(one, running, moving)
    pid = one.worker_pid
    one.close()
    assert pid is not None and gone_within(pid, 2)
    assert one.worker_pid is None
    for run in (running, queued):
        assert one.snapshot(run).message == StopReason.STOPPED.sentence
    one.close()


def test_a_killed_server_leaves_no_worker_behind():
    program = textwrap.dedent(
        f"""
        import sys, time
        from ttcore import Engine, RunConfig, engine
        engine._WORKER = (sys.executable, "-c", {WORKER + "worker.main()"!r})
        one = Engine(threads=1)
        run = one.submit(RunConfig.from_json({ENDLESS.to_json()!r}), "me")
        one.wait(run, lambda snapshot: snapshot.step > 0, {PATIENCE})
        print(one.worker_pid, one.snapshot(run).step, flush=True)
        time.sleep({PATIENCE})
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid, step = (int(word) for word in server.stdout.readline().split())
        assert step > 0 and alive(pid)
        server.kill()
    assert gone_within(pid, 5)
