"""train_many: runs that train as one lose nothing and disturb nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.tables import same_arrays, tiny
from ttcore import Control, InputError, RunConfig, train, train_many, training
from ttcore.events import Finished, FullModel, Paused, Progress, Started, StopReason, TrainingState
from ttcore.trainer import Trainer


class Outcomes:
    """The events of several runs, by run."""

    def __init__(self, events: Sequence[Any]) -> None:
        self.events = list(events)

    def of(self, run: int, kind: Any) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind) and event.run == run]

    def losses(self, run: int) -> np.ndarray:
        return np.concatenate([event.losses for event in self.of(run, Progress)] or [np.zeros(0)])

    def finished(self, run: int) -> Finished:
        (event,) = self.of(run, Finished)
        return event


def together(configs: Sequence[RunConfig], **options: Any) -> Outcomes:
    return Outcomes(list(train_many(configs, **options)))


WIDE: dict[str, Any] = {"teacher_in_modes": (3, 4, 3), "teacher_out_modes": (2, 2, 2), "in_modes": (3, 4, 3)}
WIDE |= {"out_modes": (2, 2, 2), "train_samples": 60, "steps": 200}
STACKS = {
    "ranks": [tiny(**WIDE, ranks=rank) for rank in (1, 2, 3, (4, 2), 6)],
    "seeds": [tiny(**WIDE, seed=seed) for seed in range(4)],
    "rates": [
        tiny(**WIDE, lr=lr, schedule=schedule) for lr in (0.003, 0.01, 0.05) for schedule in ("constant", "decay")
    ],
    "starts": [tiny(**WIDE, init=init, ranks=rank) for init, rank in (("unit", 2), ("he", 4), ("glorot", 3))],
    "sgd": [tiny(**WIDE, optimizer="sgd", lr=lr, momentum=momentum) for lr, momentum in ((0.01, 0.9), (0.02, 0.0))],
    "lengths": [tiny(**WIDE | {"steps": steps}, ranks=rank) for steps, rank in ((200, 2), (1, 5), (57, 3), (120, 1))],
    "padded": [
        tiny(**WIDE | {"in_modes": (4, 4, 3), "out_modes": (2, 5, 1)}, ranks=rank, seed=rank) for rank in (1, 3, 4)
    ],
    "gram": [tiny(**WIDE | {"train_samples": 800}, ranks=rank) for rank in (1, 3)],
    "one core": [
        tiny(**WIDE | {"in_modes": (36,), "out_modes": (8,)}, ranks=(), seed=seed, lr=0.01) for seed in range(3)
    ],
}


@pytest.fixture
def always_stacked(monkeypatch):
    """Small runs may be estimated quicker one by one; here they are to share every step."""
    monkeypatch.setattr(training, "_quicker_together", lambda *_: True)


@pytest.mark.parametrize("name", STACKS)
def test_stacked_equals_alone(name, always_stacked):
    configs = STACKS[name]
    stacked = together(configs)
    for run, config in enumerate(configs):
        (started,) = stacked.of(run, Started)
        assert started.stacked == len(configs)
        alone = Outcomes(list(train(config)))
        np.testing.assert_allclose(stacked.losses(run), alone.losses(0), rtol=1e-8)
        one, other = stacked.finished(run), alone.finished(0)
        assert one.step == other.step and one.stop_reason is other.stop_reason
        assert one.train.loss == pytest.approx(other.train.loss, rel=1e-8)
        assert one.test.loss == pytest.approx(other.test.loss, rel=1e-8)
        assert (one.best.loss, one.best.step) == (pytest.approx(other.best.loss, rel=1e-8), other.best.step)
        for mine, his in zip(one.cores, other.cores, strict=True):
            assert mine.shape == his.shape
            np.testing.assert_allclose(mine, his, rtol=1e-6, atol=1e-9)


def test_padding_stays_exactly_zero(always_stacked, monkeypatch):
    configs = STACKS["ranks"]
    looked = []
    original = Trainer.advance

    def advance(self):
        original(self)
        stack, flat = self._method.stack, self._method.flat
        ones = [torch.ones_like(stack.own_parameters(flat, row)) for row in range(len(stack))]
        padding = stack.pack(ones) == 0
        looked.append((int(padding.sum()), bool((flat[padding] == 0).all())))

    monkeypatch.setattr(Trainer, "advance", advance)
    together(configs)
    assert looked[0][0] > 0
    assert all(zero for _, zero in looked)


def test_every_run_tells_its_whole_story(always_stacked):
    outcomes = together(STACKS["ranks"])
    for run in range(len(STACKS["ranks"])):
        kinds = [type(event) for event in outcomes.events if event.run == run]
        assert kinds[0] is Started and kinds[-1] is Finished
        assert kinds.count(FullModel) == 1


def test_a_run_that_ends_early_disturbs_nobody(always_stacked):
    good = [tiny(**WIDE, optimizer="sgd", lr=0.01, ranks=rank) for rank in (2, 3)]
    bad = tiny(**WIDE, optimizer="sgd", lr=900, momentum=0, ranks=6)
    short = tiny(**WIDE | {"steps": 20}, optimizer="sgd", lr=0.01, ranks=4)
    easy = tiny(**WIDE, optimizer="sgd", lr=0.01, ranks=5, target=-1e9)
    outcomes = together([good[0], bad, short, easy, good[1]])
    reasons = [outcomes.finished(run).stop_reason for run in range(5)]
    assert reasons == [
        StopReason.STEPS_DONE,
        StopReason.NOT_FINITE,
        StopReason.STEPS_DONE,
        StopReason.TARGET_REACHED,
        StopReason.STEPS_DONE,
    ]
    assert outcomes.finished(3).step == 0
    for run, config in ((0, good[0]), (4, good[1])):
        np.testing.assert_allclose(outcomes.losses(run), Outcomes(list(train(config))).losses(0), rtol=1e-8)


def test_the_stack_gets_smaller_as_runs_end(always_stacked, monkeypatch):
    widths = []
    original = Trainer.advance

    def advance(self):
        widths.append((len(self.runs), self._method.flat.shape[1]))
        original(self)

    monkeypatch.setattr(Trainer, "advance", advance)
    configs = [tiny(**WIDE | {"steps": steps}, ranks=rank) for steps, rank in ((30, 6), (60, 1), (90, 2))]
    together(configs)
    assert [runs for runs, _ in widths] == [3] * 30 + [2] * 30 + [1] * 30
    assert [size for _, size in widths[::30]] == sorted((size for _, size in widths[::30]), reverse=True)
    assert widths[-1][1] == configs[2].shape.num_parameters


@pytest.mark.parametrize("look_every", [1, 7])
def test_stacked_runs_pause_and_resume_bit_by_bit(look_every, always_stacked, monkeypatch):
    monkeypatch.setattr(training, "look_every", lambda device: look_every)
    configs = STACKS["ranks"]
    whole = together(configs)
    events: list[Any] = []
    for event in train_many(configs, Control(steps=33)):
        events.append(event)
        if isinstance(event, Paused) and event.run == len(configs) - 1:
            break
    first = Outcomes(events)
    states = [first.of(run, Paused)[0].state for run in range(len(configs))]
    assert all(isinstance(state, TrainingState) and state.step == 33 for state in states)
    rest = together(configs, resume_from=states)
    for run in range(len(configs)):
        assert np.array_equal(np.concatenate([first.losses(run), rest.losses(run)]), whole.losses(run))
        assert same_arrays(rest.finished(run).cores, whole.finished(run).cores)
        assert same_arrays(rest.finished(run).best_cores, whole.finished(run).best_cores)


def test_a_stop_ends_all_of_them(always_stacked):
    control = Control()
    seen = []
    for event in train_many([tiny(steps=10_000_000, ranks=rank) for rank in (1, 2)], control):
        if isinstance(event, Progress):
            control.stop()
        if isinstance(event, Finished):
            seen.append(event.stop_reason)
    assert seen == [StopReason.STOPPED] * 2


def test_what_cannot_be_stacked_runs_one_after_another(always_stacked):
    configs = [
        tiny(),
        tiny(in_modes=(12,), out_modes=(4,), ranks=()),
        tiny(seed=1),
        tiny(optimizer="als", steps=2, noise=0.1),
        tiny(optimizer="als", steps=2, noise=0.1, seed=1),
        tiny(dtype="float32"),
        tiny(data_seed=3),
    ]
    outcomes = together(configs)
    assert [outcomes.of(run, Started)[0].stacked for run in range(7)] == [2, 1, 2, 1, 1, 1, 1]
    for run, config in enumerate(configs):
        alone = Outcomes(list(train(config)))
        np.testing.assert_allclose(outcomes.losses(run), alone.losses(0), rtol=1e-8)


def test_a_stack_that_is_too_large_is_divided(always_stacked, monkeypatch):
    configs = [tiny(seed=seed) for seed in range(5)]
    original = training.check_memory

    def check_memory(some, budget, *rest):
        if len(some) > 2:
            raise InputError("too many", "ranks")
        return original(some, budget, *rest)

    monkeypatch.setattr(training, "check_memory", check_memory)
    outcomes = together(configs)
    assert [outcomes.of(run, Started)[0].stacked for run in range(5)] == [2, 2, 1, 2, 2]
    for run, config in enumerate(configs):
        np.testing.assert_allclose(outcomes.losses(run), Outcomes(list(train(config))).losses(0), rtol=1e-8)


def test_bad_runs_are_refused_before_any_starts(monkeypatch):
    fine = tiny()
    broken = replace(fine, train=replace(fine.train, device="cuda"))
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA GPU here")
    with pytest.raises(InputError, match="no CUDA GPU"):
        next(iter(train_many([fine, broken])))


def test_no_runs_are_no_events():
    assert list(train_many([])) == []
