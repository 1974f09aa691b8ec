"""Linear models in closed form, held against dense formulas, refitted folds and scikit-learn."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from tests.tables import tiny
from ttcore import DataConfig, comparison, linear_models, load
from ttcore.baselines import full_model, least_squares
from ttcore.comparison import compare
from ttcore.datasets import Dataset
from ttcore.linear_models import FOLD_SEED, FOLDS, RELATIVE_PENALTIES, closed_forms
from ttcore.metrics import scores
from ttcore.results import Baseline, BaselineKind

PLANTED = DataConfig(source="planted")

# Ordinary data, with more and with fewer samples than features, and than targets.
CASES: dict[str, DataConfig] = {
    "more samples than features": tiny(train_samples=40, noise=0.5).data,
    "without noise": tiny(train_samples=40).data,
    "mostly noise": tiny(train_samples=40, noise=5.0).data,
    "fewer samples than features": tiny(train_samples=9, noise=0.3).data,
    "folds of unequal size": tiny(train_samples=13, noise=0.3).data,
    "fewer samples than targets": tiny(train_samples=3, noise=0.3).data,
    "two samples": tiny(train_samples=2, noise=0.3).data,
    "more targets than features": tiny(
        train_samples=9, noise=0.3, teacher_in_modes=(2, 2), teacher_out_modes=(3, 4), in_modes=(4,), out_modes=(12,)
    ).data,
    "one target": tiny(noise=0.3, teacher_out_modes=(1, 1)).data,
}


def drawn(samples: int, features: int, targets: int, seed: int = 0) -> Dataset:
    draw = np.random.default_rng(seed).standard_normal
    return Dataset(draw((samples, features)), draw((samples, targets)), draw((7, features)), draw((7, targets)))


def with_train(dataset: Dataset, x: np.ndarray | None = None, y: np.ndarray | None = None) -> Dataset:
    x = dataset.x_train if x is None else x
    return replace(dataset, x_train=x, y_train=dataset.y_train if y is None else y)


def hard_cases() -> dict[str, Dataset]:
    data = drawn(12, 6, 4)
    x, y = data.x_train, data.y_train
    wide = drawn(6, 12, 4)
    repeated_rows = np.repeat(wide.x_train[:3], 2, axis=0)
    return {
        "two samples": drawn(2, 6, 4),
        "two equal samples": with_train(drawn(2, 6, 4), x=np.ones((2, 6))),
        "equal targets": Dataset(x, np.full((12, 4), 3.0), data.x_test, np.full((7, 4), 3.0)),
        "targets of zero": Dataset(x, np.zeros((12, 4)), data.x_test, np.zeros((7, 4))),
        "a target of zero": with_train(data, y=y * [1, 0, 1, 1]),
        "equal targets in different columns": with_train(data, y=y[:, [0, 1, 0, 1]]),
        "inputs of zero": with_train(data, x=np.zeros((12, 6))),
        "features of zero": with_train(data, x=x * [1, 0, 1, 0, 1, 1]),
        "repeated features": with_train(data, x=x[:, [0, 1, 2, 0, 1, 2]]),
        "repeated samples, fewer than features": with_train(wide, x=repeated_rows),
        "a sample alone with its feature": with_train(data, x=np.outer(np.eye(12)[3], np.eye(6)[2])),
        "features of very unequal size": with_train(data, x=x * 10.0 ** np.arange(-6, 6, 2)),
        "tiny inputs": with_train(data, x=x * 1e-120),
        "large targets": with_train(data, y=y * 1e60),
        "one feature and one target": drawn(5, 1, 1),
    }


HARD = hard_cases()


def of_kind(models: tuple[Baseline, ...], kind: BaselineKind) -> list[Baseline]:
    return [model for model in models if model.kind == kind]


def truncated(weight: np.ndarray, fitted: np.ndarray, rank: int) -> np.ndarray:
    """The weight (q, p) with its outputs projected on the leading directions of the fitted values (any, q)."""
    directions = np.linalg.svd(fitted)[2][:rank]
    return directions.T @ directions @ weight


def low_rank_by_definition(x: np.ndarray, y: np.ndarray, rank: int) -> np.ndarray:
    weight = (np.linalg.pinv(x) @ y).T
    return truncated(weight, x @ weight.T, rank)


def low_rank_ridge_by_definition(x: np.ndarray, y: np.ndarray, rank: int, penalty: float) -> np.ndarray:
    """Low rank on inputs with √penalty I below them, and targets with zeros below them."""
    features = x.shape[1]
    longer_x = np.vstack([x, np.sqrt(penalty) * np.eye(features)])
    longer_y = np.vstack([y, np.zeros((features, y.shape[1]))])
    weight = np.linalg.lstsq(longer_x, longer_y)[0].T
    return truncated(weight, longer_x @ weight.T, rank)


def ridge_by_scikit_learn(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    return Ridge(alpha=penalty, fit_intercept=False, solver="svd").fit(x, y).coef_.reshape(y.shape[1], x.shape[1])


def held_out_errors(dataset: Dataset, fit) -> np.ndarray:
    """For each penalty of the grid, refit every fold with fit(x, y, penalty) and sum the errors on what it left out."""
    x, y = dataset.x_train, dataset.y_train
    largest = np.linalg.norm(x, 2)
    folds = np.array_split(np.random.default_rng(FOLD_SEED).permutation(len(x)), min(FOLDS, len(x)))
    errors = []
    for relative in RELATIVE_PENALTIES:
        error = 0.0
        for fold in folds:
            rest = np.array([i for i in range(len(x)) if i not in fold])
            weight = fit(x[rest], y[rest], relative * largest**2)
            error += ((x[fold] @ weight.T - y[fold]) ** 2).sum()
        errors.append(error)
    return np.array(errors)


def check_scores(model: Baseline, weight: np.ndarray, dataset: Dataset) -> None:
    for found, x, y in (
        (model.train, dataset.x_train, dataset.y_train),
        (model.test, dataset.x_test, dataset.y_test),
    ):
        wanted = scores(x @ weight.T, y)
        # What is left of a perfect fit is rounding.
        assert found.loss == pytest.approx(wanted.loss, rel=1e-6, abs=1e-20)
        assert found.score == pytest.approx(wanted.score, rel=1e-6, abs=1e-9)


def check_chosen(model: Baseline, errors: np.ndarray, dataset: Dataset) -> None:
    """The penalty is one of the grid, and by the refitted folds no other one is better beyond rounding."""
    assert model.penalty is not None
    grid = np.array(RELATIVE_PENALTIES) * np.linalg.norm(dataset.x_train, 2) ** 2
    pick = np.abs(grid / model.penalty - 1).argmin()
    assert grid[pick] == pytest.approx(model.penalty, rel=1e-12)
    assert errors[pick] <= errors.min() * (1 + 1e-7)


@pytest.mark.parametrize("name", CASES)
def test_the_full_model_is_that_of_the_baselines(name):
    full, expected = of_kind(compare(CASES[name]), "full")[0], full_model(CASES[name])
    assert (full.kind, full.rank, full.penalty) == ("full", None, None)
    assert (full.parameters, full.train, full.test) == (expected.parameters, expected.train, expected.test)


@pytest.mark.parametrize("name", CASES)
def test_ridge_is_that_of_scikit_learn_and_its_penalty_that_of_refitted_folds(name):
    dataset = load(CASES[name])
    (model,) = of_kind(compare(CASES[name]), "ridge")
    assert model.rank is None
    assert model.parameters == dataset.x_train.shape[1] * dataset.y_train.shape[1]
    check_chosen(model, held_out_errors(dataset, ridge_by_scikit_learn), dataset)
    check_scores(model, ridge_by_scikit_learn(dataset.x_train, dataset.y_train, model.penalty or 0), dataset)


@pytest.mark.parametrize("name", CASES)
def test_low_rank_is_the_dense_formula(name):
    dataset = load(CASES[name])
    models = of_kind(compare(CASES[name]), "low_rank")
    fitted = dataset.x_train @ np.linalg.pinv(dataset.x_train) @ dataset.y_train
    assert [model.rank for model in models] == list(range(1, np.linalg.matrix_rank(fitted) + 1))
    for model in models:
        assert model.penalty is None and model.rank is not None
        assert model.parameters == model.rank * (dataset.x_train.shape[1] + dataset.y_train.shape[1])
        check_scores(model, low_rank_by_definition(dataset.x_train, dataset.y_train, model.rank), dataset)


@pytest.mark.parametrize("name", CASES)
def test_low_rank_ridge_is_low_rank_on_longer_data_and_its_penalty_that_of_refitted_folds(name):
    dataset = load(CASES[name])
    models = of_kind(compare(CASES[name]), "low_rank_ridge")
    assert [model.rank for model in models] == [model.rank for model in of_kind(compare(CASES[name]), "low_rank")]
    for model in models:
        rank = model.rank or 0
        assert model.parameters == rank * (dataset.x_train.shape[1] + dataset.y_train.shape[1])

        def fit(x, y, penalty, rank=rank):
            return low_rank_ridge_by_definition(x, y, rank, penalty)

        check_chosen(model, held_out_errors(dataset, fit), dataset)
        check_scores(model, fit(dataset.x_train, dataset.y_train, model.penalty), dataset)


def test_penalties_differ_between_data_and_between_ranks():
    """So that the tests above do not hold for a constant penalty, or for one that all ranks share."""
    ridge = {of_kind(compare(config), "ridge")[0].penalty for config in CASES.values()}
    assert len(ridge) > 5
    ranks = {model.penalty for model in of_kind(compare(PLANTED), "low_rank_ridge")}
    assert len(ranks) >= 3


@pytest.mark.parametrize("name", ["more samples than features", "mostly noise", "folds of unequal size"])
def test_no_weight_of_its_rank_fits_better(name):
    dataset = load(CASES[name])
    x, y = dataset.x_train, dataset.y_train
    draw = np.random.default_rng(1)
    for model in of_kind(compare(CASES[name]), "low_rank"):
        rank, reached = model.rank or 0, []
        for _ in range(5):
            left, right = draw.standard_normal((y.shape[1], rank)), draw.standard_normal((rank, x.shape[1]))
            assert model.train.loss < ((x @ (left @ right).T - y) ** 2).mean()
            # Each factor in turn by least squares.
            for _ in range(300):
                left = np.linalg.lstsq(x @ right.T, y)[0].T
                right = np.linalg.pinv(left) @ np.linalg.lstsq(x, y)[0].T
            reached.append(((x @ (left @ right).T - y) ** 2).mean())
        assert min(reached) >= model.train.loss * (1 - 1e-9)
        assert min(reached) == pytest.approx(model.train.loss, rel=1e-3)


def test_of_the_weights_that_fit_alike_the_one_of_least_norm_is_taken():
    dataset = load(CASES["fewer samples than features"])
    x, y = dataset.x_train, dataset.y_train
    model = of_kind(compare(CASES["fewer samples than features"]), "low_rank")[1]
    least = low_rank_by_definition(x, y, 2)
    unseen = np.linalg.svd(x)[2][len(x) :]  # directions of the inputs that no training sample has
    directions = np.linalg.svd(least)[0][:, :2]
    draw = np.random.default_rng(2)
    for _ in range(20):
        other = least + 0.1 * directions @ draw.standard_normal((2, len(unseen))) @ unseen
        assert np.linalg.matrix_rank(other) == 2
        assert scores(x @ other.T, y).loss == pytest.approx(model.train.loss)
        assert np.linalg.norm(other) > np.linalg.norm(least)
        assert scores(dataset.x_test @ other.T, dataset.y_test).loss != pytest.approx(model.test.loss, rel=1e-6)
    check_scores(model, least, dataset)


@pytest.mark.parametrize("config", [DataConfig(), PLANTED, *CASES.values()])
def test_the_fit_rises_with_the_rank_up_to_that_of_the_full_model(config):
    models = compare(config)
    fits = [model.train.score for model in of_kind(models, "low_rank")]
    assert (np.diff(fits) > 0).all()
    assert fits[-1] == pytest.approx(models[0].train.score, abs=1e-12)
    last = of_kind(models, "low_rank")[-1]
    assert last.test.loss == pytest.approx(models[0].test.loss, rel=1e-9, abs=1e-20)
    # A penalty can only worsen the fit.
    for model in of_kind(models, "low_rank_ridge"):
        assert model.train.score <= fits[(model.rank or 0) - 1] + 1e-12


def test_the_reference_task():
    models = compare(DataConfig())
    assert [(model.kind, model.rank) for model in models] == [
        ("full", None),
        ("ridge", None),
        *(("low_rank", rank) for rank in range(1, 17)),
        *(("low_rank_ridge", rank) for rank in range(1, 17)),
        ("constant", None),
    ]
    low_rank = of_kind(models, "low_rank")
    assert low_rank[0].parameters == 4_112 and round(low_rank[0].train.score, 3) == 0.759
    assert low_rank[3].parameters == 16_448 and round(low_rank[3].train.score, 3) == 0.841
    assert all(0 < model.test.score < 0.1 for model in models[:-1])


def test_no_linear_model_finds_the_planted_truth():
    for model in compare(PLANTED):
        assert model.test.score < 0.1
    # What helps is more samples than features, so the bound above is not idle.
    assert of_kind(compare(CASES["without noise"]), "full")[0].test.score > 0.999


@pytest.mark.parametrize("name", HARD)
def test_nothing_is_raised_and_all_is_finite_on(name):
    dataset = HARD[name]
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        models = closed_forms(dataset)
        weight = least_squares(dataset)
    numbers = [
        number
        for model in models
        for number in (model.train.loss, model.train.score, model.test.loss, model.test.score, model.penalty or 0)
    ]
    assert np.isfinite(numbers).all() and np.isfinite(weight).all()
    assert models[0].kind == "ridge" and (models[0].penalty or 0) > 0
    most = np.linalg.matrix_rank(dataset.x_train @ weight.T)
    for kind in ("low_rank", "low_rank_ridge"):
        assert [model.rank for model in models if model.kind == kind] == list(range(1, most + 1))
    for model in of_kind(models, "low_rank"):
        check = low_rank_by_definition(dataset.x_train, dataset.y_train, model.rank or 0)
        train = scores(dataset.x_train @ check.T, dataset.y_train)
        scale = (dataset.y_train**2).mean()
        assert model.train.loss == pytest.approx(train.loss, rel=1e-6, abs=1e-18 * scale)


def test_targets_that_are_all_zero_leave_ridge_alone():
    (ridge,) = closed_forms(HARD["targets of zero"])
    assert (ridge.train.loss, ridge.train.score, ridge.test.loss, ridge.test.score) == (0, 1, 0, 1)
    (ridge,) = closed_forms(HARD["inputs of zero"])
    dataset = HARD["inputs of zero"]
    assert ridge.train.loss == pytest.approx((dataset.y_train**2).mean())


@pytest.mark.parametrize("most", [0, 1, 7, 64])
def test_few_ranks_are_all_fitted(most):
    assert linear_models._ranks(most) == list(range(1, most + 1))


@pytest.mark.parametrize("most", [65, 66, 100, 256, 4096])
def test_many_ranks_become_sparse(most):
    ranks = linear_models._ranks(most)
    assert ranks[:32] == list(range(1, 33)) and ranks[-1] == most
    assert len(ranks) <= 64
    steps = np.array(ranks[32:]) / ranks[31:-1]
    # As near to equal ratios as whole numbers come.
    ratio = (most / 32) ** (1 / 32)
    assert (np.abs(np.log(steps / ratio)) <= np.log(1 + 1.5 / 32)).all()


def test_of_many_ranks_the_sparse_ones_are_the_dense_formula():
    dataset = drawn(100, 80, 90)
    models = of_kind(closed_forms(dataset), "low_rank")
    assert [model.rank for model in models] == linear_models._ranks(80)
    for model in models[::9]:
        check_scores(model, low_rank_by_definition(dataset.x_train, dataset.y_train, model.rank or 0), dataset)


def test_what_is_kept_is_what_is_computed_again():
    config = CASES["folds of unequal size"]
    kept = compare(config)
    assert compare(replace(config)) is kept
    comparison._kept.cache_clear()
    again = compare(config)
    assert again is not kept and again == kept


def test_nothing_of_the_size_of_features_by_features_is_allocated(monkeypatch):
    """Counted on what the factorizations see: with 8 samples of 3,000 features none has two large sides."""
    sizes = []

    def watched(function):
        def call(matrix, *args, **kwargs):
            sizes.append(matrix.shape)
            return function(matrix, *args, **kwargs)

        return call

    monkeypatch.setattr(np.linalg, "svd", watched(np.linalg.svd))
    monkeypatch.setattr(np.linalg, "qr", watched(np.linalg.qr))
    closed_forms(drawn(8, 3000, 2000))
    assert sizes and all(min(shape) <= 8 for shape in sizes)
    # Beside the two of all the data, they are as small as the samples are few.
    assert sum(max(shape) > 8 for shape in sizes) == 2
