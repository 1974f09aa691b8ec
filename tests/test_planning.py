from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.tables import NAMES, SHAPES, dense_by_einsum, random_cores, tiny
from ttcore import InputError, TTShape, planning, preset, ttmatrix
from ttcore.planning import Work, candidates, check_memory, plan_contraction


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

    plans = candidates(shape, samples, True)
    assert {plan.order for plan in plans} == ({"left"} if shape.num_cores == 1 else {"left", "right", "weight"})
    for plan in plans:
        y = ttmatrix.apply(cores, x, shape, plan)
        torch.testing.assert_close(y, expected, msg=str(plan))
        gradients = torch.autograd.grad(y, [x, *cores], direction)
        for gradient, wanted in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(gradient, wanted, msg=str(plan))
        # Without a gradient the products are carried out in another way.
        with torch.no_grad():
            torch.testing.assert_close(ttmatrix.apply(cores, x, shape, plan), expected, msg=str(plan))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", NAMES)
def test_candidates_come_quickest_first_and_each_once(name, device):
    plans = candidates(SHAPES[name], 8, device=device)
    seconds = [plan.seconds for plan in plans]
    assert seconds == sorted(seconds)
    assert len({(plan.order, plan.groups) for plan in plans}) == len(plans)
    for plan in plans:
        assert [core for group in plan.groups for core in group] == list(range(SHAPES[name].num_cores))


def test_many_cores_are_planned_without_trying_every_grouping():
    shape = TTShape((2,) * 20, (1,) * 20, 2)
    assert len(candidates(shape, 4)) < 100
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
    shape, samples = SHAPES[name], 8
    cores, x = leaves(shape, samples)
    held = max(x.numel(), max(core.numel() for core in cores))
    for training in (False, True):
        for plan in candidates(shape, samples, training):
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
    peaks = sorted({plan.peak_elements for plan in candidates(shape, 8, training)})
    for room in peaks:
        plan = plan_contraction(shape, 8, training=training, peak_elements=room)
        assert plan.peak_elements <= room
        # None of those that fit is quicker.
        fitting = [each for each in candidates(shape, 8, training) if each.peak_elements <= room]
        assert plan.seconds == min(each.seconds for each in fitting)
    with pytest.raises(InputError, match=f"{peaks[0]:,} numbers") as refused:
        plan_contraction(shape, 8, training=training, peak_elements=peaks[0] - 1)
    assert refused.value.field == "ranks"


def test_a_plan_takes_a_quarter_of_what_is_free_at_most(monkeypatch):
    # Here the quickest plan is not the one that needs the least memory.
    shape = TTShape((64, 64), (64, 64), 4)
    quickest = plan_contraction(shape, 4096)
    assert quickest.peak_elements > planning._ALWAYS_ALLOWED_ELEMENTS
    monkeypatch.setattr(planning, "free_memory", lambda: 16 * quickest.peak_elements)
    assert plan_contraction(shape, 4096) == quickest
    # One element less, and another plan has to do.
    monkeypatch.setattr(planning, "free_memory", lambda: 16 * quickest.peak_elements - 16)
    fitting = [plan for plan in candidates(shape, 4096) if plan.peak_elements < quickest.peak_elements]
    assert fitting
    assert plan_contraction(shape, 4096) == fitting[0]
    monkeypatch.setattr(planning, "free_memory", lambda: 16)
    with pytest.raises(InputError, match="1 are allowed"):
        plan_contraction(shape, 4096)


def test_counted_work_of_a_plain_product():
    # One core is its own weight, laid out anew, and one product of (8 x 5) with (5 x 3).
    plan = plan_contraction(SHAPES["one core"], 8)
    assert plan.forward == Work(flops=2 * 8 * 3 * 5, elements=8 * 5 + 5 * 3 + 8 * 3 + 2 * 15, calls=2, items=1)
    assert plan.backward == Work()
    assert plan.dense_flops == plan.forward.flops


def test_counted_work_of_the_reference_step():
    shape = TTShape((8, 8, 8, 8), (2, 2, 2, 2), 8)
    plan = next(
        plan
        for plan in candidates(shape, 256, True, True)
        if plan.order == "weight" and plan.groups == ((0, 1), (2, 3))
    )
    halves = 2 * (16 * 8 * 128) + 2 * (128 * 8 * 16)
    weight = 2 * 65_536 * 8
    product = 2 * 256 * 65_536
    assert plan.forward.flops == halves + weight + product
    # Both factors of a product want their gradients; the data do not.
    assert plan.backward.flops == 2 * (halves + weight) + product
    eight = next(p for p in candidates(shape, 256, True, True, 8) if (p.order, p.groups) == (plan.order, plan.groups))
    assert eight.forward.flops == 8 * plan.forward.flops
    assert eight.forward.calls == plan.forward.calls


@pytest.mark.parametrize("name", NAMES)
def test_many_samples_make_a_step_over_the_weight_or_its_gram_form_quickest(name):
    """Arithmetic alone decides then, and nothing beats a cost that does not grow."""
    plan = plan_contraction(SHAPES[name], 10**7, training=True, fixed_samples=True, peak_elements=2**62)
    assert plan.order == ("left" if SHAPES[name].num_cores == 1 else "gram")


def test_the_report_says_what_a_plan_does():
    shape = TTShape((8, 8, 8, 8), (2, 2, 2, 2), 8)
    plan = next(plan for plan in candidates(shape, 256, True, True) if plan.order == "weight")
    report = plan.report()
    assert "weight from two halves" in report
    assert all(f"G{core}" in report for core in (1, 2, 3, 4))
    assert "FLOPs forward   34.7 M (dense layer 33.6 M)" in report
    assert "FLOPs backward  35.8 M (dense layer 33.6 M)" in report
    assert f"{plan.peak_elements:,} elements" in report and "65,536 elements" in report
    assert "70.5 MFLOP a step, 1.05× the dense layer's" in plan.headline
    inference = plan_contraction(TTShape((2, 7, 8, 8, 7, 4), (4,) * 6, 4), 1)
    assert "backward" not in inference.report()
    assert "FLOP forward, 0.0" in inference.headline


# ---- memory ---------------------------------------------------------------------------------------------------------


def test_enough_room_gives_the_cheapest_plans():
    config = preset("reference")
    plans = check_memory([config], 2**40)
    assert plans.training == plan_contraction(config.shape, 256, training=True, fixed_samples=True)
    assert plans.test == plan_contraction(config.shape, 1024)


def test_little_room_gives_plans_that_fit_or_a_refusal():
    config = tiny(train_samples=1000, test_samples=1000, in_modes=(12, 1), out_modes=(1, 4), ranks=4)
    cheapest = check_memory([config], 2**40).training
    budgets = range(100_000, 2_000_000, 5_000)
    kept, refused = [], []
    for budget in budgets:
        try:
            kept.append((budget, check_memory([config], budget)))
        except InputError as error:
            refused.append(budget)
            assert error.field in {"ranks", "train_samples"}
    assert kept and refused
    assert max(refused) < min(budget for budget, _ in kept)
    spent = planning.data_bytes(config.data, "float64") + planning.full_model_bytes(config.data)
    for budget, plans in kept:
        for plan in (plans.training, plans.test):
            assert spent + 8 * plan.peak_elements <= budget
            assert 8 * plan.peak_elements <= budget // 4
    assert kept[-1][1].training == cheapest


def test_a_huge_layer_is_refused_on_integers():
    config = tiny(in_modes=(2**16, 2**16), out_modes=(2**14, 2**14), ranks=2**15)
    with pytest.raises(InputError, match="lower the ranks") as refused:
        check_memory([config], 16 * 2**30)
    assert refused.value.field == "ranks"
    assert "16.0 GiB" in str(refused.value)


def test_huge_data_are_refused_on_integers():
    config = tiny(train_samples=10_000_000, teacher_in_modes=(64, 64), in_modes=(64, 64))
    with pytest.raises(InputError, match="fewer samples") as refused:
        check_memory([config], 16 * 2**30)
    assert refused.value.field == "train_samples"
    assert "10,000,016 samples" in str(refused.value)


def test_a_layer_that_only_its_contraction_makes_huge_is_refused():
    # Few parameters and few samples, but whichever way is taken, the data pass through 4096 outputs.
    config = tiny(teacher_out_modes=(64, 64), out_modes=(64, 64), train_samples=2, test_samples=200)
    room = planning.data_bytes(config.data, "float64") + planning.full_model_bytes(config.data)
    with pytest.raises(InputError, match="beside its data"):
        check_memory([config], room + 8 * 6 * config.shape.num_parameters + 1000)


def test_the_systems_of_alternating_least_squares_must_fit():
    config = tiny(optimizer="als", in_modes=(3, 4), ranks=4)
    needed = planning.least_squares_bytes(config.shape, config.data.train_samples)
    assert check_memory([config], 2**30).training.samples == config.data.train_samples
    with pytest.raises(InputError, match="choose Adam") as refused:
        check_memory([config], 4 * needed - 4)
    assert refused.value.field == "ranks"


def test_runs_together_need_room_for_all_of_their_cores():
    configs = [tiny(seed=seed) for seed in range(1000)]
    alone = check_memory(configs[:1], 100_000)
    assert alone.training.runs == 1
    with pytest.raises(InputError):
        check_memory(configs, 100_000)
    assert check_memory(configs, 2**34).training.runs == 1000
