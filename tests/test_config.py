from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tables import tiny
from ttcore import DataConfig, InputError, RunConfig, TrainConfig, TTShape, factorize, preset
from ttcore.config import differing_settings, flat_settings

modes = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def ranks(draw: st.DrawFn, num_cores: int) -> Any:
    return draw(st.integers(1, 10**7) | st.tuples(*[st.integers(1, 99)] * (num_cores - 1)))


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    if draw(st.booleans()):
        data = DataConfig()
    else:
        ins = draw(modes)
        outs = draw(st.tuples(*[st.integers(1, 4)] * len(ins)))
        data = DataConfig(
            source="planted",
            teacher_in_modes=ins,
            teacher_out_modes=outs,
            teacher_ranks=draw(ranks(len(ins))),
            train_samples=draw(st.integers(2, 10**7)),
            test_samples=draw(st.integers(2, 10**7)),
            noise=draw(st.floats(0, 1000)),
            seed=draw(seeds),
        )
    d = draw(st.integers(1, 5))
    train = TrainConfig(
        optimizer=draw(st.sampled_from(["adam", "sgd"])),
        lr=draw(st.floats(0, 1000, exclude_min=True)),
        momentum=draw(st.floats(0, 1, exclude_max=True)),
        schedule=draw(st.sampled_from(["constant", "decay"])),
        decay_fraction=draw(st.floats(0, 1, exclude_min=True)),
        steps=draw(st.integers(1, 10**7)),
        target=draw(st.none() | st.floats(-1e6, 1)),
        init=draw(st.sampled_from(["unit", "glorot", "he"])),
        seed=draw(seeds),
        dtype=draw(st.sampled_from(["float32", "float64"])),
        device=draw(st.sampled_from(["auto", "cpu", "cuda"])),
        threads=draw(st.none() | st.integers(1, 1024)),
    )
    return RunConfig(
        data=data,
        in_modes=factorize(data.in_features, d),
        out_modes=factorize(data.out_features, d),
        ranks=draw(ranks(d)),
        train=train,
    )


@settings(deadline=None)
@given(configs())
def test_json_there_and_back(config):
    text = json.dumps(config.to_json(), allow_nan=False)
    again = RunConfig.from_json(json.loads(text))
    assert again == config
    assert hash(again) == hash(config)
    assert again.shape == config.shape
    assert TrainConfig.from_json(config.train.to_json()) == config.train
    assert DataConfig.from_json(config.data.to_json()) == config.data


@settings(deadline=None)
@given(configs())
def test_what_is_trained_fits_the_data(config):
    shape = config.shape
    assert (shape.in_features, shape.out_features) == (config.data.in_features, config.data.out_features)
    assert shape.clipped() == shape
    asked = TTShape(config.in_modes, config.out_modes, config.ranks).ranks
    assert bool(config.clipped_note) == (asked != shape.ranks)
    padded = (shape.padded_in_features, shape.padded_out_features) != (shape.in_features, shape.out_features)
    assert bool(config.padding_note) == padded


def test_defaults_are_the_reference_run():
    assert RunConfig() == RunConfig.from_json({}) == preset("reference")
    assert RunConfig().shape.parameter_ratio == 0.03515625
    assert RunConfig().data.seed == 123
    assert DataConfig(source="planted").seed == 0


def test_left_out_modes_are_made_to_fit():
    assert RunConfig.from_json({"in_modes": [64, 64]}).out_modes == (4, 4)
    assert RunConfig.from_json({"out_modes": [4, 2, 2]}).in_modes == (16, 16, 16)
    planted = {"source": "planted", "teacher_in_modes": [5, 6], "teacher_out_modes": [2, 2]}
    config = RunConfig.from_json({"data": planted, "ranks": 3})
    assert (config.in_modes, config.out_modes) == ((5, 6), (2, 2))


def test_notes_name_the_numbers():
    config = tiny(in_modes=(4, 4), out_modes=(3, 2), ranks=1_000_000)
    assert "(1000000)" in config.clipped_note and "(8)" in config.clipped_note
    assert "4 zeros to 16" in config.padding_note and "2 surplus of 6" in config.padding_note


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", 0, "0"),
        ("steps", -5, "-5"),
        ("steps", 1.5, "1.5"),
        ("steps", "100", "'100'"),
        ("steps", True, "True"),
        ("steps", 10**8, "100000000"),
        ("lr", 0, "0"),
        ("lr", -0.1, "-0.1"),
        ("lr", math.inf, "inf"),
        ("lr", math.nan, "nan"),
        ("lr", 1001, "1001"),
        ("lr", 10**400, "1000"),
        ("lr", "0.1", "'0.1'"),
        ("lr", None, "None"),
        ("lr", [0.1], "[0.1]"),
        ("lr", False, "False"),
        ("momentum", 1, "1"),
        ("momentum", -0.5, "-0.5"),
        ("momentum", math.nan, "nan"),
        ("decay_fraction", 0, "0"),
        ("decay_fraction", 1.1, "1.1"),
        ("target", 1.5, "1.5"),
        ("target", math.nan, "nan"),
        ("target", -math.inf, "-inf"),
        ("optimizer", "newton", "adam, sgd, lbfgs, als"),
        ("ridge", 0, "0"),
        ("ridge", 2, "2"),
        ("ridge", math.nan, "nan"),
        ("tf32", "yes", "true or false"),
        ("tf32", 1, "true or false"),
        ("optimizer", ["adam"], "adam, sgd"),
        ("schedule", "cosine", "constant, decay"),
        ("init", "zeros", "unit, glorot, he"),
        ("dtype", "float16", "float32, float64"),
        ("device", "tpu", "auto, cpu, cuda"),
        ("device", None, "auto, cpu, cuda"),
        ("seed", -1, "-1"),
        ("seed", 2**32, str(2**32)),
        ("threads", 0, "0"),
        ("threads", 1025, "1025"),
    ],
)
def test_bad_training_settings(name, value, words):
    with pytest.raises(InputError) as refused:
        TrainConfig(**{name: value})
    assert refused.value.field == name
    assert words in str(refused.value) and name in str(refused.value)
    with pytest.raises(InputError):
        RunConfig.from_json({"train": {name: value}})


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("source", "iris", "source"),
        ("source", None, "source"),
        ("teacher_in_modes", (0, 8), "teacher_in_modes"),
        ("teacher_in_modes", (8, 8), "teacher_out_modes"),
        ("teacher_in_modes", (2**20, 2**20, 1, 1), "teacher_in_modes"),
        ("teacher_out_modes", "2222", "teacher_out_modes"),
        ("teacher_ranks", 0, "teacher_ranks"),
        ("teacher_ranks", (2, 2), "teacher_ranks"),
        ("teacher_ranks", 2.0, "teacher_ranks"),
        ("train_samples", 1, "train_samples"),
        ("train_samples", 10**9, "train_samples"),
        ("test_samples", 0, "test_samples"),
        ("noise", -1, "noise"),
        ("noise", math.nan, "noise"),
        ("noise", math.inf, "noise"),
        ("seed", -1, "data_seed"),
        ("seed", 0.5, "data_seed"),
    ],
)
def test_bad_data_settings(name, value, field):
    with pytest.raises(InputError) as refused:
        DataConfig(**{"source": "planted", name: value})
    assert refused.value.field == field
    assert len(str(refused.value)) > 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("teacher_in_modes", (16, 16, 16, 1)),
        ("teacher_out_modes", (4, 4, 1, 1)),
        ("teacher_ranks", 5),
        ("train_samples", 257),
        ("test_samples", 10),
        ("noise", 0.1),
        ("seed", 0),
    ],
)
def test_the_reference_data_cannot_be_changed(name, value):
    with pytest.raises(InputError, match="reference") as refused:
        DataConfig(**{name: value})
    assert refused.value.field == ("data_seed" if name == "seed" else name)
    assert "planted" in str(refused.value)


@pytest.mark.parametrize(
    ("given_settings", "field", "words"),
    [
        ({"in_modes": [8, 8, 8], "out_modes": [4, 2, 2]}, "in_modes", "4096"),
        ({"in_modes": [8, 8, 8, 8], "out_modes": [2, 2, 2, 1]}, "out_modes", "16"),
        ({"in_modes": [8, 8, 8, 8], "out_modes": [4, 4]}, "out_modes", "fill"),
        ({"in_modes": [64, 64.5]}, "in_modes", "64.5"),
        ({"in_modes": "64,64"}, "in_modes", "'64,64'"),
        ({"in_modes": {}}, "in_modes", "empty"),
        ({"ranks": 0}, "ranks", "at least 1"),
        ({"ranks": [8, 8]}, "ranks", "2 entries"),
        ({"ranks": None}, "ranks", "None"),
        ({"ranks": "8"}, "ranks", "'8'"),
        ({"rank": 8}, "", "'rank'"),
        ({"train": {"learning_rate": 1}}, "", "'learning_rate'"),
        ({"data": {"rows": 1}}, "", "'rows'"),
        ({"train": None}, "", "None"),
        ({"data": [1]}, "", "[1]"),
        ([], "", "[]"),
        (None, "", "None"),
        ("reference", "", "'reference'"),
        (8, "", "8"),
        ({1: 2}, "", "'1'"),
    ],
)
def test_bad_runs(given_settings, field, words):
    with pytest.raises(InputError) as refused:
        RunConfig.from_json(given_settings)
    assert refused.value.field == field
    assert words in str(refused.value)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = ["data", "in_modes", "out_modes", "ranks", "train"]


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(st.sampled_from(names), junk)
    | st.fixed_dictionaries({"train": st.dictionaries(st.sampled_from(list(TrainConfig.__dataclass_fields__)), junk)})
    | st.fixed_dictionaries({"data": st.dictionaries(st.sampled_from(list(DataConfig.__dataclass_fields__)), junk)})
    | junk
)
def test_garbage_is_refused_in_one_way_or_is_a_run(value):
    try:
        config = RunConfig.from_json(value)
    except InputError as error:
        assert str(error) and len(str(error)) < 500
    else:
        assert RunConfig.from_json(config.to_json()) == config


def test_anything_that_is_whole_will_do():
    config = tiny(in_modes=np.array([3, 4]), out_modes=[2, 2], ranks=(rank for rank in (2,)))
    assert config == tiny(ranks=(2,))
    assert json.dumps(config.to_json())


def test_an_unknown_preset():
    with pytest.raises(InputError, match="reference, reference-fast, planted") as refused:
        preset("mnist")
    assert refused.value.field == "preset"


# ---- the schedule ---------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 3000), st.floats(0.001, 1), st.floats(1e-6, 10))
def test_the_rate_is_constant_and_then_falls_linearly_to_zero(steps, fraction, lr):
    train = TrainConfig(steps=steps, schedule="decay", decay_fraction=fraction, lr=lr)
    rates = np.array([train.rate(step) for step in range(steps + 1)])
    falling = steps * fraction
    expected = lr * np.interp(np.arange(steps + 1), [steps - falling, steps], [1, 0])
    np.testing.assert_allclose(rates, expected, rtol=1e-9, atol=1e-12 * lr)
    assert rates[0] == pytest.approx(lr) and rates[-1] == 0
    assert (rates[:-1] > 0).all()


def test_a_constant_rate():
    train = TrainConfig(steps=10, schedule="constant", decay_fraction=0.5, lr=0.3)
    assert {train.rate(step) for step in range(10)} == {0.3}


# ---- settings side by side ------------------------------------------------------------------------------------------


def test_flat_settings_hold_every_setting_once():
    flat = flat_settings(tiny(data_seed=5, seed=7))
    assert (flat["data_seed"], flat["seed"]) == (5, 7)
    fields = {*TrainConfig.__dataclass_fields__, *DataConfig.__dataclass_fields__}
    assert set(flat) == fields | {"in_modes", "out_modes", "ranks", "data_seed"}


def test_differing_settings():
    rows = differing_settings([tiny(), tiny(seed=3), tiny(ranks=1)])
    assert rows == [{"ranks": 2, "seed": 0}, {"ranks": 2, "seed": 3}, {"ranks": 1, "seed": 0}]
    assert differing_settings([tiny(), tiny()]) == [{}, {}]
    assert differing_settings([]) == []
