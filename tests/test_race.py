"""Races: updates written by hand are torch's, lanes are what each method does alone, by call and on an engine."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.tables import tiny
from ttcore import Control, Engine, InputError, wire
from ttcore.engine import RunState
from ttcore.gradient_race import DIVERGED, MAX_FEATURES, METHODS, MIN_FEATURES, USUAL_RATES, Lane, RaceConfig, lanes_of
from ttcore.gradient_updates import UPDATES
from ttcore.jobs import TaskFuture
from ttcore.race import race_in_steps
from ttcore.tasks import compare_updates, race

PATIENCE = 20.0
RATES: tuple[Any, ...] = (("descent", 0.1), ("momentum", 0.03), ("adam", 0.01))
SMALL = RaceConfig(entries=RATES, features=12, rank=2, steps=40)
# Its plain gradient descent is gone within a few steps.
BREAKING = replace(SMALL, entries=(("descent", 50.0), ("adam", 0.01)))
ENDLESS = replace(SMALL, steps=1000, pace=50.0)


def lanes(answer: Any) -> list[Lane]:
    return lanes_of(wire.loads(wire.dumps({"value": answer}))["value"])


def same(left: list[Lane], right: list[Lane]) -> bool:
    facts = [[(lane.method, lane.rate, lane.losses.tolist(), lane.diverged) for lane in side] for side in (left, right)]
    return facts[0] == facts[1]


# ---- updates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [12, 17, 64])
@pytest.mark.parametrize("seed", [0, 3])
def test_updates_by_hand_are_those_of_torch(features, seed):
    config = replace(SMALL, features=features, rank=3, seed=seed)
    for told, (method, _) in zip(compare_updates(config.to_json()), RATES, strict=True):
        assert told["method"] == method and told["steps"] == 50
        assert told["difference"] < 1e-10
        assert told["largest"] > 0.1


def test_a_comparison_can_fail(monkeypatch):
    def other(w: np.ndarray, gradient: np.ndarray, memory: Any, rate: float) -> None:
        w -= 1.001 * rate * gradient

    monkeypatch.setitem(UPDATES, "descent", other)
    assert compare_updates(SMALL.to_json())[0]["difference"] > 1e-5


def test_a_comparison_ends_where_a_method_diverges():
    descent, adam = compare_updates(BREAKING.to_json())
    assert descent["steps"] < 20 and np.isfinite(descent["difference"])
    assert adam["steps"] == 50


# ---- by call --------------------------------------------------------------------------------------------------------


def test_lanes_are_what_each_method_does_alone():
    together = lanes(race(SMALL.to_json()))
    assert [lane.method for lane in together] == list(METHODS)
    assert len({lane.losses[0] for lane in together}) == 1, "all start from the same place"
    for lane, entry in zip(together, RATES, strict=True):
        assert len(lane.losses) == SMALL.steps + 1 and lane.diverged is None
        assert lane.losses[-1] < lane.losses[0]
        assert same([lane], lanes(race(replace(SMALL, entries=(entry,)).to_json())))


def test_the_default_shows_a_difference():
    descent, momentum, adam = lanes(race(RaceConfig(entries=tuple(USUAL_RATES.items())).to_json()))
    assert descent.losses[-1] > 100 * momentum.losses[-1] > 100 * adam.losses[-1]


def test_who_diverges_is_taken_out_and_the_others_go_on():
    descent, adam = lanes(race(BREAKING.to_json()))
    assert descent.diverged == len(descent.losses) < 20
    assert np.isfinite(descent.losses).all() and descent.losses.max() <= DIVERGED * descent.losses[0]
    assert adam.diverged is None and len(adam.losses) == BREAKING.steps + 1
    assert same([adam], lanes(race(replace(SMALL, entries=(("adam", 0.01),)).to_json())))
    alone = lanes(race(replace(BREAKING, entries=BREAKING.entries[:1]).to_json()))
    assert same(alone, [descent])


def test_interrupted_it_gives_the_same_numbers():
    state = None
    for steps in (7, 15, None):
        control = Control(steps=steps)
        for message in race_in_steps(BREAKING.to_json(), control=control, state=state):
            message = wire.loads(wire.dumps(message))
            if "state" in message:
                state = message["state"]
                break
    assert same(lanes(message["value"]), lanes(race(BREAKING.to_json())))


def test_its_pace_is_kept():
    began = time.monotonic()
    list(race_in_steps(replace(SMALL, pace=100.0).to_json(), control=Control()))
    assert 0.3 < time.monotonic() - began < 5


@pytest.mark.parametrize("features", [MIN_FEATURES, 13, 37, MAX_FEATURES])
@pytest.mark.parametrize("rank", [1, 4])
def test_every_size_can_be_raced(features, rank):
    config = replace(SMALL, features=features, rank=rank, steps=3)
    assert config.shape.in_features >= features
    assert all(len(lane.losses) == 4 for lane in lanes(race(config.to_json())))


@pytest.mark.parametrize(
    "changes",
    [
        {"entries": []},
        {"entries": [["sgd", 0.1]]},
        {"entries": [["adam", 0.0]]},
        {"entries": [["adam", float("nan")]]},
        {"entries": [["adam", "quick"]]},
        {"entries": [["adam", 0.1], ["adam", 0.2]]},
        {"entries": [["adam"]]},
        {"entries": None},
        {"features": 65},
        {"features": 11},
        {"rank": 5},
        {"seed": -1},
        {"steps": 1001},
        {"steps": 0},
        {"pace": 0.1},
        {"weather": "fine"},
    ],
)
def test_a_race_is_refused_in_a_sentence(changes):
    with pytest.raises(InputError) as refused:
        race(SMALL.to_json() | changes)
    assert not re.search(r"[.!?] [A-Z]|[.!?]$", str(refused.value))


def test_settings_there_and_back():
    assert RaceConfig.from_json(wire.loads(wire.dumps(ENDLESS.to_json()))) == ENDLESS


# ---- on an engine ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    one = Engine(threads=1)
    assert one.wait_until_ready(PATIENCE)
    yield one
    one.close()


def until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.002)


def told_steps(future: TaskFuture) -> int:
    return len(lanes_of(future.told)[0].losses) if future.told else 0


def test_lanes_arrive_while_it_runs_and_are_those_of_a_call(shared):
    config = replace(SMALL, pace=80.0)
    _, future = shared.submit_task("race", {"race": config.to_json()})
    seen = set()

    def over() -> bool:
        seen.add(told_steps(future))
        return future.done()

    until(over)
    assert len(seen) > 3 and sorted(seen)[-1] == SMALL.steps + 1
    expected = lanes(race(SMALL.to_json()))
    assert same(lanes(future.result()), expected) and same(lanes(future.told), expected)


def test_stopping_ends_it_and_leaves_what_was_told(shared):
    pid = shared.worker_pid
    task, future = shared.submit_task("race", {"race": ENDLESS.to_json()})
    until(lambda: told_steps(future) > 3)
    shared.stop(task)
    with pytest.raises(CancelledError):
        future.result(PATIENCE)
    (descent, *_) = lanes_of(future.told)
    expected = lanes(race(replace(ENDLESS, steps=len(descent.losses) - 1, pace=None).to_json()))
    assert same(lanes_of(future.told), expected)
    assert shared.worker_pid == pid


def test_a_pause_and_a_run_of_somebody_else_change_nothing(shared):
    config = replace(SMALL, steps=60, pace=100.0)
    task, future = shared.submit_task("race", {"race": config.to_json()})
    until(lambda: told_steps(future) > 3)
    shared.pause(task)
    until(lambda: shared._tasks[task].state is RunState.PAUSED)
    run = shared.submit(tiny(steps=20), "me")
    assert shared.wait(run, lambda now: not now.active, PATIENCE).step == 20
    assert not future.done()
    shared.resume(task)
    assert same(lanes(future.result(PATIENCE)), lanes(race(replace(config, pace=None).to_json())))


def test_a_new_run_goes_first(shared):
    task, future = shared.submit_task("race", {"race": ENDLESS.to_json()})
    until(lambda: told_steps(future) > 1)
    began = time.monotonic()
    run = shared.submit(tiny(steps=20), "me")
    assert shared.wait(run, lambda now: not now.active, PATIENCE).step == 20
    assert time.monotonic() - began < 10 and not future.done()
    shared.stop(task)


def test_a_refusal_and_the_other_tasks_arrive(shared):
    _, refused = shared.submit_task("race", {"race": {"entries": []}})
    with pytest.raises(InputError, match="needs somebody"):
        refused.result(PATIENCE)
    _, updates = shared.submit_task("compare_updates", {"race": SMALL.to_json()})
    assert max(told["difference"] for told in updates.result(PATIENCE)) < 1e-10
    _, gradient = shared.submit_task("matrix_gradient", {"problem": {"out_features": 2, "in_features": 3}})
    assert gradient.result(PATIENCE).shape == (2, 3)
    _, gradients = shared.submit_task(
        "core_gradients", {"problem": {"in_modes": [2, 2], "out_modes": [2, 1], "ranks": [2]}}
    )
    assert [array.shape for array in gradients.result(PATIENCE)] == [(1, 2, 2, 2), (2, 2, 1, 1)]
