"""In which order to contract a tensor-train layer with its input, and what that costs. Integers only; no torch.

Three ways to compute y = W x, all planned here and carried out in ttmatrix:
- "weight": join the cores left and right of one bond into two half-trains, multiply these into the dense weight, and
  apply that. Best for many samples and a small weight.
- "left": sweep over the data from mode 1 to mode d, neighbouring cores joined into groups first.
- "right": the same from mode d to mode 1.
A multiply-add counts as two floating-point operations (FLOPs).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from math import prod
from typing import TYPE_CHECKING, Literal

from ttcore.checks import show
from ttcore.errors import InputError
from ttcore.machine import show_bytes
from ttcore.shapes import TTShape

if TYPE_CHECKING:
    from ttcore.config import DataConfig, RunConfig

Order = Literal["weight", "left", "right"]

# Weights of the cost model: seconds per FLOP, per byte and per call. From a two-core x86 machine in float32, where a
# small batched product runs at about 40 GFLOP/s, memory at about 10 GB/s, and a call costs about 3 microseconds.
_SECONDS_PER_FLOP = 1 / 40e9
_SECONDS_PER_BYTE = 1 / 10e9
_SECONDS_PER_CALL = 3e-6
_BYTES = 4
# Beyond this many cores only even groupings are tried; there are 2**(d-1) in all.
_ALL_GROUPINGS_UP_TO = 9

_ITEM_SIZE = {"float32": 4, "float64": 8}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One way to contract: the order, and the groups of neighbouring cores (0-based) that are joined first."""

    order: Order
    groups: tuple[tuple[int, ...], ...]
    flops: int
    elements_moved: int
    calls: int
    # The largest number of elements held at once beside the input and the cores; while training nothing is let go.
    peak_elements: int

    @property
    def cost(self) -> float:
        """Estimated seconds, for comparing plans with each other."""
        return (
            self.flops * _SECONDS_PER_FLOP
            + self.elements_moved * _BYTES * _SECONDS_PER_BYTE
            + self.calls * _SECONDS_PER_CALL
        )

    def __str__(self) -> str:
        groups = " · ".join("".join(f"G{core + 1}" for core in group) for group in self.groups)
        return {
            "weight": f"weight from two halves ({groups}), then one product",
            "left": f"sweep over the data from the left ({groups})",
            "right": f"sweep over the data from the right ({groups})",
        }[self.order]


def plan_contraction(shape: TTShape, samples: int, *, training: bool = False, peak_elements: int | None = None) -> Plan:
    """The cheapest way to apply a layer of this shape to a batch, within `peak_elements` if that is given.

    Raises InputError if no way stays within it.
    """
    # Plans hardly change with the batch, so batches share one up to the next power of two.
    rounded = 1 << max(0, samples - 1).bit_length()
    plans = _candidates(shape, rounded, training)
    for plan in plans:
        if peak_elements is None or plan.peak_elements <= peak_elements:
            return plan
    least = min(plan.peak_elements for plan in plans)
    raise InputError(
        f"a layer with in_modes {show(shape.in_modes)}, out_modes {show(shape.out_modes)} and ranks "
        f"{show(shape.ranks)} needs room for at least {least:,} numbers with {samples} samples, and "
        f"{peak_elements:,} are allowed; lower the ranks or choose more balanced modes",
        "ranks",
    )


@lru_cache(maxsize=512)
def _candidates(shape: TTShape, samples: int, training: bool) -> tuple[Plan, ...]:
    """Every candidate, cheapest first."""
    plans = [_weight_plan(shape, samples, cut, training) for cut in range(1, shape.num_cores)]
    for groups in _groupings(shape.num_cores):
        plans += [_sweep_plan(shape, samples, groups, order, training) for order in ("left", "right")]
    return tuple(sorted(plans, key=lambda plan: plan.cost))


def _groupings(num_cores: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Ways to split 0..d-1 into runs of neighbours."""
    if num_cores <= _ALL_GROUPINGS_UP_TO:
        for count in range(num_cores):
            for cuts in combinations(range(1, num_cores), count):
                yield tuple(tuple(range(a, b)) for a, b in pairwise((0, *cuts, num_cores)))
    else:
        for size in range(1, num_cores + 1):
            starts = (*range(0, num_cores, size), num_cores)
            yield tuple(tuple(range(a, b)) for a, b in pairwise(starts))


@dataclass
class _Tally:
    """Adds up what a sequence of products costs."""

    flops: int = 0
    moved: int = 0
    calls: int = 0
    held: int = 0
    peak: int = 0

    def product(
        self, rows: int, inner: int, columns: int, *, batch: int = 1, calls: int = 1, copied: bool = False
    ) -> None:
        """`batch` products of (rows x inner) with (inner x columns); the result replaces nothing.

        copied: both factors are laid out anew for every product of the batch.
        """
        copies = batch * (rows * inner + inner * columns) if copied else 0
        self.flops += 2 * batch * rows * inner * columns
        self.moved += batch * (rows * inner + inner * columns + rows * columns)
        self.calls += calls
        self.held += batch * rows * columns + copies
        self.peak = max(self.peak, batch * (rows * columns + inner * columns) + copies)

    def plan(self, order: Order, groups: tuple[tuple[int, ...], ...], training: bool) -> Plan:
        return Plan(
            order=order,
            groups=groups,
            flops=self.flops,
            elements_moved=self.moved,
            calls=self.calls,
            peak_elements=2 * self.held if training else max(self.peak, 1),
        )


def _join(tally: _Tally, shape: TTShape, group: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Count the joining of neighbouring cores into one; its shape."""
    rank, m, n, right = shape.core_shapes[group[0]]
    for core in group[1:]:
        left, m_next, n_next, right = shape.core_shapes[core]
        tally.product(rank * m * n, left, m_next * n_next * right, calls=2)
        m, n = m * m_next, n * n_next
    return rank, m, n, right


def _weight_plan(shape: TTShape, samples: int, cut: int, training: bool) -> Plan:
    groups = (tuple(range(cut)), tuple(range(cut, shape.num_cores)))
    tally = _Tally()
    _, m_left, n_left, rank = _join(tally, shape, groups[0])
    _, m_right, n_right, _ = _join(tally, shape, groups[1])
    tally.product(m_left, rank, m_right, batch=n_left * n_right, calls=3, copied=True)
    tally.product(samples, shape.in_features, shape.out_features)
    return tally.plan("weight", groups, training)


def _sweep_plan(
    shape: TTShape, samples: int, groups: tuple[tuple[int, ...], ...], order: Literal["left", "right"], training: bool
) -> Plan:
    tally = _Tally()
    joined = [_join(tally, shape, group) for group in groups]
    rest = prod(m for _, m, _, _ in joined)
    if shape.padded_in_features > shape.in_features:
        tally.held += samples * rest
    done = 1
    for left, m, n, right in joined if order == "left" else reversed(joined):
        rest //= m
        incoming, outgoing = (left, right) if order == "left" else (right, left)
        # The core is the small factor; a batch of products shares it.
        tally.product(n * outgoing, incoming * m, rest * done, batch=samples)
        done *= n
    return tally.plan(order, groups, training)


def data_bytes(data: DataConfig, dtype: str) -> int:
    """Bytes that the samples take while they are drawn and converted: once as float64, once in the run's dtype."""
    rows = data.train_samples + data.test_samples
    return rows * (data.in_features + data.out_features) * (8 + _ITEM_SIZE[dtype])


def full_model_bytes(data: DataConfig) -> int:
    """Bytes that least squares takes: two copies of the training rows, the factors and the weight, as float64."""
    factors = min(data.train_samples, data.in_features) * (data.in_features + data.train_samples)
    weight = data.in_features * data.out_features
    return 8 * (2 * data.train_samples * data.in_features + factors + 2 * weight)


def check_memory(config: RunConfig, budget: int) -> tuple[Plan, Plan]:
    """The plans for the training and the test batch that fit in `budget` bytes beside cores and samples.

    Decided on integers, before anything is allocated. Raises InputError that names the part at fault, its size and
    the way out.
    """
    item = _ITEM_SIZE[config.train.dtype]
    shape = config.shape
    # The cores, their gradient, two moments of Adam, the best and the last good ones.
    cores = 6 * shape.num_parameters * item
    if cores > budget:
        raise InputError(
            f"cores of {shape.num_parameters:,} parameters need {show_bytes(cores)} to train, and "
            f"{show_bytes(budget)} are free; lower the ranks",
            "ranks",
        )
    data = config.data
    samples = data_bytes(data, config.train.dtype) + full_model_bytes(data)
    if samples > budget:
        raise InputError(
            f"{data.train_samples} + {data.test_samples} samples of {data.in_features:,} features need "
            f"{show_bytes(samples)} with their full model, and {show_bytes(budget)} are free; use fewer samples or "
            "smaller teacher modes",
            "train_samples",
        )
    room = budget - cores - samples
    try:
        return (
            plan_contraction(shape, data.train_samples, training=True, peak_elements=room // item),
            plan_contraction(shape, data.test_samples, peak_elements=room // item),
        )
    except InputError:
        least = min(plan.peak_elements for plan in _candidates(shape, data.train_samples, True))
        raise InputError(
            f"training this layer on {data.train_samples} samples needs at least {show_bytes(least * item)} beside its "
            f"data, and {show_bytes(room)} are free; lower the ranks or choose more balanced modes",
            "ranks",
        ) from None
