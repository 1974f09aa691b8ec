"""A contraction as a tensor network in SVG: a node a tensor, a line a letter. Imports no streamlit.

A letter of two tensors is an edge, a letter of the output a leg with an open end. What no single edge can show meets in
a small dot: a letter of three tensors or more, one that is shared and kept too, or one that is summed by itself. A
letter that one tensor has twice is a loop. Text takes the colour of the page around it (currentColor).
"""

from __future__ import annotations

import cmath
from collections.abc import Mapping, Sequence
from html import escape
from math import inf, log2, pi

from dashboard.einsum_layout import RADIUS, Layout, layout
from dashboard.palette import TEST, TT
from ttcore.einsum_contraction import Contraction, show_shape

_LEG = 40.0
_DOT_AWAY = 62.0
_APART = 36.0
_MARGIN = 14.0


def network_svg(
    contraction: Contraction,
    colours: Mapping[str, str],
    names: Sequence[str] | None = None,
    marked: Sequence[int] = (),
) -> str:
    """The network; tensors whose place is in `marked` stand out.

    names: what is written in the nodes; default A, B, C, ...
    """
    return _Drawing(contraction, colours, names or contraction.names, marked).svg()


def legend_html(contraction: Contraction, colours: Mapping[str, str]) -> str:
    """Each letter with its size, and whether the result keeps it."""
    chips = []
    for letter in contraction.letters:
        role = "summed" if letter in contraction.summed else "kept"
        chips.append(
            '<span style="display:inline-flex;gap:.35em;align-items:baseline;padding:.1em .6em;border-radius:1em;'
            f'border:1.5px {"solid" if role == "kept" else "dashed"} {colours[letter]}">'
            f'<b style="color:{colours[letter]}">{letter}</b><span>{contraction.sizes[letter]:,}</span>'
            f'<span style="opacity:.65;font-size:.85em">{role}</span></span>'
        )
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:.4em;justify-content:center;font-size:.92rem;margin-top:.6rem">'
        f"{''.join(chips)}</div>"
    )


class _Drawing:
    """Collects lines first and nodes after them, and keeps track of the room that they take."""

    def __init__(
        self, contraction: Contraction, colours: Mapping[str, str], names: Sequence[str], marked: Sequence[int]
    ) -> None:
        self._contraction = contraction
        self._colours = colours
        self._names = names
        self._marked = marked
        self._layout: Layout = layout(contraction.operands, names)
        self._lines: list[str] = []
        self._labels: list[str] = []
        self._left = self._top = inf
        self._right = self._bottom = -inf
        # Directions from each tensor that are taken, and what still wants one: a letter and how it ends.
        self._taken: list[list[float]] = [[] for _ in names]
        self._waiting: list[list[str]] = [[] for _ in names]

    def svg(self) -> str:
        for place in self._layout.places:
            self._room(place.at - complex(place.half, RADIUS))
            self._room(place.at + complex(place.half, RADIUS))
        self._between_tensors()
        for number in range(len(self._names)):
            self._around(number)
        nodes = [self._node(number) for number in range(len(self._names))]
        left, top = self._left - _MARGIN, self._top - _MARGIN
        width, height = self._right - self._left + 2 * _MARGIN, self._bottom - self._top + 2 * _MARGIN
        # A wide network scrolls sideways on a narrow screen and keeps its size; a small one never grows past its own.
        least = min(width, max(260.0, 0.6 * width))
        drawn = "".join(self._lines + nodes + self._labels)
        return (
            f'<div style="overflow-x:auto"><svg role="img" aria-label="{escape(self._description())}" '
            f'viewBox="{left:.1f} {top:.1f} {width:.1f} {height:.1f}" '
            f'style="width:100%;min-width:{least:.0f}px;max-width:{width * 1.35:.0f}px;max-height:460px;display:block;'
            f'margin:0 auto" xmlns="http://www.w3.org/2000/svg">{drawn}</svg></div>'
        )

    def _description(self) -> str:
        tensors = []
        for name, term, shape in zip(self._names, self._contraction.operands, self._contraction.shapes, strict=True):
            axes = ", ".join(f"{letter} ({size})" for letter, size in zip(term, shape, strict=True))
            tensors.append(f"{name} with {axes or 'no axis'}")
        result = show_shape(self._contraction.result_shape) or "one number"
        legs = self._contraction.output or "none"
        return f"Tensor network: {'; '.join(tensors)}. Open legs: {legs}; the result is {result}."

    # ---- letters that several tensors have --------------------------------------------------------------------------

    def _between_tensors(self) -> None:
        pairs: dict[tuple[int, int], list[str]] = {}
        dots: dict[tuple[int, ...], list[str]] = {}
        for letter in self._contraction.sizes:
            counts = [term.count(letter) for term in self._contraction.operands]
            members = tuple(number for number, times in enumerate(counts) if times)
            if len(members) == 1:
                self._waiting[members[0]].append(letter)
            elif len(members) == 2 and sum(counts) == 2 and letter not in self._contraction.output:
                pairs.setdefault((members[0], members[1]), []).append(letter)
            else:
                dots.setdefault(members, []).append(letter)
        for (one, other), letters in pairs.items():
            for place, letter in enumerate(letters):
                self._edge(one, other, letter, _APART * (place - (len(letters) - 1) / 2))
        for members, letters in dots.items():
            lowest = 1.5 * _APART + _APART * len(pairs.get((members[0], members[-1]), ())) / 2
            for place, letter in enumerate(letters):
                if len(members) == 2:
                    self._dot(members, letter, self._beside(members[0], members[1], -lowest - 1.6 * _APART * place))
                else:
                    middle = sum(self._layout.places[number].at for number in members) / len(members)
                    self._dot(members, letter, middle + 1.6 * _APART * (place - (len(letters) - 1) / 2))

    def _ends(self, one: int, other: int) -> tuple[complex, complex]:
        """Where a line between two tensors starts and ends: below one another where one of them is wide."""
        start, end = self._layout.places[one].at, self._layout.places[other].at
        if self._layout.hub == one:
            start = complex(end.real, start.imag)
        elif self._layout.hub == other:
            end = complex(start.real, end.imag)
        return start, end

    def _beside(self, one: int, other: int, distance: float) -> complex:
        """Beside the middle between two tensors; a negative distance is upwards, or outwards of a circle."""
        start, end = self._ends(one, other)
        across = 1j * (end - start) / abs(end - start)
        if self._layout.kind == "circle":
            outwards = -1 if (across * ((start + end) / 2).conjugate()).real > 0 else 1
            distance *= outwards
        elif across.imag < 0:
            distance = -distance
        return (start + end) / 2 + distance * across

    def _edge(self, one: int, other: int, letter: str, aside: float) -> None:
        start, end = self._ends(one, other)
        along = (end - start) / abs(end - start)
        self._taken[one].append(cmath.phase(along))
        self._taken[other].append(cmath.phase(-along))
        if self._layout.hub in (one, other):
            # Side by side, and near enough to each other to end on the round one.
            shift = aside * 0.75
            start, end = start + shift, end + shift
            self._line(f"M{_xy(start)}L{_xy(end)}", letter)
            self._label((start + end) / 2 + (8 if shift >= 0 else -8), letter, "start" if shift >= 0 else "end")
            return
        across = 1j * along
        middle = (start + end) / 2
        self._line(f"M{_xy(start)}Q{_xy(middle + 2 * aside * across)} {_xy(end)}", letter)
        if abs(along.imag) < 0.3:
            self._label(middle + aside * across - 17j, letter)
        else:
            outwards = across if (across * middle.conjugate()).real >= 0 else -across
            side = outwards if self._layout.kind == "circle" else across
            self._label(middle + aside * across + 16 * side, letter)

    def _dot(self, members: tuple[int, ...], letter: str, at: complex) -> None:
        for number in members:
            start = self._layout.places[number].at
            if self._layout.hub == number:
                start = complex(at.real, start.imag)
            self._strands(number, start, at, letter)
        self._mark(at, letter)
        taken = [cmath.phase(self._layout.places[number].at - at) for number in members]
        way = _free(taken, 1, -pi / 2)[0]
        if letter not in self._contraction.output:
            self._label(at + cmath.rect(15, way), letter, _anchor(way))
            return
        end = at + cmath.rect(_LEG, way)
        self._line(f"M{_xy(at)}L{_xy(end)}", letter)
        self._label(end + cmath.rect(13, way), letter, _anchor(way))

    def _strands(self, number: int, start: complex, at: complex, letter: str) -> None:
        """From a tensor to a dot, as often as it has the letter."""
        times = self._contraction.operands[number].count(letter)
        across = 1j * (at - start) / abs(at - start)
        self._taken[number].append(cmath.phase(at - start))
        for strand in range(times):
            bend = 2 * 24.0 * (strand - (times - 1) / 2)
            self._line(f"M{_xy(start)}Q{_xy((start + at) / 2 + bend * across)} {_xy(at)}", letter)

    # ---- letters that one tensor alone has --------------------------------------------------------------------------

    def _around(self, number: int) -> None:
        """Its legs and loops, into the directions that are free."""
        letters = self._waiting[number]
        place = self._layout.places[number]
        if self._layout.hub == number:
            self._along(place.at, place.half, letters)
            return
        if self._layout.kind == "comb":
            ways = [-pi / 2 + 0.75 * (k - (len(letters) - 1) / 2) for k in range(len(letters))]
        else:
            ways = _free(self._taken[number], len(letters), -pi / 2)
        for letter, way in zip(letters, ways, strict=True):
            reach = RADIUS if abs(cmath.rect(1, way).imag) > 0.5 else place.half
            self._leg(number, place.at, letter, way, reach)

    def _along(self, middle: complex, half: float, letters: Sequence[str]) -> None:
        """Legs of the wide tensor: to the left, to the right, then downwards."""
        for k, letter in enumerate(letters):
            if k < 2:
                self._leg(self._layout.hub or 0, middle, letter, pi if k == 0 else 0.0, half)
            else:
                x = half * (2 * (k - 1) / (len(letters) - 1) - 1)
                self._leg(self._layout.hub or 0, middle + x, letter, pi / 2, RADIUS)

    def _leg(self, number: int, start: complex, letter: str, way: float, reach: float) -> None:
        times = self._contraction.operands[number].count(letter)
        kept = letter in self._contraction.output
        forward = cmath.rect(1, way)
        if times == 1:
            end = start + (reach + _LEG) * forward
            self._line(f"M{_xy(start)}L{_xy(end)}", letter)
            if not kept:
                self._mark(end, letter)
            self._label(end + 14 * forward, letter, _anchor(way))
            return
        at = start + (reach + _DOT_AWAY - 12) * forward
        if times == 2 and not kept:
            side = 46 * 1j * forward
            self._line(
                f"M{_xy(start)}C{_xy(at + side + 14 * forward)} {_xy(at - side + 14 * forward)} {_xy(start)}", letter
            )
            self._label(at + 20 * forward, letter, _anchor(way))
            self._room(at + side)
            self._room(at - side)
            return
        self._strands(number, start, at, letter)
        self._mark(at, letter)
        end = at + (_LEG - 8) * forward if kept else at
        if kept:
            self._line(f"M{_xy(at)}L{_xy(end)}", letter)
        self._label(end + 14 * forward, letter, _anchor(way))

    # ---- marks ------------------------------------------------------------------------------------------------------

    def _node(self, number: int) -> str:
        place = self._layout.places[number]
        corner = place.at - complex(place.half, RADIUS)
        fill = TEST if number in self._marked else TT
        return (
            f'<rect x="{corner.real:.1f}" y="{corner.imag:.1f}" width="{2 * place.half:.1f}" height="{2 * RADIUS:.1f}" '
            f'rx="{RADIUS}" fill="{fill}"/><text x="{place.at.real:.1f}" y="{place.at.imag + 6:.1f}" font-size="18" '
            f'font-weight="600" text-anchor="middle" fill="#ffffff">{escape(self._names[number])}</text>'
        )

    def _line(self, path: str, letter: str) -> None:
        width = 2 + min(5.0, 0.6 * log2(self._contraction.sizes[letter] + 1))
        self._lines.append(
            f'<path d="{path}" fill="none" stroke="{self._colours[letter]}" stroke-width="{width:.1f}" '
            'stroke-linecap="round"/>'
        )

    def _mark(self, at: complex, letter: str) -> None:
        self._room(at)
        self._labels.append(f'<circle cx="{at.real:.1f}" cy="{at.imag:.1f}" r="6.5" fill="{self._colours[letter]}"/>')

    def _label(self, at: complex, letter: str, anchor: str = "middle") -> None:
        """The letter and its size; a rim in the page's colour keeps it readable on a line."""
        size = f"{self._contraction.sizes[letter]:,}"
        width = 16 + 10 * len(size)
        reach = {"middle": (-width / 2, width / 2), "start": (0, width), "end": (-width, 0)}[anchor]
        self._room(at + complex(reach[0], -10))
        self._room(at + complex(reach[1], 10))
        self._labels.append(
            f'<text x="{at.real:.1f}" y="{at.imag + 6:.1f}" font-size="18" text-anchor="{anchor}" '
            'style="paint-order:stroke;stroke:var(--st-background-color,transparent);stroke-width:4px">'
            f'<tspan font-weight="700" fill="{self._colours[letter]}">{letter}</tspan>'
            f'<tspan dx="4" font-size="16" fill="currentColor">{size}</tspan></text>'
        )

    def _room(self, at: complex) -> None:
        self._left, self._right = min(self._left, at.real), max(self._right, at.real)
        self._top, self._bottom = min(self._top, at.imag), max(self._bottom, at.imag)


def _free(taken: Sequence[float], count: int, lonely: float) -> list[float]:
    """So many directions, each into the middle of the room that is left; `lonely` for one that has all of it."""
    if not count:
        return []
    if not taken:
        return [lonely] if count == 1 else [pi + 2 * pi * k / count for k in range(count)]
    around = sorted({round(way % (2 * pi), 6) for way in taken})
    gaps = [
        (start, (after - start) % (2 * pi) or 2 * pi)
        for start, after in zip(around, [*around[1:], around[0]], strict=True)
    ]
    shares = [0] * len(gaps)
    for _ in range(count):
        # Of equal gaps the one upwards first.
        widest = max(range(len(gaps)), key=lambda k: (round(gaps[k][1] / (shares[k] + 1), 3), gaps[k][0]))
        shares[widest] += 1
    return [
        start + width * (k + 1) / (share + 1)
        for (start, width), share in zip(gaps, shares, strict=True)
        for k in range(share)
    ]


def _anchor(way: float) -> str:
    """On which side of its place a label stands, seen from where the line comes."""
    sideways = cmath.rect(1, way).real
    return "start" if sideways > 0.5 else "end" if sideways < -0.5 else "middle"


def _xy(at: complex) -> str:
    return f"{at.real:.1f} {at.imag:.1f}"
