"""Settings of the Trade-off page -> an address -> the same sweep again, and whatever else an address may hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dashboard.address import MAX_LENGTH, OWN, TABLE, text
from dashboard.run_settings import RUN
from dashboard.sweep_settings import LOW_RANK, PICKED, SWEEP, own_sweep, picked_factorizations
from tests.sweeps import grid
from tests.test_address import data_configs, data_of, tables  # noqa: F401 - a fixture of this module too
from ttcore.config import TrainConfig
from ttcore.own_data import config_of as data_of_table
from ttcore.parse import parse_numbers, parse_real, parse_reals, parse_whole
from ttcore.sweep_config import Factorization, SweepConfig
from ttcore.sweep_presets import SWEEPS

OPTIMIZERS = ("adam", "sgd", "lbfgs", "als")
FREE = sorted(set(SWEEP.fields) - set(SWEEP.choices) - set(SWEEP.several) - {TABLE})


def config_of(values: dict[str, Any]) -> SweepConfig:
    """The sweep that controls with these values describe, read in the plainest way."""
    data = data_of(values)
    train = TrainConfig(
        momentum=parse_real(values["momentum"], "momentum"),
        weight_decay=parse_real(values["wd"], "wd"),
        schedule=values["sched"],
        decay_fraction=parse_real(values["decay"], "decay"),
        steps=parse_whole(values["steps"], "steps"),
        target=parse_real(values["target"], "target") if values["target"] else None,
        init=values["init"],
        device=values["device"],
        dtype=values["dtype"],
        ridge=parse_real(values["ridge"], "ridge"),
        tf32=values["tf32"] == "true",
        threads=parse_whole(values["threads"], "threads") if values["threads"] else None,
    )
    modes = [Factorization.parse(part) for part in values["modes"].split(";") if part.strip()]
    for pick in values["cores"]:
        modes.append(
            Factorization((data.in_features, 1), (1, data.out_features))
            if pick == LOW_RANK
            else Factorization.balanced(data, int(pick))
        )
    return SweepConfig(
        data=data,
        train=train,
        factorizations=tuple(modes),
        ranks=parse_numbers(values["ranks"], "ranks"),
        seeds=parse_numbers(values["seeds"], "seeds"),
        rates=parse_reals(values["rates"], "rates"),
        optimizers=tuple(values["opts"]),
    )


def positive(high: float) -> st.SearchStrategy[float]:
    return st.floats(0, high, exclude_min=True, allow_subnormal=False)


@st.composite
def sweeps(draw: st.DrawFn) -> SweepConfig:
    data = draw(data_configs())
    picks = picked_factorizations(data)
    own = [
        Factorization((data.in_features + 1, 1, 1), (1, 1, data.out_features)),
        Factorization((1, data.in_features), (data.out_features, 1)),
        Factorization((data.in_features, 2), (2, data.out_features)),
    ]
    return SweepConfig(
        data=data,
        train=TrainConfig(
            momentum=draw(st.floats(0, 0.999)),
            weight_decay=draw(st.floats(0, 1000)),
            schedule=draw(st.sampled_from(["constant", "decay"])),
            decay_fraction=draw(positive(1)),
            steps=draw(st.integers(1, 10_000_000)),
            target=draw(st.none() | st.floats(-10, 1)),
            init=draw(st.sampled_from(["unit", "glorot", "he"])),
            dtype=draw(st.sampled_from(["float32", "float64"])),
            device=draw(st.sampled_from(["auto", "cpu", "cuda"])),
            ridge=draw(positive(1)),
            tf32=draw(st.booleans()),
            threads=draw(st.none() | st.integers(1, 1024)),
        ),
        factorizations=tuple(draw(st.lists(st.sampled_from([*picks.values(), *own]), min_size=1, max_size=5))),
        ranks=tuple(draw(st.lists(st.integers(1, 999), min_size=1, max_size=9))),
        seeds=tuple(draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4))),
        rates=tuple(draw(st.lists(positive(1000), min_size=1, max_size=3))),
        optimizers=tuple(draw(st.lists(st.sampled_from(OPTIMIZERS), min_size=1))),
    )


@given(sweeps())
def test_settings_survive_the_way_through_an_address(config):
    values = SWEEP.values_of(config)
    assert set(values) == {"preset", *SWEEP.fields}
    address = SWEEP.deviations(values)
    assert all(isinstance(value, str) for value in address.values())
    again, wrong = SWEEP.interpret(address)
    assert wrong == []
    assert again == values
    assert config_of(again) == config


@given(sweeps())
def test_no_factorization_is_picked_twice_or_picked_and_typed(config):
    values = SWEEP.values_of(config)
    picks = picked_factorizations(config.data)
    named = [picks[pick] for pick in values["cores"]]
    named += [Factorization.parse(part) for part in values["modes"].split(";") if part.strip()]
    assert sorted(named) == list(config.factorizations)


@pytest.mark.parametrize("name", SWEEPS)
def test_a_preset_is_named_and_nothing_else(name):
    address = SWEEP.deviations(SWEEP.preset_values(name))
    assert address == ({} if name == next(iter(SWEEPS)) else {"preset": name})
    assert config_of(SWEEP.preset_values(name)) == SWEEPS[name]
    assert SWEEP.interpret(address) == (SWEEP.preset_values(name), [])


def test_a_table_is_named_with_its_preset_and_nothing_else(tables):  # noqa: F811 - the fixture
    for stored in tables:
        sweep = own_sweep(data_of_table(stored))
        address = SWEEP.deviations(SWEEP.values_of(sweep))
        assert address == {"preset": OWN, TABLE: stored.key}
        assert SWEEP.interpret(address) == (SWEEP.preset_values(OWN, stored.key), [])
        assert config_of(SWEEP.preset_values(OWN, stored.key)) == sweep


def test_both_pages_have_the_same_presets_and_no_control_in_common():
    assert list(SWEEP.starts) == list(RUN.starts)
    assert not {SWEEP.prefix + name for name in SWEEP.fields} & {RUN.prefix + name for name in RUN.fields}
    assert SWEEP.shown != RUN.shown


def test_low_rank_that_is_picked_is_not_typed():
    config = grid(factorizations=("12,1->1,4", "3,4->2,2", "4,3->2,2"))
    values = SWEEP.values_of(config)
    assert (values["cores"], values["modes"]) == ([LOW_RANK], "3,4->2,2") or values["cores"] == [LOW_RANK, "2"]
    assert config_of(SWEEP.interpret(SWEEP.deviations(values))[0]) == config


# ---- what an address may hold ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", SWEEP.choices)
def test_choices_do_not_mind_capitals_and_another_one_gets_a_sentence(key):
    for choice in SWEEP.choices[key]:
        values, wrong = SWEEP.interpret({key: choice.upper()})
        assert (values[key], wrong) == (choice, [])
    values, (sentence,) = SWEEP.interpret({key: "gar`bage"})
    assert values == SWEEP.preset_values("reference")
    assert f"`{key}=gar'bage`" in sentence
    assert sentence.endswith(f"{values[key]} is used.")


@pytest.mark.parametrize(
    ("key", "value", "taken"),
    [
        ("cores", "4,low,2", ["low", "2", "4"]),
        ("cores", " 2 ,, LOW,2", ["low", "2"]),
        ("cores", "", []),
        ("opts", "als,adam", ["adam", "als"]),
        ("opts", "SGD", ["sgd"]),
    ],
)
def test_several_choices_come_in_the_order_of_the_options(key, value, taken):
    values, wrong = SWEEP.interpret({key: value})
    assert (values[key], wrong) == (taken, [])


@given(st.lists(st.sampled_from(PICKED), unique=True))
def test_the_order_in_which_they_were_picked_does_not_matter_to_the_address(picked):
    values = SWEEP.preset_values("planted")
    assert SWEEP.deviations(values | {"cores": picked}) == SWEEP.deviations(
        values | {"cores": sorted(picked, key=PICKED.index)}
    )


@pytest.mark.parametrize("key", SWEEP.several)
def test_every_stranger_among_several_choices_is_named(key):
    known = SWEEP.several[key][1]
    values, (sentence,) = SWEEP.interpret({key: f"nine, {known}, t`en"})
    assert values[key] == [known]
    assert f"`{key}=" in sentence and "nine" in sentence and "t'en" in sentence
    assert all(option in sentence for option in SWEEP.several[key])
    assert len(sentence) < 200
    _, (sentence,) = SWEEP.interpret({key: "stranger," * 20})
    assert len(sentence) < 200


@pytest.mark.parametrize("key", [*FREE, *SWEEP.several])
def test_text_that_is_too_long_gets_a_sentence(key):
    long = "8" * (MAX_LENGTH + 1)
    preset = next(name for name in ("reference", "planted", "regression") if key not in SWEEP.foreign(name))
    values, (sentence,) = SWEEP.interpret({"preset": preset, key: long})
    assert values == SWEEP.preset_values(preset)
    assert f"`{key}`" in sentence
    assert len(sentence) < 200
    if key in FREE:
        assert SWEEP.interpret({"preset": preset, key: long[:-1]}) == (values | {key: long[:-1]}, [])


def test_what_another_page_has_is_not_a_setting_here():
    for key in sorted({*RUN.fields} - {*SWEEP.fields}):
        values, wrong = SWEEP.interpret({key: "8"})
        assert values == SWEEP.preset_values("reference")
        assert wrong == [f"`{key}` is not a setting of this page."]


@given(st.dictionaries(st.sampled_from(["preset", *SWEEP.fields]) | st.text(max_size=60), st.text(max_size=300)))
def test_whatever_stands_in_the_address_each_control_gets_a_value_it_can_hold(address):
    values, wrong = SWEEP.interpret(address)
    assert set(values) == {"preset", *SWEEP.fields}
    for key, value in values.items():
        if key in SWEEP.choices:
            assert value in SWEEP.choices[key]
        elif key in SWEEP.several:
            assert value == [option for option in SWEEP.several[key] if option in value]
        else:
            assert isinstance(value, str)
            assert len(value) <= MAX_LENGTH
    assert all(len(sentence) < 300 for sentence in wrong)


_words = st.text(min_size=1, max_size=12) | st.lists(st.sampled_from([*PICKED, *OPTIMIZERS, "nine"])).map(",".join)


@given(st.dictionaries(st.sampled_from(sorted(SWEEP.fields)), _words, min_size=1))
@example({"cores": "2,x,y"})
def test_nothing_in_the_address_is_dropped_unsaid(address):
    assume("preset" not in address)
    values, wrong = SWEEP.interpret(address)
    for key, value in address.items():
        said = [sentence for sentence in wrong if sentence.startswith((f"`{key}`", f"`{key}="))]
        if key in SWEEP.several:
            asked = {part.strip().lower() for part in value.split(",")} - {""}
            assert set(values[key]) == asked & set(SWEEP.several[key])
            assert bool(said) == bool(asked - set(values[key]))
        else:
            assert text(values[key]).lower() == value.lower() or len(said) == 1


@given(st.dictionaries(st.sampled_from(["preset", *SWEEP.fields]), st.text(max_size=30)))
def test_what_is_read_is_written_the_same_way(address):
    values, _ = SWEEP.interpret(address)
    assert SWEEP.interpret(SWEEP.deviations(values)) == (values, [])
