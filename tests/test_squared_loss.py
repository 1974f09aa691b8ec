from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.tables import NAMES, SHAPES, dense_by_einsum, random_cores
from ttcore import TTShape, planning
from ttcore.planning import Plan
from ttcore.shapes import replace_ranks
from ttcore.squared_loss import SquaredLoss, TrainingData, squared_loss
from ttcore.stack import Stack

# Few and many samples, fewer and more than most of the table's shapes have features.
SAMPLES = (1, 6, 40)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def runs_of(shape: TTShape) -> dict[str, list[TTShape]]:
    """Stacks to try: a run by itself, and runs of different ranks."""
    return {"alone": [shape], "stacked": [shape, replace_ranks(shape, 1), shape.clipped()]}


def parameters(shapes: list[TTShape], dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    return [torch.cat([core.reshape(-1) for core in random_cores(s, dtype, seed)]) for seed, s in enumerate(shapes)]


def samples_of(shape: TTShape, count: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(3)
    x = torch.randn(count, shape.in_features, generator=draws, dtype=torch.float64)
    y = torch.randn(count, shape.out_features, generator=draws, dtype=torch.float64)
    return x.to(dtype), y.to(dtype)


def made(
    shapes: list[TTShape], x: torch.Tensor, y: torch.Tensor, plan: Plan
) -> tuple[SquaredLoss, Stack, torch.Tensor, torch.Tensor]:
    stack = Stack(shapes)
    flat = stack.pack(parameters(shapes, x.dtype))
    gradient = torch.full_like(flat, torch.nan)
    return squared_loss(stack, flat, gradient, TrainingData(x, y, stack.shape), plan), stack, flat, gradient


def by_autograd(shape: TTShape, own: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> tuple[float, torch.Tensor]:
    """The slow obvious way, in float64."""
    own = own.double().requires_grad_()
    weight = dense_by_einsum([core[0] for core in Stack([shape]).cores(own[None])], shape)
    loss = ((x.double() @ weight.T - y.double()) ** 2).mean()
    (gradient,) = torch.autograd.grad(loss, own)
    return loss.item(), gradient


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("how", ["alone", "stacked"])
@pytest.mark.parametrize("name", NAMES)
def test_every_plan_gives_autograds_loss_and_gradient(name, how, dtype):
    shapes = runs_of(SHAPES[name])[how]
    common = Stack(shapes).shape
    for count in SAMPLES:
        x, y = samples_of(common, count, dtype)
        wanted = [by_autograd(s, own, x, y) for s, own in zip(shapes, parameters(shapes, dtype), strict=True)]
        plans = planning.candidates(common, count, True, True, len(shapes))
        assert {plan.order for plan in plans} >= ({"left"} if common.num_cores == 1 else {"left", "weight", "gram"})
        for plan in plans:
            loss, stack, flat, gradient = made(shapes, x, y, plan)
            # A second call must not depend on what the first one left behind.
            for _ in range(2):
                losses = loss().tolist()
            for row, (value, expected) in enumerate(wanted):
                assert losses[row] == pytest.approx(value, rel=TOLERANCE[dtype]), plan
                error = stack.own_parameters(gradient, row).double() - expected
                assert error.norm() <= TOLERANCE[dtype] * expected.norm(), plan
            padding = stack.pack([torch.ones_like(own) for own in parameters(shapes, dtype)]) == 0
            assert (gradient[padding] == 0).all(), plan
            assert (flat[padding] == 0).all(), plan


@pytest.mark.parametrize("threads", [2, 3, 4, 12])
@pytest.mark.parametrize("name", NAMES)
def test_a_product_in_parts_is_the_same(name, threads, monkeypatch):
    """However many threads there are: only those that divide m_1 make parts."""
    shape = SHAPES[name]
    x, y = samples_of(shape, 6, torch.float64)
    value, expected = by_autograd(shape, parameters([shape])[0], x, y)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for plan in planning.candidates(shape, 6, True, True):
        if plan.order == "weight":
            loss, stack, _, gradient = made([shape], x, y, plan)
            assert loss().item() == pytest.approx(value, rel=1e-10)
            error = stack.own_parameters(gradient, 0) - expected
            assert error.norm() <= 1e-10 * expected.norm(), plan


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_the_gradient_at_the_reference_size(dtype):
    shape = TTShape((8, 8, 8, 8), (2, 2, 2, 2), 8)
    x, y = samples_of(shape, 256, dtype)
    value, expected = by_autograd(shape, parameters([shape], dtype)[0], x, y)
    for plan in planning.candidates(shape, 256, True, True)[:4]:
        loss, stack, _, gradient = made([shape], x, y, plan)
        assert loss().item() == pytest.approx(value, rel=TOLERANCE[dtype])
        error = stack.own_parameters(gradient, 0).double() - expected
        assert error.norm() <= TOLERANCE[dtype] * expected.norm(), plan


def test_a_run_that_is_not_finite_disturbs_no_other():
    shape = SHAPES["the reference in small"]
    x, y = samples_of(shape, 20, torch.float64)
    for plan in planning.candidates(shape, 20, True, True, 3):
        alone, _, _, alone_gradient = made([shape] * 3, x, y, plan)
        losses = alone().clone()
        loss, _, flat, gradient = made([shape] * 3, x, y, plan)
        flat[1] = torch.nan
        assert torch.equal(loss()[[0, 2]], losses[[0, 2]]), plan
        assert torch.equal(gradient[[0, 2]], alone_gradient[[0, 2]]), plan
        assert loss()[1].isnan()


def test_the_gram_form_costs_the_same_for_any_number_of_samples():
    shape = TTShape((4, 4), (2, 2), 3)
    few, many = (
        next(plan for plan in planning.candidates(shape, count, True, True) if plan.order == "gram")
        for count in (100, 100_000)
    )
    assert few.forward == many.forward and few.backward == many.backward
    assert planning.plan_contraction(shape, 100_000, training=True, fixed_samples=True).order == "gram"
    # Nobody could prepare it for samples that change.
    assert all(plan.order != "gram" for plan in planning.candidates(shape, 100_000, True))


def test_the_gram_form_near_a_perfect_fit_keeps_its_precision():
    """The loss is a small difference of large numbers there: in float32 it would be lost."""
    shape = TTShape((4, 4), (2, 2), 3)
    x, _ = samples_of(shape, 400, torch.float32)
    own = parameters([shape], torch.float32)[0]
    weight = dense_by_einsum([core[0] for core in Stack([shape]).cores(own[None])], shape)
    y = x @ weight.T + 1e-3 * torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    value, expected = by_autograd(shape, own, x, y)
    errors: dict[str, tuple[float, float]] = {}
    for plan in planning.candidates(shape, 400, True, True):
        loss, stack, _, gradient = made([shape], x, y, plan)
        in_loss = abs(loss().item() / value - 1)
        error = stack.own_parameters(gradient, 0).double() - expected
        errors.setdefault(plan.order, (in_loss, (error.norm() / expected.norm()).item()))
    assert max(errors["gram"][0], 1e-4) <= 3 * max(errors["weight"][0], 1e-4)
    assert errors["gram"][1] <= 3 * errors["weight"][1]
    # The check has teeth: the same in float32.
    single = (y**2).sum() - 2 * (weight * (y.T @ x)).sum() + (weight * (weight @ (x.T @ x))).sum()
    assert abs(single.item() / y.numel() / value - 1) > 0.01


class Tensors(TorchDispatchMode):
    """The elements of the largest tensor that any operation makes."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.largest = max(self.largest, result.untyped_storage().nbytes() // result.element_size())
        return result


def test_a_large_layer_is_trained_without_its_dense_weight():
    """The size of a layer between VGG's features and its classifier: 411 MB of weight, 2,016 parameters."""
    shape = TTShape((2, 7, 8, 8, 7, 4), (4,) * 6, 4)
    x, y = samples_of(shape, 2, torch.float32)
    plan = planning.plan_contraction(shape, 2, training=True, fixed_samples=True)
    with Tensors() as seen:
        loss, stack, _, gradient = made([shape], x, y, plan)
        loss()
    assert seen.largest <= max(plan.peak_elements, x.numel(), y.numel())
    assert seen.largest < shape.dense_parameters / 50
    assert stack.own_parameters(gradient, 0).isfinite().all()
    # The check has teeth: the way over the weight would be seen.
    over_weight = next(p for p in planning.candidates(shape, 2, True, True) if p.order == "weight")
    assert over_weight.peak_elements > shape.dense_parameters


@pytest.mark.parametrize("how", ["alone", "stacked"])
@pytest.mark.parametrize("name", NAMES)
def test_a_step_stays_within_the_peak_that_was_planned(name, how):
    shapes = runs_of(SHAPES[name])[how]
    common = Stack(shapes).shape
    x, y = samples_of(common, 8, torch.float64)
    for plan in planning.candidates(common, 8, True, True, len(shapes)):
        stack = Stack(shapes)
        flat = stack.pack(parameters(shapes))
        data = TrainingData(x, y, common)
        held = max(data.x.numel(), len(shapes) * y.numel(), flat.numel())
        with Tensors() as seen:
            squared_loss(stack, flat, torch.zeros_like(flat), data, plan)()
        assert seen.largest <= max(plan.peak_elements, held), plan
