"""Plain data -> plotly figures as plain dicts. Imports no streamlit.

The same figures serve the live chart and st.plotly_chart; text, grid and ground take the theme of whoever draws them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import numpy as np

from dashboard.palette import DIVERGING, FULL, KEPT, MISTAKEN, RIGHT, TEST, TT
from ttcore.curves import CurveView
from ttcore.downsample import envelope
from ttcore.events import Finished, FullModel
from ttcore.scoring import CLASSIFICATION, REGRESSION, Scoring

Figure = dict[str, Any]

MAX_POINTS = 1000
# So many classes have room for a number in every cell of a confusion matrix, and for their names beside it.
MOST_WRITTEN_CLASSES = 30
_LONGEST_NAME = 16


@dataclass(frozen=True)
class Axes:
    """How the curves are drawn."""

    x: Literal["steps", "seconds"] = "steps"
    log_x: bool = False
    log_loss: bool = True


@dataclass(frozen=True)
class Line:
    """One run's curve and what the legend calls it."""

    name: str
    curve: CurveView


def loss_figure(
    shown: Line | None,
    kept: Sequence[Line],
    full: FullModel | None,
    axes: Axes,
    revision: str,
    scoring: Scoring = REGRESSION,
) -> Figure:
    """Training loss of every step, test loss where it was measured, and the full model's test loss."""
    data = []
    for line, colour in zip(kept, _cycle(KEPT), strict=False):
        data.append(_train_loss(line, colour, axes, width=1.2))
    if shown is not None:
        points = _thinned(shown.curve.measured, 4)
        data.append(_train_loss(shown, TT, axes, width=1.8))
        data.append(_scatter("test", _x_measured(points, axes), points[:, 4], TEST, width=1.6))
    if full is not None:
        data.append(_level("full model, test", full.test.loss, _whole_width([shown, *kept], axes)))
    layout = _layout(scoring.loss_title, axes, revision, "log" if axes.log_loss else "linear")
    layout["yaxis"] |= {"exponentformat": "power", **(log_ticks(data) if axes.log_loss else {"nticks": 7})}
    if not data:
        layout["yaxis"]["range"] = [-2, 0.3] if axes.log_loss else [0, 2]
    return {"data": data, "layout": layout}


def score_figure(
    shown: Line | None,
    kept: Sequence[Line],
    full: FullModel | None,
    axes: Axes,
    revision: str,
    scoring: Scoring = REGRESSION,
) -> Figure:
    """R² on train (every step) and test (where measured), or accuracy (both where measured), and the full model's."""
    data = []
    for line, colour in zip(kept, _cycle(KEPT), strict=False):
        data.append(_train_score(line, colour, axes, scoring, width=1.2))
    low = 0.0
    if shown is not None:
        points = _thinned(shown.curve.measured, 5)
        data.append(_train_score(shown, TT, axes, scoring, width=1.8))
        data.append(_scatter("test", _x_measured(points, axes), points[:, 5], TEST, width=1.6))
        if len(points):
            recent = points[len(points) // 2 :, 5]
            low = min(low, float(np.nanmin(recent, initial=0.0)))
    if full is not None:
        width = _whole_width([shown, *kept], axes)
        data.append(_level("full model, train", full.train.score, width, dash="dot"))
        data.append(_level("full model, test", full.test.score, width))
    layout = _layout(scoring.score_title, axes, revision, "linear")
    layout["yaxis"]["range"] = [max(low, -3.0) - 0.08 if scoring.task == "regression" else 0.0, 1.05]
    return {"data": data, "layout": layout}


def prediction_figure(finished: Finished, part: Literal["train", "test"]) -> Figure:
    """Predicted against actual targets, with the line on which they agree."""
    actual, predicted = finished.predictions[part]
    finite = actual[np.isfinite(actual)]
    ends = [float(finite.min()), float(finite.max())] if len(finite) else [0.0, 1.0]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": part,
            "x": rounded(actual),
            "y": rounded(predicted),
            "marker": {"color": TT if part == "train" else TEST, "size": 4, "opacity": 0.55},
            "hovertemplate": "actual %{x:.3g}<br>predicted %{y:.3g}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": ends,
            "y": ends,
            "line": {"color": FULL, "dash": "dash", "width": 1.5},
            "hoverinfo": "skip",
            "name": "perfect",
        },
    ]
    return {
        "data": data,
        "layout": {
            "title": _samples_title(finished, part, REGRESSION),
            "margin": {"l": 50, "r": 10, "t": 40, "b": 40},
            "showlegend": False,
            "xaxis": {"title": {"text": "actual"}},
            "yaxis": {"title": {"text": "predicted"}},
        },
    }


def _samples_title(finished: Finished, part: Literal["train", "test"], scoring: Scoring) -> dict[str, Any]:
    scores = finished.train if part == "train" else finished.test
    samples = "Training" if part == "train" else "Unseen"
    return {"text": f"{samples} samples: {scoring.score_title} {digits(scores.score)}", "font": {"size": 14}}


def digits(score: float | None) -> str:
    """A score as it is written; a dash where there is none."""
    return "–" if score is None or not math.isfinite(score) else f"{score:.4f}"


def confusion_figure(finished: Finished, part: Literal["train", "test"], classes: Sequence[str]) -> Figure:
    """How many samples of each class (down) are taken for each (across): right ones blue, mistakes orange."""
    counts = finished.confusion[part]
    size = len(counts)
    names = [escape(_shortened(name), quote=False) for name in classes] or [str(number) for number in range(size)]
    right = np.eye(size, dtype=bool)
    most = float(counts.max(initial=1))
    axis = {
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
        "tickvals": list(range(size)),
        "ticktext": names,
        "showticklabels": size <= MOST_WRITTEN_CLASSES,
        "range": [-0.5, size - 0.5],
    }
    return {
        "data": [
            _cells("right", counts, right, RIGHT, most),
            _cells("mistaken", counts, ~right & (counts > 0), MISTAKEN, most),
        ],
        "layout": {
            "title": _samples_title(finished, part, CLASSIFICATION),
            "margin": {"l": 50, "r": 10, "t": 40, "b": 40},
            "xaxis": axis | {"title": {"text": "predicted"}},
            "yaxis": axis | {"title": {"text": "actual"}, "range": [size - 0.5, -0.5]},
        },
    }


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _cells(title: str, counts: np.ndarray, shown: np.ndarray, colours: Sequence[Any], most: float) -> dict[str, Any]:
    """Some cells of a confusion matrix, each with its count in it where there is room."""
    trace: dict[str, Any] = {
        "type": "heatmap",
        "name": title,
        "z": [
            [int(n) if seen else None for n, seen in zip(*row, strict=True)] for row in zip(counts, shown, strict=True)
        ],
        "zmin": 0,
        "zmax": most,
        "colorscale": colours,
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "hovertemplate": "actual %{y}, predicted %{x}: %{z:,}<extra></extra>",
    }
    if len(counts) <= MOST_WRITTEN_CLASSES:
        trace["texttemplate"] = "%{z}"
        trace["textfont"] = {"size": 12 if len(counts) <= 12 else 9}
    return trace


def weight_figure(weight: np.ndarray, title: str, limit: float) -> Figure:
    """A weight matrix as a heat map: outputs down, inputs across; colours from -limit to limit."""
    return {
        "data": [
            {
                "type": "heatmap",
                "z": [rounded(row) for row in weight],
                "zmin": -limit,
                "zmax": limit,
                "colorscale": DIVERGING,
                "colorbar": {"thickness": 10, "outlinewidth": 0},
                "hovertemplate": "output %{y}<br>input %{x}<br>weight %{z:.3g}<extra></extra>",
            }
        ],
        "layout": {
            "title": {"text": title, "font": {"size": 14}},
            "margin": {"l": 50, "r": 10, "t": 40, "b": 40},
            "xaxis": {"title": {"text": "inputs"}, "showticklabels": False, "showgrid": False, "ticks": ""},
            "yaxis": {
                "title": {"text": "outputs"},
                "autorange": "reversed",
                "showticklabels": False,
                "showgrid": False,
                "ticks": "",
            },
        },
    }


def weight_limit(*weights: np.ndarray) -> float:
    """The end of one colour scale for several weights: their 99.5th percentile, so that one spike does not pale all."""
    values = np.concatenate([np.empty(0), *(np.abs(weight).reshape(-1) for weight in weights)])
    values = values[np.isfinite(values)]
    return float(np.percentile(values, 99.5)) or 1.0 if len(values) else 1.0


def _layout(y_title: str, axes: Axes, revision: str, y_type: str) -> dict[str, Any]:
    return {
        "uirevision": revision,
        "hovermode": "x unified",
        "margin": {"l": 56, "r": 12, "t": 34, "b": 42},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0, "font": {"size": 12}},
        "xaxis": {
            "title": {"text": "steps" if axes.x == "steps" else "seconds of training"},
            "type": "log" if axes.log_x else "linear",
            "rangemode": "tozero",
        },
        "yaxis": {"title": {"text": y_title}, "type": y_type},
    }


def log_ticks(data: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is written beside a logarithmic axis: between some powers of ten else every digit, one over the other."""
    span = decades(data)
    if span >= 3:
        return {"nticks": 7}
    return {"dtick": "D2"} if span > 0.7 else {"nticks": 5}


def decades(data: Sequence[dict[str, Any]]) -> float:
    """Powers of ten from the lowest to the highest value."""
    values = [value for trace in data for value in trace["y"] if value is not None and value > 0]
    return math.log10(max(values) / min(values)) if values else 0.0


def _scatter(name: str, x: np.ndarray, y: np.ndarray, colour: str, width: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(x) <= 30 else "lines",
        "name": name,
        "x": rounded(x),
        "y": rounded(y),
        "line": {"color": colour, "width": width},
        "marker": {"size": 5, "color": colour},
        "hovertemplate": "%{y:.4g}",
    }


def _level(name: str, value: float, width: list[float], dash: str = "dash") -> dict[str, Any]:
    """A value of the full model, across the whole picture."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": width,
        "y": rounded(np.array([value, value])),
        "line": {"color": FULL, "width": 1.5, "dash": dash},
        "hovertemplate": "%{y:.4g}",
    }


def _train_loss(line: Line, colour: str, axes: Axes, width: float) -> dict[str, Any]:
    chosen = line.curve.drawn(MAX_POINTS, logarithmic=axes.log_x)
    return _scatter(line.name, _x_of_steps(line.curve, chosen, axes), line.curve.losses[chosen], colour, width)


def _train_score(line: Line, colour: str, axes: Axes, scoring: Scoring, width: float) -> dict[str, Any]:
    """R² of every step, from its loss and the spread of the targets; of accuracy the loss tells nothing."""
    curve = line.curve
    if scoring.task == "classification":
        points = _thinned(curve.measured, 3)
        return _scatter(line.name, _x_measured(points, axes), points[:, 3], colour, width)
    chosen = curve.drawn(MAX_POINTS, logarithmic=axes.log_x)
    spread = _target_spread(curve)
    values = 1 - curve.losses[chosen] / spread if spread else np.empty(0)
    return _scatter(line.name, _x_of_steps(curve, chosen[: len(values)], axes), values, colour, width)


def _target_spread(curve: CurveView) -> float:
    """The mean squared deviation of the targets, from the measurement where 1 - R² = mse / spread is largest."""
    rows = curve.measured[np.isfinite(curve.measured[:, 2]) & (curve.measured[:, 3] < 1)]
    if not len(rows):
        return 0.0
    row = rows[np.argmin(rows[:, 3])]
    return float(row[2] / (1 - row[3]))


def _thinned(measured: np.ndarray, column: int) -> np.ndarray:
    """The measured points that draw this column."""
    return measured[envelope(measured[:, column], MAX_POINTS // 2)] if len(measured) else measured


def _x_of_steps(curve: CurveView, steps: np.ndarray, axes: Axes) -> np.ndarray:
    x = steps.astype(np.float64) if axes.x == "steps" else curve.seconds_at(steps)
    return _on_axis(x, axes)


def _x_measured(measured: np.ndarray, axes: Axes) -> np.ndarray:
    return _on_axis(measured[:, 0 if axes.x == "steps" else 1], axes)


def _on_axis(x: np.ndarray, axes: Axes) -> np.ndarray:
    """A logarithmic axis has no zero: the start is drawn half a step, or a millisecond, to its right."""
    return np.maximum(x, 0.5 if axes.x == "steps" else 1e-3) if axes.log_x else x


def _whole_width(lines: Sequence[Line | None], axes: Axes) -> list[float]:
    """From where the axis starts to the end of the longest curve."""
    start = float(_on_axis(np.zeros(1), axes)[0])
    end = start
    for line in lines:
        if line is not None and len(line.curve.losses):
            last = np.array([len(line.curve.losses) - 1])
            end = max(end, float(_x_of_steps(line.curve, last, axes)[0]))
    return [start, end if end > start else 1.0]


def rounded(values: np.ndarray) -> list[float | None]:
    """As a figure takes them. Five digits are more than a screen shows; what is not finite leaves a gap."""
    finite = np.isfinite(values)
    plain = np.where(finite, values, 0.0).astype(np.float64)
    with np.errstate(divide="ignore"):
        digits = 4 - np.floor(np.log10(np.abs(plain)))
    # Beyond these powers a number is left as it is: rounding it would overflow.
    exact = np.abs(digits) > 200
    scale = 10.0 ** np.where(exact, 0, digits)
    rounded = np.where(exact, plain, np.round(plain * scale) / scale).tolist()
    return rounded if finite.all() else [value if good else None for value, good in zip(rounded, finite, strict=True)]


def _cycle(colours: Sequence[str]) -> Any:
    while True:
        yield from colours
