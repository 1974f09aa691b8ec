"""Which modes a tensor-train layer of given sizes could have, and which ranks a budget allows. On integers alone.

At its useful ranks a layer can represent every matrix and never has fewer weights than the full one, so whatever is
smaller is a restriction. At rank 1 that restriction is a single product of small matrices, one a core, and nearly any
layer is smaller; so a factorization is said to compress only if it still has fewer weights at rank 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import prod
from operator import itemgetter, mul
from typing import NamedTuple, SupportsIndex

from ttcore.checks import MAX_SIZE, positive_integer, show, whole
from ttcore.errors import InputError
from ttcore.shapes import TTShape, factorize, replace_ranks
from ttcore.wording import percent

MIN_CORES, MAX_ADVISED_CORES = 2, 6
# Shares by which the padded matrix exceeds the full one: up to the first, modes of 1 would cost more than padding
# does; above the second it is waste.
SLIGHT_PADDING, WASTEFUL_PADDING = 0.1, 0.25


@dataclass(frozen=True)
class Proposal:
    """One way to split both sizes into modes.

    shape: with the real sizes, and the asked rank clipped to the useful ones.
    in_padding, out_padding: features, the product of the modes less the real size.
    balance: the smallest m_k * n_k of a core over the largest, in (0, 1]; 1 where all cores are equally large.
    order: "larger outputs first" or "larger outputs last" (of inputs where all output modes are equal), against the
        modes of the other side, whose larger ones come first; empty where that makes no difference, and for low rank.
    note: what to know before choosing it; may be empty.
    """

    shape: TTShape
    in_padding: int
    out_padding: int
    balance: float
    order: str
    note: str

    @property
    def num_cores(self) -> int:
        return self.shape.num_cores

    @property
    def parameters(self) -> int:
        return self.shape.num_parameters

    @property
    def parameter_ratio(self) -> float:
        return self.shape.parameter_ratio

    @property
    def useful_ranks(self) -> tuple[int, ...]:
        return self.shape.useful_ranks


@dataclass(frozen=True)
class Advice:
    """Proposals, best first and at least one.

    compresses: whether the first has fewer weights than the full layer at the asked rank, and at rank 2.
    verdict: one or two sentences with the numbers behind that.
    """

    proposals: tuple[Proposal, ...]
    compresses: bool
    verdict: str


def advise(
    in_features: SupportsIndex, out_features: SupportsIndex, rank: SupportsIndex = 8, most: SupportsIndex = 6
) -> Advice:
    """Up to `most` pairs of input and output modes for a layer of these sizes, with 2 to 6 cores, best first.

    Every number of cores gives at most one factorization, in at most two orders; low rank, (in_features, 1) ->
    (1, out_features), is one more. They are sorted by, in turn:
    fewer weights than the full layer at `rank` (and at rank 2); padding of the matrix by at most 10 %, at most 25 %,
    more; fewest modes of 1 on the side with more of them, unless its size is 1; no padding at all; best balance, then
    fewest weights, of the order with larger modes first; fewest cores; larger modes first before larger modes last.

    Raises InputError for a size, rank or number of proposals that is not a positive integer.
    """
    in_features = positive_integer(in_features, "in_features")
    out_features = positive_integer(out_features, "out_features")
    rank = positive_integer(rank, "rank")
    most = positive_integer(most, "most")
    dense = in_features * out_features
    families = _families(in_features, out_features)
    graded: list[_Graded] = []
    for family in families:
        graded += min([_graded(pair, rank, dense) for pair in family], key=lambda orders: min(orders)[0])
    graded.sort(key=itemgetter(0))
    proposals = tuple(_proposal(layout, rank, in_features, out_features) for _, layout in graded[:most])
    compresses = not graded[0][0][0]
    if compresses:
        verdict = _how_it_compresses(proposals[0].shape, rank)
    else:
        layouts = [layout for family in families for pair in family for layout in pair]
        verdict = _why_it_does_not(layouts, rank, in_features, out_features)
    return Advice(proposals, compresses, verdict)


def ranks_within(
    in_modes: Iterable[SupportsIndex],
    out_modes: Iterable[SupportsIndex],
    budget: SupportsIndex,
    in_features: SupportsIndex | None = None,
    out_features: SupportsIndex | None = None,
) -> TTShape:
    """The layer with these modes whose number of weights comes close to `budget` from below; a bias is not counted.

    It starts from the largest uniform rank that fits, clipped, and raises single bonds by as much as fits, the one
    whose next step costs most first, never beyond what `clipped` keeps. In the end no bond can be raised by itself,
    and a larger budget never gives fewer weights.

    Raises InputError, with field "budget" where even rank 1 has more weights.
    """
    shape = TTShape(in_modes, out_modes, 1, in_features, out_features)
    budget = whole(budget, "budget", 1, 2**63 - 1)
    if shape.num_parameters > budget:
        raise InputError(
            f"the budget of {budget:,} is below the {shape.num_parameters:,} weights that modes {show(shape.in_modes)} "
            f"and {show(shape.out_modes)} have at rank 1; raise it to that, or use other modes",
            "budget",
        )
    sizes, useful = _sizes(shape.in_modes, shape.out_modes), shape.useful_ranks
    uniform = _largest_rank(sizes, useful, budget)
    ranks = [1, *(min(uniform, bound) for bound in useful), 1]
    left_over = budget - _weights(sizes, useful, uniform)
    while True:
        # What one more at each bond costs, for bonds where it fits and `clipped` would keep it.
        steps = []
        for bond in range(1, len(sizes)):
            before, after = ranks[bond - 1] * sizes[bond - 1], sizes[bond] * ranks[bond + 1]
            if before + after <= left_over and ranks[bond] < min(before, after):
                steps.append((before + after, -bond, min(before, after) - ranks[bond]))
        if not steps:
            return replace_ranks(shape, ranks[1:-1])
        # The dearest step leaves the least over; it is also what makes the count monotone in the budget.
        cost, negative_bond, room = max(steps)
        raised = min(room, left_over // cost)
        ranks[-negative_bond] += raised
        left_over -= raised * cost


# ---- candidates -----------------------------------------------------------------------------------------------------


class _Layout(NamedTuple):
    """Modes in an order, and what does not depend on the rank."""

    in_modes: tuple[int, ...]
    out_modes: tuple[int, ...]
    order: str
    sizes: tuple[int, ...]
    useful_ranks: tuple[int, ...]
    balance: float
    ones: int
    padding: float

    def parameters(self, rank: int) -> int:
        return _weights(self.sizes, self.useful_ranks, rank)


_Modes = tuple[int, ...]
# One factorization in its one or two orders.
_Pair = tuple[_Layout, ...]
_Key = tuple[bool, int, int, bool, float, int, int, int]
_Graded = tuple[_Key, _Layout]


def _sizes(in_modes: tuple[int, ...], out_modes: tuple[int, ...]) -> tuple[int, ...]:
    """m_k * n_k of every core."""
    return tuple(map(mul, in_modes, out_modes))


def _weights(sizes: tuple[int, ...], useful_ranks: tuple[int, ...], rank: int) -> int:
    """The entries of all cores at a uniform rank, clipped: that is the smaller of it and the useful rank."""
    total, left = 0, 1
    for size, useful in zip(sizes, (*useful_ranks, 1), strict=True):
        right = rank if rank < useful else useful
        total += left * size * right
        left = right
    return total


@lru_cache(maxsize=512)
def _families(in_features: int, out_features: int) -> tuple[list[_Pair], ...]:
    """The factorizations of each number of cores, and low rank; without cores of modes 1 -> 1 where there is a way."""
    families: list[list[_Pair]] = []
    low_rank = (in_features, 1), (1, out_features)
    if min(in_features, out_features) > 1:
        families.append([(_layout(*low_rank, "", in_features, out_features),)])
    for num_cores in range(MIN_CORES, MAX_ADVISED_CORES + 1):
        pairs = []
        for in_modes in _splits(in_features, num_cores):
            for out_modes in _splits(out_features, num_cores):
                pair = tuple(
                    _layout(ins, outs, order, in_features, out_features)
                    for ins, outs, order in _orders(in_modes, out_modes)
                    if 1 not in map(mul, ins, outs) and (ins, outs) != low_rank
                )
                if pair:
                    pairs.append(pair)
        if pairs:
            families.append(pairs)
    if not families:
        splits = factorize(in_features, MIN_CORES), factorize(out_features, MIN_CORES)
        families.append([(_layout(*splits, "", in_features, out_features),)])
    return tuple(families)


@lru_cache(maxsize=16384)
def _splits(size: int, num_modes: int) -> tuple[tuple[int, ...], ...]:
    """Modes for one side, largest first: `factorize`, then with more and more modes of 1 where that pads less."""
    splits: list[tuple[int, ...]] = []
    for used in range(num_modes, 0, -1):
        modes = factorize(size, used) + (1,) * (num_modes - used)
        if prod(modes) < (prod(splits[-1]) if splits else MAX_SIZE + 1):
            splits.append(modes)
    return tuple(splits)


def _orders(in_modes: _Modes, out_modes: _Modes) -> list[tuple[_Modes, _Modes, str]]:
    """Modes that are largest first on both sides, and the same with one side turned round where that differs."""
    if out_modes[0] != out_modes[-1]:
        side, turned = "outputs", (in_modes, out_modes[::-1])
    elif in_modes[0] != in_modes[-1]:
        side, turned = "inputs", (in_modes[::-1], out_modes)
    else:
        return [(in_modes, out_modes, "")]
    return [(in_modes, out_modes, f"larger {side} first"), (*turned, f"larger {side} last")]


def _layout(
    in_modes: tuple[int, ...], out_modes: tuple[int, ...], order: str, in_features: int, out_features: int
) -> _Layout:
    sizes = _sizes(in_modes, out_modes)
    padded = prod(sizes)
    return _Layout(
        in_modes,
        out_modes,
        order,
        sizes,
        useful_ranks=tuple([min(before, padded // before) for before in accumulate(sizes[:-1], mul)]),
        balance=min(sizes) / max(sizes),
        ones=max((in_features > 1) * in_modes.count(1), (out_features > 1) * out_modes.count(1)),
        padding=padded / (in_features * out_features) - 1,
    )


def _graded(pair: _Pair, rank: int, dense: int) -> list[_Graded]:
    """Each order of a factorization with its key for sorting, as `advise` lists it; the least is the best."""
    weights = [layout.parameters(rank) for layout in pair]
    first = pair[0]
    grade = (first.padding > SLIGHT_PADDING) + (first.padding > WASTEFUL_PADDING)
    common = grade, first.ones, first.padding > 0, -first.balance, weights[0], len(first.sizes)
    return [
        ((count >= dense or (rank == 1 and layout.parameters(2) >= dense), *common, position), layout)
        for position, (layout, count) in enumerate(zip(pair, weights, strict=True))
    ]


# ---- words ----------------------------------------------------------------------------------------------------------


def _proposal(layout: _Layout, rank: int, in_features: int, out_features: int) -> Proposal:
    ranks = tuple(min(rank, useful) for useful in layout.useful_ranks)
    shape = TTShape(layout.in_modes, layout.out_modes, ranks, in_features, out_features)
    notes = []
    if _is_low_rank(shape):
        notes.append("plain low rank, which never pads")
    if layout.padding > WASTEFUL_PADDING:
        notes.append(f"padding makes its matrix {percent(layout.padding)} larger; fewer cores or low rank pad less")
    if layout.parameters(rank) >= shape.dense_parameters:
        notes.append("no smaller than the full layer at this rank")
    elif rank == 1 and layout.parameters(2) >= shape.dense_parameters:
        notes.append("smaller than the full layer at rank 1 alone")
    return Proposal(
        shape,
        shape.padded_in_features - in_features,
        shape.padded_out_features - out_features,
        layout.balance,
        layout.order,
        "; ".join(notes),
    )


def _how_it_compresses(shape: TTShape, rank: int) -> str:
    """The verdict where `shape`, the best at this rank, has fewer weights than the full layer."""
    sizes = _sizes_in_words(shape.in_features, shape.out_features)
    has = (
        f"at rank {rank:,} {_arrow(shape)} has {shape.num_parameters:,} of the full layer's "
        f"{shape.dense_parameters:,} weights ({percent(shape.parameter_ratio)})"
    )
    padding = shape.padded_in_features * shape.padded_out_features / shape.dense_parameters - 1
    if _is_low_rank(shape):
        return f"{sizes} need no padding as plain low rank: {has}."
    if padding == 0:
        return f"{sizes} factorize without padding: {has}."
    text = (
        f"{sizes} are padded to {shape.padded_in_features:,} and {shape.padded_out_features:,}, a matrix "
        f"{percent(padding)} larger: {has}."
    )
    low_rank = min(rank, shape.in_features, shape.out_features) * (shape.in_features + shape.out_features)
    if low_rank < shape.dense_parameters:
        return (
            f"{text} Plain low rank, ({shape.in_features}, 1) → (1, {shape.out_features}), pads nothing and has "
            f"{low_rank:,}."
        )
    return text


def _why_it_does_not(layouts: list[_Layout], rank: int, in_features: int, out_features: int) -> str:
    """The verdict where no layout has fewer weights than the full layer at this rank, and what would have fewer."""
    dense = in_features * out_features
    sizes = _sizes_in_words(in_features, out_features)
    highest, best = 1, None
    for layout in layouts:
        # Most layouts end at the first look: weights only grow with the rank.
        if layout.parameters(max(2, highest)) < dense:
            found = _largest_rank(layout.sizes, layout.useful_ranks, dense - 1)
            if best is None or (-found, layout.parameters(found)) < (-highest, best.parameters(highest)):
                highest, best = found, layout
    if best:
        return (
            f"{sizes}: at rank {rank:,} no TT layer is smaller than the full layer's {dense:,} weights. At rank "
            f"{highest:,} or below one is: {_arrow(best)} has {best.parameters(highest):,} at rank {highest:,}."
        )
    smallest = min(layouts, key=lambda layout: layout.parameters(2))
    useful = max(smallest.useful_ranks)
    at_two, at_one = smallest.parameters(2), smallest.parameters(1)
    text = (
        f"{sizes}: a TT layer cannot compress the full layer's {_count(dense, 'weight')}. The smallest of rank "
        f"{min(2, useful)}, {_arrow(smallest)}, has {at_two:,}"
    )
    if useful <= 2:
        text += " and can already represent every weight matrix"
    if at_one < dense:
        text += f"; only rank 1, one product of a small matrix per core, has fewer ({at_one:,})"
    return text + "."


def _largest_rank(sizes: tuple[int, ...], useful_ranks: tuple[int, ...], most: int) -> int:
    """The largest uniform rank with at most that many weights, but none above the useful ones; 1 if there is none."""
    low, high = 1, max(useful_ranks, default=1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _weights(sizes, useful_ranks, middle) <= most else (low, middle - 1)
    return low


def _is_low_rank(shape: TTShape) -> bool:
    modes = (shape.in_features, 1), (1, shape.out_features)
    return min(shape.in_features, shape.out_features) > 1 and (shape.in_modes, shape.out_modes) == modes


def _arrow(modes: TTShape | _Layout) -> str:
    return f"{show(modes.in_modes)} → {show(modes.out_modes)}"


def _sizes_in_words(in_features: int, out_features: int) -> str:
    return f"{_count(in_features, 'input')} and {_count(out_features, 'output')}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
