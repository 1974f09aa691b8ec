"""What a sweep amounts to before it starts: distinct runs, chunks that train as one, and about how long. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil

from ttcore.config import RunConfig
from ttcore.planning import check_memory, fixed_samples, plan_contraction
from ttcore.shapes import TTShape, stacked_shape
from ttcore.sweep_config import WITHOUT_RATE, Factorization, SweepConfig, show_numbers

# Runs that train as one: more are hardly quicker still, and their points would come later. The first points of every
# line should come soon.
CHUNK_RUNS, FIRST_RUNS = 16, 4
# Beside a step's products, of every step; and beside its steps, of every chunk. Seconds.
_STEP_OVERHEAD = 150e-6
_CHUNK_OVERHEAD = 0.1
# Evaluations of the loss that a step of L-BFGS takes on average.
_EVALUATIONS = 1.3


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """A sweep's distinct runs, in the order of the grid, and how they are done."""

    asked: int
    runs: tuple[RunConfig, ...]
    # Sentences on runs that were asked for twice.
    notes: tuple[str, ...]
    # Places of the runs that train as one, in the order in which they are done.
    chunks: tuple[tuple[int, ...], ...]
    # About how long each takes on this kind of machine, in seconds.
    seconds: tuple[float, ...]

    @property
    def redundant(self) -> int:
        return self.asked - len(self.runs)


def plan_sweep(config: SweepConfig, budget: int, pace: float = 1.0) -> SweepPlan:
    """Merge what is the same run, cut the rest into chunks and estimate their time.

    budget: bytes of memory that are free. pace: how much longer a step takes here than plans estimate.
    Raises InputError for a run that does not fit into it.
    """
    runs: dict[tuple[object, ...], RunConfig] = {}
    groups: dict[tuple[object, ...], list[int]] = {}
    merged: dict[tuple[Factorization, TTShape], list[int]] = {}
    for factorization, optimizer in product(config.factorizations, config.optimizers):
        for rate, rank, seed in product(config.rates, config.ranks, config.seeds):
            run = config.run(factorization, rank, seed, rate, optimizer)
            key = (run.shape, run.train)
            ranks = merged.setdefault((factorization, run.shape), [])
            if rank not in ranks:
                ranks.append(rank)
            if key not in runs:
                # Mini-batches are drawn by the seed.
                together = (factorization, optimizer, seed if run.is_batched else None)
                groups.setdefault(together, []).append(len(runs))
                runs[key] = run
    distinct = tuple(runs.values())
    _check_memory(distinct, groups, budget)
    chunks = _chunks(list(groups.values()), distinct)
    return SweepPlan(
        asked=config.asked,
        runs=distinct,
        notes=tuple(_notes(config, merged)),
        chunks=chunks,
        seconds=tuple(pace * chunk_seconds([distinct[place] for place in chunk]) for chunk in chunks),
    )


def _check_memory(runs: Sequence[RunConfig], groups: dict[tuple[object, ...], list[int]], budget: int) -> None:
    """The largest run of every group by itself: chunks that are too large together are divided when they train."""
    for places in groups.values():
        check_memory([max((runs[place] for place in places), key=lambda run: run.shape.num_parameters)], budget)


def _notes(config: SweepConfig, merged: dict[tuple[Factorization, TTShape], list[int]]) -> list[str]:
    notes = []
    for (factorization, shape), ranks in merged.items():
        if len(ranks) > 1:
            useful = show_numbers(sorted(set(shape.useful_ranks))) or "none, for a single core"
            notes.append(
                f"{factorization.label}: ranks {show_numbers(ranks)} are the same layer (useful ranks: {useful}), "
                f"trained once as rank {ranks[0]}."
            )
    without = [optimizer for optimizer in config.optimizers if optimizer in WITHOUT_RATE]
    if without and len(config.rates) > 1:
        have, their = ("has", "its") if len(without) == 1 else ("have", "their")
        notes.append(f"{' and '.join(without)} {have} no learning rate: {their} runs are not repeated for every rate.")
    return notes


def _chunks(groups: Sequence[Sequence[int]], runs: Sequence[RunConfig]) -> tuple[tuple[int, ...], ...]:
    """A few runs of each group, then equal parts of the others, neighbours in rank together.

    The groups take turns, so that all lines grow.
    """
    parts: list[tuple[float, int, tuple[int, ...]]] = []
    for number, group in enumerate(groups):
        ordered = sorted(group, key=lambda place: (runs[place].shape.num_parameters, place))
        most = 1 if runs[group[0]].train.optimizer in WITHOUT_RATE else CHUNK_RUNS
        first = min(most, FIRST_RUNS, len(ordered))
        rest = ordered[first:]
        count = ceil(len(rest) / most)
        cuts = [
            ordered[:first],
            *(rest[part * len(rest) // count : (part + 1) * len(rest) // count] for part in range(count)),
        ]
        parts += [(part / len(cuts), number, tuple(places)) for part, places in enumerate(cuts)]
    return tuple(places for _, _, places in sorted(parts))


def chunk_seconds(runs: Sequence[RunConfig]) -> float:
    """About how long runs that train as one take."""
    first = runs[0]
    shape = stacked_shape([run.shape for run in runs])
    samples = first.batch
    steps = max(run.train.steps for run in runs)
    match first.train.optimizer:
        case "als":
            step = _least_squares_seconds(shape, samples)
        case "lbfgs":
            step = _EVALUATIONS * step_seconds(shape, samples, fixed=fixed_samples(first))
        case _:
            step = step_seconds(shape, samples, len(runs), fixed=fixed_samples(first))
    return _CHUNK_OVERHEAD + steps * step


def step_seconds(shape: TTShape, samples: int, runs: int = 1, fixed: bool = True) -> float:
    """A step of Adam for so many runs as one; fixed: with the same samples at every step, and a squared loss."""
    plan = plan_contraction(shape, samples, training=True, fixed_samples=fixed, runs=runs)
    return _STEP_OVERHEAD + plan.seconds


def _least_squares_seconds(shape: TTShape, samples: int) -> float:
    """A system of the size of one core: its products with the samples, and its solution; the mean over the cores."""
    rows = samples * shape.out_features
    flops = [2 * rows * size**2 / n + size**3 for size, n in ((r * m * n * s, n) for r, m, n, s in shape.core_shapes)]
    return _STEP_OVERHEAD + sum(flops) / len(flops) / 5e10
