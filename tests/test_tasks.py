"""Chunks of a sweep: what trains as one gives what each run gives alone, interrupted or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from tests.sweeps import grid
from tests.tables import tiny
from ttcore import Control, InputError, RunConfig, StopReason, train, wire
from ttcore.chunks import train_in_steps
from ttcore.events import Finished, Progress
from ttcore.results import RunResult
from ttcore.sweep_plan import plan_sweep
from ttcore.tasks import TASKS, compare_with, train_chunk

SIX = [tiny(ranks=rank, seed=seed, steps=60, lr=0.03) for rank in (1, 2, 5) for seed in (0, 1)]
# One that meets its target, one whose loss is soon not finite, and some that have fewer steps than the others.
ENDING = [
    tiny(ranks=2, steps=200, lr=0.05, target=0.2),
    tiny(ranks=3, steps=200, lr=0.03, optimizer="adam"),
    tiny(ranks=1, steps=40, lr=0.03),
    tiny(ranks=2, steps=120, lr=0.03, seed=3),
]
BREAKING = [tiny(ranks=rank, steps=150, lr=rate, optimizer="sgd") for rank, rate in ((2, 0.01), (5, 1000.0), (1, 0.02))]

CHUNKS: dict[str, list[RunConfig]] = {
    "six alike": SIX,
    "some end early": ENDING,
    "one breaks": BREAKING,
    "float32": [tiny(ranks=rank, dtype="float32", steps=80) for rank in (1, 2, 3)],
    "falling rates": [tiny(ranks=2, seed=seed, schedule="decay", steps=70) for seed in range(3)],
    "lbfgs": [tiny(optimizer="lbfgs", steps=40, ranks=1)],
    "als": [tiny(optimizer="als", steps=20, ranks=1)],
}


def as_json(configs: Sequence[RunConfig]) -> list[dict[str, Any]]:
    return [config.to_json() for config in configs]


def alone(config: RunConfig) -> tuple[np.ndarray, Finished]:
    """A run by itself: its losses and its end."""
    losses: list[float] = []
    for event in train(config):
        if isinstance(event, Progress):
            losses += event.losses.tolist()
    assert isinstance(event, Finished)
    return np.array(losses), event


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Where two values differ by a single bit; how long it took and what was measured by the clock left aside."""
    if path.endswith(("seconds", "measured")):
        return []
    if isinstance(left, np.ndarray):
        same = left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
        return [] if same else [path]
    if is_dataclass(left) and not isinstance(left, type):
        names = [field.name for field in fields(left)]
        return [d for name in names for d in differences(getattr(left, name), getattr(right, name), f"{path}.{name}")]
    if isinstance(left, list | tuple):
        if len(left) != len(right):
            return [f"{path}: {len(left)} and {len(right)}"]
        return [d for n, pair in enumerate(zip(left, right, strict=True)) for d in differences(*pair, f"{path}[{n}]")]
    return [] if left == right or (left != left and right != right) else [f"{path}: {left} and {right}"]


def interrupted(configs: Sequence[RunConfig], after: Sequence[int]) -> list[RunResult]:
    """The chunk's results with a pause after so many steps, and again; its state crosses a wire at each."""
    state = None
    for steps in [*after, None]:
        control = Control(steps=steps)
        for message in train_in_steps(as_json(configs), control=control, state=state):
            if "state" in message:
                state = wire.loads(wire.dumps(message))["state"]
                break
            if "value" in message:
                return message["value"]
    raise AssertionError("it has not come to its end")


# ---- together as alone ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHUNKS)
def test_a_chunk_gives_what_each_run_gives_alone(name):
    configs = CHUNKS[name]
    single = name == "float32"
    close: Callable[..., None] = np.testing.assert_allclose
    tolerance = {"rtol": 2e-3 if single else 1e-9, "atol": 1e-5 if single else 1e-12}
    for config, result in zip(configs, train_chunk(as_json(configs), threads=1), strict=True):
        losses, finished = alone(config)
        assert result.config == config
        assert (result.stop_reason, result.steps) == (finished.stop_reason, finished.step)
        assert result.losses.dtype == np.dtype(config.train.dtype)
        close(result.losses, losses, **tolerance)
        for mine, its in zip(result.cores, finished.cores, strict=True):
            assert mine.shape == its.shape
            close(mine, its, **tolerance)
        for part in ("train", "test", "best_test", "best"):
            close(getattr(result, part).loss, getattr(finished, part).loss, **tolerance)
            close(getattr(result, part).score, getattr(finished, part).score, **tolerance)
        assert (result.device, result.threads) == ("cpu", 1)
        assert result.measured.shape[1] == 6
        assert result.measured[-1, 0] == result.steps
        assert result.measured[-1, 2:].tolist() == [
            *(result.train.loss, result.train.score),
            *(result.test.loss, result.test.score),
        ]


def test_the_chunks_hold_what_their_names_say():
    reasons = {name: {r.stop_reason for r in train_chunk(as_json(configs))} for name, configs in CHUNKS.items()}
    assert reasons["some end early"] == {StopReason.TARGET_REACHED, StopReason.STEPS_DONE}
    assert StopReason.NOT_FINITE in reasons["one breaks"]
    assert StopReason.STEPS_DONE in reasons["one breaks"]
    assert {result.stacked for result in train_chunk(as_json(SIX))} == {6}


def test_chunks_of_a_plan_give_the_plans_runs():
    plan = plan_sweep(grid(ranks=(1, 2, 3), seeds=range(4), optimizers=("adam", "sgd"), steps=20), 2**30)
    done: dict[int, RunConfig] = {}
    for chunk in plan.chunks:
        results = TASKS["train_chunk"](configs=as_json([plan.runs[place] for place in chunk]))
        done |= {place: result.config for place, result in zip(chunk, results, strict=True)}
    assert [done[place] for place in range(len(plan.runs))] == list(plan.runs)


def test_threads_are_what_the_runs_say_and_otherwise_what_is_asked_for():
    open_run = tiny(threads=None, steps=3).to_json()
    assert [result.threads for result in train_chunk([open_run, open_run], threads=2)] == [2, 2]
    assert train_chunk(as_json([tiny(steps=3, threads=1)]), threads=2)[0].threads == 1
    torch.set_num_threads(1)


# ---- pauses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [(0,), (1,), (10, 0, 25), (39, 1, 1, 50), (7,) * 12], ids=str)
@pytest.mark.parametrize("name", CHUNKS)
def test_interrupted_is_bit_for_bit_as_not_interrupted(name, after):
    whole = train_chunk(as_json(CHUNKS[name]))
    again = interrupted(CHUNKS[name], after)
    assert [d for d in differences(again, whole) if not d.split(":")[0].endswith((".stacked", ".plan"))] == []
    for one, other in zip(again, whole, strict=True):
        assert one.measured[-1, [0, 2, 3, 4, 5]].tolist() == other.measured[-1, [0, 2, 3, 4, 5]].tolist()
        assert (np.diff(one.measured[:, 0]) > 0).all()
        assert (np.diff(one.measured[:, 1]) >= 0).all()
        assert one.seconds > 0


def test_the_comparison_sees_a_bit():
    [whole] = train_chunk(as_json(SIX[:1]))
    [again] = train_chunk(as_json(SIX[:1]))
    again.losses[7] = np.nextafter(again.losses[7], 1)
    assert differences([again], [whole]) == ["[0].losses"]


def test_a_pause_that_is_taken_back_changes_nothing():
    control = Control(steps=9)
    answers = []
    for message in train_in_steps(as_json(ENDING), control=control):
        answers.append(message)
        if "state" in message:
            control.step(13)
        assert len(answers) < 1000
    assert sum("state" in message for message in answers) > 3
    kept = [d for d in differences(answers[-1]["value"], train_chunk(as_json(ENDING))) if ".stacked" not in d]
    assert kept == []


def test_a_state_holds_every_run_at_its_step():
    control = Control(steps=12)
    for message in train_in_steps(as_json([*SIX, tiny(steps=5)]), control=control):
        if "state" in message:
            break
    saved = message["state"]["runs"]
    assert [run["step"] for run in saved[:6]] == [12] * 6
    assert all(run["result"] is None and run["state"].step == 12 for run in saved[:6])
    assert all(len(run["losses"]) in (12, 13) for run in saved[:6])
    assert saved[6]["result"].steps == 5
    assert saved[6]["state"] is None


# ---- stops, fractions, refusals -------------------------------------------------------------------------------------


def test_a_chunk_that_is_stopped_has_no_value():
    control = Control(steps=5)
    messages = []
    for message in train_in_steps(as_json(SIX), control=control):
        messages.append(message)
        if "state" in message:
            control.stop()
    assert any("state" in message for message in messages)
    assert not any("value" in message for message in messages)


def test_fractions_rise_from_nothing_to_all():
    for configs in (SIX, ENDING, CHUNKS["als"]):
        messages = list(train_in_steps(as_json(configs)))
        told = [message["fraction"] for message in messages if "fraction" in message]
        assert told[0] == 0
        assert told[-1] == 1
        assert all(left <= right for left, right in pairwise(told))
        assert "value" in messages[-1]


def test_fractions_go_on_where_they_were():
    state = next(m["state"] for m in train_in_steps(as_json(SIX), control=Control(steps=30)) if "state" in m)
    told = [message.get("fraction") for message in train_in_steps(as_json(SIX), state=state)]
    assert told[0] == 0.5
    assert told[-2] == 1


@pytest.mark.timeout(20)
def test_a_slow_chunk_is_heard_of_all_the_while():
    # A hundredth of it takes long; whoever waits for the device must not.
    control = Control(steps_per_second=30)
    told = []
    for message in train_in_steps([tiny(steps=1_000_000).to_json()], control=control):
        told.append(message["fraction"])
        if len(told) == 4:
            break
    assert told[-1] < 0.01


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU here")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no CUDA GPU"):
        train_chunk([tiny(device="cuda").to_json()])


def test_what_does_not_fit_or_is_no_run_is_refused():
    with pytest.raises(InputError, match="unknown key"):
        train_chunk([{"speed": 3}])
    heavy = tiny(teacher_in_modes=(2**15, 2**15), in_modes=(2**15, 2**15), train_samples=10**7)
    with pytest.raises(InputError, match="free"):
        train_chunk([heavy.to_json()])


def test_models_to_compare_with_are_the_same_by_name_and_by_call():
    data = tiny().data.to_json()
    models = compare_with(data)
    assert models == TASKS["compare_with"](data=data)
    assert models[0].kind == "full"
    assert models[0].parameters == 48
    assert {model.kind for model in models} == {"full", "ridge", "low_rank", "low_rank_ridge", "constant"}
    with pytest.raises(InputError):
        compare_with({"source": "thin air"})
