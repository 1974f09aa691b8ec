"""Runs on classes: what is reported is what scikit-learn measures, and pauses, stacks and batches change nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from tests.tables import same_arrays
from tests.test_training import Outcome, run
from ttcore import Control, DataConfig, RunConfig, TrainConfig, load, train_many
from ttcore.comparison import at_equal_size, compare
from ttcore.cores import apply
from ttcore.events import Finished, Paused, Progress, StopReason
from ttcore.rounding_scores import score_every_rank


def wine(**changes: Any) -> RunConfig:
    settings: dict[str, Any] = {"lr": 0.03, "steps": 40, "threads": 1, "device": "cpu", "dtype": "float64"}
    ranks = changes.pop("ranks", 2)
    return RunConfig(
        data=DataConfig(source="wine"),
        in_modes=(7, 2),
        out_modes=(1, 3),
        ranks=ranks,
        train=TrainConfig(**settings | changes),
    )


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs"])
def test_scores_are_those_of_scikit_learn_on_the_cores(optimizer):
    config = wine(optimizer=optimizer, steps=25)
    outcome, dataset = run(config), load(config.data)
    finished = outcome.finished
    assert outcome.losses[-1] < outcome.losses[0]
    # Cores of small norm predict little more than the shares of the classes.
    for part, x, y in (("train", dataset.x_train, dataset.y_train), ("test", dataset.x_test, dataset.y_test)):
        logits = apply(finished.cores, x, 13, 3) + dataset.offset
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        scores = getattr(finished, part)
        assert scores.loss == pytest.approx(log_loss(y.argmax(1), shares), rel=1e-9)
        assert scores.score == accuracy_score(y.argmax(1), logits.argmax(1))
        assert np.array_equal(finished.confusion[part], confusion_matrix(y.argmax(1), logits.argmax(1)))
    assert finished.predictions == {}
    best = apply(finished.best_cores, dataset.x_train, 13, 3) + dataset.offset
    assert finished.best.score == accuracy_score(dataset.y_train.argmax(1), best.argmax(1))
    assert finished.best.loss == min(outcome.losses.min(), finished.train.loss)


def test_the_offset_alone_predicts_the_shares_of_the_classes():
    dataset = load(DataConfig(source="breast_cancer"))
    assert dataset.offset is not None
    np.testing.assert_allclose(np.exp(dataset.offset), dataset.y_train.mean(0))


def test_every_report_holds_a_best_whose_score_is_known():
    bests = [event.best for event in run(wine(steps=400)).events if isinstance(event, Progress)]
    assert all(np.isfinite(best.score) for best in bests)


def test_a_target_accuracy_ends_a_run_at_a_step_that_is_always_the_same():
    config = wine(steps=2_000, target=0.95)
    ends = [run(config).finished for _ in range(2)]
    assert ends[0].stop_reason is StopReason.TARGET_REACHED
    assert ends[0].step == ends[1].step and ends[0].step % 25 == 0 and ends[0].train.score >= 0.95


@pytest.mark.parametrize("settings", [{"lr": 0.2, "steps": 24}, {"optimizer": "lbfgs", "steps": 20}])
def test_a_target_that_is_met_by_the_last_step_is_said(settings):
    assert run(wine(**settings, target=0.9)).finished.stop_reason is StopReason.TARGET_REACHED


@pytest.mark.parametrize(
    "settings", [{}, {"optimizer": "lbfgs"}, {"batch_size": 32}, {"batch_size": 32, "target": 0.999}]
)
def test_a_run_that_was_paused_is_the_run_that_was_not(settings):
    config = wine(steps=130, **settings)
    whole = run(config)
    control = Control(steps=57)
    first = run(config, control)
    paused = first.events[-1]
    assert isinstance(paused, Paused)
    rest = run(config, state=paused.state)
    assert np.array_equal([*first.losses, *rest.losses], whole.losses)
    assert same_arrays(rest.finished.cores, whole.finished.cores)
    assert (rest.finished.best, rest.finished.step) == (whole.finished.best, whole.finished.step)


@pytest.mark.parametrize("batch_size", [None, 32])
def test_stacked_runs_are_those_that_each_is_alone(batch_size):
    configs = [wine(ranks=rank, weight_decay=decay, batch_size=batch_size) for rank, decay in ((1, 0.0), (2, 0.5))]
    together: dict[int, Finished] = {}
    losses: dict[int, list[float]] = {0: [], 1: []}
    for event in train_many(configs):
        if isinstance(event, Progress):
            losses[event.run] += event.losses.tolist()
        if isinstance(event, Finished):
            together[event.run] = event
    for number, config in enumerate(configs):
        alone: Outcome = run(config)
        np.testing.assert_allclose(losses[number], alone.losses, rtol=1e-9)
        assert together[number].test.score == alone.finished.test.score
        assert together[number].best.step == alone.finished.best.step


def test_weight_decay_shrinks_the_cores():
    norms = [sum((core**2).sum() for core in run(wine(weight_decay=d, steps=200)).finished.cores) for d in (0.0, 1.0)]
    assert norms[1] < 0.8 * norms[0]


def test_rounding_scores_of_classes_are_accuracies():
    config = wine(steps=100)
    finished = run(config).finished
    rows = score_every_rank(finished.cores, config.shape, load(config.data))
    assert rows[-1].train.score == finished.train.score
    assert rows[-1].test.loss == pytest.approx(finished.test.loss, rel=1e-6)


def test_the_models_to_compare_with_have_scores_on_both_parts():
    models = compare(DataConfig(source="wine"))
    kinds = [model.kind for model in models]
    assert kinds == ["full", "ridge", "low_rank", "low_rank", "constant"]
    assert models[0].test.score > 0.9 and models[0].parameters == 39
    assert np.isnan(models[1].train.loss) and models[1].test.score > 0.9
    assert models[-1].parameters == 0 and models[-1].train.score == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(("parameters", "rank", "said"), [(26, 2, False), (20, 1, False), (10, 1, True)])
def test_the_low_rank_model_beside_a_layer_is_the_nearest_in_size(parameters, rank, said):
    found = at_equal_size(compare(DataConfig(source="wine")), parameters)
    assert [model.kind for model in found.models] == ["full", "ridge", "constant", "low_rank"]
    assert found.models[-1].rank == rank
    assert ("Even a matrix of rank 1 has 16 weights" in found.note) == said


def test_a_regression_is_compared_with_its_constant_too():
    models = compare(DataConfig(source="diabetes"))
    assert models[-1].kind == "constant" and models[-1].train.score == pytest.approx(0, abs=1e-9)
    found = at_equal_size(compare(replace(DataConfig(source="linnerud"))), 9)
    assert [model.kind for model in found.models] == ["full", "ridge", "constant", "low_rank", "low_rank_ridge"]
