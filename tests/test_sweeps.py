"""The sweeps of a server: who started which, how many are kept, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.sweeps import ROOM, grid
from ttcore import Engine, InputError, machine, sweeps
from ttcore.sweep import SweepState
from ttcore.sweep_config import SweepConfig
from ttcore.sweep_plan import plan_sweep
from ttcore.sweeps import KEPT, Sweeps

PATIENCE = 60.0
SMALL = grid(ranks=(1, 2), steps=20)
ENDLESS = grid(ranks=(1, 2), steps=10_000_000)
NOWHERE = "tcp://127.0.0.1:1"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    one = Engine(threads=1)
    yield one
    one.close()


@pytest.fixture
def server(engine: Engine) -> Iterator[Sweeps]:
    held = Sweeps(engine, 1)
    yield held
    held.close()


def open_threads(config: SweepConfig) -> SweepConfig:
    return replace(config, train=replace(config.train, threads=None))


def test_a_sweep_is_found_by_its_id_and_by_its_owner(server):
    first, second, third = (server.start(ENDLESS, owner) for owner in ("a", "b", "a"))
    assert len({first, second, third}) == 3
    held = server.get(second)
    assert held is not None
    assert (held.id, held.owner, held.number, held.where) == (second, "b", 2, "this machine")
    assert [one.id for one in server.of("a")] == [third, first]
    assert server.of("nobody") == [] and server.get("no such id") is None
    assert held.sweep.snapshot().active


def test_it_runs_to_its_end(server):
    held = server.get(server.start(SMALL, "a"))
    assert held is not None and held.sweep.wait(PATIENCE)
    now = held.sweep.snapshot()
    assert sorted(now.results) == [0, 1] and not now.failures
    assert now.baselines


@pytest.mark.parametrize("given", [False, True], ids=["planned here", "planned before"])
def test_threads_that_were_left_open_are_decided_for_the_sweep_and_all_its_runs(engine, given):
    server = Sweeps(engine, 3)
    config = open_threads(SMALL)
    held = server.get(server.start(config, "a", plan=plan_sweep(config, ROOM) if given else None))
    server.close()
    assert held is not None
    assert held.sweep.config.train.threads == 3
    assert {run.train.threads for run in held.sweep.plan.runs} == {3}
    assert held.sweep.plan.runs == plan_sweep(held.sweep.config, ROOM).runs


def test_a_plan_that_is_given_is_the_one_that_is_done(server):
    plan = plan_sweep(SMALL, ROOM)
    held = server.get(server.start(SMALL, "a", plan=plan))
    assert held is not None and held.sweep.plan is plan


def test_the_latest_are_kept_and_older_ones_while_they_go_on(server):
    going_on = server.start(ENDLESS, "a")
    ids = []
    for _ in range(KEPT + 3):
        ids.append(server.start(SMALL, "a"))
        held = server.get(ids[-1])
        assert held is not None
        held.sweep.stop()
    assert server.get(going_on) is not None
    assert [sweep_id for sweep_id in ids if server.get(sweep_id)] == ids[-KEPT:]
    oldest = server.get(going_on)
    assert oldest is not None
    oldest.sweep.stop()
    server.start(SMALL, "a")
    assert server.get(going_on) is None
    assert len(server.of("a")) == KEPT


def test_closing_stops_them_all(engine):
    server = Sweeps(engine, 1)
    held = [one for owner in ("a", "b", "c") if (one := server.get(server.start(ENDLESS, owner)))]
    held[1].sweep.pause()
    server.close()
    assert [one.sweep.snapshot().state for one in held] == [SweepState.ENDED] * 3
    server.close()


def test_the_engine_is_free_again_once_they_are_closed(engine):
    server = Sweeps(engine, 1)
    for _ in range(3):
        server.start(ENDLESS, "a")
    server.close()
    held = server.get(server.start(SMALL, "a"))
    assert held is not None and held.sweep.wait(PATIENCE)
    assert not held.sweep.snapshot().failures
    server.close()


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_without_a_scheduler_there_is_no_cluster(server):
    with pytest.raises(InputError, match="TTCORE_SCHEDULER"):
        server.start(SMALL, "a", on_cluster=True)
    assert server.of("a") == []


def test_a_cluster_that_is_not_there_is_told_within_five_seconds(engine):
    server = Sweeps(engine, 1, NOWHERE)
    began = time.monotonic()
    with pytest.raises(InputError, match=NOWHERE):
        server.start(SMALL, "a", on_cluster=True)
    assert time.monotonic() - began < 5
    assert server.of("a") == []
    assert server.start(SMALL, "a")
    server.close()


def test_what_does_not_fit_is_refused_before_a_cluster_is_asked(engine, monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 1000)
    monkeypatch.setattr(sweeps, "connect", lambda address: pytest.fail("it was asked"))
    server = Sweeps(engine, 1, NOWHERE)
    for on_cluster in (False, True):
        with pytest.raises(InputError, match="are free"):
            server.start(open_threads(SMALL), "a", on_cluster=on_cluster)
    assert server.of("a") == []
