"""Every source of the registry: its sizes, its hold-out, its scaling, and what it refuses."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import datasets as sklearn_datasets
from sklearn.datasets import make_regression

from ttcore import DataConfig, InputError, RunConfig, TrainConfig, load
from ttcore.bundled import bundled
from ttcore.sources import SOURCES
from ttcore.splitting import Whole, places, split

SPLIT = ("digits", "diabetes", "breast_cancer", "wine", "linnerud")
CLASSES = ("digits", "breast_cancer", "wine")
SMALL = DataConfig(source="regression", samples=60, features=9, informative=4, outputs=2)


@pytest.mark.parametrize("source", [*SPLIT, "regression", "planted", "reference"])
def test_the_arrays_have_the_sizes_that_the_configuration_says(source):
    config = DataConfig(source=source)
    dataset = load(config)
    assert dataset.x_train.shape == (config.train_samples, config.in_features)
    assert dataset.x_test.shape == (config.test_samples, config.in_features)
    assert dataset.y_train.shape == (config.train_samples, config.out_features)
    assert dataset.y_test.shape == (config.test_samples, config.out_features)
    assert config.all_samples == config.train_samples + config.test_samples
    assert bool(dataset.classes) == (config.task_kind == "classification")
    assert DataConfig.from_json(config.to_json()) == config
    assert SOURCES[config.source].about and SOURCES[config.source].origin and config.name


@pytest.mark.parametrize("source", SPLIT)
def test_bundled_data_are_those_of_scikit_learn(source):
    bunch = getattr(sklearn_datasets, f"load_{source}")(**({"scaled": False} if source == "diabetes" else {}))
    whole = bundled(source)
    assert np.array_equal(whole.x, bunch.data)
    if source in CLASSES:
        assert np.array_equal(whole.y.argmax(1), bunch.target) and (whole.y.sum(1) == 1).all()
        assert whole.classes == tuple(map(str, bunch.target_names))
    else:
        assert np.array_equal(whole.y.reshape(bunch.target.shape), bunch.target)


@pytest.mark.parametrize("source", SPLIT)
@pytest.mark.parametrize("fraction", [0.2, 0.45])
def test_the_hold_out_takes_every_sample_once_and_keeps_the_classes_shares(source, fraction):
    config = DataConfig(source=source, test_fraction=fraction, split_seed=3)
    whole = bundled(source)
    train, test = places(whole, config)
    assert np.array_equal(np.sort([*train, *test]), np.arange(config.all_samples))
    if whole.classes:
        share = whole.y.mean(0)
        for rows in (train, test):
            assert (np.abs(whole.y[rows].sum(0) - share * len(rows)) <= 1).all()
    other = places(whole, replace(config, split_seed=4))
    assert not np.array_equal(np.sort(other[1]), np.sort(test))
    assert np.array_equal(places(whole, config)[1], test)


@pytest.mark.parametrize("source", [*SPLIT, "regression"])
def test_training_samples_alone_decide_the_scale(source):
    dataset = load(DataConfig(source=source))
    assert np.abs(dataset.x_train.mean(0)).max() < 1e-9
    varying = dataset.x_train.std(0) > 0
    np.testing.assert_allclose(dataset.x_train.std(0)[varying], 1, rtol=1e-9)
    assert np.abs(dataset.x_test.mean(0)).max() > 1e-3
    if not dataset.classes:
        np.testing.assert_allclose(dataset.y_train.std(0), 1, rtol=1e-9)
    assert dataset.scaling is not None


def test_planted_samples_are_not_standardized():
    dataset = load(DataConfig(source="planted"))
    assert dataset.scaling is None and np.ptp(dataset.y_train.std(0)) > 0.01


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9), st.sampled_from([1e-100, 1.0, 1e100]))
def test_any_columns_are_scaled_and_constant_ones_become_zero(seed, fraction, scale):
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((40, 4)) * scale
    x[:, 1], x[:, 2] = 7.1 * scale, 0.1
    whole = Whole(x, draw.standard_normal((40, 2)))
    config = DataConfig(
        source="table", key="0" * 32, task="regression", samples=40, features=4, outputs=2, test_fraction=fraction
    )
    (x_train, y_train, x_test, y_test), scaling = split(whole, config)
    train, test = places(whole, config)
    for found, rows in ((x_train, train), (x_test, test)):
        assert (found[:, 1:3] == 0).all()
        back = found[:, ::3] * scaling.x_std[::3] + scaling.x_mean[::3]
        np.testing.assert_allclose(back, x[rows][:, ::3], rtol=1e-6, atol=1e-9 * scale)
    np.testing.assert_allclose(y_test * scaling.y_std + scaling.y_mean, whole.y[test], atol=1e-9)
    assert np.abs(y_train.mean(0)).max() < 1e-9


def test_samples_split_in_several_blocks_are_those_of_one(monkeypatch):
    whole, config = bundled("wine"), DataConfig(source="wine")
    at_once = split(whole, config)[0]
    monkeypatch.setattr("ttcore.splitting._ROWS", 7)
    for found, expected in zip(split(whole, config)[0], at_once, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_synthetic_regression_is_that_of_make_regression_with_noise_in_units_of_the_target():
    config = replace(SMALL, noise=0.0, effective_rank=3, seed=5)
    x, y = make_regression(60, 9, n_informative=4, n_targets=2, effective_rank=3, random_state=5)
    dataset, order = load(config), places(Whole(x, y), config)
    x_train, y_train = x[order[0]], y[order[0]]
    np.testing.assert_allclose(dataset.x_train, (x_train - x_train.mean(0)) / x_train.std(0), atol=1e-9)
    np.testing.assert_allclose(dataset.y_train, (y_train - y_train.mean(0)) / y_train.std(0), atol=1e-9)
    many = DataConfig(source="regression", samples=20_000, features=5, informative=5, outputs=1, noise=0.5)
    noisy, clean = load(many), load(replace(many, noise=0.0))
    weight = np.linalg.lstsq(noisy.x_train, noisy.y_train, rcond=None)[0]
    left = ((noisy.y_train - noisy.x_train @ weight) ** 2).mean()
    assert left == pytest.approx(0.25 / 1.25, rel=0.05)
    assert np.linalg.matrix_rank(clean.x_train) == 5


REFUSED = [
    ({"source": "reference", "noise": 0.5}, "noise", "noise 0.5 cannot be set for the reference data"),
    ({"source": "digits", "noise": 0.5}, "noise", "what can be set there is test_fraction, split_seed"),
    ({"source": "digits", "seed": 3}, "data_seed", "data_seed 3 cannot be set"),
    ({"source": "digits", "train_samples": 7}, "train_samples", "makes it 1437"),
    ({"source": "digits", "test_fraction": 1.0}, "test_fraction", "above 0 and below 1"),
    ({"source": "digits", "test_fraction": 0.001}, "test_fraction", "leaves 1795 for training and 2 for the test"),
    ({"source": "linnerud", "test_fraction": 0.01}, "test_fraction", "each part needs at least 2"),
    ({"source": "regression", "informative": 300}, "informative", "informative 300 is above 256, the features"),
    ({"source": "regression", "effective_rank": 257}, "effective_rank", "the smaller of samples and features"),
    ({"source": "regression", "features": 20_000}, "features", "from 1 to 16384"),
    ({"source": "table"}, "key", "needs a prepared table"),
    ({"source": "table", "key": "../etc/passwd"}, "key", "32 hexadecimal digits"),
    ({"source": "everything"}, "source", "must be one of"),
]


@pytest.mark.parametrize(("given", "field", "words"), REFUSED)
def test_what_a_source_does_not_have_is_refused_by_name(given, field, words):
    if given.get("key"):
        given = given | {"task": "regression", "samples": 9, "features": 2, "outputs": 1}
    with pytest.raises(InputError, match=words) as caught:
        DataConfig(**given)
    assert caught.value.field == field


def test_a_table_that_is_not_held_is_named_when_it_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("TTCORE_TABLES", str(tmp_path))
    config = DataConfig(source="table", key="a" * 32, task="regression", samples=9, features=2, outputs=1)
    with pytest.raises(InputError, match="not held here any more"):
        load(config)


def test_classes_cannot_be_solved_for_by_least_squares():
    with pytest.raises(InputError, match="alternating least squares solves for targets that are numbers") as caught:
        RunConfig(
            data=DataConfig(source="wine"), in_modes=(13,), out_modes=(3,), ranks=(), train=TrainConfig(optimizer="als")
        )
    assert caught.value.field == "optimizer"


def test_a_class_with_one_sample_cannot_be_on_both_sides():
    y = np.eye(3)[[0] * 10 + [1] * 9 + [2]]
    config = DataConfig(source="table", key="0" * 32, task="classification", samples=20, features=1, outputs=3)
    with pytest.raises(InputError, match="class rare has 1 sample, and a hold-out by classes needs at least two"):
        split(Whole(np.zeros((20, 1)), y, ("a", "b", "rare")), config)


def test_every_setting_of_every_source_is_a_field():
    names = {field.name for field in fields(DataConfig)}
    for spec in SOURCES.values():
        assert {*spec.settings, *spec.fixed} <= names
