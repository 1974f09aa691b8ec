"""In which order to contract many tensors, two at a time, and what each order costs. Integers only.

What is counted: an addition or a multiplication is one floating-point operation (FLOP), a multiply-add is two. A pair
costs the product of all sizes that the two have, times two if it sums over a letter and times one if it does not. A
tensor with a letter that nobody else has is first summed over it by itself, at one addition an entry.
The best order is found over all binary trees by dynamic programming on subsets (Lam, Sadayappan, Wenger 1997, "On
optimizing a class of multi-dimensional loops with reductions"), the method behind "optimal" orders of opt_einsum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from ttcore.einsum_contraction import Contraction

# All orders are weighed up to so many tensors: 3^10 / 2 splits.
MAX_EXACT = 10

# A tensor by its number, or the two parts that are contracted with each other.
Tree: TypeAlias = "int | tuple[Tree, Tree]"


@dataclass(frozen=True)
class Step:
    """One or two tensors become one.

    taken: their numbers; the tensors are 0, 1, ..., and the result of each step has the next number.
    terms: their letters. result: the letters of what they become. summed: the letters that go.
    flops, entries: what the step costs, and how many entries its result has.
    """

    taken: tuple[int, ...]
    terms: tuple[str, ...]
    result: str
    summed: str
    flops: int
    entries: int


@dataclass(frozen=True)
class Path:
    """The steps that contract everything; the last one makes the result."""

    contraction: Contraction
    tree: Tree
    steps: tuple[Step, ...]

    @property
    def flops(self) -> int:
        return sum(step.flops for step in self.steps)

    @property
    def largest(self) -> int:
        """Entries of the largest array that a step makes, the result included."""
        return max(step.entries for step in self.steps)

    def states(self) -> Iterator[tuple[Contraction, tuple[str, ...], tuple[int, ...]]]:
        """What is left before each step and after the last: the contraction, the tensors' names, their numbers."""
        names = dict(enumerate(self.contraction.names))
        live = dict(enumerate(self.contraction.operands))
        for number, step in enumerate((*self.steps, None), len(live)):
            yield self._state(live), tuple(names[key] for key in live), tuple(live)
            if step is not None:
                names[number] = "".join(sorted("".join(names[key] for key in step.taken)))
                # What becomes of them stands where the first of them stood.
                place = next(key for key in live if key in step.taken)
                live = {
                    number if key == place else key: step.result if key == place else term
                    for key, term in live.items()
                    if key == place or key not in step.taken
                }

    def _state(self, live: dict[int, str]) -> Contraction:
        sizes = self.contraction.sizes
        shapes = tuple(tuple(sizes[letter] for letter in term) for term in live.values())
        return Contraction(tuple(live.values()), self.contraction.output, shapes)


def loop_flops(contraction: Contraction) -> int:
    """FLOPs of one loop nest over all letters, which multiplies an entry of every tensor at each of its steps."""
    return contraction.steps * (len(contraction.operands) - 1 + bool(contraction.summed))


def left_to_right(contraction: Contraction) -> Path:
    """The first two tensors, then their product with the third, and so on."""
    tree: Tree = 0
    for number in range(1, len(contraction.operands)):
        tree = (tree, number)
    return _path(contraction, tree)


def best(contraction: Contraction) -> Path:
    """The order with the fewest FLOPs, and of those the one whose largest array is the smallest.

    Exact for up to MAX_EXACT tensors. Above, the better of left to right and a greedy order.
    """
    if len(contraction.operands) <= MAX_EXACT:
        return _path(contraction, _optimal(contraction))
    paths = (left_to_right(contraction), _path(contraction, _greedy(contraction)))
    return min(paths, key=lambda path: (path.flops, path.largest))


def _path(contraction: Contraction, tree: Tree) -> Path:
    steps: list[Step] = []
    count = len(contraction.operands)
    everything = (1 << count) - 1
    subsets = _Subsets(contraction)

    def add(taken: tuple[int, ...], terms: tuple[str, ...], members: int) -> tuple[int, str]:
        joined = "".join(dict.fromkeys("".join(terms)))
        if members == everything:
            result = contraction.output
        else:
            result = "".join(letter for letter in joined if subsets.mask(letter) & subsets.left_of(members))
        summed = "".join(letter for letter in joined if letter not in result)
        flops = contraction.entries(joined) * (len(terms) - 1 + bool(summed))
        steps.append(Step(taken, terms, result, summed, flops, contraction.entries(result)))
        return count + len(steps) - 1, result

    def visit(part: Tree) -> tuple[int, str, int]:
        """The number, the letters and the tensors of this part."""
        if isinstance(part, int):
            term, members = contraction.operands[part], 1 << part
            wanted = "".join(letter for letter in term if subsets.mask(letter) & subsets.left_of(members))
            if term == wanted and len(set(term)) == len(term) and count > 1:
                return part, term, members
            return *add((part,), (term,), members), members
        left, right = visit(part[0]), visit(part[1])
        members = left[2] | right[2]
        return *add((left[0], right[0]), (left[1], right[1]), members), members

    visit(tree)
    return Path(contraction, tree, tuple(steps))


class _Subsets:
    """Sets of tensors and sets of letters as bits."""

    def __init__(self, contraction: Contraction) -> None:
        self._bit = {letter: 1 << place for place, letter in enumerate(contraction.sizes)}
        self._sizes = list(contraction.sizes.values())
        self._terms = [self.mask(term) for term in contraction.operands]
        self._output = self.mask(contraction.output)
        self._left: dict[int, int] = {}
        self._entries: dict[int, int] = {}

    def mask(self, letters: str) -> int:
        found = 0
        for letter in letters:
            found |= self._bit[letter]
        return found

    def left_of(self, members: int) -> int:
        """The letters of the product of these tensors once all that can be summed is."""
        if members not in self._left:
            inside, outside = 0, self._output
            for number, term in enumerate(self._terms):
                if members >> number & 1:
                    inside |= term
                else:
                    outside |= term
            self._left[members] = inside & outside
        return self._left[members]

    def entries(self, letters: int) -> int:
        if letters not in self._entries:
            product = 1
            for place, size in enumerate(self._sizes):
                if letters >> place & 1:
                    product *= size
            self._entries[letters] = product
        return self._entries[letters]

    def pair(self, left: int, right: int) -> tuple[int, int]:
        """FLOPs of the product of two sets of tensors, and entries of its result."""
        both, result = self.left_of(left) | self.left_of(right), self.left_of(left | right)
        return self.entries(both) * (2 if both != result else 1), self.entries(result)


def _optimal(contraction: Contraction) -> Tree:
    """Over every way to split every subset of tensors in two."""
    subsets = _Subsets(contraction)
    count = len(contraction.operands)
    found: dict[int, tuple[int, int, Tree]] = {1 << number: (0, 0, number) for number in range(count)}
    for size in range(2, count + 1):
        for numbers in combinations(range(count), size):
            members = sum(1 << number for number in numbers)
            rest = members & (members - 1)
            least: tuple[int, int, Tree] | None = None
            part = rest
            while part:
                # `part` never holds the first tensor: each split is met once.
                flops, entries = subsets.pair(members ^ part, part)
                one, other = found[members ^ part], found[part]
                price = (flops + one[0] + other[0], max(entries, one[1], other[1]))
                if least is None or price < least[:2]:
                    least = (*price, (one[2], other[2]))
                part = (part - 1) & rest
            assert least is not None
            found[members] = least
    return found[(1 << count) - 1][2]


def _greedy(contraction: Contraction) -> Tree:
    """Again and again the pair whose product adds the fewest entries to what is held."""
    subsets = _Subsets(contraction)
    held: list[tuple[int, Tree]] = [(1 << number, number) for number in range(len(contraction.operands))]

    def price(pair: tuple[tuple[int, Tree], tuple[int, Tree]]) -> tuple[int, int]:
        (left, _), (right, _) = pair
        flops, entries = subsets.pair(left, right)
        freed = sum(subsets.entries(subsets.left_of(members)) for members in (left, right))
        return entries - freed, flops

    while len(held) > 1:
        one, other = min(combinations(held, 2), key=price)
        held[held.index(one)] = (one[0] | other[0], (one[1], other[1]))
        held.remove(other)
    return held[0][1]
