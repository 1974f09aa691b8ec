from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error, r2_score

from tests.tables import tiny
from ttcore import DataConfig, load, metrics
from ttcore.baselines import full_model, least_squares
from ttcore.datasets import Dataset
from ttcore.reduced import thin_svd


def test_on_the_reference_task_it_fits_and_does_not_generalize():
    full = full_model(DataConfig())
    assert full.parameters == 65_536
    assert full.train.score >= 0.999999
    assert full.train.loss < 1e-20
    assert full.test.score <= 0.10
    assert full.weight.shape[0] <= 64 and full.weight.shape[1] <= 512


def test_on_the_planted_task_it_does_not_generalize_either():
    full = full_model(DataConfig(source="planted"))
    assert full.train.score >= 0.999999
    assert full.test.score <= 0.10


@pytest.mark.parametrize("samples", [5, 12, 200])
def test_it_is_least_squares_of_least_norm(samples):
    config = tiny(train_samples=samples, noise=0.3).data
    dataset = load(config)
    weight = least_squares(dataset)
    np.testing.assert_allclose(weight, (np.linalg.pinv(dataset.x_train) @ dataset.y_train).T, atol=1e-9)
    full = full_model(config)
    assert full.parameters == 48
    np.testing.assert_allclose(full.weight, weight, atol=1e-6)
    model = LinearRegression(fit_intercept=False).fit(dataset.x_train, dataset.y_train)
    assert full.test.loss == pytest.approx(mean_squared_error(dataset.y_test, model.predict(dataset.x_test)))
    flat = (dataset.y_test.reshape(-1), model.predict(dataset.x_test).reshape(-1))
    assert full.test.score == pytest.approx(r2_score(*flat))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (1, 7), (0, 3), (3, 0)])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_the_thin_svd_gives_the_matrix_back_from_as_many_values_as_its_rank(shape, rank):
    draw = np.random.default_rng(0).standard_normal
    matrix = draw((shape[0], rank)) @ draw((rank, shape[1]))
    left, values, right = thin_svd(matrix)
    r = min(*shape, rank)
    assert (left.shape, values.shape, right.shape) == ((shape[0], r), (r,), (r, shape[1]))
    assert (values > 0).all() and (np.diff(values) <= 0).all()
    np.testing.assert_allclose(left * values @ right, matrix, atol=1e-13)
    np.testing.assert_allclose(left.T @ left, np.eye(r), atol=1e-13)
    np.testing.assert_allclose(right @ right.T, np.eye(r), atol=1e-13)


def test_directions_without_samples_get_no_weight():
    draw = np.random.default_rng(0).standard_normal
    x = draw((9, 5))
    x[:, 3], x[:, 4] = 0, x[:, 0]
    weight = least_squares(Dataset(x, draw((9, 2)), x, draw((9, 2))))
    np.testing.assert_allclose(weight[:, 3], 0, atol=1e-14)
    np.testing.assert_allclose(weight[:, 4], weight[:, 0], atol=1e-13)


floats = st.floats(-1e3, 1e3, width=32)


@settings(deadline=None)
@given(arrays(np.float64, (6, 3), elements=floats), arrays(np.float64, (6, 3), elements=floats))
def test_scores_are_those_of_scikit_learn(predictions, targets):
    scores = metrics.scores(predictions, targets)
    assert scores.loss == pytest.approx(mean_squared_error(targets, predictions))
    expected = r2_score(targets.reshape(-1), predictions.reshape(-1))
    assert scores.score == pytest.approx(expected, rel=1e-6, abs=1e-6) or metrics.spread(targets) < 1e-20


def test_scores_of_constant_targets():
    constant = np.full((4, 2), 3.0)
    assert metrics.scores(constant, constant).score == r2_score(constant.reshape(-1), constant.reshape(-1)) == 1
    assert metrics.scores(constant + 1, constant).score == 0
