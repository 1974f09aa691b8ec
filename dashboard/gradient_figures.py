"""Gradients as heat maps, the error of differences, and a race: plain data -> plotly dicts. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, log10

import numpy as np

from dashboard.figures import Figure, rounded
from dashboard.gradient_words import NAMES
from dashboard.palette import FULL, KEPT, TEST, TT
from ttcore.gradient_differences import STEPS, StepErrors
from ttcore.gradient_race import Lane, Method

# As palette.DIVERGING, but dark enough everywhere for the white numbers in its cells.
_WRITTEN_ON = [[0.0, "#b5460a"], [0.5, "#56606b"], [1.0, "#1763b5"]]
_COLOURS: dict[Method, str] = {"descent": TEST, "momentum": KEPT[0], "adam": TT}
# Between the blocks of a core, in cells.
_GAP = 0.25
# So many columns have room for a number in every cell.
WRITTEN_COLUMNS = 9
# By so much the picture of a race grows at its lower end when a curve gets there.
_DECADES = 4
# A logarithmic axis has no zero: differences that hit the gradient exactly are drawn here.
_EXACT = 1e-17


@dataclass(frozen=True)
class Sides:
    """What stands at the left of a heat map and below it: titles, and a label for each row and each column, or none."""

    rows_title: str
    columns_title: str
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()


def heat_figure(core: np.ndarray | None, shape: Sequence[int], limit: float, title: str, sides: Sides) -> Figure:
    """A core (r, m, n, s) laid out as r x s blocks of n x m numbers: outputs down, inputs across.

    A matrix is the core (1, m, n, 1). core: None for one that is still to come. limit: the end of the colour scale.
    """
    r, m, n, s = shape
    rows, row_edges = _laid_out(r, n)
    columns, column_edges = _laid_out(s, m)
    cells: list[list[float | None]] = [[None] * len(columns) for _ in rows]
    texts, hover = ([[""] * len(columns) for _ in rows] for _ in range(2))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if core is not None and row is not None and column is not None:
                value = float(core[row[0], column[1], row[1], column[0]])
                cells[i][j] = float(f"{value:.6g}")
                texts[i][j] = _written(value)
                ranks = f"<br>left rank {row[0] + 1}, right rank {column[0] + 1}" if r * s > 1 else ""
                hover[i][j] = f"output {row[1] + 1}, input {column[1] + 1}{ranks}<br>{value:.6g}"
    trace: Figure = {
        "type": "heatmap",
        "x": column_edges,
        "y": row_edges,
        "z": cells,
        "zmin": -limit,
        "zmax": limit,
        "colorscale": _WRITTEN_ON,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "hovertext": hover,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    if s * m <= WRITTEN_COLUMNS:
        trace |= {
            "text": texts,
            "texttemplate": "%{text}",
            "textfont": {"size": 13 if s * m <= 5 else 10, "color": "#ffffff"},
        }
    layout: Figure = {
        "uirevision": "constant",
        "title": {"text": title, "font": {"size": 14}, "x": 0.5, "xanchor": "center"},
        "margin": {"l": 44, "r": 8, "t": 34, "b": 40},
        "xaxis": _axis(column_edges, columns, sides.columns, sides.columns_title, "s" if s > 1 else ""),
        "yaxis": _axis(row_edges, rows, sides.rows, sides.rows_title, "r" if r > 1 else "")
        | {"range": [row_edges[-1], 0]},
    }
    if core is None:
        layout["annotations"] = [
            {"text": "to come…", "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False}
        ]
    return {"data": [trace], "layout": layout}


def heat_height(shape: Sequence[int]) -> int:
    """Pixels for a heat map of this core."""
    return 84 + max(96, min(36 * shape[0] * shape[2], 300))


def heat_limit(*gradients: np.ndarray) -> float:
    """The end of one colour scale for all of them."""
    return max(float(np.abs(gradient).max()) for gradient in gradients) or 1.0


def _laid_out(blocks: int, size: int) -> tuple[list[tuple[int, int] | None], list[float]]:
    """(block, place in it) for each row or column, None for the gaps between blocks; and the edges of all of them."""
    places: list[tuple[int, int] | None] = []
    for block in range(blocks):
        places += [None] * (block > 0) + [(block, place) for place in range(size)]
    edges = [0.0]
    for place in places:
        edges.append(edges[-1] + (1 if place else _GAP))
    return places, edges


def _axis(
    edges: Sequence[float],
    places: Sequence[tuple[int, int] | None],
    labels: Sequence[str],
    title: str,
    rank: str,
) -> Figure:
    """Labels for each place, else for each block."""
    middles = [(left + right) / 2 for left, right in pairwise(edges)]
    if rank:
        blocks = sorted({place[0] for place in places if place is not None})
        at = [[x for x, place in zip(middles, places, strict=True) if place and place[0] == block] for block in blocks]
        values, texts = [sum(group) / len(group) for group in at], [f"{rank} = {block + 1}" for block in blocks]
    else:
        values = [x for x, place in zip(middles, places, strict=True) if place is not None]
        texts = list(labels) or [str(number + 1) for number in range(len(values))]
    return {
        "title": {"text": title, "font": {"size": 12}, "standoff": 6},
        "tickvals": values,
        "ticktext": texts,
        "tickangle": 0,
        "tickfont": {"size": 11},
        "range": [0, edges[-1]],
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
    }


def _written(value: float) -> str:
    """As a cell holds it, with a minus that is as wide as a plus."""
    return (f"{value:.2f}" if abs(value) < 99.995 else f"{value:.3g}").replace("-", "−")


def step_figure(errors: StepErrors, h: float) -> Figure:
    """The relative error of differences against their step, and where the chosen step is."""
    lines = [
        ("one-sided", errors.one_sided, TEST, "solid"),
        ("central", errors.central, TT, "solid"),
        ("central, single precision", errors.single, FULL, "dash"),
    ]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": rounded(np.array(STEPS)),
            "y": rounded(np.maximum(values, _EXACT)),
            "line": {"color": colour, "width": 2, "dash": dash},
            "hovertemplate": "%{y:.1e}",
        }
        for name, values, colour, dash in lines
    ]
    power = {"type": "log", "exponentformat": "power", "showexponent": "all"}
    return {
        "data": data,
        "layout": {
            "uirevision": "constant",
            "hovermode": "x unified",
            "margin": {"l": 56, "r": 12, "t": 34, "b": 42},
            "legend": _LEGEND,
            "xaxis": power | {"title": {"text": "step h"}, "range": [-15, 3], "dtick": 3, "hoverformat": ".1e"},
            "yaxis": power | {"title": {"text": "relative error"}, "range": [-17.3, 3], "dtick": 4},
            "shapes": [
                {
                    "type": "line",
                    "x0": h,
                    "x1": h,
                    "y0": 0,
                    "y1": 1,
                    "yref": "paper",
                    "line": {"color": FULL, "width": 2, "dash": "dot"},
                }
            ],
        },
    }


def race_figure(lanes: Sequence[Lane], steps: int, revision: str) -> Figure:
    """The losses of all, on a picture whose frame is there from the start: only its lower end falls, seldom and far.

    revision: of the race; the viewer's zoom stays as long as it does.
    """
    start = float(lanes[0].losses[0]) if lanes else 1.0
    least = min((float(lane.losses.min()) for lane in lanes), default=start)
    below = max(1.0, log10(start / max(least, 1e-300)))
    low = log10(start) - _DECADES * ceil(below / _DECADES)
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": f"{NAMES[lane.method]} {lane.rate:g}",
            "x": list(range(len(lane.losses))),
            "y": rounded(lane.losses),
            "line": {"color": _COLOURS[lane.method], "width": 2},
            "hovertemplate": "%{y:.3g}",
        }
        for lane in lanes
    ]
    return {
        "data": data,
        "layout": {
            "uirevision": revision,
            "hovermode": "x unified",
            "margin": {"l": 56, "r": 12, "t": 34, "b": 42},
            "legend": _LEGEND,
            "showlegend": True,
            "xaxis": {"title": {"text": "steps"}, "range": [0, steps]},
            "yaxis": {
                "title": {"text": "loss (mean squared error)"},
                "type": "log",
                "exponentformat": "power",
                "showexponent": "all",
                # A fixed number of ticks, so that none comes or goes while the frame stays.
                "dtick": ceil((log10(start) - low) / 6),
                "range": [low, log10(start) + 0.7],
            },
        },
    }


_LEGEND = {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0, "font": {"size": 12}}
