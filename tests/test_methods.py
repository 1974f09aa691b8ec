"""L-BFGS and alternating least squares: what each promises beyond the laws of every run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.tables import dense_by_einsum, random_cores, tiny
from ttcore import Control, RunConfig, TTShape, load, train
from ttcore.alternating import AlternatingLeastSquares
from ttcore.events import Finished, Progress, StopReason
from ttcore.squared_loss import TrainingData
from ttcore.stack import Stack

ALS: dict[str, RunConfig] = {
    "two cores": tiny(optimizer="als", steps=12, noise=0.5, ranks=2),
    "three cores": tiny(optimizer="als", steps=30, noise=0.5, in_modes=(3, 2, 2), out_modes=(2, 1, 2), ranks=2),
    "padded": tiny(optimizer="als", steps=30, noise=0.5, in_modes=(4, 4), out_modes=(3, 2), ranks=2),
    "one core": tiny(optimizer="als", steps=3, noise=0.5, in_modes=(12,), out_modes=(4,), ranks=()),
    "low rank": tiny(optimizer="als", steps=12, noise=0.5, in_modes=(12, 1), out_modes=(1, 4), ranks=2),
    "float32": tiny(optimizer="als", steps=12, noise=0.5, dtype="float32"),
    "fewer samples than unknowns": tiny(optimizer="als", steps=12, noise=0.5, train_samples=2, ranks=4),
}


def run(config: RunConfig, control: Control | None = None) -> tuple[np.ndarray, Finished]:
    losses: list[float] = []
    finished: Any = None
    for event in train(config, control):
        if isinstance(event, Progress):
            losses += event.losses.tolist()
        elif isinstance(event, Finished):
            finished = event
    return np.array(losses), finished


@pytest.mark.parametrize("name", ALS)
def test_no_step_of_alternating_least_squares_raises_the_loss(name):
    losses, finished = run(ALS[name])
    slack = 1e-5 if ALS[name].train.dtype == "float32" else 1e-12
    assert (np.diff(losses) <= slack * losses[0]).all()
    assert finished.train.loss <= losses[-1] + slack * losses[0]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", [name for name in ALS if name != "fewer samples than unknowns"])
def test_each_step_solves_for_its_core(name):
    """Held against least squares with the derivative of the dense weight by each entry: slow, and the definition."""
    config = ALS[name]
    dataset, shape = load(config.data), config.shape
    x, y = torch.tensor(dataset.x_train), torch.tensor(dataset.y_train)
    stack = Stack([shape])
    start = torch.cat([core.reshape(-1) for core in random_cores(shape)])
    als = AlternatingLeastSquares(stack, [start], TrainingData(x, y, shape), ridge=1e-13)
    for step in range(2 * shape.num_cores):
        als.prepare([step])
        solved = als._turn(step)
        before = [core[0].clone() for core in stack.cores(als.flat)]
        als.update()
        reached = als.losses().item()

        def predictions(core: torch.Tensor, held=before, k=solved) -> torch.Tensor:
            return x @ dense_by_einsum([*held[:k], core, *held[k + 1 :]], shape).T

        jacobian = torch.autograd.functional.jacobian(predictions, before[solved]).reshape(y.numel(), -1)
        best = torch.linalg.lstsq(jacobian, y.reshape(-1, 1), driver="gelsd").solution
        wanted = ((jacobian @ best - y.reshape(-1, 1)) ** 2).mean().item()
        assert reached == pytest.approx(wanted, rel=1e-6, abs=1e-12), step


def test_cores_beside_the_one_solved_for_are_orthogonal():
    config = ALS["three cores"]
    dataset, shape = load(config.data), config.shape
    stack = Stack([shape])
    data = TrainingData(torch.tensor(dataset.x_train), torch.tensor(dataset.y_train), shape)
    als = AlternatingLeastSquares(
        stack, [torch.cat([core.reshape(-1) for core in random_cores(shape)])], data, ridge=1e-8
    )
    for step in range(8):
        als.prepare([step])
        als.update()
        following = als._turn(step + 1)
        for k, core in enumerate(core[0] for core in stack.cores(als.flat)):
            r, m, n, s = core.shape
            if k < following:
                flat = core.reshape(r * m * n, s)
                torch.testing.assert_close(flat.T @ flat, torch.eye(s, dtype=core.dtype))
            elif k > following:
                flat = core.reshape(r, m * n * s)
                torch.testing.assert_close(flat @ flat.T, torch.eye(r, dtype=core.dtype))


def test_a_sweep_goes_there_and_back():
    shape = TTShape((2,) * 4, (1,) * 4, 2)
    data = TrainingData(torch.zeros(3, 16), torch.zeros(3, 1), shape)
    als = AlternatingLeastSquares(Stack([shape]), [torch.zeros(shape.num_parameters)], data, 1e-8)
    assert [als._turn(step) for step in range(13)] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]


@pytest.mark.parametrize("optimizer", ["lbfgs", "als"])
def test_a_minimum_ends_the_run(optimizer):
    _, finished = run(tiny(optimizer=optimizer, steps=5000, noise=0.5))
    assert finished.stop_reason is StopReason.CONVERGED
    assert finished.step < 5000
    assert "minimum" in finished.stop_reason.sentence


@pytest.mark.parametrize("optimizer", ["lbfgs", "als"])
def test_a_teacher_of_the_same_rank_is_found(optimizer):
    _, finished = run(tiny(optimizer=optimizer, steps=400, train_samples=100))
    assert finished.train.score > 1 - 1e-6
    assert finished.test.score > 1 - 1e-6


@pytest.mark.parametrize("optimizer", ["lbfgs", "als"])
def test_a_target_and_a_stop_end_it_as_they_end_adam(optimizer):
    config = tiny(optimizer=optimizer, steps=300, noise=0.5, target=0.3)
    _, finished = run(config)
    assert finished.stop_reason is StopReason.TARGET_REACHED
    assert finished.train.score >= 0.3
    control = Control()
    control.stop()
    _, finished = run(config, control)
    assert finished.stop_reason is StopReason.STOPPED and finished.step == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_perfect_fit_ends_alternating_least_squares_at_once(dtype):
    """Beyond rounding there is nothing to win, though the last digits still move."""
    _, finished = run(tiny(optimizer="als", steps=400, ranks=8, dtype=dtype))
    assert finished.stop_reason is StopReason.CONVERGED
    assert finished.step < 40
    assert finished.train.score > 1 - 1e-10


def test_each_iteration_of_lbfgs_lowers_the_loss():
    losses, _ = run(tiny(optimizer="lbfgs", steps=60, noise=0.5))
    assert (np.diff(losses) <= 1e-12 * losses[0]).all()


def test_lbfgs_evaluates_no_point_twice(monkeypatch):
    from ttcore import lbfgs

    evaluated: list[torch.Tensor] = []
    original = lbfgs.training_loss

    def counted(stack, flat, gradient, data, plan):
        loss = original(stack, flat, gradient, data, plan)

        def call():
            evaluated.append(flat.clone())
            return loss()

        return call

    monkeypatch.setattr(lbfgs, "training_loss", counted)
    run(tiny(optimizer="lbfgs", steps=30, noise=0.5))
    assert len(evaluated) > 30
    assert len({tuple(point.flatten().tolist()) for point in evaluated}) == len(evaluated)
