"""A sweep as figures: points and what is read from them -> plain plotly dicts. Imports no streamlit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dashboard.figures import Figure, digits, log_ticks, rounded
from dashboard.palette import FULL, KEPT, SEQUENTIAL, TEST, TT
from ttcore.config import RunConfig
from ttcore.frontier import Measure, Point, name_of, pareto
from ttcore.results import Baseline, BaselineKind, RunResult
from ttcore.rounding_scores import RoundedScores
from ttcore.scoring import Scoring, Task
from ttcore.shapes import TTShape, replace_ranks
from ttcore.sweep_config import WITHOUT_RATE, Factorization, SweepConfig
from ttcore.sweep_plan import SweepPlan

Size = Literal["parameters", "parameter ratio", "compression"]
SIZES: tuple[Size, ...] = ("parameters", "parameter ratio", "compression")

_COLOURS = (TT, *KEPT)
_SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star")
# What each kind is called in the legend, and how it is found.
_BASELINES: dict[Task, dict[BaselineKind, tuple[str, str]]] = {
    "regression": {
        "full": ("full model", "closed form"),
        "ridge": ("ridge", "closed form"),
        "low_rank": ("best low rank", "closed form"),
        "low_rank_ridge": ("low rank, ridge", "closed form"),
    },
    "classification": {
        "full": ("full model", "logistic regression"),
        "ridge": ("ridge", "ridge regression of the classes"),
        # A layer of the sweep may itself be called "low rank".
        "low_rank": ("low-rank logistic", "logistic regression"),
    },
}
_BASELINE_SYMBOLS: dict[BaselineKind, str] = {
    "full": "star",
    "ridge": "star-open",
    "low_rank": "circle",
    "low_rank_ridge": "circle-open",
}
# R² below this says no more than "worse than nothing", and would squeeze everything else.
_LOWEST_R2 = -0.5
# A cell of a heat map has its number written in it up to so many cells.
_WRITTEN_CELLS = 160


@dataclass(frozen=True)
class Group:
    """Points that are one line: they differ in ranks alone."""

    name: str
    colour: str
    symbol: str
    points: tuple[Point, ...]


class Style:
    """A colour for each factorization of a sweep, a symbol for each way to train; names tell what differs."""

    def __init__(self, config: SweepConfig) -> None:
        self._factorizations = list(config.factorizations)
        self._ways = list(
            dict.fromkeys(
                (optimizer, config.train.lr if optimizer in WITHOUT_RATE else rate)
                for optimizer in config.optimizers
                for rate in config.rates
            )
        )

    def key(self, run: RunConfig) -> tuple[int, int]:
        """Factorization and way, as places in the sweep's lists."""
        factorization = Factorization(run.in_modes, run.out_modes)
        return self._factorizations.index(factorization), self._ways.index((run.train.optimizer, run.train.lr))

    def group(self, key: tuple[int, int], points: Sequence[Point]) -> Group:
        number, way = key
        optimizer, rate = self._ways[way]
        name = self._factorizations[number].label
        if len(self._ways) > 1:
            name += f", {optimizer}" if optimizer in WITHOUT_RATE else f", {optimizer} {rate:g}"
        colour = _COLOURS[number % len(_COLOURS)]
        return Group(name, colour, _SYMBOLS[way % len(_SYMBOLS)], tuple(points))

    def groups(self, points: Iterable[Point]) -> list[Group]:
        """All lines that have a point, in the order of the sweep."""
        lines: dict[tuple[int, int], list[Point]] = {}
        for point in points:
            lines.setdefault(self.key(point.config), []).append(point)
        return [self.group(key, lines[key]) for key in sorted(lines)]


def frontier_figure(
    plan: SweepPlan,
    config: SweepConfig,
    results: Mapping[int, RunResult],
    points: Sequence[Point],
    baselines: Sequence[Baseline],
    measure: Measure,
    size: Size,
    revision: str,
    ended: bool = False,
) -> Figure:
    """Score against size: every run, the medians with their spread, the Pareto front, and the models to compare with.

    Until the sweep has ended, runs that are still to come show as ticks at the bottom, at the sizes they will have.
    """
    style, shape = Style(config), plan.runs[0].shape
    data: list[dict[str, Any]] = []
    front = pareto(points, measure)
    if front:
        data.append(_front(front, points, shape, size))
    for group in style.groups(points):
        data += [_runs(group, results, measure, size), _medians(group, measure, size)]
    size_axis = _size_axis(*_smallest_and_largest(plan, size))
    data += _baselines(baselines, shape, measure, size)
    data += _constant(baselines, measure, size_axis)
    values = [value for trace in data for value in trace["y"] if value is not None]
    axis: dict[str, Any] = {"title": {"text": measure.title}}
    if measure.what == "score":
        # Where nothing does well, how badly is what there is to see.
        lowest = _LOWEST_R2 if max(values, default=1.0) > 0.5 else 6 * _LOWEST_R2
        bottom, top = _score_ends(values, lowest, measure)
        axis["range"] = [bottom - (0.04 if measure.scoring.task == "regression" else top - 1), top]
    else:
        bottom = min((value for value in values if value > 0), default=1e-3) / 2
        axis |= {"type": "log", "exponentformat": "power", "nticks": 7}
    if not ended:
        data += _to_come(plan, style, results, size, bottom)
    return {
        "data": data,
        "layout": {
            "uirevision": revision,
            "hovermode": "closest",
            "margin": {"l": 60, "r": 14, "t": 10, "b": 46},
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0},
            "xaxis": {"title": {"text": _size_title(size)}, **size_axis},
            "yaxis": axis,
        },
    }


def _score_ends(values: Sequence[float], lowest: float, measure: Measure) -> tuple[float, float]:
    """From a little below the lowest value, or for R² below 0, to a little above 1."""
    if measure.scoring.task == "classification":
        low = min(values, default=0.0)
        room = 0.04 * max(1 - low, 0.1)
        return low - room, 1 + room
    return min(max(min(values, default=0.0), lowest), 0.0) - 0.04, 1.06


def _smallest_and_largest(plan: SweepPlan, size: Size) -> tuple[float, float]:
    """The ends of all models that will ever be in the picture, so that it does not jump when they come."""
    shape = plan.runs[0].shape
    dense, of_rank_one = shape.dense_parameters, shape.in_features + shape.out_features
    most = min(shape.in_features, shape.out_features, plan.runs[0].data.train_samples)
    parameters = [dense, of_rank_one, most * of_rank_one, *(run.shape.num_parameters for run in plan.runs)]
    ends = [size_of(count, dense, size) for count in (min(parameters), max(parameters))]
    return min(ends), max(ends)


def _size_axis(smallest: float, largest: float) -> dict[str, Any]:
    """A logarithmic axis, written at 1, 2, 5, 10 and so on; at the powers of ten alone where those are many."""
    low, high = math.log10(smallest), math.log10(largest)
    margin = 0.04 * (high - low) + 0.03
    steps = (1, 2, 5) if high - low < 3.5 else (1,)
    powers = range(math.floor(low) - 1, math.ceil(high) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    shown = [tick for tick in ticks if low - margin <= math.log10(tick) <= high + margin]
    return {
        "type": "log",
        "range": [low - margin, high + margin],
        "tickvals": shown,
        "ticktext": [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in shown],
    }


def _to_come(
    plan: SweepPlan, style: Style, results: Mapping[int, RunResult], size: Size, bottom: float
) -> list[dict[str, Any]]:
    """A tick for every size at which a run is still to come; before the first result they also name the lines."""
    sizes: dict[tuple[int, int], set[int]] = {}
    for place, run in enumerate(plan.runs):
        if place not in results:
            sizes.setdefault(style.key(run), set()).add(run.shape.num_parameters)
    dense = plan.runs[0].shape.dense_parameters
    traces = []
    for key, parameters in sorted(sizes.items()):
        group = style.group(key, ())
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"{group.name} (to come)",
                "showlegend": not results,
                "x": [size_of(count, dense, size) for count in sorted(parameters)],
                "y": [bottom] * len(parameters),
                "marker": {
                    "symbol": "line-ns-open",
                    "size": 10,
                    "color": group.colour,
                    "line": {"width": 2, "color": group.colour},
                },
                "hovertemplate": f"{group.name}, still to come: %{{x:,.4~g}}<extra></extra>",
            }
        )
    return traces


def _size_title(size: Size) -> str:
    return {
        "parameters": "parameters",
        "parameter ratio": "parameters / the full model's",
        "compression": "compression: the full model's parameters / the layer's",
    }[size]


def size_of(parameters: int, dense_parameters: int, size: Size) -> float:
    """A model's size as the axis shows it."""
    if size == "parameters":
        return parameters
    return parameters / dense_parameters if size == "parameter ratio" else dense_parameters / parameters


def _size_of_point(point: Point, size: Size) -> float:
    return size_of(point.parameters, point.shape.dense_parameters, size)


def _front(front: Sequence[Point], points: Sequence[Point], shape: TTShape, size: Size) -> dict[str, Any]:
    """The best that so many parameters can buy: a staircase up to the largest layer."""
    most = max(point.parameters for point in points)
    sizes = [point.parameters for point in front] + [most]
    scores = [point.median for point in front] + [front[-1].median]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": [size_of(parameters, shape.dense_parameters, size) for parameters in sizes],
        "y": rounded(np.array(scores)),
        "line": {"color": TEST, "width": 6, "shape": "hv"},
        "opacity": 0.45,
        "hoverinfo": "skip",
    }


def _runs(group: Group, results: Mapping[int, RunResult], measure: Measure, size: Size) -> dict[str, Any]:
    """Every run by itself, small and pale; a click tells its place."""
    x, y, told = [], [], []
    for point in group.points:
        where = _size_of_point(point, size)
        for place in point.places:
            result = results[place]
            x.append(where)
            y.append(measure.of_run(result))
            told.append(
                [
                    place,
                    "·".join(map(str, result.config.shape.ranks)) or "none",
                    result.config.train.seed,
                    digits(result.train.score),
                    digits(result.test.score),
                    digits(result.best.score),
                    f"{point.parameters:,}",
                    f"{point.shape.compression:.3g}",
                    result.steps,
                ]
            )
    config, score = group.points[0].config, measure.scoring.score_title
    how = config.train.optimizer
    if how not in WITHOUT_RATE:
        how += f", rate {config.train.lr:g}, {config.train.schedule}"  # type: ignore[assignment]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": group.name,
        "legendgroup": group.name,
        "showlegend": False,
        "x": x,
        "y": rounded(np.array(y)),
        "customdata": told,
        "marker": {"color": group.colour, "size": 7, "opacity": 0.35, "symbol": group.symbol},
        "hovertemplate": (
            f"<b>{group.points[0].factorization.label}</b>, ranks %{{customdata[1]}}<br>"
            f"{how}, seed %{{customdata[2]}}, {config.train.init} start, %{{customdata[8]:,}} steps<br>"
            "%{customdata[6]} parameters, %{customdata[7]}× smaller<br>"
            f"train {score} %{{customdata[3]}} (best %{{customdata[5]}}), test {score} %{{customdata[4]}}"
            "<extra></extra>"
        ),
    }


def _medians(group: Group, measure: Measure, size: Size) -> dict[str, Any]:
    points = group.points
    middle = np.array([point.median for point in points])
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": group.name,
        "legendgroup": group.name,
        "x": [_size_of_point(point, size) for point in points],
        "y": rounded(middle),
        "customdata": [[_middle_place(point)] for point in points],
        "text": [
            f"<b>{name_of(point)}</b><br>{point.parameters:,} parameters, {point.shape.compression:.3g}× smaller<br>"
            f"{measure.title} {measure.shown(point.median)}"
            + (
                f", median of {point.seeds} seeds<br>{measure.shown(point.low)} to {measure.shown(point.high)}"
                if point.seeds > 1
                else ""
            )
            for point in points
        ],
        "line": {"color": group.colour, "width": 1.6},
        "marker": {"color": group.colour, "size": 9, "symbol": group.symbol},
        "hovertemplate": "%{text}<extra></extra>",
    }
    if any(point.seeds > 1 for point in points):
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": rounded(np.array([point.high for point in points]) - middle),
            "arrayminus": rounded(middle - np.array([point.low for point in points])),
            "color": group.colour,
            "thickness": 1.2,
            "width": 3,
        }
    return trace


def _middle_place(point: Point) -> int:
    """The run that a click on a median means: one in the middle of its seeds."""
    return point.places[len(point.places) // 2]


def _baselines(baselines: Sequence[Baseline], shape: TTShape, measure: Measure, size: Size) -> list[dict[str, Any]]:
    """Each kind at its sizes; what has no such number, as ridge of classes has no loss, is left out."""
    traces = []
    for kind, (name, how) in _BASELINES[measure.scoring.task].items():
        models = [model for model in baselines if model.kind == kind and math.isfinite(measure.of_model(model))]
        if not models:
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(models) > 1 else "markers",
                "name": name,
                "x": [size_of(model.parameters, shape.dense_parameters, size) for model in models],
                "y": rounded(np.array([measure.of_model(model) for model in models])),
                "text": [_baseline_text(model, name, how, measure.scoring) for model in models],
                "line": {"color": FULL, "width": 1.2, "dash": "dot" if kind == "low_rank" else "dash"},
                "marker": {
                    "color": FULL,
                    "size": 12 if len(models) == 1 else 6,
                    "symbol": _BASELINE_SYMBOLS[kind],
                    "line": {"color": FULL, "width": 1.5},
                },
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return traces


def _baseline_text(model: Baseline, name: str, how: str, scoring: Scoring) -> str:
    rank = f", rank {model.rank}" if model.rank is not None else ""
    penalty = f"<br>penalty {model.penalty:.3g}, by cross-validation" if model.penalty is not None else ""
    return (
        f"<b>{name}{rank}</b>, {how}<br>{model.parameters:,} parameters{penalty}<br>"
        f"train {scoring.score_title} {digits(model.train.score)}, "
        f"test {scoring.score_title} {digits(model.test.score)}"
    )


def _constant(baselines: Sequence[Baseline], measure: Measure, size_axis: dict[str, Any]) -> list[dict[str, Any]]:
    """The prediction without a look at the inputs has no weights, and so no place on the axis: a level across it."""
    ends = [10**end for end in size_axis["range"]]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "constant",
            "x": ends,
            "y": rounded(np.full(2, measure.of_model(model))),
            "line": {"color": FULL, "width": 1.2, "dash": "dot"},
            "hovertemplate": "constant prediction: %{y:.4g}<extra></extra>",
        }
        for model in baselines
        if model.kind == "constant" and math.isfinite(measure.of_model(model))
    ]


def heat_figure(config: SweepConfig, points: Sequence[Point], measure: Measure) -> Figure:
    """Rank across, factorization (and way to train) down; the colour is the median."""
    rows = Style(config).groups(points)
    ranks = config.ranks
    column = {rank: number for number, rank in enumerate(ranks)}
    values = np.full((len(rows), len(ranks)), np.nan)
    hover = [["" for _ in ranks] for _ in rows]
    for number, group in enumerate(rows):
        trained = {point.shape.ranks: point for point in group.points}
        for rank, where in column.items():
            # Ranks above the useful ones are the same layer, and have its score.
            point = trained.get(replace_ranks(group.points[0].shape, rank).clipped().ranks)
            if point is None:
                continue
            values[number, where] = point.median
            hover[number][where] = f"{name_of(point)}<br>{point.parameters:,} parameters"
    shown = np.maximum(values, _LOWEST_R2) if measure.what == "score" else np.log10(np.maximum(values, 1e-300))
    low, high = (_scale_ends(shown)) if points else (0.0, 1.0)
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": [str(rank) for rank in ranks],
        "y": [group.name for group in rows],
        "z": [rounded(row) for row in shown],
        "zmin": low,
        "zmax": high,
        "colorscale": SEQUENTIAL,
        "colorbar": {
            "thickness": 10,
            "outlinewidth": 0,
            "title": {"text": f"log₁₀ {measure.scoring.loss_short}" if measure.what == "loss" else ""},
        },
        "xgap": 2,
        "ygap": 2,
        "hoverongaps": False,
        "hovertext": hover,
        "text": [["" if math.isnan(value) else measure.shown(value) for value in row] for row in values],
        "hovertemplate": f"%{{hovertext}}<br>{measure.title} %{{text}}<extra></extra>",
    }
    if values.size <= _WRITTEN_CELLS:
        trace["texttemplate"] = "%{text}"
        trace["textfont"] = {"size": 11}
    return {
        "data": [trace],
        "layout": {
            "margin": {"l": 60, "r": 10, "t": 10, "b": 46},
            "xaxis": {"title": {"text": "rank"}, "type": "category", "showgrid": False},
            "yaxis": {"type": "category", "autorange": "reversed", "showgrid": False},
        },
    }


def _scale_ends(values: np.ndarray) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _asked_rank(point: Point) -> int:
    ranks = point.config.ranks
    return ranks if isinstance(ranks, int) else max(ranks, default=1)


def parallel_figure(points: Sequence[Point], measure: Measure) -> Figure:
    """One line a configuration through everything in which they differ, to its size and its score."""
    axes: list[dict[str, Any]] = []
    named: list[tuple[str, list[str]]] = [
        ("factorization", [point.factorization.label for point in points]),
        ("optimizer", [point.config.train.optimizer for point in points]),
        ("rate", [_rate(point) for point in points]),
    ]
    for title, labels in named:
        names = list(dict.fromkeys(labels))
        if len(names) > 1:
            values = [names.index(name) for name in labels]
            axes.append({"label": title, "values": values, "tickvals": list(range(len(names))), "ticktext": names})
    axes.append({"label": "rank", "values": [_asked_rank(point) for point in points]})
    sizes = np.log10([point.parameters for point in points])
    ticks = np.unique(np.round(np.linspace(sizes.min(), sizes.max(), 5), 4)) if len(points) else np.zeros(0)
    axes.append(
        {
            "label": "parameters",
            "values": rounded(sizes),
            "tickvals": ticks.tolist(),
            "ticktext": [f"{10**tick:,.0f}" for tick in ticks],
        }
    )
    scores = np.array([point.median for point in points])
    title = measure.title
    if measure.what == "score":
        scores = np.maximum(scores, _LOWEST_R2)
    else:
        # One bad run would squeeze all the others.
        scores, title = np.log10(np.maximum(scores, 1e-300)), f"log₁₀ {title}"
    axes.append({"label": title, "values": rounded(scores)})
    low, high = _scale_ends(scores) if len(points) else (0.0, 1.0)
    return {
        "data": [
            {
                "type": "parcoords",
                "dimensions": axes,
                "line": {"color": rounded(scores), "colorscale": SEQUENTIAL, "cmin": low, "cmax": high},
                "labelfont": {"size": 13},
            }
        ],
        "layout": {"margin": {"l": 90, "r": 60, "t": 50, "b": 26}},
    }


def _rate(point: Point) -> str:
    train = point.config.train
    return "none" if train.optimizer in WITHOUT_RATE else f"{train.lr:g}"


def spectrum_figure(spectra: Sequence[np.ndarray], kept: Sequence[int]) -> Figure:
    """The singular values at every bond, those that a rounding keeps filled."""
    data = []
    for bond, (values, keep) in enumerate(zip(spectra, kept, strict=True), 1):
        colour = _COLOURS[(bond - 1) % len(_COLOURS)]
        numbers = np.arange(1, len(values) + 1)
        shown = np.maximum(values, values[0] * 1e-17 if len(values) and values[0] > 0 else 1e-300)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"bond {bond}",
                "x": numbers.tolist(),
                "y": rounded(shown),
                "line": {"color": colour, "width": 1.4},
                "marker": {
                    "color": [colour if number <= keep else "rgba(0,0,0,0)" for number in numbers],
                    "line": {"color": colour, "width": 1.4},
                    "size": 8,
                },
                "hovertemplate": f"bond {bond}, value %{{x}}: %{{y:.4g}}<extra></extra>",
            }
        )
    return {
        "data": data,
        "layout": {
            "uirevision": "spectrum",
            "margin": {"l": 60, "r": 12, "t": 10, "b": 46},
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0},
            "xaxis": {"title": {"text": "singular value"}, "rangemode": "tozero"},
            "yaxis": {
                "title": {"text": "size (filled: kept)"},
                "type": "log",
                "exponentformat": "power",
                **log_ticks(data),
            },
            "showlegend": True,
        },
    }


def rounding_figure(
    table: Sequence[RoundedScores], trained: Sequence[Point], chosen: RoundedScores, measure: Measure
) -> Figure:
    """What rounding the trained cores leaves at every size, beside what training at that size reached."""

    def score(row: RoundedScores) -> float:
        scores = row.train if measure.part == "train" else row.test
        return scores.score if measure.what == "score" else scores.loss

    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "these cores, rounded",
            "x": [row.parameters for row in table],
            "y": rounded(np.array([score(row) for row in table])),
            "text": [f"ranks {'·'.join(map(str, row.ranks))}" for row in table],
            "line": {"color": TEST, "width": 1.8},
            "marker": {"size": 7, "color": TEST},
            "hovertemplate": "%{text}, %{x:,} parameters: %{y:.4g}<extra></extra>",
        }
    ]
    if trained:
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": "trained at that rank",
                "x": [point.parameters for point in trained],
                "y": rounded(np.array([point.median for point in trained])),
                "text": [f"rank {_asked_rank(point)}" for point in trained],
                "line": {"color": TT, "width": 1.8},
                "marker": {"size": 7, "color": TT},
                "hovertemplate": "%{text}, %{x:,} parameters: %{y:.4g}<extra></extra>",
            }
        )
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "chosen",
            "x": [chosen.parameters],
            "y": rounded(np.array([score(chosen)])),
            "marker": {"size": 15, "color": "rgba(0,0,0,0)", "line": {"color": TEST, "width": 2.5}},
            "hoverinfo": "skip",
        }
    )
    sizes = [size for trace in data for size in trace["x"]]
    axis: dict[str, Any] = {"title": {"text": measure.name}}
    if measure.what == "score":
        values = [value for trace in data for value in trace["y"] if value is not None]
        axis["range"] = [*_score_ends(values, _LOWEST_R2, measure)]
    else:
        axis |= {"type": "log", "exponentformat": "power", "nticks": 7}
    return {
        "data": data,
        "layout": {
            "uirevision": "rounding",
            "margin": {"l": 60, "r": 12, "t": 10, "b": 46},
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0},
            "xaxis": {"title": {"text": "parameters"}, **_size_axis(min(sizes), max(sizes))},
            "yaxis": axis,
        },
    }
