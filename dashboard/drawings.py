"""The layer as pictures: its tensor network, and its size beside the full model's. TTShape -> SVG text; no streamlit.

Text and lines take the colour of the page around them (currentColor), so the drawings follow the theme by themselves.
"""

from __future__ import annotations

from html import escape
from math import log2, sqrt

from dashboard.palette import FULL, TEST, TT
from ttcore.shapes import TTShape

_STEP = 104
_HEIGHT = 150


def network_svg(shape: TTShape) -> str:
    """The train as a tensor network: a node a core, a bond a rank, legs down for input and up for output modes."""
    cores = shape.num_cores
    width = _STEP * cores + 60
    middle = _HEIGHT / 2
    parts = []
    for k, (rank, useful) in enumerate(zip(shape.ranks, shape.useful_ranks, strict=True)):
        left, right = _x(k), _x(k + 1)
        thickness = 1.5 + min(8.0, log2(rank + 1))
        parts.append(
            line(left, middle, right, middle, TEST, thickness)
            + text_at((left + right) / 2, middle - 12, f"{rank:,}", size=15, weight=600, colour=TEST)
            + text_at((left + right) / 2, middle + 22, f"of {useful:,}", size=11, faint=True)
        )
    for k, (m, n) in enumerate(zip(shape.in_modes, shape.out_modes, strict=True)):
        x = _x(k)
        parts += [
            _leg(x, middle, _HEIGHT - 24),
            _leg(x, 24, middle),
            text_at(x, _HEIGHT - 6, f"{m}", size=17),
            text_at(x, 18, f"{n}", size=17),
            f'<circle cx="{x}" cy="{middle}" r="21" fill="{TT}"/>',
            text_at(x, middle + 5, f"G{_subscript(k + 1)}", size=15, weight=600, colour="#ffffff"),
        ]
    parts.append(text_at(8, 18, "out", size=12, anchor="start", faint=True))
    parts.append(text_at(8, _HEIGHT - 6, "in", size=12, anchor="start", faint=True))
    label = (
        f"Tensor network of {cores} cores; input modes {_list(shape.in_modes)}; output modes {_list(shape.out_modes)}; "
        f"ranks {_list(shape.ranks) or 'none'}; useful ranks {_list(shape.useful_ranks) or 'none'}."
    )
    # On a narrow screen a long train scrolls sideways and keeps its size; a short one never grows past its own.
    least = min(width, max(300, 62 * cores))
    return (
        f'<div style="overflow-x:auto"><svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width} {_HEIGHT}" '
        f'style="width:100%;min-width:{least}px;max-width:{width * 1.15:.0f}px;display:block;margin:0 auto" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg></div>'
    )


def size_svg(shape: TTShape) -> str:
    """Two squares whose areas are the parameter counts: the full model's, and the TT layer's inside or around it."""
    side = 118.0
    ratio = sqrt(shape.parameter_ratio)
    # The smaller of the two can always be seen.
    full, tt = (side, max(side * ratio, 1.5)) if ratio <= 1 else (max(side / ratio, 1.5), side)
    bottom = side + 6
    parts = [
        f'<rect x="6" y="{bottom - full:.1f}" width="{full:.1f}" height="{full:.1f}" fill="{FULL}" fill-opacity="0.28" '
        f'stroke="{FULL}"/>',
        f'<rect x="6" y="{bottom - tt:.1f}" width="{tt:.1f}" height="{tt:.1f}" fill="{TT}" '
        f'fill-opacity="{0.95 if ratio <= 1 else 0.45}"/>',
    ]
    times = shape.compression
    verdict = f"{_plain(times)}× smaller" if times >= 1 else f"{_plain(1 / times)}× larger"
    rows = [
        (verdict, 20, 700, ""),
        (f"{_plain(100 * shape.parameter_ratio)} % of the full model", 13, 400, ""),
        (f"TT layer: {shape.num_parameters:,}", 14, 600, TT),
        (f"full model: {shape.dense_parameters:,}", 14, 400, ""),
        ("areas are parameter counts", 11, 400, "faint"),
    ]
    y = 24.0
    for text, size, weight, colour in rows:
        faint = colour == "faint"
        parts.append(
            text_at(
                side + 24,
                y,
                text,
                size=size,
                weight=weight,
                anchor="start",
                faint=faint,
                colour="" if faint else colour,
            )
        )
        y += 24
    label = (
        f"The TT layer has {shape.num_parameters:,} parameters, the full model {shape.dense_parameters:,}: {verdict}."
    )
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 344 {side + 12:.0f}" '
        'style="width:100%;max-width:380px;display:block;margin:0 auto" xmlns="http://www.w3.org/2000/svg">'
        f"{''.join(parts)}</svg>"
    )


def _plain(number: float) -> str:
    """Three digits and more, and never a power of ten: a room full of people reads this."""
    if number < 0.001:
        return "under 0.001"
    return f"{number:.3g}" if number < 999.5 else f"{number:,.0f}"


def _x(core: int) -> float:
    return 30 + _STEP * (core + 0.5)


def _leg(x: float, y1: float, y2: float) -> str:
    return line(x, y1, x, y2, "currentColor", 2, opacity=0.55)


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float, opacity: float = 1) -> str:
    return (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width:.1f}" '
        f'stroke-opacity="{opacity}"/>'
    )


def text_at(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 13,
    weight: int = 400,
    colour: str = "",
    anchor: str = "middle",
    faint: bool = False,
) -> str:
    opacity = ' fill-opacity="0.65"' if faint else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{colour or "currentColor"}"{opacity}>{escape(text)}</text>'
    )


def _subscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _list(values: tuple[int, ...]) -> str:
    return ", ".join(str(value) for value in values)
