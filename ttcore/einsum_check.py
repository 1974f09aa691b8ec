"""One contraction computed in several ways, and by how much they differ. What is too much work is not begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ttcore.einsum_contraction import MAX_ENTRIES, Contraction
from ttcore.einsum_operation import operation
from ttcore.einsum_path import Path, best, left_to_right
from ttcore.einsum_run import by_loops, by_pairs, draw
from ttcore.einsum_text import count

# Steps of the loops in Python, about a microsecond each, and of numpy.einsum's own in C.
MAX_LOOP_STEPS = 200_000
MAX_EINSUM_STEPS = 20_000_000
# Of an order that numpy.einsum is given; some of its pairs are loops as well.
MAX_ORDERED_FLOPS = 200_000_000
# Of an order of pairs, each a matrix product: a second or less.
MAX_PATH_FLOPS = 4_000_000_000
# Rounding errors stay far below this share of what is added up.
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Way:
    """One way to compute it.

    name: in words, or a line of NumPy where is_code. difference: the largest one to the first way that was run; None
    where this was not run, and `note` says why.
    """

    name: str
    difference: float | None = None
    note: str = ""
    is_code: bool = False


@dataclass(frozen=True)
class Comparison:
    """The tensors, the result, and how far the ways agree.

    result: None where no way was run. scale: the largest sum of absolute products behind an entry, which bounds what
    rounding can do.
    """

    tensors: tuple[np.ndarray, ...]
    result: np.ndarray | None
    ways: tuple[Way, ...]
    scale: float

    @property
    def difference(self) -> float:
        return max((way.difference for way in self.ways if way.difference is not None), default=0.0)

    @property
    def agree(self) -> bool:
        """To rounding."""
        return self.difference <= _TOLERANCE * max(self.scale, 1e-300)


@dataclass(frozen=True)
class _Plan:
    """A way and how it is run; reason: why it is not, or nothing."""

    name: str
    reason: str
    run: Callable[[], np.ndarray]
    is_code: bool = False


def compare(contraction: Contraction, seed: int) -> Comparison:
    """Draw the tensors and compute the contraction in every way that is not too much work."""
    tensors = draw(contraction, seed)
    straight, cheapest = left_to_right(contraction), best(contraction)
    result: np.ndarray | None = None
    ways = []
    for plan in _plans(contraction, tensors, straight, cheapest):
        if plan.reason:
            ways.append(Way(plan.name, note=plan.reason, is_code=plan.is_code))
            continue
        value = plan.run()
        if result is None:
            result = value
        ways.append(Way(plan.name, float(np.abs(value - result).max()), is_code=plan.is_code))
    scale = 0.0 if result is None else float(np.abs(result).max())
    for path in (cheapest, straight):
        if not _reason(path):
            scale = float(by_pairs(path, [np.abs(tensor) for tensor in tensors]).max())
            break
    return Comparison(tensors, result, tuple(ways), scale)


def _plans(
    contraction: Contraction, tensors: tuple[np.ndarray, ...], straight: Path, cheapest: Path
) -> Iterator[_Plan]:
    loop_reason = _too_many(contraction.steps, MAX_LOOP_STEPS)
    yield _Plan("explicit loops", loop_reason, lambda: by_loops(contraction, tensors))
    yield _einsum(contraction, cheapest, tensors)
    if len(tensors) < 3:
        name = "diagonals, then sums" if len(tensors) == 1 else "axes put together, then one matrix product"
        yield _Plan(name, _reason(cheapest), lambda: by_pairs(cheapest, tensors))
    else:
        yield _Plan("pair by pair, left to right", _reason(straight), lambda: by_pairs(straight, tensors))
        yield _Plan("pair by pair, best order", _reason(cheapest), lambda: by_pairs(cheapest, tensors))
    same = operation(contraction)
    if same is not None:
        # It holds no more at once, and does no more, than left to right does.
        yield _Plan(same.numpy, _reason(straight), lambda: np.asarray(same.apply(tensors)), is_code=True)


def _einsum(contraction: Contraction, path: Path, tensors: tuple[np.ndarray, ...]) -> _Plan:
    """NumPy's own: all at once, or where that is too much work pair by pair in the order it is given."""
    line = contraction.expression
    reason = _too_many(contraction.steps, MAX_EINSUM_STEPS)
    if not reason or len(tensors) < 3 or _reason(path) or path.flops > MAX_ORDERED_FLOPS:
        return _Plan("np.einsum", reason, lambda: np.asarray(np.einsum(line, *tensors)))
    order = ["einsum_path", *_positions(path)]
    run = partial(np.einsum, line, *tensors, optimize=order)
    return _Plan("np.einsum, given the best order", "", lambda: np.asarray(run()))


def _positions(path: Path) -> list[tuple[int, ...]]:
    """The pairs as numpy.einsum counts them: by place among what is left, the newest last."""
    live = list(range(len(path.contraction.operands)))
    renamed: dict[int, int] = {}
    pairs = []
    for number, step in enumerate(path.steps, len(live)):
        taken = [renamed.get(key, key) for key in step.taken]
        if len(taken) == 1:
            # NumPy sums within the next pair what we sum before it.
            renamed[number] = taken[0]
            continue
        pairs.append(tuple(sorted(live.index(key) for key in taken)))
        live = [key for key in live if key not in taken] + [number]
    return pairs


def _too_many(steps: int, most: int) -> str:
    return "" if steps <= most else f"not run: {count(steps)} steps, and up to {count(most)} are taken"


def _reason(path: Path) -> str:
    """Why an order is not run, or nothing."""
    if path.largest > MAX_ENTRIES:
        return f"not run: an array of {count(path.largest)} entries, and up to {count(MAX_ENTRIES)} are held"
    if path.flops > MAX_PATH_FLOPS:
        return f"not run: {count(path.flops)} operations, and up to {count(MAX_PATH_FLOPS)} are done"
    return ""
