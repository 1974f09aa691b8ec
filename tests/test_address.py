from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dashboard.address import MAX_LENGTH, OWN, TABLE, text
from dashboard.run_settings import DATA_SETTINGS, RUN, own_run, preset_of, settings_of
from tests.tables import tiny
from ttcore.config import DataConfig, RunConfig, TrainConfig
from ttcore.errors import InputError
from ttcore.own_data import config_of as data_of_table
from ttcore.parse import parse_modes, parse_ranks, parse_real, parse_whole
from ttcore.preparing import Prepared
from ttcore.presets import PRESETS
from ttcore.sources import SOURCES
from ttcore.table_store import Stored, TableStore

REAL = {"lr": "0.1", "momentum": "0.5", "decay": "0.25", "target": "0.9", "noise": "0.5", "wd": "0.1", "frac": "0.3"}
WHOLE = {
    "steps": "77", "seed": "3", "threads": "2", "batch": "64", "ntrain": "30", "ntest": "40", "dseed": "5",
    "n": "90", "p": "12", "inf": "3", "q": "2", "eff": "4", "split": "6",
}  # fmt: skip
MODES = {"in": "64,64", "out": "4,4", "tin": "4,4", "tout": "2,2"}
RANKS = {"ranks": "3,4,3", "trank": "2"}


READ: dict[str, Any] = {
    "tin": parse_modes, "tout": parse_modes, "trank": lambda value, field: parse_ranks(value),
    "noise": parse_real, "frac": parse_real,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Stored]]:
    """The tables of a store of their own: targets, and classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TTCORE_TABLES", str(tmp_path_factory.mktemp("tables")))
        numbers = np.arange(240.0).reshape(40, 6)
        classes = np.eye(4)[np.arange(40) % 4]
        names = tuple("abcdef")
        made = [
            Prepared(numbers, numbers[:, :2], names, ("t", "u"), "regression"),
            Prepared(numbers, classes, names, tuple("wxyz"), "classification"),
        ]
        yield [TableStore().add_arrays(str(place), f"table {place}", one) for place, one in enumerate(made)]


def data_of(values: dict[str, Any]) -> DataConfig:
    """The data that controls with these values describe, read in the plainest way."""
    if values["preset"] == OWN:
        stored = TableStore().get(values[TABLE])
        return data_of_table(stored, test_fraction=float(values["frac"]), split_seed=int(values["split"]))
    source = PRESETS[values["preset"]].config.data.source
    settings: dict[str, Any] = {
        setting: READ.get(name, parse_whole)(values[name], name) for name, setting in settings_of(source).items()
    }
    return DataConfig(source=source, **settings)


def config_of(values: dict[str, Any]) -> RunConfig:
    """The run that controls with these values describe, read in the plainest way."""
    data = data_of(values)
    train = TrainConfig(
        optimizer=values["opt"],
        lr=parse_real(values["lr"], "lr"),
        momentum=parse_real(values["momentum"], "momentum"),
        weight_decay=parse_real(values["wd"], "wd"),
        batch_size=parse_whole(values["batch"], "batch") if values["batch"] else None,
        schedule=values["sched"],
        decay_fraction=parse_real(values["decay"], "decay"),
        steps=parse_whole(values["steps"], "steps"),
        target=parse_real(values["target"], "target") if values["target"] else None,
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


seeds = st.integers(0, 2**32 - 1)


@st.composite
def data_configs(draw: st.DrawFn) -> DataConfig:
    """Of any source, with any settings."""
    source = draw(st.sampled_from(list(SOURCES)))
    split: dict[str, Any] = {"test_fraction": draw(st.floats(0.25, 0.75)), "split_seed": draw(seeds)}
    if source == "table":
        folder = draw(st.sampled_from(sorted(TableStore().folder.iterdir())))
        return data_of_table(TableStore().get(folder.name), **split)
    if source == "regression":
        features, samples = draw(st.integers(1, 300)), draw(st.integers(8, 10**6))
        return DataConfig(
            source=source,
            samples=samples,
            features=features,
            informative=draw(st.integers(1, features)),
            outputs=draw(st.integers(1, 300)),
            effective_rank=draw(st.integers(0, min(samples, features))),
            noise=draw(st.floats(0, 1000)),
            seed=draw(seeds),
            **split,
        )
    if source == "planted":
        cores = draw(st.integers(1, 4))
        modes = st.lists(st.integers(1, 9), min_size=cores, max_size=cores).map(tuple)
        each = st.lists(st.integers(1, 50), min_size=cores - 1, max_size=cores - 1).map(tuple)
        # A list of one rank is that rank once it has been through an address.
        ranks: st.SearchStrategy[Any] = st.integers(1, 10**6) | (each if cores > 2 else st.nothing())
        return DataConfig(
            source=source,
            teacher_in_modes=draw(modes),
            teacher_out_modes=draw(modes),
            teacher_ranks=draw(ranks),
            train_samples=draw(st.integers(2, 10**6)),
            test_samples=draw(st.integers(2, 10**6)),
            noise=draw(st.floats(0, 1000)),
            seed=draw(seeds),
        )
    return DataConfig(source=source, **(split if SOURCES[source].is_split else {}))


@st.composite
def configs(draw: st.DrawFn) -> RunConfig:
    data = draw(data_configs())
    cores = draw(st.integers(2, 5))
    rest = (1,) * (cores - 1)
    ranks = st.integers(1, 10**6) | st.lists(st.integers(1, 50), min_size=cores - 1, max_size=cores - 1).map(tuple)
    in_modes, out_modes = (data.in_features + draw(st.integers(0, 2)), *rest), (*rest, data.out_features)
    train = TrainConfig(
        optimizer=draw(st.sampled_from(["adam", "sgd"])),
        lr=draw(positive(1000)),
        momentum=draw(st.floats(0, 0.999)),
        weight_decay=draw(st.floats(0, 1000)),
        batch_size=draw(st.none() | st.integers(1, 10**6)),
        schedule=draw(st.sampled_from(["constant", "decay"])),
        decay_fraction=draw(positive(1)),
        steps=draw(st.integers(1, 10_000_000)),
        target=draw(st.none() | st.floats(-10, 1)),
        init=draw(st.sampled_from(["unit", "glorot", "he"])),
        seed=draw(st.integers(0, 2**32 - 1)),
        dtype=draw(st.sampled_from(["float32", "float64"])),
        device=draw(st.sampled_from(["auto", "cpu", "cuda"])),
        threads=draw(st.none() | st.integers(1, 1024)),
    )
    return RunConfig(data=data, in_modes=in_modes, out_modes=out_modes, ranks=draw(ranks), train=train)


def same_run(left: RunConfig, right: RunConfig) -> bool:
    """Equal, a list of one rank being that rank."""
    return (left.shape, left.data, left.train) == (right.shape, right.data, right.train)


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


def test_a_table_is_named_with_its_preset_and_nothing_else(tables):
    for stored in tables:
        run = own_run(data_of_table(stored))
        address = RUN.deviations(RUN.values_of(run))
        assert address == {"preset": OWN, TABLE: stored.key}
        assert RUN.interpret(address) == (RUN.preset_values(OWN, stored.key), [])
        assert config_of(RUN.preset_values(OWN, stored.key)) == run


def test_own_data_without_a_table_wait_for_one():
    values, wrong = RUN.interpret({"preset": OWN})
    assert (values["preset"], values[TABLE], wrong) == (OWN, "", [])
    assert RUN.deviations(values) == {"preset": OWN}
    assert RUN.deviations(values | {TABLE: None}) == {"preset": OWN}


@pytest.mark.parametrize("key", ["0" * 32, "x", "../../etc", "☃"])
def test_a_table_that_is_not_held_gets_a_sentence(key):
    values, (sentence,) = RUN.interpret({"preset": OWN, TABLE: key})
    assert (values["preset"], values[TABLE]) == (OWN, "")
    assert "no table that is held here" in sentence
    assert "Data page" in sentence
    values, (sentence,) = RUN.interpret({TABLE: key})
    assert values == RUN.preset_values("reference")
    assert f"`{TABLE}` is not a setting of `preset=reference`" in sentence


@pytest.mark.parametrize("name", PRESETS)
def test_the_preset_of_a_presets_data(name):
    assert preset_of(PRESETS[name].config.data) == name.removesuffix("-fast")


def test_planted_data_of_two_cores_with_a_mode_of_one_are_low_rank():
    low = DataConfig(source="planted", teacher_in_modes=(32, 1), teacher_out_modes=(1, 9), teacher_ranks=4)
    assert preset_of(low) == "planted-low-rank"
    assert preset_of(replace(low, teacher_in_modes=(32, 2))) == "planted"


@pytest.mark.parametrize("source", SOURCES)
def test_every_setting_of_a_source_has_a_field(source):
    sizes = {"title", "task", "samples", "features", "outputs"} if source == "table" else set()
    assert set(settings_of(source).values()) == set(SOURCES[source].settings) - sizes
    assert set(DATA_SETTINGS) <= set(RUN.fields)


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
    preset = next(name for name in ("planted", "regression") if key not in RUN.foreign(name))
    values, wrong = RUN.interpret({"preset": preset, key: value})
    assert values == RUN.preset_values(preset) | {key: value}
    assert wrong == []


@pytest.mark.parametrize("name", RUN.presets)
def test_what_a_task_does_not_have_gets_a_sentence(name):
    for key in DATA_SETTINGS:
        values, wrong = RUN.interpret({"preset": name, key: "8"})
        if key in RUN.foreign(name):
            assert values == RUN.preset_values(name)
            assert wrong == [f"`{key}` is not a setting of `preset={name}`; it is left out."]
        elif key != TABLE:
            assert (values, wrong) == (RUN.preset_values(name) | {key: "8"}, [])


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


@pytest.mark.parametrize("key", sorted(set(RUN.fields) - set(RUN.choices) - {"rank", TABLE}))
def test_text_that_is_too_long_gets_a_sentence(key):
    long = "8" * (MAX_LENGTH + 1)
    preset = next(name for name in ("reference", "planted", "regression") if key not in RUN.foreign(name))
    values, (sentence,) = RUN.interpret({"preset": preset, key: long})
    assert values == RUN.preset_values(preset)
    assert f"`{key}`" in sentence
    assert len(sentence) < 200
    assert RUN.interpret({"preset": preset, key: long[:-1]}) == (values | {key: long[:-1]}, [])


@given(st.dictionaries(st.sampled_from(["preset", *RUN.fields]) | st.text(max_size=60), st.text(max_size=300)))
@example({"preset": OWN})
@example({"preset": OWN, TABLE: "0" * 32, "lr": "2"})
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
        said = any(sentence.startswith((f"`{key}`", f"`{key}=")) for sentence in wrong)
        moved = key == "rank" and (str(values["rank"]) != str(usual["rank"]) or values["ranks"] != usual["ranks"])
        same_number = key == "rank" and _whole(value) == values["rank"]
        assert taken or said or moved or same_number


def _whole(value: str) -> int | None:
    try:
        return parse_whole(value, "rank")
    except InputError:
        return None
