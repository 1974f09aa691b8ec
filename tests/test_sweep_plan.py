"""What a sweep amounts to: laws over generated grids. Which runs can train as one is for training to say."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings

from tests.sweeps import ROOM, grid, sweep_configs
from ttcore import DataConfig, InputError, TrainConfig
from ttcore.sweep_config import MAX_RUNS, WITHOUT_RATE, Factorization, SweepConfig
from ttcore.sweep_plan import CHUNK_RUNS, FIRST_RUNS, chunk_seconds, plan_sweep
from ttcore.training import _alike

AMPLE = 2**42


@settings(deadline=None, max_examples=60)
@given(sweep_configs())
def test_every_run_is_in_one_chunk_with_its_like(config):
    plan = plan_sweep(config, AMPLE)
    assert sorted(place for chunk in plan.chunks for place in chunk) == list(range(len(plan.runs)))
    assert len(set(plan.runs)) == len(plan.runs)
    assert plan.redundant == config.asked - len(plan.runs) >= 0
    for chunk in plan.chunks:
        runs = [plan.runs[place] for place in chunk]
        assert len(_alike(runs, [None] * len(runs))) == 1, "they train as one"
        most = 1 if runs[0].train.optimizer in WITHOUT_RATE else CHUNK_RUNS
        assert 1 <= len(runs) <= most
        sizes = [run.shape.num_parameters for run in runs]
        assert sizes == sorted(sizes)
    assert len(plan.seconds) == len(plan.chunks)
    assert all(seconds > 0 for seconds in plan.seconds)


@settings(deadline=None, max_examples=30)
@given(sweep_configs())
def test_the_same_grid_is_the_same_plan(config):
    assert plan_sweep(config, AMPLE) == plan_sweep(SweepConfig.from_json(config.to_json()), AMPLE)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17, 24, 25, 100])
def test_chunks_are_equal_parts_after_a_small_first_one(count):
    plan = plan_sweep(grid(ranks=(2,), seeds=range(count)), ROOM)
    sizes = [len(chunk) for chunk in plan.chunks]
    assert sum(sizes) == count
    first, *rest = sizes
    assert first == min(count, FIRST_RUNS)
    assert len(rest) == -(-(count - first) // CHUNK_RUNS)
    assert max(rest, default=0) - min(rest, default=0) <= 1


def test_neighbours_in_size_are_together_and_curves_grow_in_turn():
    config = grid(
        ranks=(1, 2, 3, 4, 5, 6), seeds=(0, 1, 2), factorizations=("3,4->2,2", "12,1->1,4"), optimizers=("adam", "sgd")
    )
    plan = plan_sweep(config, ROOM)

    def curve(chunk: tuple[int, ...]) -> tuple[str, str]:
        run = plan.runs[chunk[0]]
        return str(Factorization(run.in_modes, run.out_modes)), run.train.optimizer

    curves = [curve(chunk) for chunk in plan.chunks]
    assert len(set(curves[:4])) == 4, "the first chunks are one of each"
    for one in set(curves):
        sizes = [
            plan.runs[place].shape.num_parameters for chunk in plan.chunks if curve(chunk) == one for place in chunk
        ]
        assert all(left <= right for left, right in pairwise(sizes))


def test_large_curves_and_small_ones_grow_alike():
    plan = plan_sweep(grid(ranks=(1, 2, 3), seeds=range(6), optimizers=("adam", "lbfgs")), ROOM)
    names = [plan.runs[chunk[0]].train.optimizer for chunk in plan.chunks]
    assert (names.count("adam"), names.count("lbfgs")) == (2, 18)
    for end in range(len(names)):
        shares = [names[:end].count(name) / names.count(name) for name in ("adam", "lbfgs")]
        assert abs(shares[0] - shares[1]) <= 1 / 2 + 1e-9


# ---- what it says ---------------------------------------------------------------------------------------------------


def test_merged_ranks_are_told():
    plan = plan_sweep(grid(ranks=(1, 2, 6, 7, 8, 20)), ROOM)
    assert plan.notes == ("3·4 → 2·2: ranks 6-8,20 are the same layer (useful ranks: 6), trained once as rank 6.",)
    single = plan_sweep(grid(ranks=(1, 2), factorizations=("12->4",)), ROOM)
    assert len(single.runs) == 1
    assert single.notes == (
        "12 → 4: ranks 1,2 are the same layer (useful ranks: none, for a single core), trained once as rank 1.",
    )


def test_nothing_is_told_where_nothing_is_merged():
    assert plan_sweep(grid(ranks=(1, 2, 6), seeds=(0, 1), rates=(0.1, 0.2)), ROOM).notes == ()
    assert plan_sweep(grid(optimizers=("lbfgs",), ranks=(1,)), ROOM).notes == ()


def test_methods_without_rate_are_told():
    [note] = plan_sweep(grid(ranks=(1,), rates=(0.1, 0.2), optimizers=("adam", "als", "lbfgs")), ROOM).notes
    assert "als and lbfgs" in note
    assert "no learning rate" in note
    [note] = plan_sweep(grid(ranks=(1,), rates=(0.1, 0.2), optimizers=("adam", "lbfgs")), ROOM).notes
    assert note == "lbfgs has no learning rate: its runs are not repeated for every rate."


# ---- bounds ---------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_in_memory_is_refused():
    config = SweepConfig(data=DataConfig(), ranks=(1, 64))
    plan_sweep(config, ROOM)
    with pytest.raises(InputError, match="free"):
        plan_sweep(config, 2**20)
    # It is the largest run that counts, not all of them together.
    small = grid(ranks=(2,), seeds=range(64))
    for budget in (2**20, 2**17):
        plan_sweep(small, budget)
    with pytest.raises(InputError, match="free"):
        plan_sweep(small, 2**10)


def test_the_largest_sweep_is_planned():
    config = SweepConfig(
        data=DataConfig(),
        factorizations=tuple(Factorization.balanced(DataConfig(), cores) for cores in (2, 3, 4, 5, 6)),
        ranks=tuple(range(1, 26)),
        seeds=tuple(range(10)),
        rates=(0.05, 0.1),
        optimizers=("adam", "sgd"),
    )
    assert config.asked == MAX_RUNS
    plan = plan_sweep(config, ROOM)
    assert sorted(place for chunk in plan.chunks for place in chunk) == list(range(len(plan.runs)))
    assert len(plan.runs) + plan.redundant == MAX_RUNS


def test_estimates_grow_with_what_there_is_to_do():
    few = grid(ranks=(2,)).run(Factorization((3, 4), (2, 2)), 2, 0, 0.02, "adam")

    def with_steps(steps: int) -> float:
        return chunk_seconds([replace(few, train=replace(few.train, steps=steps))])

    assert with_steps(100) < with_steps(1000) < with_steps(10_000)
    for optimizer in ("adam", "sgd", "lbfgs", "als"):
        small, large = (
            chunk_seconds([replace(few, ranks=rank, train=TrainConfig(optimizer=optimizer, steps=100))])
            for rank in (1, 6)
        )
        assert small <= large
    many = [replace(few, train=replace(few.train, seed=seed)) for seed in range(8)]
    assert chunk_seconds(many) < sum(chunk_seconds([run]) for run in many)
