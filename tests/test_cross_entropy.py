"""The cross-entropy along every plan, held against autograd; and samples that change under the loss objects."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tables import NAMES, SHAPES, dense_by_einsum
from tests.test_squared_loss import parameters, runs_of, samples_of
from ttcore import TTShape, planning, ttmatrix
from ttcore.cross_entropy import cross_entropy
from ttcore.logistic import constant
from ttcore.planning import Plan
from ttcore.squared_loss import SquaredLoss, TrainingData, squared_loss
from ttcore.stack import Stack

SAMPLES = (1, 6, 40)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def classified(shape: TTShape, count: int, dtype: torch.dtype = torch.float64, seed: int = 3) -> tuple[Tensor, Tensor]:
    x, _ = samples_of(shape, count, dtype)
    labels = torch.randint(shape.out_features, (count,), generator=torch.Generator().manual_seed(seed))
    return x, torch.nn.functional.one_hot(labels, shape.out_features).to(dtype)


def offset_for(shape: TTShape, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape.out_features, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(dtype)


def made(
    shapes: list[TTShape], x: Tensor, y: Tensor, plan: Plan, offset: Tensor, scale: float = 1.0
) -> tuple[SquaredLoss, Stack, Tensor, Tensor]:
    stack = Stack(shapes)
    flat = stack.pack([scale * own for own in parameters(shapes, x.dtype)])
    gradient = torch.full_like(flat, torch.nan)
    return cross_entropy(stack, flat, gradient, TrainingData(x, y, stack.shape), plan, offset), stack, flat, gradient


def by_autograd(shape: TTShape, own: Tensor, x: Tensor, y: Tensor, offset: Tensor) -> tuple[float, Tensor]:
    """The slow obvious way, in float64."""
    own = own.double().requires_grad_()
    weight = dense_by_einsum([core[0] for core in Stack([shape]).cores(own[None])], shape)
    loss = torch.nn.functional.cross_entropy(x.double() @ weight.T + offset.double(), y.argmax(1))
    (gradient,) = torch.autograd.grad(loss, own)
    return loss.item(), gradient


def plans_of(shape: TTShape, count: int, runs: int = 1) -> tuple[Plan, ...]:
    return planning.candidates(shape, count, True, False, runs)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("how", ["alone", "stacked"])
@pytest.mark.parametrize("name", NAMES)
def test_every_plan_gives_autograds_loss_and_gradient(name, how, dtype):
    shapes = runs_of(SHAPES[name])[how]
    common = Stack(shapes).shape
    offset, tolerance = offset_for(common, dtype), TOLERANCE[dtype]
    for count in SAMPLES:
        x, y = classified(common, count, dtype)
        own = parameters(shapes, dtype)
        wanted = [by_autograd(s, vector, x, y, offset) for s, vector in zip(shapes, own, strict=True)]
        for plan in plans_of(common, count, len(shapes)):
            loss, stack, flat, gradient = made(shapes, x, y, plan, offset)
            with torch.inference_mode():
                # A second call must not depend on what the first one left behind.
                for _ in range(2):
                    losses = loss().tolist()
            for row, (value, expected) in enumerate(wanted):
                assert losses[row] == pytest.approx(value, rel=tolerance, abs=tolerance), plan
                error = stack.own_parameters(gradient, row).double() - expected
                # Where the probabilities are next to 0 and 1, float32 rounds them, not the gradient.
                floor = tolerance if dtype == torch.float32 else 1e-12
                assert error.norm() <= tolerance * expected.norm() + floor, plan
            padding = stack.pack([torch.ones_like(vector) for vector in own]) == 0
            assert (gradient[padding] == 0).all() and (flat[padding] == 0).all(), plan


@pytest.mark.parametrize("name", ["primes, padded", "modes of 1 inside", "the reference in small"])
def test_the_loss_and_gradient_are_those_of_the_layer(name):
    shape = SHAPES[name]
    x, y = classified(shape, 9)
    offset, own = offset_for(shape), parameters([shape])[0].requires_grad_()
    cores = [core[0] for core in Stack([shape]).cores(own[None])]
    logits = ttmatrix.apply(cores, x, shape, planning.plan_contraction(shape, 9)) + offset
    value = -(logits.log_softmax(1) * y).sum() / 9
    (expected,) = torch.autograd.grad(value, own)
    for plan in plans_of(shape, 9):
        loss, stack, _, gradient = made([shape], x, y, plan, offset)
        assert loss().item() == pytest.approx(value.item(), rel=1e-10)
        assert torch.allclose(stack.own_parameters(gradient, 0), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_runs_of_a_stack_have_the_loss_that_they_have_alone(name):
    shapes = runs_of(SHAPES[name])["stacked"]
    common = Stack(shapes).shape
    x, y = classified(common, 12)
    offset = offset_for(common)
    for plan in plans_of(common, 12, len(shapes)):
        loss, stack, flat, gradient = made(shapes, x, y, plan, offset)
        together = loss().tolist()
        for row, shape in enumerate(shapes):
            own = stack.own_parameters(flat, row)[None]
            own_gradient = torch.empty_like(own)
            way = next(way for way in plans_of(shape, 12) if (way.order, way.groups) == (plan.order, plan.groups))
            alone = cross_entropy(Stack([shape]), own, own_gradient, TrainingData(x, y, shape), way, offset)
            assert alone().item() == pytest.approx(together[row], rel=1e-12, abs=1e-14)
            assert torch.allclose(own_gradient[0], stack.own_parameters(gradient, row), rtol=1e-10, atol=1e-12)


def test_a_run_that_is_not_finite_disturbs_no_other():
    shape = SHAPES["the reference in small"]
    x, y = classified(shape, 20)
    offset = offset_for(shape)
    for plan in plans_of(shape, 20, 3):
        alone, _, _, alone_gradient = made([shape] * 3, x, y, plan, offset)
        losses = alone().clone()
        for bad in (torch.nan, torch.inf):
            loss, _, flat, gradient = made([shape] * 3, x, y, plan, offset)
            flat[1] = bad
            assert torch.equal(loss()[[0, 2]], losses[[0, 2]]), plan
            assert torch.equal(gradient[[0, 2]], alone_gradient[[0, 2]]), plan
            assert not loss()[1].isfinite()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", ["primes, padded", "the reference in small"])
def test_large_logits_stay_finite(name, dtype):
    shape = SHAPES[name]
    x, y = classified(shape, 20, dtype)
    for scale in (1e2, 1e4):
        for plan in plans_of(shape, 20):
            loss, _, flat, gradient = made([shape], x, y, plan, offset_for(shape, dtype), scale)
            value, _ = by_autograd(shape, flat[0], x, y, offset_for(shape, dtype))
            assert value > 1e4
            assert loss().item() == pytest.approx(value, rel=TOLERANCE[dtype]), plan
            assert gradient.isfinite().all(), plan


@pytest.mark.parametrize("runs", [1, 3])
def test_a_single_class_costs_nothing(runs):
    shape = TTShape((4, 3), (1, 1), 2)
    x, y = classified(shape, 5)
    for plan in plans_of(shape, 5, runs):
        loss, _, _, gradient = made([shape] * runs, x, y, plan, torch.zeros(1, dtype=torch.float64))
        assert str(loss().tolist()) == str([0.0] * runs)
        assert (gradient == 0).all()


def test_xtx_is_of_no_use():
    shape = SHAPES["two cores"]
    x, y = classified(shape, 5)
    gram = next(plan for plan in planning.candidates(shape, 5, True, True) if plan.order == "gram")
    with pytest.raises(AssertionError):
        made([shape], x, y, gram, offset_for(shape))


def test_the_offset_alone_predicts_the_class_shares():
    onehot = np.eye(4)[[0, 0, 0, 1, 1, 2, 0, 0]]
    offset = np.log(constant(onehot))
    assert np.exp(offset).tolist() == pytest.approx([5 / 8, 2 / 8, 1 / 8, 0.5 / 8])
    shape = TTShape((2, 2), (2, 2), 1)
    x, y = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)).double(), torch.tensor(onehot)
    stack = Stack([shape])
    flat = torch.zeros_like(stack.pack(parameters([shape])))
    loss = cross_entropy(
        stack, flat, torch.empty_like(flat), TrainingData(x, y, shape), plans_of(shape, 8)[0], torch.tensor(offset)
    )
    shares = np.exp(offset) / np.exp(offset).sum()
    assert loss().item() == pytest.approx(-np.log(onehot @ shares).mean())


# ---- samples that change ---------------------------------------------------------------------------------------------

Make = Callable[[Stack, Tensor, Tensor, TrainingData, Plan], SquaredLoss]


def of_classes(stack: Stack, flat: Tensor, gradient: Tensor, data: TrainingData, plan: Plan) -> SquaredLoss:
    return cross_entropy(stack, flat, gradient, data, plan, offset_for(stack.shape))


@pytest.mark.parametrize("how", ["alone", "stacked"])
@pytest.mark.parametrize("make", [squared_loss, of_classes], ids=["squared", "cross-entropy"])
@pytest.mark.parametrize("name", NAMES)
def test_after_a_change_of_the_samples_all_is_as_made_anew(name, make: Make, how, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # so that some products are made in parts
    shapes = runs_of(SHAPES[name])[how]
    stack = Stack(shapes)
    flat = stack.pack(parameters(shapes))
    x, y = classified(stack.shape, 7)
    new_x, new_y = -2 * x.flip(0) + 1, y.flip(0).roll(1, 1)
    for plan in plans_of(stack.shape, 7, len(shapes)):
        data = TrainingData(x.clone(), y.clone(), stack.shape, changing=True)
        gradient, expected_gradient = torch.empty_like(flat), torch.empty_like(flat)
        loss = make(stack, flat, gradient, data, plan)
        before = make(stack, flat, expected_gradient, TrainingData(x, y, stack.shape), plan)()
        assert torch.allclose(loss(), before, rtol=1e-12, atol=1e-14), plan
        with torch.inference_mode():
            data.x[:, : stack.shape.in_features] = new_x
            data.y.copy_(new_y)
            loss.samples_changed()
            losses = loss().clone()
        expected = make(stack, flat, expected_gradient, TrainingData(new_x, new_y, stack.shape), plan)()
        assert torch.allclose(losses, expected, rtol=1e-12, atol=1e-14), plan
        assert torch.allclose(gradient, expected_gradient, rtol=1e-10, atol=1e-12), plan


def test_xtx_is_for_samples_that_stay():
    shape = SHAPES["two cores"]
    x, y = classified(shape, 5)
    stack = Stack([shape])
    flat = stack.pack(parameters([shape]))
    gram = next(plan for plan in planning.candidates(shape, 5, True, True) if plan.order == "gram")
    with pytest.raises(NotImplementedError):
        squared_loss(stack, flat, torch.empty_like(flat), TrainingData(x, y, shape), gram).samples_changed()
