from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dashboard.address import MAX_LENGTH, text
from dashboard.run_settings import RUN
from tests.tables import tiny
from ttcore.config import DataConfig, RunConfig, TrainConfig
from ttcore.errors import InputError
from ttcore.parse import parse_modes, parse_ranks, parse_real, parse_whole
from ttcore.presets import PRESETS

REAL = {"lr": "0.1", "momentum": "0.5", "decay": "0.25", "target": "0.9", "noise": "0.5"}
WHOLE = {"steps": "77", "seed": "3", "threads": "2", "ntrain": "30", "ntest": "40", "dseed": "5"}
MODES = {"in": "64,64", "out": "4,4", "tin": "4,4", "tout": "2,2"}
RANKS = {"ranks": "3,4,3", "trank": "2"}


def config_of(values: dict[str, Any]) -> RunConfig:
    """The run that controls with these values describe, read in the plainest way."""
    source = values["preset"]
    data = DataConfig()
    if source == "planted":
        data = DataConfig(
            source="planted",
            teacher_in_modes=parse_modes(values["tin"], "tin"),
            teacher_out_modes=parse_modes(values["tout"], "tout"),
            teacher_ranks=parse_ranks(values["trank"]),
            train_samples=parse_whole(values["ntrain"], "ntrain"),
            test_samples=parse_whole(values["ntest"], "ntest"),
            noise=parse_real(values["noise"], "noise"),
            seed=parse_whole(values["dseed"], "dseed"),
        )
    train = TrainConfig(
        optimizer=values["opt"],
        lr=parse_real(values["lr"], "lr"),
        momentum=parse_real(values["momentum"], "momentum"),
        schedule=values["sched"],
        decay_fraction=parse_real(values["decay"], "decay"),
        steps=parse_whole(values["steps"], "steps"),
        target_r2=parse_real(values["target"], "target") if values["target"] else None,
        init=values["init"],
        seed=parse_whole(values["seed"], "seed"),
        dtype=values["dtype"],
        device=values["device"],
        threads=parse_whole(values["threads"], "threads") if values["threads"] else None,
    )
    return RunConfig(
        data=data,
        in_modes=parse_modes(values["in"], "in"),
        out_modes=parse_modes(values["out"], "out"),
        ranks=parse_ranks(values["ranks"]) if values["ranks"] else values["rank"],
        train=train,
    )


def positive(high: float) -> st.SearchStrategy[float]:
    return st.floats(0, high, exclude_min=True, allow_subnormal=False)


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    cores = draw(st.integers(2, 5))
    modes = st.lists(st.integers(2, 9), min_size=cores, max_size=cores).map(tuple)
    ranks = st.integers(1, 10**6) | st.lists(st.integers(1, 50), min_size=cores - 1, max_size=cores - 1).map(tuple)
    in_modes, out_modes = draw(modes), draw(modes)
    train = TrainConfig(
        optimizer=draw(st.sampled_from(["adam", "sgd"])),
        lr=draw(positive(1000)),
        momentum=draw(st.floats(0, 0.999)),
        schedule=draw(st.sampled_from(["constant", "decay"])),
        decay_fraction=draw(positive(1)),
        steps=draw(st.integers(1, 10_000_000)),
        target_r2=draw(st.none() | st.floats(-10, 1)),
        init=draw(st.sampled_from(["unit", "glorot", "he"])),
        seed=draw(st.integers(0, 2**32 - 1)),
        dtype=draw(st.sampled_from(["float32", "float64"])),
        device=draw(st.sampled_from(["auto", "cpu", "cuda"])),
        threads=draw(st.none() | st.integers(1, 1024)),
    )
    if draw(st.booleans()):
        rest = (1,) * (cores - 1)
        return RunConfig(in_modes=(4097, *rest), out_modes=(*rest, 16), ranks=draw(ranks), train=train)
    data = DataConfig(
        source="planted",
        teacher_in_modes=in_modes,
        teacher_out_modes=out_modes,
        teacher_ranks=draw(ranks),
        train_samples=draw(st.integers(2, 10**6)),
        test_samples=draw(st.integers(2, 10**6)),
        noise=draw(st.floats(0, 1000)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )
    return RunConfig(data=data, in_modes=in_modes, out_modes=out_modes, ranks=draw(ranks), train=train)


def same_run(left: RunConfig, right: RunConfig) -> bool:
    """Equal, a list of one rank being that rank."""
    shapes = left.shape == right.shape and left.data.teacher_shape == right.data.teacher_shape
    return shapes and left.train == right.train and left.data.seed == right.data.seed


@given(configs())
def test_settings_survive_the_way_through_an_address(config):
    values = RUN.values_of(config)
    assert set(values) == {"preset", *RUN.fields}
    address = RUN.deviations(values)
    assert all(isinstance(value, str) for value in address.values())
    again, wrong = RUN.interpret(address)
    assert wrong == []
    assert again == values
    assert same_run(config_of(again), config)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_named_and_nothing_else(name):
    address = RUN.deviations(RUN.preset_values(name))
    assert address == ({} if name == next(iter(PRESETS)) else {"preset": name})
    assert config_of(RUN.preset_values(name)) == PRESETS[name].config
    assert RUN.interpret(address) == (RUN.preset_values(name), [])


def test_a_value_of_one_preset_is_a_deviation_in_another():
    values = RUN.preset_values("planted") | {"steps": "10000"}
    assert RUN.deviations(values) == {"preset": "planted", "steps": "10000"}


def test_a_small_planted_run_there_and_back():
    config = tiny(seed=7, ranks=2)
    assert same_run(config_of(RUN.interpret(RUN.deviations(RUN.values_of(config)))[0]), config)


@pytest.mark.parametrize("value", [0.05, 1e-3, 0.1 + 0.2, 1 / 3, 123.456789012, 1e-30, 5e-324, math.pi])
def test_a_number_is_written_so_that_it_reads_the_same(value):
    assert float(text(value)) == value


def test_numbers_are_written_as_a_person_would():
    assert [text(value) for value in (0.05, 0.5, 2.0, 0.0, None, 7, (8, 4), (3,))] == [
        "0.05", "0.5", "2", "0", "", "7", "8,4", "3",
    ]  # fmt: skip


# ---- what an address may hold ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "value"), [*REAL.items(), *WHOLE.items(), *MODES.items(), *RANKS.items()])
def test_text_controls_take_what_the_address_says(key, value):
    values, wrong = RUN.interpret({"preset": "planted", key: value})
    assert values == RUN.preset_values("planted") | {key: value}
    assert wrong == []


@pytest.mark.parametrize("key", RUN.choices)
def test_choices_do_not_mind_capitals(key):
    for choice in RUN.choices[key]:
        values, wrong = RUN.interpret({key: choice.upper()})
        assert (values[key], wrong) == (choice, [])


@pytest.mark.parametrize("key", RUN.choices)
def test_another_choice_is_named_with_those_that_there_are(key):
    values, (sentence,) = RUN.interpret({key: "gar`bage"})
    assert values == RUN.preset_values("reference")
    assert f"`{key}=gar'bage`" in sentence
    assert all(choice in sentence for choice in RUN.choices[key])
    assert sentence.endswith(f"{values[key]} is used.")


@pytest.mark.parametrize("rank", ["1", "7", "32"])
def test_a_rank_for_the_slider(rank):
    values, wrong = RUN.interpret({"rank": rank})
    assert (values["rank"], values["ranks"], wrong) == (int(rank), "", [])


@pytest.mark.parametrize("rank", ["33", "1000000", "1e6", "1" + "0" * 60])
def test_a_rank_beyond_the_slider_goes_to_the_free_field(rank):
    values, wrong = RUN.interpret({"rank": rank})
    assert wrong == []
    assert values["rank"] == RUN.preset_values("reference")["rank"]
    assert parse_ranks(values["ranks"]) == parse_whole(rank, "rank")


@pytest.mark.parametrize("order", [("rank", "ranks"), ("ranks", "rank")])
def test_a_rank_per_bond_goes_before_a_rank_beyond_the_slider(order):
    given_both = {"rank": "1000000", "ranks": "4,8,4"}
    values, wrong = RUN.interpret({key: given_both[key] for key in order})
    assert (values["ranks"], wrong) == ("4,8,4", [])


@pytest.mark.parametrize("order", [("rank", "ranks"), ("ranks", "rank")])
def test_too_long_ranks_are_not_read_by_way_of_the_rank(order):
    given_both = {"rank": "1000000", "ranks": "8," * MAX_LENGTH}
    values, wrong = RUN.interpret({key: given_both[key] for key in order})
    assert len(values["ranks"]) <= MAX_LENGTH
    assert any("`ranks`" in sentence for sentence in wrong)


@pytest.mark.parametrize("rank", ["0", "-3", "2.5", "x", "", "nan", "inf", "9" * 5000])
def test_what_is_no_rank_gets_a_sentence(rank):
    values, (sentence,) = RUN.interpret({"rank": rank})
    assert values == RUN.preset_values("reference")
    assert "rank" in sentence
    assert "8 is used" in sentence
    assert len(sentence) < 200


def test_a_rank_of_very_many_digits_gets_a_sentence():
    values, (sentence,) = RUN.interpret({"rank": "9" * 1000})
    assert values == RUN.preset_values("reference")
    assert len(sentence) < 200


def test_an_unknown_key_gets_a_sentence():
    values, wrong = RUN.interpret({"rnak": "9"})
    assert values == RUN.preset_values("reference")
    assert wrong == ["`rnak` is not a setting of this page."]


@pytest.mark.parametrize("key", sorted(set(RUN.fields) - set(RUN.choices) - {"rank"}))
def test_text_that_is_too_long_gets_a_sentence(key):
    long = "8" * (MAX_LENGTH + 1)
    values, (sentence,) = RUN.interpret({key: long})
    assert values == RUN.preset_values("reference")
    assert f"`{key}`" in sentence
    assert len(sentence) < 200
    assert RUN.interpret({key: long[:-1]}) == (values | {key: long[:-1]}, [])


@given(st.dictionaries(st.sampled_from(["preset", *RUN.fields]) | st.text(max_size=60), st.text(max_size=300)))
def test_whatever_stands_in_the_address_each_control_gets_a_value_it_can_hold(address):
    values, wrong = RUN.interpret(address)
    assert set(values) == {"preset", *RUN.fields}
    for key, value in values.items():
        if key in RUN.choices:
            assert value in RUN.choices[key]
        elif key == "rank":
            assert 1 <= value <= 32
        else:
            assert isinstance(value, str)
            assert len(value) <= MAX_LENGTH
    assert all(len(sentence) < 300 for sentence in wrong)


@given(st.dictionaries(st.sampled_from(sorted(RUN.fields)), st.text(min_size=1, max_size=12), min_size=1))
def test_nothing_in_the_address_is_dropped_unsaid(address):
    assume(not {"rank", "ranks"} <= set(address))
    values, wrong = RUN.interpret(address)
    usual = RUN.preset_values("reference")
    for key, value in address.items():
        taken = str(values[key]).lower() == value.lower()
        said = any(f"`{key}" in sentence for sentence in wrong)
        moved = key == "rank" and (str(values["rank"]) != str(usual["rank"]) or values["ranks"] != usual["ranks"])
        same_number = key == "rank" and _whole(value) == values["rank"]
        assert taken or said or moved or same_number


def _whole(value: str) -> int | None:
    try:
        return parse_whole(value, "rank")
    except InputError:
        return None
