from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.tables import NAMES, SHAPES, dense_by_einsum, random_cores, tiny
from ttcore import InputError, TTShape, planning, preset, ttmatrix
from ttcore.planning import check_memory, plan_contraction


def leaves(shape: TTShape, samples: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    cores = random_cores(shape)
    x = torch.randn(samples, shape.in_features, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [core.requires_grad_() for core in cores], x.requires_grad_()


@pytest.mark.parametrize("samples", [1, 5])
@pytest.mark.parametrize("name", NAMES)
def test_every_plan_equals_dense_in_values_and_gradients(name, samples):
    shape = SHAPES[name]
    cores, x = leaves(shape, samples)
    direction = torch.randn(samples, shape.out_features, generator=torch.Generator().manual_seed(2)).double()

    expected = x @ dense_by_einsum(cores, shape).T
    expected_gradients = torch.autograd.grad(expected, [x, *cores], direction)

    plans = planning._candidates(shape, samples, True)
    assert {plan.order for plan in plans} == (
        {"left", "right"} if shape.num_cores == 1 else {"left", "right", "weight"}
    )
    for plan in plans:
        y = ttmatrix.apply(cores, x, shape, plan)
        torch.testing.assert_close(y, expected, msg=str(plan))
        gradients = torch.autograd.grad(y, [x, *cores], direction)
        for gradient, wanted in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(gradient, wanted, msg=str(plan))


@pytest.mark.parametrize("name", NAMES)
def test_candidates_come_cheapest_first_and_each_once(name):
    plans = planning._candidates(SHAPES[name], 8, False)
    costs = [plan.cost for plan in plans]
    assert costs == sorted(costs)
    assert len({(plan.order, plan.groups) for plan in plans}) == len(plans)
    for plan in plans:
        assert [core for group in plan.groups for core in group] == list(range(SHAPES[name].num_cores))


def test_many_cores_are_planned_without_trying_every_grouping():
    shape = TTShape((2,) * 20, (1,) * 20, 2)
    assert len(planning._candidates(shape, 4, False)) < 100
    cores, x = leaves(shape, 1)
    plan = plan_contraction(shape, 1)
    joined = ttmatrix.to_dense(cores, shape)
    torch.testing.assert_close(ttmatrix.apply(cores, x, shape, plan), x @ joined.T)


class Largest(TorchDispatchMode):
    """Watches for the largest tensor that any operation makes, and the sum over all products."""

    largest = 0
    products = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            # A view has the storage of what it looks at.
            self.largest = max(self.largest, result.untyped_storage().nbytes() // result.element_size())
            if "mm" in str(func):
                self.products += result.numel()
        return result


@pytest.mark.parametrize("name", NAMES)
def test_a_forward_pass_stays_within_the_peak_that_was_planned(name):
    # As many samples as the plan is made for: counts are rounded up to a power of two.
    shape, samples = SHAPES[name], 8
    cores, x = leaves(shape, samples)
    held = max(x.numel(), max(core.numel() for core in cores))
    for training in (False, True):
        for plan in planning._candidates(shape, samples, training):
            with torch.no_grad(), Largest() as seen:
                ttmatrix.apply(cores, x, shape, plan)
            padded = samples * shape.padded_in_features
            assert seen.largest <= max(plan.peak_elements, held, padded), plan
            if training:
                assert seen.products <= plan.peak_elements, plan


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_plan_respects_the_room_that_it_is_given(name, training):
    shape = SHAPES[name]
    peaks = sorted({plan.peak_elements for plan in planning._candidates(shape, 8, training)})
    for room in peaks:
        plan = plan_contraction(shape, 8, training=training, peak_elements=room)
        assert plan.peak_elements <= room
        # None of those that fit is cheaper.
        fitting = [each for each in planning._candidates(shape, 8, training) if each.peak_elements <= room]
        assert plan.cost == min(each.cost for each in fitting)
    with pytest.raises(InputError, match=f"{peaks[0]:,} numbers") as refused:
        plan_contraction(shape, 8, training=training, peak_elements=peaks[0] - 1)
    assert refused.value.field == "ranks"


def test_counted_work_of_a_plain_product():
    # One core is one product of (3 x 5) with (5 x 1) for each of 8 samples.
    plan = plan_contraction(SHAPES["one core"], 8)
    assert plan.flops == 2 * 8 * 3 * 5
    assert plan.calls == 1


def test_the_plan_says_what_it_does():
    said = str(plan_contraction(TTShape((8, 8, 8, 8), (2, 2, 2, 2), 8), 256, training=True))
    assert all(f"G{core}" in said for core in (1, 2, 3, 4))


# ---- memory ---------------------------------------------------------------------------------------------------------


def test_enough_room_gives_the_cheapest_plans():
    config = preset("reference")
    plans = check_memory(config, 2**40)
    assert plans == (plan_contraction(config.shape, 256, training=True), plan_contraction(config.shape, 1024))


def test_little_room_gives_plans_that_fit_or_a_refusal():
    config = tiny(train_samples=1000, test_samples=1000, in_modes=(12, 1), out_modes=(1, 4), ranks=4)
    cheapest, _ = check_memory(config, 2**40)
    budgets = range(100_000, 2_000_000, 5_000)
    kept, refused = [], []
    for budget in budgets:
        try:
            kept.append((budget, *check_memory(config, budget)))
        except InputError as error:
            refused.append(budget)
            assert error.field in {"ranks", "train_samples"}
    assert kept and refused
    assert max(refused) < min(budget for budget, *_ in kept)
    spent = planning.data_bytes(config.data, "float64") + planning.full_model_bytes(config.data)
    for budget, *plans in kept:
        assert all(spent + 8 * plan.peak_elements <= budget for plan in plans)
    assert kept[-1][1] == cheapest


def test_a_huge_layer_is_refused_on_integers():
    config = tiny(in_modes=(2**16, 2**16), out_modes=(2**14, 2**14), ranks=2**15)
    with pytest.raises(InputError, match="lower the ranks") as refused:
        check_memory(config, 16 * 2**30)
    assert refused.value.field == "ranks"
    assert "16.0 GiB" in str(refused.value)


def test_huge_data_are_refused_on_integers():
    config = tiny(train_samples=10_000_000, teacher_in_modes=(64, 64), in_modes=(64, 64))
    with pytest.raises(InputError, match="fewer samples") as refused:
        check_memory(config, 16 * 2**30)
    assert refused.value.field == "train_samples"
    assert "10000000" in str(refused.value)


def test_a_layer_that_only_its_contraction_makes_huge_is_refused():
    # Few parameters and few samples, but whichever way is taken, the data pass through 4096 outputs.
    config = tiny(teacher_out_modes=(64, 64), out_modes=(64, 64), train_samples=2, test_samples=200)
    room = planning.data_bytes(config.data, "float64") + planning.full_model_bytes(config.data)
    with pytest.raises(InputError, match="beside its data"):
        check_memory(config, room + 8 * 6 * config.shape.num_parameters + 1000)
