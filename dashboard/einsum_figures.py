"""What a tensor-train layer costs, as pictures and as sentences. Plain data -> plain dicts; no streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.figures import Figure
from dashboard.palette import FULL, TEST, TT
from ttcore.einsum_layer import Costs, layer_costs, weighed_ranks
from ttcore.einsum_text import count
from ttcore.shapes import TTShape

_DENSE, _SWEEP, _REBUILD = "dense: x Wᵀ", "TT: sweep over the data", "TT: rebuild W, then x Wᵀ"
_BATCHES = [2**power for power in range(15)]


def batch_figure(costs: Costs, samples: int) -> Figure:
    """FLOPs of the three ways against the number of samples; the page's own number is marked."""
    batches = sorted({*_BATCHES, samples, *filter(None, [costs.crossing])})
    lines = [(_DENSE, FULL, costs.dense), (_SWEEP, TT, costs.sweep), (_REBUILD, TEST, costs.rebuild)]
    data = [_line(name, colour, batches, [line.at(batch) for batch in batches]) for name, colour, line in lines]
    return {"data": data, "layout": _layout("samples", [4**power for power in range(8)], samples)}


def rank_figure(shape: TTShape, samples: int) -> Figure:
    """FLOPs against the rank, the same at every bond; the page's own rank is marked where it is the same everywhere."""
    shapes = weighed_ranks(shape)
    ranks = [max(one.ranks) for one in shapes]
    costs = [layer_costs(one) for one in shapes]
    data = [
        _line(_DENSE, FULL, ranks, [one.dense.at(samples) for one in costs]),
        _line(_SWEEP, TT, ranks, [one.sweep.at(samples) for one in costs]),
        _line(_REBUILD, TEST, ranks, [one.rebuild.at(samples) for one in costs]),
    ]
    own = max(shape.ranks) if len(set(shape.ranks)) == 1 else None
    return {"data": data, "layout": _layout("rank", [2**power for power in range(8)], own)}


def batch_sentence(costs: Costs, samples: int) -> str:
    """Which way is the cheapest for how many samples."""
    crossing, dense = costs.crossing, costs.dense_crossing
    if crossing is None:
        first = "Sweeping over the data takes fewer operations than rebuilding W, however many samples there are"
    elif crossing <= 1:
        first = "Rebuilding W takes fewer operations than sweeping over the data, even for one sample"
    else:
        first = (
            f"Up to {crossing - 1:,} sample{'s' if crossing > 2 else ''} sweeping over the data takes fewer "
            f"operations; from {crossing:,} on rebuilding W first does, since that is paid once for the whole batch"
        )
    times = costs.sweep.at(samples) / costs.dense.at(samples)
    if dense is None:
        second = f"the sweep needs {_times(1 / times)} fewer operations than the dense product with {samples:,} samples"
    else:
        second = f"the sweep needs {_times(times)} the operations of the dense product with {samples:,} samples"
    return f"{first}; {second}."


def rank_sentence(shape: TTShape, samples: int) -> str:
    """Up to which rank the sweep is cheaper than the dense product."""
    cheaper = []
    for one in weighed_ranks(shape):
        costs = layer_costs(one)
        if costs.sweep.at(samples) < costs.dense.at(samples):
            cheaper.append(max(one.ranks))
    weighed = [max(one.ranks) for one in weighed_ranks(shape)]
    if not cheaper:
        return (
            "At no rank is the sweep cheaper than the dense product: a TT layer saves parameters here, not operations."
        )
    if cheaper[-1] == weighed[-1]:
        return "At every rank drawn here the sweep is cheaper than the dense product."
    above = min(rank for rank in weighed if rank > cheaper[-1])
    return f"Up to rank {cheaper[-1]} the sweep is cheaper than the dense product; at rank {above} it no longer is."


def cost_rows(costs: Costs, samples: int) -> Sequence[tuple[str, int]]:
    """The ways and their FLOPs for so many samples."""
    return (
        (_DENSE, costs.dense.at(samples)),
        (_SWEEP, costs.sweep.at(samples)),
        (_REBUILD, costs.rebuild.at(samples)),
    )


def _times(factor: float) -> str:
    return f"{factor:.3g} times" if factor < 1000 else f"{factor:,.0f} times"


def _line(name: str, colour: str, x: Sequence[int], y: Sequence[int]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "width": 2},
        "marker": {"size": 5, "color": colour},
        "text": [count(value) for value in y],
        "hovertemplate": "%{text}",
    }


def _layout(title: str, ticks: list[int], own: int | None) -> dict[str, Any]:
    shapes = []
    if own is not None:
        shapes.append(
            {
                "type": "line", "xref": "x", "yref": "paper", "x0": own, "x1": own, "y0": 0, "y1": 1,
                "line": {"color": FULL, "width": 1, "dash": "dot"},
            }
        )  # fmt: skip
    return {
        "uirevision": title,
        "hovermode": "x unified",
        "margin": {"l": 56, "r": 12, "t": 70, "b": 42},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0, "font": {"size": 12}},
        "shapes": shapes,
        "xaxis": {
            "title": {"text": title},
            "type": "log",
            "tickvals": ticks,
            "ticktext": [f"{tick:,}" for tick in ticks],
        },
        "yaxis": {"title": {"text": "FLOPs"}, "type": "log", "exponentformat": "power", "dtick": 1},
    }
