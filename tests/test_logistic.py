"""The linear classifiers, held against scikit-learn and against what defines them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss

from ttcore import linear_models, logistic
from ttcore.logistic import MAX_CV_SAMPLES, MAX_RANK, PENALTIES, constant, fit, low_rank, ridge
from ttcore.metrics import class_scores


def log_loss_and_accuracy(logits: np.ndarray, onehot: np.ndarray) -> tuple[float, float]:
    found = class_scores(logits, onehot)
    return found.loss, found.score


def drawn(
    samples: int, features: int, classes: int, seed: int = 0, spread: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Standard-normal inputs whose classes follow a linear rule with noise; every class is there if it can be."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((samples, features))
    logits = x @ draw.standard_normal((features, classes)) + spread * draw.standard_normal((samples, classes))
    labels = logits.argmax(1)
    labels[:classes] = np.arange(classes)[:samples]
    return x, np.eye(classes)[labels]


CASES = {
    "more samples than features": drawn(60, 5, 4),
    "two classes": drawn(50, 4, 2),
    "mostly noise": drawn(60, 5, 3, spread=30.0),
    "fewer samples than features": drawn(15, 40, 3),
    "one feature": drawn(40, 1, 3),
    "more classes than features": drawn(90, 3, 7),
}


def hard_cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    x, onehot = drawn(24, 6, 3)
    labels = onehot.argmax(1)
    return {
        "a class without samples": (x, np.column_stack([onehot, np.zeros(24)])),
        "a class of one sample": (x, np.eye(4)[np.where(np.arange(24) == 5, 3, labels)]),
        "one class alone": (x, np.eye(3)[np.zeros(24, int)]),
        "a single class": (x, np.ones((24, 1))),
        "constant columns": (x * [1, 0, 1, 0, 1, 1], onehot),
        "inputs of zero": (np.zeros_like(x), onehot),
        "repeated columns": (x[:, [0, 1, 2, 0, 1, 2]], onehot),
        "separable": (10 * onehot @ np.random.default_rng(1).standard_normal((3, 6)), onehot),
        "separable, two classes, one feature": (np.sign(x[:, :1]), np.eye(2)[(x[:, 0] > 0).astype(int)]),
        "large inputs": (1e3 * x, onehot),
        "tiny inputs": (1e-120 * x, onehot),
        "two samples": (x[:2], np.eye(2)),
        "two samples of a class": (x[:2], np.eye(2)[[1, 1]]),
        "fewer samples than classes": (x[:3], np.eye(5)[[0, 2, 4]]),
        "fewer samples than features, repeated": (
            np.repeat(drawn(4, 20, 2)[0], 2, axis=0),
            np.eye(2)[[0, 0, 1, 1] * 2],
        ),
    }


HARD = hard_cases()


def gradient(x: np.ndarray, onehot: np.ndarray, weight: np.ndarray, bias: np.ndarray, penalty: float) -> np.ndarray:
    """Of the mean loss + penalty / (2 n) ‖weight‖², for weight and bias side by side, (C, p + 1)."""
    logits = x @ weight.T + bias
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    error = (probabilities - onehot) / len(x)
    return np.column_stack([error.T @ x + penalty / len(x) * weight, error.sum(0)])


def all_of(x: np.ndarray, onehot: np.ndarray) -> list[Any]:
    return [fit(x, onehot), *low_rank(x, onehot), ridge(x, onehot)]


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_of_fit_is_zero_for_its_penalty(name):
    x, onehot = CASES[name]
    found = fit(x, onehot)
    assert found.penalty in PENALTIES and found.rank is None
    assert found.weight.shape == (onehot.shape[1], x.shape[1])
    assert found.parameters == found.weight.size
    assert np.abs(gradient(x, onehot, found.weight, found.bias, found.penalty)).max() < 1e-5
    # The check has teeth.
    assert np.abs(gradient(x, onehot, found.weight, found.bias, 10 * found.penalty)).max() > 1e-5


@pytest.mark.parametrize("name", CASES)
def test_fit_is_that_of_scikit_learn(name):
    x, onehot = CASES[name]
    found = fit(x, onehot)
    # For two classes it has one weight, their difference, and half the penalty for it.
    inverse = (2 if onehot.shape[1] == 2 else 1) / found.penalty
    model = LogisticRegression(C=inverse, tol=1e-8, max_iter=10_000).fit(x, onehot.argmax(1))
    logits = found.logits(x)
    probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    assert np.abs(probabilities - model.predict_proba(x)).max() < 1e-3


def test_penalties_follow_the_data():
    chosen = {name: fit(*case).penalty for name, case in CASES.items()}
    assert chosen["mostly noise"] > chosen["more samples than features"]
    assert len(set(chosen.values())) >= 3


@pytest.mark.parametrize("name", CASES)
def test_a_low_rank_weight_has_its_rank_and_its_parameters(name):
    x, onehot = CASES[name]
    features, classes = x.shape[1], onehot.shape[1]
    models = low_rank(x, onehot)
    assert [model.rank for model in models] == list(range(1, min(features, classes - 1, MAX_RANK) + 1))
    for model in models:
        rank = model.rank or 0
        assert model.weight.shape == (classes, features)
        assert np.linalg.matrix_rank(model.weight, tol=1e-9 * np.linalg.norm(model.weight)) <= rank
        assert model.parameters == rank * (features + classes)
        assert model.penalty in PENALTIES


def test_the_directions_are_those_of_the_fitted_values():
    """Held against the definition on longer data; as coordinates they have unit variance where the penalty is small."""
    x, onehot = CASES["more samples than features"]
    centred, targets = x - x.mean(0), onehot - onehot.mean(0)
    for penalty in (1e-3, 1e2):
        longer = np.vstack([centred, np.sqrt(penalty) * np.eye(5)])
        solution = np.linalg.lstsq(longer, np.vstack([targets, np.zeros((5, 4))]))[0]
        axes = np.linalg.svd(longer @ solution)[2]
        found = logistic._Ridge.of(x, onehot).directions(penalty, 3)
        for rank in (1, 2, 3):
            both = np.column_stack([found[:, :rank], solution @ axes[:rank].T])
            assert np.linalg.matrix_rank(both, tol=1e-8 * np.linalg.norm(both)) == rank
    covariance = np.cov(x @ logistic._Ridge.of(x, onehot).directions(1e-6, 3), rowvar=False, bias=True)
    assert np.allclose(covariance, np.eye(3), atol=1e-5)


def test_ranks_end_at_the_largest():
    assert [model.rank for model in low_rank(*drawn(80, 20, 19))] == list(range(1, MAX_RANK + 1))


def objective(model: Any, x: np.ndarray, onehot: np.ndarray) -> float:
    loss, _ = log_loss_and_accuracy(model.logits(x), onehot)
    return loss + model.penalty / 2 / len(x) * (model.weight**2).sum()


@pytest.mark.parametrize("name", CASES)
def test_no_change_of_a_factor_improves_a_low_rank_weight(name):
    x, onehot = CASES[name]
    for model in low_rank(x, onehot):
        left, values, right = np.linalg.svd(model.weight)
        rank = model.rank or 0
        # What the rank leaves open does not reach the gradient, as long as the weight has that rank.
        assert values[rank - 1] > 1e-6 * values[0]
        found = gradient(x, onehot, model.weight, model.bias, model.penalty)
        assert np.abs(left[:, :rank].T @ found[:, :-1]).max() < 1e-4
        assert np.abs(found[:, :-1] @ right[:rank].T).max() < 1e-4
        assert np.abs(found[:, -1]).max() < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_more_ranks_fit_better_up_to_the_full_weight(name):
    x, onehot = CASES[name]
    values = [objective(model, x, onehot) for model in low_rank(x, onehot)]
    assert (np.diff(values) < 1e-6).all()
    full = fit(x, onehot)
    assert values[-1] == pytest.approx(objective(full, x, onehot), abs=1e-5)
    given = low_rank(x, onehot, 2.0)
    assert {model.penalty for model in given} == {2.0}
    assert all(model.penalty == full.penalty for model in low_rank(x, onehot))


@pytest.mark.parametrize("name", CASES)
def test_ridge_is_that_of_scikit_learn(name):
    x, onehot = CASES[name]
    found = ridge(x, onehot)
    grid = np.array(linear_models.RELATIVE_PENALTIES) * np.linalg.norm(x - x.mean(0), 2) ** 2
    assert np.abs(grid / found.penalty - 1).min() < 1e-9
    model = Ridge(alpha=found.penalty, solver="svd").fit(x, onehot)
    assert np.allclose(found.values(x), model.predict(x), atol=1e-6)
    assert np.allclose(found.weight, model.coef_, atol=1e-6)
    assert found.parameters == found.weight.size


def test_constant_gives_the_class_shares():
    assert constant(np.eye(3)[[0, 0, 0, 1]]).tolist() == [0.75, 0.25, 0.125]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0])
def test_log_loss_and_accuracy_are_those_of_scikit_learn(scale):
    _, onehot = drawn(50, 4, 5)
    logits = scale * np.random.default_rng(2).standard_normal(onehot.shape)
    labels = onehot.argmax(1)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss, accuracy = log_loss_and_accuracy(logits, onehot)
    assert loss == pytest.approx(log_loss(labels, probabilities, labels=range(5)), rel=1e-9)
    assert accuracy == (logits.argmax(1) == labels).mean()


def test_log_loss_of_extreme_logits():
    onehot = np.eye(2)[[0, 1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert log_loss_and_accuracy(np.array([[1e300, 0.0], [0.0, 1e300]]), onehot) == (0.0, 1.0)
        assert log_loss_and_accuracy(np.array([[0.0, 1e300], [0.0, 1e300]]), onehot) == (5e299, 0.5)
        for bad in (np.nan, np.inf):
            assert np.isnan(log_loss_and_accuracy(np.array([[bad, 0.0], [0.0, 1.0]]), onehot)[0])


def test_all_is_the_same_the_second_time():
    x, onehot = CASES["more samples than features"]
    for one, other in zip(all_of(x, onehot), all_of(x, onehot), strict=True):
        assert np.array_equal(one.weight, other.weight) and np.array_equal(one.bias, other.bias)
        assert one.penalty == other.penalty


def test_of_many_samples_an_even_choice_picks_the_penalty():
    draw = np.random.default_rng(0)
    labels = draw.choice(3, MAX_CV_SAMPLES * 5, p=[0.7, 0.2, 0.1])
    onehot = np.eye(3)[labels]
    picked = logistic._picked(onehot)
    assert len(picked) == len(set(picked.tolist())) == MAX_CV_SAMPLES
    assert onehot[picked].mean(0) == pytest.approx(onehot.mean(0), abs=1e-3)
    folds = logistic._folds(draw.standard_normal((len(onehot), 1)), onehot)
    assert [len(fold.held) for fold in folds] == [MAX_CV_SAMPLES // 5] * 5
    for fold in folds:
        assert len(fold.rest) + len(fold.held) == MAX_CV_SAMPLES
        assert fold.held_onehot.mean(0) == pytest.approx(onehot.mean(0), abs=3e-3)


@pytest.mark.parametrize(("smallest", "count"), [(1, 2), (2, 2), (3, 3), (5, 5), (9, 5)])
def test_there_are_no_more_folds_than_the_smallest_class_allows(smallest, count):
    onehot = np.eye(3)[[0] * 12 + [1] * smallest]
    folds = logistic._folds(np.arange(len(onehot))[:, None], onehot)
    assert len(folds) == count
    assert sorted(np.concatenate([fold.held[:, 0] for fold in folds]).tolist()) == list(range(len(onehot)))
    if smallest > 1:
        assert all(fold.rest_onehot[:, 1].any() and fold.held_onehot[:, 1].any() for fold in folds)


@pytest.mark.parametrize("name", HARD)
def test_nothing_is_raised_and_all_is_finite_on(name):
    x, onehot = HARD[name]
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        models = all_of(x, onehot)
    for model in models:
        assert model.weight.shape == (onehot.shape[1], x.shape[1]) and model.bias.shape == (onehot.shape[1],)
        assert np.isfinite(model.weight).all() and np.isfinite(model.bias).all() and model.penalty > 0
    assert np.isfinite(log_loss_and_accuracy(models[0].logits(x), onehot)).all()


def test_inputs_of_zero_leave_the_class_shares():
    x, onehot = HARD["inputs of zero"]
    found = fit(x, onehot)
    probabilities = np.exp(found.logits(x)) / np.exp(found.logits(x)).sum(1, keepdims=True)
    assert np.allclose(probabilities, constant(onehot), atol=1e-5)
    assert low_rank(x, onehot) == []


def test_wide_inputs_are_fitted_in_few_coordinates(monkeypatch):
    """With 15 samples nothing of the size of features by features is made, and the weight is that of all features."""
    x, onehot = CASES["fewer samples than features"]
    sizes = []
    original = np.linalg.eigh

    def watched(matrix):
        sizes.append(matrix.shape)
        return original(matrix)

    monkeypatch.setattr(np.linalg, "eigh", watched)
    models = all_of(x, onehot)
    assert max(max(size) for size in sizes) == 15
    # No weight has a part that no sample sees.
    rows = np.linalg.svd(x, full_matrices=False)[2]
    for model in models:
        assert np.allclose(model.weight @ rows.T @ rows, model.weight, atol=1e-9)
