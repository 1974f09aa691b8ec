"""A sweep's run that is adopted by an engine is the run that the engine would have trained itself."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.sweeps import full, made_up
from tests.tables import same_arrays, tiny
from ttcore import Engine, RunConfig, TTLinear, load_cores
from ttcore.adoption import adopted, curve_of
from ttcore.datasets import load
from ttcore.engine import RunSnapshot
from ttcore.export import cores_npz, curve_csv
from ttcore.report import result_object
from ttcore.results import RunResult
from ttcore.tasks import compare_with, train_chunk

PATIENCE = 60.0
RUNS = {
    "plain": tiny(steps=300),
    "single precision": tiny(steps=300, dtype="float32"),
    "one core": tiny(in_modes=(12,), out_modes=(4,), ranks=(), steps=40),
    "padded": tiny(in_modes=(3, 5), out_modes=(2, 3), ranks=3, steps=40),
    "ranks above the useful ones": tiny(ranks=99, steps=40),
    "noise": tiny(noise=0.3, steps=40),
    "target reached": tiny(target=0.2, steps=5000, lr=0.1),
    "converged": tiny(optimizer="lbfgs", steps=500),
    "broken": tiny(optimizer="sgd", lr=1000.0, steps=40),
    "alternating": tiny(optimizer="als", steps=20),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    one = Engine(threads=1)
    yield one
    one.close()


def trained_here(config: RunConfig) -> RunResult:
    torch.set_num_threads(1)
    (result,) = train_chunk([config.to_json()], threads=1)
    return result


def adopt(engine: Engine, result: RunResult, owner: str = "me") -> RunSnapshot:
    data = result.config.data
    run = adopted(result, owner, compare_with(data.to_json()), load(data))
    snapshot = engine.snapshot(engine.adopt(run))
    assert snapshot is not None
    return snapshot


@pytest.mark.parametrize("config", RUNS.values(), ids=RUNS)
def test_an_adopted_run_is_the_one_that_the_engine_trains(engine, config):
    id_ = engine.submit(config, "me")
    own = engine.wait(id_, lambda run: not run.active, PATIENCE)
    assert own is not None and own.finished is not None and own.started is not None
    run = adopt(engine, trained_here(config))
    assert run.finished is not None and run.started is not None
    assert run.config == own.config
    assert (run.state, run.message, run.step) == (own.state, own.message, own.step)
    assert run.number == own.number + 1
    assert (run.started.device, run.started.threads) == (own.started.device, own.started.threads)
    rough = 1e-5 if config.train.dtype == "float32" else 1e-9
    np.testing.assert_allclose(run.curve.losses, own.curve.losses, rtol=rough, atol=1e-6)
    # Step, train mse and R², test mse and R²; the seconds are those of another training. A test score that was slow
    # may come less often.
    mine, its = ({row[0]: row[2:] for row in curve.measured} for curve in (run.curve, own.curve))
    assert max(mine) == max(its) and mine.keys() & its.keys()
    for step in mine.keys() & its.keys():
        np.testing.assert_allclose(mine[step], its[step], rtol=rough, atol=1e-6)
    for part in ("train", "test", "best", "best_test"):
        ours, theirs = getattr(run.finished, part), getattr(own.finished, part)
        np.testing.assert_allclose((ours.loss, ours.score), (theirs.loss, theirs.score), rtol=rough, atol=1e-6)
    assert run.best == run.finished.best
    assert run.finished.best.step == own.finished.best.step
    assert run.finished.stop_reason == own.finished.stop_reason
    assert [core.shape for core in run.finished.cores] == list(config.shape.core_shapes)
    for core, other in zip(run.finished.cores, own.finished.cores, strict=True):
        np.testing.assert_allclose(core, other, rtol=rough, atol=1e-6)
    assert run.finished.predictions.keys() == own.finished.predictions.keys()
    for part, points in run.finished.predictions.items():
        np.testing.assert_allclose(points, own.finished.predictions[part], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run.finished.weight, own.finished.weight, rtol=1e-4, atol=1e-5)
    assert run.full_model is not None and own.full_model is not None
    assert run.full_model.parameters == own.full_model.parameters
    np.testing.assert_allclose(run.full_model.test.score, own.full_model.test.score, rtol=1e-6)


@pytest.mark.parametrize("config", RUNS.values(), ids=RUNS)
def test_its_cores_as_a_file_predict_what_was_measured(config):
    result = trained_here(config)
    data = load(config.data)
    finished = adopted(result, "me", [], data).finished
    assert finished is not None
    layer = TTLinear.from_cores(*load_cores(io.BytesIO(cores_npz(finished.cores, config.shape))))
    for part, x, y in (("train", data.x_train, data.y_train), ("test", data.x_test, data.y_test)):
        with torch.no_grad():
            predicted = layer(torch.tensor(x, dtype=layer.cores[0].dtype)).double().numpy()
        scores = getattr(result, part)
        np.testing.assert_allclose(np.mean((predicted - y) ** 2), scores.loss, rtol=1e-4, atol=1e-10)
        actual, drawn = finished.predictions[part]
        order = np.argsort(y.reshape(-1), kind="stable")
        np.testing.assert_allclose(np.sort(actual), y.reshape(-1)[order].astype(np.float32))
        with np.errstate(over="ignore"):
            expected = np.sort(predicted.reshape(-1)).astype(np.float32)
        np.testing.assert_allclose(np.sort(drawn), expected, rtol=1e-3, atol=1e-5)


def test_it_stands_in_the_history_of_who_opened_it_with_everything_to_take_away(engine):
    result = trained_here(RUNS["plain"])
    run = adopt(engine, result, "somebody else")
    assert [other.id for other in engine.runs("somebody else")] == [run.id]
    assert run.seconds == result.seconds > 0
    assert run.started is not None and run.finished is not None
    written = result_object(run.config, run.started, run.finished, run.full_model)
    assert written["train"] == {"mse": result.train.loss, "r2": result.train.score}
    assert written["steps"] == result.steps
    assert len(curve_csv(run.curve).splitlines()) == 1 + len(result.losses) + 1
    assert (run.place, run.others, run.eta) == (0, 0, None)


def test_without_models_to_compare_with_there_is_no_full_model():
    result = trained_here(RUNS["plain"])
    assert adopted(result, "me", [], load(result.config.data)).full_model is None
    model = adopted(result, "me", [full(test=0.25)], load(result.config.data)).full_model
    assert model is not None and model.test.score == 0.25 and model.weight.size == 0


def test_a_curve_is_of_the_runs_losses_and_measurements():
    result = made_up(
        tiny(steps=9), losses=np.arange(9.0), measured=np.array([[0.0, 0, 1, 1, 1, 1], [9, 2, 1, 1, 1, 1]])
    )
    curve = curve_of(result).view()
    assert same_arrays(curve.losses, result.losses)
    assert same_arrays(curve.measured, result.measured)
    np.testing.assert_allclose(curve.seconds_at(np.array([0, 9])), [0, 2])
