"""In which order to contract a tensor-train layer with its input, and what that costs. Integers only; no torch.

Ways to compute y = W x, all planned here; ttmatrix carries them out, and squared_loss with their gradients:
- "weight": join the cores left and right of one bond into two half-trains, multiply these into the dense weight, and
  apply that. Best for many samples and a small weight.
- "left": sweep over the data from mode 1 to mode d, neighbouring cores joined into groups first.
- "right": the same from mode d to mode 1.
- "gram": for training on fixed samples alone. As "weight", but applied to xᵀx, so that the cost does not grow with the
  number of samples. In float64.
What a way costs is counted exactly (a multiply-add is two floating-point operations, FLOPs); how long that takes is
estimated by a linear model of arithmetic, memory traffic, calls and the small products within batched calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from math import prod
from typing import TYPE_CHECKING, Literal, NamedTuple

from ttcore.checks import show
from ttcore.errors import InputError
from ttcore.machine import derived_folder, free_disk, free_memory, show_bytes
from ttcore.shapes import TTShape, stacked_shape

if TYPE_CHECKING:
    from ttcore.config import DataConfig, RunConfig

Order = Literal["weight", "left", "right", "gram"]
DeviceClass = Literal["cpu", "cuda"]
Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class CostModel:
    """Seconds for each FLOP, alone or within a batched call, each element moved, each call and each product of it."""

    flop: float
    batched_flop: float
    element: float
    call: float
    item: float
    # Arithmetic and traffic in float64 take this many times as long.
    double: float


COST_MODELS: dict[DeviceClass, CostModel] = {
    # From benchmarks/calibration.py on a two-core x86 machine with AVX-512, float32, two threads: its fit, rounded, but
    # with a higher price for batched products, which picks better plans than the fit itself (see RESULTS.md there).
    "cpu": CostModel(flop=1 / 400e9, batched_flop=1 / 120e9, element=4 / 30e9, call=4e-6, item=0.05e-6, double=2.0),
    # Not fitted: an NVIDIA H100's data sheet (67 TFLOP/s in float32 without tensor cores, of which small products reach
    # about a third; 3.3 TB/s) and about 2 microseconds for a kernel within a graph.
    "cuda": CostModel(flop=1 / 20e12, batched_flop=1 / 10e12, element=4 / 2e12, call=2e-6, item=1e-9, double=2.0),
}

# Beyond this many cores only even groupings are tried; there are 2**(d-1) in all.
_ALL_GROUPINGS_UP_TO = 9
# Up to so many outputs of a half-train, see gradient_by_columns.
_FEW_OUTPUTS = 4
# A plan may take this share of the free memory, if no other limit is given; below the second figure nobody asks.
_SHARE_OF_FREE = 4
_ALWAYS_ALLOWED_ELEMENTS = 2**22

_ITEM_SIZE = {"float32": 4, "float64": 8}
# Samples of more bytes, as float64, are kept on disk.
LARGEST_IN_MEMORY = 2**30
# So many samples at most are predicted at once.
ROWS = 16_384
# Steps and gradient changes that L-BFGS remembers.
LBFGS_HISTORY = 50


@dataclass(frozen=True)
class Work:
    """What a sequence of operations does.

    flops: in all; batched_flops: those of them in calls of many small products.
    elements: read or written. items: products within the calls.
    """

    flops: int = 0
    elements: int = 0
    calls: int = 0
    items: int = 0
    batched_flops: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.flops + other.flops,
            self.elements + other.elements,
            self.calls + other.calls,
            self.items + other.items,
            self.batched_flops + other.batched_flops,
        )

    def times(self, count: int) -> Work:
        """The same, so many times."""
        return Work(
            count * self.flops,
            count * self.elements,
            count * self.calls,
            count * self.items,
            count * self.batched_flops,
        )

    def seconds(self, model: CostModel, double: bool = False) -> float:
        """The estimated time."""
        volume = (self.flops - self.batched_flops) * model.flop + self.batched_flops * model.batched_flop
        volume += self.elements * model.element
        return volume * (model.double if double else 1) + self.calls * model.call + self.items * model.item


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One way to contract: the order, and the groups of neighbouring cores (0-based) that are joined first."""

    order: Order
    groups: Groups
    shape: TTShape
    samples: int
    # Layers of this shape at once, on the same samples.
    runs: int
    device: DeviceClass
    forward: Work
    # Zero unless the plan is one for training.
    backward: Work
    # The largest number of elements held at once beside the input and the cores; while training nothing is let go.
    peak_elements: int

    @property
    def seconds(self) -> float:
        """Estimated seconds of a forward pass, with its backward pass while training; to compare plans by."""
        return (self.forward + self.backward).seconds(COST_MODELS[self.device], double=self.order == "gram")

    @property
    def dense_flops(self) -> int:
        """FLOPs of the dense layer's forward pass on the same samples; its weight's gradient takes as many again."""
        return 2 * self.runs * self.samples * self.shape.dense_parameters

    def __str__(self) -> str:
        groups = " · ".join("".join(f"G{core + 1}" for core in group) for group in self.groups)
        return {
            "weight": f"weight from two halves ({groups}), then one product",
            "gram": f"weight from two halves ({groups}), then one product with the Gram matrix",
            "left": f"sweep over the data from the left ({groups})",
            "right": f"sweep over the data from the right ({groups})",
        }[self.order]

    @property
    def headline(self) -> str:
        """One line: the order, its FLOPs and how these compare with the dense layer's."""
        flops = self.forward.flops + self.backward.flops
        dense = self.dense_flops * (2 if self.backward.flops else 1)
        what = "a step" if self.backward.flops else "forward"
        return f"{self}: {_count(flops)}FLOP {what}, {flops / dense:.3g}× the dense layer's"

    def report(self, item_size: int = 4) -> str:
        """Order, FLOPs forward and backward, bytes moved and peak memory, beside the dense layer's; a few lines.

        item_size: bytes of an element.
        """
        dense = self.dense_flops
        moved = (self.forward.elements + self.backward.elements) * item_size
        lines = [
            f"order           {self}",
            f"FLOPs forward   {_count(self.forward.flops)} (dense layer {_count(dense)})",
        ]
        if self.backward.flops:
            lines.append(f"FLOPs backward  {_count(self.backward.flops)} (dense layer {_count(dense)})")
        lines += [
            f"bytes moved     {show_bytes(moved)} in {self.forward.calls + self.backward.calls} calls",
            f"peak            {self.peak_elements:,} elements, {show_bytes(self.peak_elements * item_size)}"
            f" (dense weight {self.shape.dense_parameters:,} elements)",
        ]
        return "\n".join(lines)


def _count(number: int) -> str:
    """1,234,567 as 1.23 M."""
    size = float(number)
    for unit in ("", "k", "M", "G"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} T"


def plan_contraction(
    shape: TTShape,
    samples: int,
    *,
    training: bool = False,
    fixed_samples: bool = False,
    runs: int = 1,
    device: DeviceClass = "cpu",
    peak_elements: int | None = None,
) -> Plan:
    """The quickest way, as estimated, to apply a layer of this shape to a batch, within `peak_elements`.

    training: with the backward pass.
    fixed_samples: the same samples again and again, so that xᵀx may be prepared.
    runs: layers of this shape at once, on the same samples.
    peak_elements: default a quarter of the free main memory in float32.
    Raises InputError if no way stays within it.
    """
    plans = candidates(shape, samples, training, fixed_samples, runs, device)
    if peak_elements is None:
        if plans[0].peak_elements <= _ALWAYS_ALLOWED_ELEMENTS:
            return plans[0]
        peak_elements = free_memory() // _SHARE_OF_FREE // _ITEM_SIZE["float32"]
    for plan in plans:
        if plan.peak_elements <= peak_elements:
            return plan
    least = min(plan.peak_elements for plan in plans)
    raise InputError(
        f"a layer with in_modes {show(shape.in_modes)}, out_modes {show(shape.out_modes)} and ranks "
        f"{show(shape.ranks)} needs room for at least {least:,} numbers with {samples} samples, and "
        f"{peak_elements:,} are allowed; lower the ranks or choose more balanced modes",
        "ranks",
    )


@lru_cache(maxsize=512)
def candidates(
    shape: TTShape,
    samples: int,
    training: bool = False,
    fixed_samples: bool = False,
    runs: int = 1,
    device: DeviceClass = "cpu",
) -> tuple[Plan, ...]:
    """Every way, the one estimated quickest first; see plan_contraction."""
    ways: list[tuple[Order, Groups]] = []
    for cut in range(1, shape.num_cores):
        halves = (tuple(range(cut)), tuple(range(cut, shape.num_cores)))
        ways.append(("weight", halves))
        if training and fixed_samples:
            ways.append(("gram", halves))
    for groups in _groupings(shape.num_cores):
        # All cores in one group are the same from either side.
        ways += [("left", groups), ("right", groups)] if len(groups) > 1 else [("left", groups)]
    plans = [_plan(order, groups, shape, samples, training, runs, device) for order, groups in ways]
    return tuple(sorted(plans, key=lambda plan: plan.seconds))


def _groupings(num_cores: int) -> Iterator[Groups]:
    """Ways to split 0..d-1 into runs of neighbours."""
    if num_cores <= _ALL_GROUPINGS_UP_TO:
        for count in range(num_cores):
            for cuts in combinations(range(1, num_cores), count):
                yield tuple(tuple(range(a, b)) for a, b in pairwise((0, *cuts, num_cores)))
    else:
        for size in range(1, num_cores + 1):
            starts = (*range(0, num_cores, size), num_cores)
            yield tuple(tuple(range(a, b)) for a, b in pairwise(starts))


class _Tally:
    """Adds up what a sequence of products costs, forward and backward."""

    def __init__(self, training: bool) -> None:
        self._training = training
        self.forward = Work()
        self.backward = Work()
        # Elements that stay until the backward pass, and the most that are held at once without one, beside the input.
        self.held = 0
        self.peak = 0

    def product(
        self,
        rows: int,
        inner: int,
        columns: int,
        *,
        batch: int = 1,
        shared: bool = False,
        copied: bool = False,
        leaf: bool = False,
    ) -> None:
        """`batch` products of (rows x inner) with (inner x columns).

        shared: one left factor for all of the batch. copied: both factors are laid out anew for it.
        leaf: the right factor is the input, which is there anyway and wants no gradient.
        """
        flops = 2 * batch * rows * inner * columns
        left = (1 if shared else batch) * rows * inner
        right, result = batch * inner * columns, batch * rows * columns
        copies = left + right if copied else 0
        batched = flops if batch > 1 else 0
        self.forward += Work(flops, left + right + result + 2 * copies, 3 if copied else 1, batch, batched)
        self.held += result + copies
        self.peak = max(self.peak, result + copies + (0 if leaf else right))
        if self._training:
            laid_out = 2 * (right + result) if shared else 0
            moved = left + right + result + laid_out
            # A shared factor's gradient is one large product of both sides laid out anew.
            self.backward += Work(flops, moved, 4, 1) if shared else Work(flops, moved, 2, batch, batched)
            self.held += left + laid_out // 2
            if not leaf:
                self.backward += Work(flops, left + right + result, 1, batch, batched)
                self.held += right

    def copy(self, elements: int) -> None:
        """A permutation laid out anew, and undone on the way back."""
        self.forward += Work(0, 2 * elements, 1)
        self.held += elements
        if self._training:
            self.backward += Work(0, 2 * elements, 1)
            self.held += elements

    def join(self, shape: TTShape, group: tuple[int, ...], runs: int, from_right: bool = False) -> tuple[int, ...]:
        """Neighbouring cores into one, its modes then brought side by side; the joint core's shape."""
        cores = [shape.core_shapes[core] for core in group]
        ordered = cores[::-1] if from_right else cores
        size = prod(ordered[0][1:3])
        for r, m, n, s in ordered[1:]:
            if from_right:
                self.product(r * m * n, s, size * cores[-1][3], batch=runs)
            else:
                self.product(cores[0][0] * size, r, m * n * s, batch=runs)
            size *= m * n
        joint = (cores[0][0], prod(core[1] for core in cores), prod(core[2] for core in cores), cores[-1][3])
        self.copy(runs * prod(joint))
        return joint


def _plan(
    order: Order, groups: Groups, shape: TTShape, samples: int, training: bool, runs: int, device: DeviceClass
) -> Plan:
    tally = _Tally(training)
    if order in ("weight", "gram"):
        _count_weight(tally, order, groups, shape, samples, runs)
        peak = tally.peak
        if order == "gram":
            # xᵀx and the float64 copies of the weight and its products, two float32 elements each.
            peak = tally.held = 2 * (shape.padded_in_features**2 + tally.held)
    else:
        _count_sweep(tally, order, groups, shape, samples)
        peak = tally.peak
        # One run after the other: the calls repeat, the memory does not.
        tally.forward, tally.backward = tally.forward.times(runs), tally.backward.times(runs)
    return Plan(
        order=order,
        groups=groups,
        shape=shape,
        samples=samples,
        runs=runs,
        device=device,
        forward=tally.forward,
        backward=tally.backward,
        peak_elements=max(1, tally.held if training else peak),
    )


def _count_weight(tally: _Tally, order: Order, groups: Groups, shape: TTShape, samples: int, runs: int) -> None:
    _, m_left, n_left, rank = tally.join(shape, groups[0], runs)
    _, m_right, n_right, _ = tally.join(shape, groups[1], runs, from_right=True)
    tally.product(m_left, rank, m_right, batch=runs * n_left * n_right, copied=True)
    rows, features = runs * shape.out_features, shape.padded_in_features
    if gradient_by_columns(runs, n_left, n_right, rank):
        outputs = n_left * n_right
        tally.held += (m_left + features // m_left * outputs) * n_left * rank
        tally.held += outputs * n_left * n_right * rank**2 + features // m_left * outputs * n_left * rank
    if order == "weight":
        tally.product(rows, features, samples, leaf=True)
        return
    # One product with xᵀx serves the loss and the gradient.
    tally.forward += Work(2 * rows * features**2, features**2 + 2 * rows * features, 1, 1)
    tally.backward += Work(4 * rows * features, 8 * rows * features, 8)
    tally.held += 4 * rows * features


def gradient_by_columns(runs: int, n_left: int, n_right: int, rank: int) -> bool:
    """Whether a weight's gradient is taken back to its half-trains by columns, with zeros for what is not wanted.

    That allows the quickest product with the samples; the zeros must stay few beside it.
    """
    return runs == 1 and max(n_left, n_right) <= _FEW_OUTPUTS and rank <= _FEW_OUTPUTS * 8


def _count_sweep(tally: _Tally, order: Order, groups: Groups, shape: TTShape, samples: int) -> None:
    joined = [tally.join(shape, group, 1) for group in groups]
    rest = prod(m for _, m, _, _ in joined)
    padded = samples * rest if shape.padded_in_features > shape.in_features else 0
    done = 1
    for number, (left, m, n, right) in enumerate(joined if order == "left" else reversed(joined)):
        rest //= m
        incoming, outgoing = (left, right) if order == "left" else (right, left)
        batch, columns = (samples * done, rest) if order == "left" else (samples * rest, done)
        rows, inner, first = n * outgoing, incoming * m, number == 0
        if columns == 1:
            # One plain product of the whole batch.
            tally.product(rows, inner, batch, leaf=first)
        else:
            tally.product(rows, inner, columns, batch=batch, shared=True, leaf=first)
        done *= n
    tally.held += padded
    tally.peak += padded


def files_of(data: DataConfig) -> str:
    """What the files of data on disk are found by: everything that decides their content."""
    return json.dumps({name: value for name, value in data.to_json().items() if name != "title"})


def is_on_disk(data: DataConfig) -> bool:
    """Whether the samples are kept in files, since every run's own copy of them would be too large."""
    return _size(data) > LARGEST_IN_MEMORY


def _size(data: DataConfig) -> int:
    """Bytes of all samples as float64."""
    return 8 * data.all_samples * (data.in_features + data.out_features)


def data_bytes(data: DataConfig, dtype: str) -> int:
    """Bytes that the samples take while they are drawn and converted: once as float64, twice in the run's dtype.

    Those that are kept on disk take what it needs to draw them; prepared tables are in files already.
    """
    rows, columns = data.all_samples, data.in_features + data.out_features
    drawn = 8 * rows * columns * _COPIES_DRAWN.get(data.source, 0)
    if is_on_disk(data):
        # A few blocks of rows, and all targets.
        return drawn + 8 * (8 * ROWS * columns + 2 * rows * data.out_features)
    return max(drawn, 8 * rows * columns) + 2 * _ITEM_SIZE[dtype] * rows * columns


# make_regression holds its inputs, a shuffled copy, and one with the columns in another order.
_COPIES_DRAWN = {"regression": 3}


def full_model_bytes(data: DataConfig) -> int:
    """Bytes that the full model takes, as float64.

    Two copies of the training rows, their factors and the weight. Of data on disk: products of the inputs with each
    other, their factors, the weight, and what penalties are judged on.
    """
    weight = data.in_features * data.out_features
    if is_on_disk(data):
        rows = data.test_samples + data.train_samples // 5
        return 8 * (6 * data.in_features**2 + 2 * weight + rows * data.in_features)
    factors = min(data.train_samples, data.in_features) * (data.in_features + data.train_samples)
    return 8 * (2 * data.train_samples * data.in_features + factors + 2 * weight)


def least_squares_bytes(shape: TTShape, samples: int) -> int:
    """Bytes that alternating least squares takes for its largest core, as float64.

    The system of core k has a row for each sample and each output of the other cores, and a column for each entry of
    the core at one output mode; it is laid out twice, and its normal matrix is factorized.
    """
    most = 0
    for left, m, n, right in shape.core_shapes:
        rows, columns = samples * shape.padded_out_features // n, left * m * right
        most = max(most, 2 * rows * (columns + n) + 2 * columns * (columns + n))
    return 8 * (most + shape.padded_in_features * samples)


def optimizer_vectors(config: RunConfig) -> int:
    """How many vectors as long as all cores together a run keeps, the cores included."""
    # The cores, their gradient, two moments or a step, and the best and the last good cores; L-BFGS its history too.
    return 6 + (2 * LBFGS_HISTORY if config.train.optimizer == "lbfgs" else 0)


class Plans(NamedTuple):
    """For the training batch of all runs together, for the test batch of one, and what any plan may take, elements."""

    training: Plan
    test: Plan
    room: int


def fixed_samples(config: RunConfig) -> bool:
    """Whether the loss can be had from xᵀx alone: the squared one, of the same samples at every step."""
    return config.data.task_kind == "regression" and not config.is_batched


def check_memory(configs: Sequence[RunConfig], budget: int, device: DeviceClass = "cpu") -> Plans:
    """The plans for the training and the test batch that fit beside cores and samples, each in a quarter of `budget`.

    configs: runs with the same data and modes, to be trained as one.
    budget: bytes that are free.
    Decided on integers, before anything is allocated. Raises InputError that names the part at fault, its size and
    the way out.
    """
    first = configs[0]
    item = _ITEM_SIZE[first.train.dtype]
    shape = stacked_shape([config.shape for config in configs])
    cores = optimizer_vectors(first) * len(configs) * shape.num_parameters * item
    if cores > budget:
        raise InputError(
            f"cores of {len(configs) * shape.num_parameters:,} parameters need {show_bytes(cores)} to train, and "
            f"{show_bytes(budget)} are free; lower the ranks",
            "ranks",
        )
    data = first.data
    files = _size(data) // 2
    if is_on_disk(data) and not derived_folder(files_of(data)).exists() and (free := free_disk()) < files:
        raise InputError(
            f"{data.all_samples:,} samples of {data.in_features:,} features need {show_bytes(files)} on disk, and "
            f"{show_bytes(free)} are free there; use fewer samples or fewer features",
            "train_samples" if data.source == "planted" else "samples",
        )
    if is_on_disk(data) and not first.is_batched:
        raise InputError(
            f"{data.all_samples:,} samples of {data.in_features:,} features are {show_bytes(_size(data))}, kept on "
            "disk and trained in mini-batches; set a batch size such as 1024",
            "batch_size",
        )
    samples = data_bytes(data, first.train.dtype) + full_model_bytes(data)
    if first.is_batched:
        # A batch as it is read, as it stands, and padded.
        samples += 3 * item * first.batch * (shape.padded_in_features + data.out_features)
    if samples > budget:
        raise InputError(
            f"{data.train_samples} + {data.test_samples} samples of {data.in_features:,} features need "
            f"{show_bytes(samples)} with their full model, and {show_bytes(budget)} are free; use fewer samples or "
            "fewer features",
            "train_samples",
        )
    room = min(budget - cores - samples, budget // _SHARE_OF_FREE)
    fixed = fixed_samples(first)
    if first.train.optimizer == "als":
        needed = least_squares_bytes(shape, data.train_samples)
        if needed > room:
            raise InputError(
                f"alternating least squares needs {show_bytes(needed)} for the largest core of this layer on "
                f"{data.train_samples} samples, and {show_bytes(room)} may be taken; lower the ranks, use more and "
                "smaller modes, or choose Adam",
                "ranks",
            )
    try:
        return Plans(
            plan_contraction(
                shape,
                first.batch,
                training=True,
                fixed_samples=fixed,
                runs=len(configs),
                device=device,
                peak_elements=room // item,
            ),
            plan_contraction(shape, min(data.test_samples, ROWS), device=device, peak_elements=room // item),
            room // item,
        )
    except InputError:
        least = min(plan.peak_elements for plan in candidates(shape, first.batch, True, fixed, len(configs), device))
        raise InputError(
            f"training this layer on {first.batch} samples at once needs at least {show_bytes(least * item)} beside "
            f"its data, and {show_bytes(room)} may be taken; lower the ranks, choose more balanced modes, or set a "
            "batch size",
            "ranks",
        ) from None
