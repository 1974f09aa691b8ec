"""The gradient by one core as a tensor network: the network of the loss with a hole. TTShape -> SVG; no streamlit.

Text and lines take the colour of the page around them (currentColor), as in drawings.
"""

from __future__ import annotations

from html import escape

from dashboard.drawings import line, text_at
from dashboard.palette import FULL, KEPT, TEST, TT
from ttcore.gradient_cores import core_letters
from ttcore.shapes import TTShape

_STEP, _LEFT, _RADIUS = 112, 96, 24
_TOP, _MIDDLE, _BOTTOM, _BAR = 26, 128, 230, 34
_HEIGHT = 256


def hole_svg(shape: TTShape, samples: int, k: int) -> str:
    """The residual above, the inputs below, the cores between, and core k (from 0) left out: its legs stay open."""
    d = shape.num_cores
    width = _LEFT + _STEP * d + 14
    bar = width - _LEFT - 14
    parts = [
        # The samples are summed over: one line from the residual to the inputs.
        f'<path d="M {_LEFT} {_TOP} C {_LEFT - 56} {_TOP}, {_LEFT - 56} {_BOTTOM}, {_LEFT} {_BOTTOM}" fill="none" '
        'stroke="currentColor" stroke-width="2" stroke-opacity="0.55"/>',
        text_at(_LEFT - 50, _MIDDLE - 3, f"b · {samples}", anchor="end"),
        text_at(_LEFT - 50, _MIDDLE + 13, "samples", size=11, anchor="end", faint=True),
    ]
    for j, rank in enumerate(shape.ranks):
        left, right = _x(j), _x(j + 1)
        open_left, open_right = j == k, j + 1 == k
        start, end = left + _RADIUS * open_left, right - _RADIUS * open_right
        colour = TEST if open_left or open_right else TT
        letter = core_letters(d, j)[-1]
        parts.append(line(start, _MIDDLE, end, _MIDDLE, colour, 3.5))
        parts.append(text_at((left + right) / 2, _MIDDLE - 9, f"{letter} · {rank}", colour=colour, weight=600))
        if open_left or open_right:
            parts.append(_dot(start if open_left else end, _MIDDLE))
    for j in range(d):
        parts += _core(shape, j, hole=j == k)
    parts += [
        _bar(_TOP, bar, KEPT[0], "residual  y − W x"),
        _bar(_BOTTOM, bar, FULL, "inputs  x"),
    ]
    label = (
        f"Tensor network of the gradient by core {k + 1} of {d}: the residual and the inputs, joined by {samples} "
        "samples and by every core but that one; where it was, its legs stay open."
    )
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {_HEIGHT}" '
        f'style="width:100%;max-width:{width * 1.2:.0f}px;display:block;margin:0 auto" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _core(shape: TTShape, j: int, hole: bool) -> list[str]:
    """One core, or the hole where it was, with its legs to the inputs and to the residual."""
    x, colour = _x(j), TEST if hole else "currentColor"
    letters = core_letters(shape.num_cores, j)
    ends = _RADIUS if hole else 0
    into, out = letters[1 if j else 0], letters[2 if j else 1]
    width, opacity = (3, 1) if hole else (2, 0.55)
    above, below = (_TOP + _MIDDLE) / 2 + 2, (_MIDDLE + _BOTTOM) / 2 + 8
    parts = [
        line(x, _TOP, x, _MIDDLE - ends, colour, width, opacity),
        line(x, _MIDDLE + ends, x, _BOTTOM, colour, width, opacity),
        text_at(
            x + 9,
            above,
            f"{out} · {shape.out_modes[j]}",
            anchor="start",
            colour=TEST if hole else "",
            weight=600 if hole else 400,
        ),
        text_at(
            x + 9,
            below,
            f"{into} · {shape.in_modes[j]}",
            anchor="start",
            colour=TEST if hole else "",
            weight=600 if hole else 400,
        ),
    ]
    name = "G" + "₁₂₃₄₅₆₇₈"[j]
    if hole:
        return [
            *parts,
            f'<circle cx="{x}" cy="{_MIDDLE}" r="{_RADIUS}" fill="none" stroke="{TEST}" stroke-width="2" '
            'stroke-dasharray="4 4"/>',
            _dot(x, _MIDDLE - _RADIUS),
            _dot(x, _MIDDLE + _RADIUS),
            text_at(x, _MIDDLE + 5, f"∂{name}", size=15, colour=TEST, weight=600),
        ]
    return [
        *parts,
        f'<circle cx="{x}" cy="{_MIDDLE}" r="{_RADIUS}" fill="{TT}"/>',
        text_at(x, _MIDDLE + 5, name, size=15, colour="#ffffff", weight=600),
    ]


def _x(core: int) -> float:
    return _LEFT + _STEP * (core + 0.5)


def _bar(y: float, width: float, colour: str, text: str) -> str:
    return f'<rect x="{_LEFT}" y="{y - _BAR / 2}" width="{width}" height="{_BAR}" rx="8" fill="{colour}"/>' + text_at(
        _LEFT + width / 2, y + 5, text, size=15, colour="#ffffff", weight=600
    )


def _dot(x: float, y: float) -> str:
    return f'<circle cx="{x}" cy="{y}" r="4.5" fill="{TEST}"/>'
