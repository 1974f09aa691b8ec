"""Where the tensors of a network stand. Letters in, places out; no drawing, no streamlit.

Places are complex numbers, the imaginary part growing downwards as in SVG.
"""

from __future__ import annotations

import cmath
from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sin
from typing import Literal

RADIUS = 22.0
_BETWEEN = 86.0
_BELOW = 124.0
_LETTER_WIDTH = 11.0


@dataclass(frozen=True)
class Place:
    """A tensor: its middle, and half its width where it is drawn as a wide pill."""

    at: complex
    half: float


@dataclass(frozen=True)
class Layout:
    """line: neighbours side by side. comb: tensor `hub` lies below all others. circle: anything else."""

    kind: Literal["line", "comb", "circle"]
    places: tuple[Place, ...]
    hub: int | None = None


def layout(terms: Sequence[str], names: Sequence[str]) -> Layout:
    """A place for each tensor of these letters."""
    neighbours = _neighbours(terms)
    halves = [max(RADIUS, _LETTER_WIDTH * len(name) / 2 + 10) for name in names]
    count = len(terms)
    # A letter of three tensors needs room in their middle.
    crowded = any(sum(letter in term for term in terms) > 2 for letter in set("".join(terms)))
    if not crowded or count <= 2:
        if order := _chain(range(count), neighbours):
            return Layout("line", _line(order, halves))
        for hub in range(count):
            others = [number for number in range(count) if number != hub]
            if neighbours[hub] == set(others) and (order := _chain(others, neighbours)):
                return _comb(hub, order, halves)
    widest = max(halves)
    radius = max(100.0, (widest + _BETWEEN / 2) / sin(pi / count))
    return Layout(
        "circle", tuple(Place(cmath.rect(radius, 2 * pi * k / count - pi / 2), halves[k]) for k in range(count))
    )


def _neighbours(terms: Sequence[str]) -> list[set[int]]:
    """For each tensor those that share a letter with it."""
    sets = [set(term) for term in terms]
    return [{k for k, other in enumerate(sets) if k != number and own & other} for number, own in enumerate(sets)]


def _chain(members: Sequence[int] | range, neighbours: list[set[int]]) -> list[int] | None:
    """The members in an order in which only those side by side share letters, or None if there is none."""
    inside = set(members)
    near = {number: neighbours[number] & inside for number in members}
    if any(len(found) > 2 for found in near.values()):
        return None
    order: list[int] = []
    while len(order) < len(inside):
        # An end of a piece that is not placed yet; a ring has none.
        ends = [number for number in members if number not in order and len(near[number]) <= 1]
        if not ends:
            return None
        current: int | None = ends[0]
        while current is not None:
            order.append(current)
            current = next((number for number in near[current] if number not in order), None)
    return order


def _line(order: Sequence[int], halves: Sequence[float]) -> tuple[Place, ...]:
    places: dict[int, Place] = {}
    x = 0.0
    for before, number in zip([None, *order], order, strict=False):
        if before is not None:
            x += halves[before] + _BETWEEN + halves[number]
        places[number] = Place(complex(x, 0), halves[number])
    return tuple(places[number] for number in sorted(places))


def _comb(hub: int, order: Sequence[int], halves: Sequence[float]) -> Layout:
    above = dict(zip(sorted(order), _line(order, halves), strict=True))
    left = min(place.at.real - place.half for place in above.values())
    right = max(place.at.real + place.half for place in above.values())
    wide = Place(complex((left + right) / 2, _BELOW), (right - left) / 2)
    return Layout("comb", tuple(wide if k == hub else above[k] for k in range(len(order) + 1)), hub)
