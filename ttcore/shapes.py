"""The shape of a tensor-train layer, on integers alone: modes, ranks, padding and what they cost.

Letters, here and everywhere: core k = 1..d has shape (r_{k-1}, m_k, n_k, r_k) with input modes m_k, output modes n_k
and r_0 = r_d = 1. Mode 1 is the slowest index of a flattened vector (C order), on both sides.
Source of the format: Oseledets 2011, "Tensor-Train Decomposition"; Novikov et al. 2015, "Tensorizing Neural Networks".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from math import prod
from typing import SupportsIndex

from ttcore.checks import MAX_CORES, MAX_SIZE, as_integer, positive_integer, positive_integers, show
from ttcore.errors import InputError


@dataclass(frozen=True)
class TTShape:
    """The modes and ranks of a tensor-train layer.

    in_modes, out_modes: d positive integers each, m_k and n_k.
    ranks: one integer for every bond, or d-1 integers.
    in_features, out_features: the real sizes; default the product of the modes. A smaller size means zero padding:
        inputs are padded with zeros, surplus outputs dropped.

    Raises InputError for anything else.
    """

    in_modes: tuple[int, ...]
    out_modes: tuple[int, ...]
    ranks: tuple[int, ...]
    in_features: int
    out_features: int

    def __init__(
        self,
        in_modes: Iterable[SupportsIndex],
        out_modes: Iterable[SupportsIndex],
        ranks: SupportsIndex | Iterable[SupportsIndex],
        in_features: SupportsIndex | None = None,
        out_features: SupportsIndex | None = None,
    ) -> None:
        in_modes = positive_integers(in_modes, "in_modes")
        out_modes = positive_integers(out_modes, "out_modes")
        if len(in_modes) != len(out_modes):
            raise InputError(
                f"in_modes {show(in_modes)} has {len(in_modes)} entries and out_modes {show(out_modes)} has "
                f"{len(out_modes)}; every core needs one of each, so fill the shorter one up with modes of 1",
                "out_modes",
            )
        set_field = object.__setattr__
        set_field(self, "in_modes", in_modes)
        set_field(self, "out_modes", out_modes)
        set_field(self, "ranks", bond_ranks(ranks, len(in_modes)))
        set_field(self, "in_features", _features(in_features, in_modes, "in"))
        set_field(self, "out_features", _features(out_features, out_modes, "out"))

    @property
    def num_cores(self) -> int:
        return len(self.in_modes)

    @property
    def all_ranks(self) -> tuple[int, ...]:
        """r_0 .. r_d, the two outer ones being 1."""
        return (1, *self.ranks, 1)

    @property
    def core_shapes(self) -> tuple[tuple[int, int, int, int], ...]:
        """(r_{k-1}, m_k, n_k, r_k) for k = 1..d."""
        bonds = pairwise(self.all_ranks)
        return tuple(
            (left, m, n, right) for (left, right), m, n in zip(bonds, self.in_modes, self.out_modes, strict=True)
        )

    @property
    def padded_in_features(self) -> int:
        return prod(self.in_modes)

    @property
    def padded_out_features(self) -> int:
        return prod(self.out_modes)

    @property
    def num_parameters(self) -> int:
        """The entries of all cores; a bias is not counted."""
        return sum(prod(core) for core in self.core_shapes)

    @property
    def dense_parameters(self) -> int:
        """in_features x out_features, unpadded and without a bias."""
        return self.in_features * self.out_features

    @property
    def parameter_ratio(self) -> float:
        """TT / full: below 1 the layer is smaller than the dense one."""
        return self.num_parameters / self.dense_parameters

    @property
    def compression(self) -> float:
        """full / TT: above 1 the layer is smaller than the dense one."""
        return self.dense_parameters / self.num_parameters

    @property
    def useful_ranks(self) -> tuple[int, ...]:
        """For each bond the largest rank that any matrix of this size can need.

        The smaller of the products of m_k * n_k to its left and to its right.
        """
        sizes = [m * n for m, n in zip(self.in_modes, self.out_modes, strict=True)]
        return tuple(min(prod(sizes[:bond]), prod(sizes[bond:])) for bond in range(1, len(sizes)))

    def clipped(self) -> TTShape:
        """The same shape with ranks lowered until r_k <= r_{k-1} m_k n_k and r_{k-1} <= m_k n_k r_k everywhere.

        It can represent every matrix that the unclipped shape can.
        """
        sizes = [m * n for m, n in zip(self.in_modes, self.out_modes, strict=True)]
        ranks = list(self.all_ranks)
        for k, size in enumerate(sizes):
            ranks[k + 1] = min(ranks[k + 1], ranks[k] * size)
        for k, size in reversed(list(enumerate(sizes))):
            ranks[k] = min(ranks[k], ranks[k + 1] * size)
        shape = replace_ranks(self, ranks[1:-1])
        return self if shape.ranks == self.ranks else shape


def shape_of_cores(
    core_shapes: Sequence[tuple[int, ...]], in_features: int | None = None, out_features: int | None = None
) -> TTShape:
    """The TTShape of cores with these array shapes; raises InputError if they are not a train."""
    for number, core in enumerate(core_shapes, 1):
        left = core_shapes[number - 2][-1] if number > 1 else 1
        if len(core) != 4 or core[0] != left:
            raise InputError(f"core {number} has shape {core}; it must be ({left}, m, n, rank) to follow its neighbour")
    if not core_shapes or core_shapes[-1][3] != 1:
        raise InputError("a train needs at least one core, and the last one must end with a rank of 1")
    return TTShape(
        [core[1] for core in core_shapes],
        [core[2] for core in core_shapes],
        tuple(core[3] for core in core_shapes[:-1]),
        in_features,
        out_features,
    )


def replace_ranks(shape: TTShape, ranks: int | Sequence[int]) -> TTShape:
    """The same modes and sizes with other ranks."""
    return TTShape(shape.in_modes, shape.out_modes, ranks, shape.in_features, shape.out_features)


def stacked_shape(shapes: Sequence[TTShape]) -> TTShape:
    """The common shape of layers with the same modes and sizes: the largest of their ranks at every bond."""
    if len(shapes) == 1:
        return shapes[0]
    return replace_ranks(shapes[0], [max(ranks) for ranks in zip(*(shape.ranks for shape in shapes), strict=True)])


def factorize(size: int, num_modes: int) -> tuple[int, ...]:
    """Split a size into `num_modes` modes, largest first, whose product is at least `size`.

    No mode is 1 while size >= 2**num_modes, and no mode exceeds twice the smallest possible largest one. Among those
    the one with the least padding is taken, then the one with the smallest largest mode (then the most even one).
    factorize(4096, 4) == (8, 8, 8, 8); factorize(1021, 2) == (33, 31).

    Raises InputError if size or num_modes is not a positive integer within reason.
    """
    size = positive_integer(size, "size")
    num_modes = positive_integer(num_modes, "num_modes")
    if num_modes > MAX_CORES:
        raise InputError(f"num_modes {num_modes} is above {MAX_CORES}; use fewer modes", "num_modes")
    if num_modes == 1:
        return (size,)
    return _least_padding(size, num_modes, 2 * _root_ceiling(size, num_modes))


@lru_cache(maxsize=1024)
def _least_padding(size: int, num_modes: int, cap: int) -> tuple[int, ...]:
    """The best non-increasing tuple of `num_modes` modes up to cap: least product >= size, then least largest mode.

    Products are tried upwards from `size`: among numbers of this length most neighbourhoods hold one whose factors are
    small enough. Where the cap leaves only a few primes such numbers are rare and the tuples themselves are fewer.
    """
    smallest = 2 if size >= 2**num_modes else 1
    if cap <= _FEW_VALUES:
        return _least_tuple(size, num_modes, smallest, cap)
    product = size
    while True:
        candidates = _tuples_of_product(product, num_modes, cap)
        if candidates:
            return min(candidates)
        product += 1


_FEW_VALUES = 24


def _least_tuple(size: int, num_modes: int, smallest: int, cap: int) -> tuple[int, ...]:
    """The best non-increasing tuple in smallest..cap, over all of them; whatever its first mode, its rest is best.

    There is one: the smallest possible largest mode, repeated, is within the cap.
    """

    @cache
    def best(size: int, num_modes: int, cap: int) -> tuple[int, ...]:
        if num_modes == 1:
            return (max(size, smallest),)
        firsts = range(max(smallest, _root_ceiling(size, num_modes)), cap + 1)
        tuples = [(first, *best(-(-size // first), num_modes - 1, first)) for first in firsts]
        return min(tuples, key=lambda modes: (prod(modes), modes))

    return best(size, num_modes, cap)


def _tuples_of_product(product: int, num_modes: int, cap: int) -> list[tuple[int, ...]]:
    """All non-increasing tuples of `num_modes` modes in 2..cap with exactly this product."""
    if num_modes == 1:
        return [(product,)] if 2 <= product <= cap else []
    lowest = max(2, _root_ceiling(product, num_modes))
    highest = min(cap, product >> (num_modes - 1))
    return [
        (first, *rest)
        for first in range(lowest, highest + 1)
        if product % first == 0
        for rest in _tuples_of_product(product // first, num_modes - 1, first)
    ]


def _root_ceiling(size: int, degree: int) -> int:
    """The smallest integer whose `degree`-th power is at least `size`, exactly."""
    root = max(1, round(size ** (1 / degree)))
    while root**degree < size:
        root += 1
    while root > 1 and (root - 1) ** degree >= size:
        root -= 1
    return root


def bond_ranks(ranks: object, num_cores: int, field: str = "ranks") -> tuple[int, ...]:
    """`ranks`, one integer for every bond or one for each, as a tuple of num_cores - 1; errors name `field`."""
    bonds = num_cores - 1
    single = as_integer(ranks)
    if single is not None:
        if single < 1:
            what = "rank" if field == "ranks" else field
            raise InputError(f"{what} {single} is below 1; a rank is a whole number of at least 1", field)
        return (min(single, MAX_SIZE),) * bonds
    if isinstance(ranks, tuple | list) and not ranks and bonds == 0:
        return ()
    numbers = positive_integers(ranks, field)
    if len(numbers) != bonds:
        raise InputError(
            f"{field} {show(numbers)} has {len(numbers)} entries, but {num_cores} cores have {bonds} inner "
            f"bond{'' if bonds == 1 else 's'}; give one number for all of them, or {bonds}",
            field,
        )
    return numbers


def _features(features: object, modes: tuple[int, ...], side: str) -> int:
    product = prod(modes)
    if product > MAX_SIZE:
        raise InputError(
            f"{side}_modes {show(modes)} multiply to {product}; sizes up to {MAX_SIZE} are handled, so use fewer or "
            "smaller modes",
            f"{side}_modes",
        )
    if features is None:
        return product
    size = positive_integer(features, f"{side}_features")
    if product < size:
        suggestion = factorize(size, len(modes))
        raise InputError(
            f"{side}_modes {show(modes)} multiply to {product}, less than the {size} {side}put features; "
            f"use e.g. {show(suggestion)}",
            f"{side}_modes",
        )
    return size
