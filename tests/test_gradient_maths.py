"""Closed forms, autograd and differences give one gradient; the einsum that is shown is the one that is computed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.tables import NAMES, SHAPES
from ttcore.errors import InputError
from ttcore.gradient_autograd import by_cores, by_matrix
from ttcore.gradient_cores import CoreProblem, _folded, _residual, closed_form, core_code, core_einsum, opened
from ttcore.gradient_cores import squared_error as core_loss
from ttcore.gradient_differences import STEPS, central, errors_by_step, one_sided, relative_error
from ttcore.gradient_matrix import MatrixProblem
from ttcore.gradient_matrix import closed_form as matrix_form
from ttcore.gradient_matrix import squared_error as matrix_loss

SIZES = [(3, 5), (1, 1), (1, 8), (8, 1), (8, 8), (4, 3), (2, 7)]


def problem_of(name: str, seed: int = 0) -> CoreProblem:
    shape = SHAPES[name]
    return CoreProblem(shape.in_modes, shape.out_modes, shape.ranks, 3, seed, shape.in_features, shape.out_features)


# ---- a matrix -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [0, 1, 9999])
def test_three_gradients_by_a_matrix_are_one(size, seed):
    problem = MatrixProblem(size[0], size[1], seed)
    weight, x, y = problem.arrays
    assert (weight.shape, x.shape, y.shape) == (size, size[1:], size[:1])
    exact = matrix_form(weight, x, y)
    assert relative_error(by_matrix(problem), exact) < 1e-14
    for h in (1e-3, 1e-5, 1.0):
        assert relative_error(central(lambda w: matrix_loss(w, x, y), weight, h), exact) < 1e-8


def test_the_closed_form_by_hand():
    weight, x, y = np.array([[1.0, 2.0]]), np.array([3.0, 4.0]), np.array([10.0])
    assert matrix_form(weight, x, y).tolist() == [[6.0, 8.0]]


def test_one_sided_differences_are_off_by_h_times_the_square_of_the_input():
    weight, x, y = MatrixProblem().arrays
    off = one_sided(lambda w: matrix_loss(w, x, y), weight, 0.1) - matrix_form(weight, x, y)
    assert off == pytest.approx(np.broadcast_to(0.1 * x**2, off.shape))


def test_steps_that_are_too_small_or_too_large_cost_digits():
    weight, x, y = MatrixProblem().arrays
    errors = errors_by_step(lambda w: matrix_loss(w, x, y), weight, matrix_form(weight, x, y))
    at = {round(np.log10(h), 1): place for place, h in enumerate(STEPS)}
    assert errors.central[at[-15]] > 1e3 * errors.central[at[-6]] > 1e3 * errors.central[at[0]]
    assert errors.one_sided[at[2]] > 1e3 * errors.one_sided[at[-6]] < errors.one_sided[at[-14]]
    assert errors.single[at[-3]] > 1e3 * errors.central[at[-3]]
    assert all(np.isfinite([*errors.central, *errors.one_sided, *errors.single]))


@pytest.mark.parametrize(
    "value",
    [{"out_features": 0}, {"in_features": 9}, {"in_features": 2.5}, {"seed": -1}, {"seed": 10_000}, {"x": 1}, 7],
)
def test_a_matrix_is_refused_in_a_sentence(value):
    with pytest.raises(InputError) as refused:
        MatrixProblem.from_json(value)
    assert not re.search(r"[.!?] [A-Z]|[.!?]$", str(refused.value))


def test_problems_there_and_back():
    for problem in (MatrixProblem(2, 7, 5), problem_of("primes, padded", 4)):
        assert type(problem).from_json(problem.to_json()) == problem


# ---- cores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_three_gradients_by_every_core_are_one(name):
    problem = problem_of(name)
    cores, x, y = problem.arrays
    gradients = by_cores(problem)
    for k, autograd in enumerate(gradients):
        exact = closed_form(cores, x, y, k)
        assert exact.shape == autograd.shape == problem.shape.core_shapes[k]
        assert relative_error(autograd, exact) < 1e-12

        def loss(core: np.ndarray, k: int = k) -> np.ndarray:
            return core_loss([*cores[:k], core, *cores[k + 1 :]], x, y)

        assert relative_error(central(loss, cores[k], 1e-3), exact) < 1e-8


@pytest.mark.parametrize("name", NAMES)
def test_the_code_that_is_shown_gives_the_gradient(name):
    problem = problem_of(name)
    cores, x, y = problem.arrays
    for k in range(len(cores)):
        names = [f"G{j + 1}" for j in range(len(cores)) if j != k]
        values: dict[str, Any] = {
            "np": np,
            "residual": _folded(_residual(cores, x, y), problem.out_modes),
            "x": _folded(x, problem.in_modes),
            **dict(zip(names, opened(cores, k), strict=True)),
        }
        code = core_code(problem.shape, problem.samples, k)
        for variable in ("residual", "x"):
            assert str(values[variable].shape) in code
        exec(code, values)
        shown = values["gradient"].reshape(cores[k].shape)
        assert shown == pytest.approx(closed_form(cores, x, y, k), rel=1e-12, abs=1e-12)


def test_the_einsum_of_three_cores():
    assert core_einsum(3, 0) == "bopq,bijk,rjps,skq->ior"
    assert core_einsum(3, 1) == "bopq,bijk,ior,skq->rjps"
    assert core_einsum(1, 0) == "bo,bi->io"


@pytest.mark.parametrize(
    "value",
    [
        {"in_modes": (2,) * 9, "out_modes": (2,) * 9, "ranks": (1,) * 8},
        {"in_modes": (300, 300), "out_modes": (1, 1), "ranks": (1,)},
        {"in_modes": (2, 2), "out_modes": (2, 2), "ranks": (200_000,)},
        {"in_modes": (2, 2), "out_modes": (2,), "ranks": (2,)},
        {"in_modes": (2, 2), "out_modes": (2, 2), "ranks": (0,)},
        {"in_modes": (2, 2), "out_modes": (2, 2), "ranks": (2,), "samples": 65},
        {"in_modes": (2, 2), "out_modes": (2, 2), "ranks": (2,), "nothing": 1},
        {"in_modes": (2, 2)},
        None,
    ],
)
def test_a_layer_is_refused_in_a_sentence_before_it_is_made(value):
    with pytest.raises(InputError) as refused:
        CoreProblem.from_json(value)
    assert not re.search(r"[.!?] [A-Z]|[.!?]$", str(refused.value))
