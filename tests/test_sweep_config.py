"""What a sweep is: laws over generated grids, and every bad input with the sentence that mends it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.sweeps import ROOM, grid, json_values, sweep_configs
from ttcore import DataConfig, InputError, TrainConfig
from ttcore.checks import MAX_CORES
from ttcore.parse import parse_numbers
from ttcore.presets import USUAL_STEPS
from ttcore.sweep_config import MAX_RUNS, WITHOUT_RATE, Factorization, SweepConfig, show_numbers
from ttcore.sweep_plan import plan_sweep

PLANTED = DataConfig(
    source="planted", teacher_in_modes=(3, 4), teacher_out_modes=(2, 2), train_samples=20, test_samples=16
)

# ---- laws over grids ------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(sweep_configs())
def test_json_there_and_back(config):
    text = json.dumps(config.to_json(), allow_nan=False)
    again = SweepConfig.from_json(json.loads(text))
    assert again == config
    assert hash(again) == hash(config)
    assert json.dumps(again.to_json()) == text


@settings(deadline=None)
@given(sweep_configs())
def test_a_grid_holds_what_its_lists_say(config):
    lists = (config.factorizations, config.ranks, config.seeds, config.rates, config.optimizers)
    assert all(len(set(entries)) == len(entries) > 0 for entries in lists)
    assert config.asked == len(list(product(*lists)))
    assert (config.train.seed, config.train.lr) == (config.seeds[0], config.rates[0])
    assert config.train.optimizer == config.optimizers[0]


@settings(deadline=None)
@given(sweep_configs(), st.integers(0, 2**32 - 1), st.floats(0.001, 1), st.sampled_from(["adam", "sgd", "lbfgs"]))
def test_equal_grids_are_equal_configurations(config, seed, rate, optimizer):
    # What the lists decide has no say in `train`, an entry that stands twice stands once, and their order is no matter.
    other = SweepConfig(
        data=config.data,
        train=replace(config.train, seed=seed, lr=rate, optimizer=optimizer),
        factorizations=config.factorizations[::-1] + config.factorizations,
        ranks=[np.int64(rank) for rank in config.ranks] + list(config.ranks),  # type: ignore[arg-type]
        seeds=config.seeds[::-1] * 2,
        rates=config.rates[::-1],
        optimizers=config.optimizers[::-1] * 2,
    )
    assert other == config
    assert hash(other) == hash(config)
    assert other.to_json() == config.to_json()
    # And one that does differ is another.
    assert replace(config, ranks=(*config.ranks, 13)) != config


def same_run(config: SweepConfig, rank: int, seed: int, rate: float, optimizer: Any, modes: Factorization) -> object:
    """What a run of the grid comes to: the obvious way to see which are the same."""
    run = config.run(modes, rank, seed, rate, optimizer)
    return run.shape, seed, optimizer, None if optimizer in WITHOUT_RATE else rate


@settings(deadline=None, max_examples=50)
@given(sweep_configs())
def test_what_is_the_same_run_is_done_once(config):
    reference = {
        same_run(config, rank, seed, rate, optimizer, modes)
        for modes, rank, seed, rate, optimizer in product(
            config.factorizations, config.ranks, config.seeds, config.rates, config.optimizers
        )
    }
    plan = plan_sweep(replace(config, train=replace(config.train, dtype="float32")), 2**40)
    assert len(plan.runs) == len(reference)
    assert len({(run.shape, run.train) for run in plan.runs}) == len(plan.runs)
    assert plan.redundant == config.asked - len(reference) >= 0


def test_ranks_above_the_useful_ones_are_merged():
    # 3*2 = 6 and 4*2 = 8: a rank above 6 changes nothing.
    plan = plan_sweep(grid(ranks=(1, 5, 6, 7, 8, 100)), ROOM)
    assert [run.ranks for run in plan.runs] == [1, 5, 6]
    assert plan.asked == 6
    assert plan.redundant == 3


def test_rates_are_not_repeated_where_there_is_none():
    plan = plan_sweep(grid(ranks=(2,), rates=(0.01, 0.02, 0.03), optimizers=("adam", "lbfgs", "als")), ROOM)
    done = [(run.train.optimizer, run.train.lr) for run in plan.runs]
    assert sorted(done) == [("adam", 0.01), ("adam", 0.02), ("adam", 0.03), ("als", 0.01), ("lbfgs", 0.01)]
    assert plan.redundant == 4


def test_what_is_left_out_is_taken_from_the_run():
    config = SweepConfig.from_json({})
    assert config == SweepConfig()
    assert config.factorizations == (Factorization((8, 8, 8, 8), (2, 2, 2, 2)),)
    assert (config.rates, config.optimizers, config.seeds) == ((0.05,), ("adam",), (0,))
    assert config.asked == 8
    assert SweepConfig(data=PLANTED).factorizations == (Factorization((3, 4), (2, 2)),)


def test_methods_whose_steps_are_worth_many_take_their_usual_number_beside_others():
    alone = grid(optimizers=("lbfgs",), steps=77)
    modes = alone.factorizations[0]
    assert alone.run(modes, 2, 0, 0.02, "lbfgs").train.steps == 77
    both = grid(optimizers=("adam", "lbfgs", "als"), steps=77)
    assert both.run(modes, 2, 0, 0.02, "adam").train.steps == 77
    for method in ("lbfgs", "als"):
        assert both.run(modes, 2, 0, 0.02, method).train.steps == USUAL_STEPS[method]


# ---- factorizations -------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 2**32), min_size=1, max_size=MAX_CORES), st.lists(st.integers(1, 99), min_size=1))
def test_a_factorization_that_is_written_is_read(ins, outs):
    one = Factorization(tuple(ins), tuple(outs[:MAX_CORES]))
    assert Factorization.parse(str(one)) == one
    assert Factorization.parse(str(one).replace("->", " → ")) == one


@settings(deadline=None)
@given(st.integers(1, 8), sweep_configs())
def test_balanced_and_low_rank_modes_fit_their_data(cores, config):
    for one in (Factorization.balanced(config.data, cores), Factorization.low_rank(config.data)):
        again = replace(config, factorizations=(one,))
        assert again.factorizations == (one,)
    low = Factorization.low_rank(config.data)
    assert low.is_low_rank
    assert low.label == "low rank"
    shape = config.run(low, 1, 0, 0.1, "adam").shape
    assert shape.num_parameters == config.data.in_features + config.data.out_features


def test_labels():
    assert Factorization((8, 4), (2, 3)).label == "8·4 → 2·3"
    assert not Factorization((8, 4), (1, 3)).is_low_rank
    assert not Factorization((8, 1), (2, 3)).is_low_rank
    assert not Factorization((8, 1, 1), (1, 3, 1)).is_low_rank


@pytest.mark.parametrize("text", ["", "8,8", "8,8->", "->2,2", "8->2->2", "a->b", "8,8>2,2", "0->1", "8,-1->2,2", "→"])
def test_what_is_no_factorization_is_refused(text):
    with pytest.raises(InputError):
        Factorization.parse(text)


@given(st.text() | st.text("0123456789,->→ "))
def test_any_text_is_a_factorization_or_a_refusal(text):
    try:
        one = Factorization.parse(text)
    except InputError as error:
        assert error.field
    else:
        assert Factorization.parse(str(one)) == one


@pytest.mark.parametrize("cores", [0, -1, 1.5, "2", None, True, MAX_CORES + 1])
def test_a_number_of_cores_that_is_none_is_refused(cores):
    with pytest.raises(InputError, match="cores"):
        Factorization.balanced(PLANTED, cores)


# ---- numbers as they are typed --------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 30) | st.integers(0, 10**9), min_size=1, max_size=40))
def test_shown_numbers_are_read_back(numbers):
    assert parse_numbers(show_numbers(numbers), "ranks") == tuple(numbers)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [((1, 2, 3, 4, 8), "1-4,8"), ((1, 2), "1,2"), ((5,), "5"), ((), ""), ((3, 2, 1), "3,2,1"), ((1, 1, 2, 3), "1,1-3")],
)
def test_shown_numbers(numbers, text):
    assert show_numbers(numbers) == text


# ---- refusals -------------------------------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"ranks": ()}, "ranks", ["empty", "at least one"]),
    ({"ranks": (0,)}, "ranks", ["0", "whole number from 1"]),
    ({"ranks": (2.5,)}, "ranks", ["2.5", "whole number"]),
    ({"ranks": (True,)}, "ranks", ["True", "whole number"]),
    ({"ranks": ("3",)}, "ranks", ["'3'", "whole number"]),
    ({"ranks": "12"}, "ranks", ["'12'", "list"]),
    ({"ranks": 5}, "ranks", ["5", "list"]),
    ({"ranks": None}, "ranks", ["None", "list"]),
    ({"seeds": ()}, "seeds", ["empty"]),
    ({"seeds": (-1,)}, "seeds", ["-1", "from 0"]),
    ({"seeds": (2**32,)}, "seeds", [str(2**32), str(2**32 - 1)]),
    ({"seeds": 0}, "seeds", ["0", "list"]),
    ({"rates": (0,)}, "rates", ["0", "above 0", "e.g. 0.05"]),
    ({"rates": (float("nan"),)}, "rates", ["nan", "above 0"]),
    ({"rates": (0.1, 1001)}, "rates", ["1001", "at most 1000"]),
    ({"rates": ("0.1",)}, "rates", ["'0.1'"]),
    ({"rates": 0.1}, "rates", ["0.1", "list"]),
    ({"optimizers": ("adams",)}, "optimizers", ["'adams'", "adam, sgd, lbfgs, als"]),
    ({"optimizers": "adam"}, "optimizers", ["'adam'", "list"]),
    ({"factorizations": ("8,8",)}, "modes", ["'8,8'", "8,8,8,8->2,2,2,2"]),
    ({"factorizations": (3,)}, "modes", ["3", "8,8,8,8->2,2,2,2"]),
    ({"factorizations": "8,8->4,4"}, "factorizations", ["8,8->4,4", "list"]),
    ({"factorizations": ("3,3->2,2",)}, "modes", ["3,3->2,2", "do not fit", "12 input features"]),
    ({"factorizations": ("3,4->4",)}, "modes", ["3,4->4", "do not fit"]),
]


@pytest.mark.parametrize(("changes", "field", "words"), BAD, ids=[str(bad[0])[:40] for bad in BAD])
def test_bad_values_are_refused_in_words(changes, field, words):
    with pytest.raises(InputError) as refused:
        SweepConfig(data=PLANTED, **changes)
    assert refused.value.field == field
    assert not [word for word in words if word not in str(refused.value)], str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_too_many_runs_are_refused_with_their_number():
    most = grid(ranks=range(1, 51), seeds=range(100))
    assert most.asked == MAX_RUNS
    with pytest.raises(InputError) as refused:
        grid(ranks=range(1, 52), seeds=range(100))
    assert str(refused.value) == "51 ranks x 100 seeds are 5,100 runs, and a sweep has at most 5,000; leave some out"
    with pytest.raises(InputError, match="5,000"):
        grid(ranks=range(1, MAX_RUNS + 2))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "JSON object"),
        ([], "JSON object"),
        ("x", "JSON object"),
        ({"rank": [1]}, "unknown key 'rank'"),
        ({"ranks": 3}, "ranks must be a list"),
        ({"ranks": {"1": 2}}, "ranks must be a list"),
        ({"data": []}, "DataConfig must be a JSON object"),
        ({"train": {"speed": 1}}, "unknown key 'speed'"),
        ({"factorizations": [None]}, "factorizations must be written"),
    ],
)
def test_what_is_no_saved_grid_is_refused(value, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        SweepConfig.from_json(value)


NAMES = ["data", "train", "factorizations", "ranks", "seeds", "rates", "optimizers"]
_parts = st.dictionaries(
    st.sampled_from([*DataConfig.__dataclass_fields__, *TrainConfig.__dataclass_fields__]), json_values, max_size=3
)
_known = st.dictionaries(st.sampled_from(NAMES), json_values | _parts | st.lists(json_values, max_size=3))


@settings(deadline=None, max_examples=300)
@given(json_values | _known)
@example({"ranks": [10**400]})
@example({"rates": [10**400]})
@example({"data": {"teacher_in_modes": [10**400]}})
@example({"factorizations": ["9" * 5000 + "->1"]})
@example({"train": {"target": 10**400}})
def test_any_json_is_a_grid_or_a_refusal(value):
    try:
        config = SweepConfig.from_json(value)
    except InputError as error:
        assert 0 < len(str(error)) < 1000
    else:
        assert SweepConfig.from_json(config.to_json()) == config
