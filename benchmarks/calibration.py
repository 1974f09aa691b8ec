"""Which constants make the planner's estimates closest to this machine, and what do its choices cost?

Times many plans over a range of layers, forward alone and whole training steps, fits the cost model of
`ttcore.planning` to them (non-negative least squares of relative errors), and says for each case how much slower the
plan that the model picks is than the quickest one that was timed.

    python -m benchmarks.calibration [--threads 2] [--device cpu]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from scipy.optimize import nnls

from benchmarks.results import write_section
from benchmarks.tables import markdown_table
from ttcore import TTShape, ttmatrix
from ttcore.machine import processors
from ttcore.planning import COST_MODELS, CostModel, Plan, candidates
from ttcore.squared_loss import TrainingData, squared_loss
from ttcore.stack import Stack

SHAPES = {
    "8⁴ -> 2⁴, rank 8": TTShape((8,) * 4, (2,) * 4, 8),
    "8⁴ -> 2⁴, rank 2": TTShape((8,) * 4, (2,) * 4, 2),
    "16² -> 16², rank 16": TTShape((16,) * 2, (16,) * 2, 16),
    "4⁵ -> 4⁵, rank 8": TTShape((4,) * 5, (4,) * 5, 8),
    "8·8·16 -> 8·8·16, rank 16": TTShape((8, 8, 16), (8, 8, 16), 16),
    "32·32 -> 4·4, rank 4": TTShape((32, 32), (4, 4), 4),
    "4096·1 -> 1·16, rank 4": TTShape((4096, 1), (1, 16), 4),
    "25088 -> 4096, rank 4": TTShape((2, 7, 8, 8, 7, 4), (4,) * 6, 4),
}
SAMPLES = (1, 16, 256, 2048)
# Plans timed of each case: the quickest by the present estimate, and some of the others.
FIRST, OTHERS = 6, 4
# Cases that would take longer than this, as estimated, are left out.
LONGEST = 0.5
SECONDS_EACH = 0.06


@dataclass(frozen=True)
class Timed:
    """One plan and the seconds that it took."""

    case: str
    plan: Plan
    seconds: float


def timed_plans(device: torch.device, repeats: int = 1) -> list[Timed]:
    """Time a choice of plans for every shape, number of samples and kind of pass."""
    chance = random.Random(0)
    timed = []
    for name, shape in SHAPES.items():
        for samples in SAMPLES:
            for training in (False, True):
                plans = candidates(shape, samples, training, training, 1, ttmatrix.device_class(device))
                chosen = [*plans[:FIRST], *chance.sample(plans[FIRST:], min(OTHERS, max(0, len(plans) - FIRST)))]
                case = f"{name}, {samples} samples, {'training' if training else 'forward'}"
                print(case, file=sys.stderr, flush=True)
                for plan in chosen:
                    if plan.seconds < LONGEST and plan.peak_elements < 2**28:
                        timed.append(Timed(case, plan, _seconds(_call(plan, device))))
    return timed


def _call(plan: Plan, device: torch.device) -> Callable[[], object]:
    shape = plan.shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(plan.samples, shape.in_features, generator=generator).to(device)
    cores = ttmatrix.initialize(shape, generator=generator, device=device)
    if not plan.backward.calls:
        return lambda: ttmatrix.apply(cores, x, shape, plan)
    y = torch.randn(plan.samples, shape.out_features, generator=generator).to(device)
    stack = Stack([shape])
    flat = stack.pack([torch.cat([core.reshape(-1) for core in cores])])
    return squared_loss(stack, flat, torch.zeros_like(flat), TrainingData(x, y, shape), plan)


@torch.inference_mode()
def _seconds(call: Callable[[], object]) -> float:
    """The median time of one call."""

    def once() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - began

    call()
    first = once()
    return median(once() for _ in range(max(3, min(200, int(SECONDS_EACH / max(first, 1e-6))))))


def fitted(timed: list[Timed], double: float) -> CostModel:
    """The constants that fit best, relative errors counting alike."""
    rows = []
    for each in timed:
        work = each.plan.forward + each.plan.backward
        factor = double if each.plan.order == "gram" else 1.0
        plain = work.flops - work.batched_flops
        rows.append([factor * plain, factor * work.batched_flops, factor * work.elements, work.calls, work.items])
    matrix = np.array(rows, dtype=float) / np.array([each.seconds for each in timed])[:, None]
    scales = matrix.max(axis=0)
    solution, _ = nnls(matrix / scales, np.ones(len(timed)))
    flop, batched_flop, element, call, item = (solution / scales).tolist()
    return CostModel(flop=flop, batched_flop=batched_flop, element=element, call=call, item=item, double=double)


def regrets(timed: list[Timed], model: CostModel) -> dict[str, float]:
    """For each case, how many times as long as the quickest plan the one takes that the model would pick."""
    cases: dict[str, list[Timed]] = {}
    for each in timed:
        cases.setdefault(each.case, []).append(each)
    found = {}
    for case, plans in cases.items():
        picked = min(
            plans,
            key=lambda each: (each.plan.forward + each.plan.backward).seconds(model, each.plan.order == "gram"),
        )
        found[case] = picked.seconds / min(each.seconds for each in plans)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    timed = timed_plans(device)
    present = COST_MODELS[ttmatrix.device_class(device)]
    rows = []
    for name, model in {"in ttcore.planning": present, "fitted here": fitted(timed, present.double)}.items():
        regret = list(regrets(timed, model).values())
        rows.append(
            [
                name,
                *(f"{value:.3g}" for value in (model.flop, model.batched_flop, model.element, model.call, model.item)),
                f"{median(regret):.2f}",
                f"{float(np.quantile(regret, 0.9)):.2f}",
                f"{max(regret):.2f}",
            ]
        )
    header = [
        "constants",
        "s/FLOP",
        "s/batched FLOP",
        "s/element",
        "s/call",
        "s/item",
        "regret, median",
        "90 %",
        "worst",
    ]
    worst = sorted(regrets(timed, present).items(), key=lambda item: -item[1])[:5]
    text = (
        "Regret: how many times as long as the quickest plan that was timed the picked one takes. "
        f"{len(timed)} plans of {len(regrets(timed, present))} cases (layer, samples, forward or training), "
        f"{arguments.threads} threads.\n\n{markdown_table(header, rows)}\n\nThe worst picks of the constants in "
        f"`ttcore.planning`: {'; '.join(f'{case} {value:.2f}' for case, value in worst)}."
    )
    write_section("calibration", "The planner's picks (`python -m benchmarks.calibration`)", text, device)


if __name__ == "__main__":
    main()
