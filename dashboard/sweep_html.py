"""A sweep as one HTML file that opens without a network: its figures, its answers, its table. Imports no streamlit."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from plotly.offline import get_plotlyjs

from dashboard.figures import Figure
from dashboard.sweep_figures import frontier_figure, heat_figure, parallel_figure
from dashboard.sweep_table import baseline_table, configuration_table
from ttcore.frontier import Measure, Point, cheapest_sentence, summarize, unseen_note
from ttcore.sweep import SweepSnapshot
from ttcore.wording import duration

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; background: #fff; margin: 2rem auto; max-width: 1100px;
  padding: 0 1rem; }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.figure { height: 430px } .wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px }
th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid #d4dbe3; white-space: nowrap }
pre { background: #f2f5f8; padding: 1rem; overflow-x: auto; font-size: 12px }
"""
_DRAW = """
const axis = { gridcolor: "#d4dbe3", zerolinecolor: "#d4dbe3", linecolor: "#d4dbe3", automargin: true }
for (const { id, figure } of JSON.parse(document.getElementById("figures").textContent)) {
  const layout = { ...figure.layout, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
    font: { family: "system-ui, sans-serif", size: 13, color: "#1c2733" },
    xaxis: { ...axis, ...figure.layout.xaxis }, yaxis: { ...axis, ...figure.layout.yaxis } }
  Plotly.newPlot(id, figure.data, layout, { responsive: true, displaylogo: false,
    toImageButtonOptions: { format: "svg", filename: id } })
}
"""


def sweep_html(sweep: SweepSnapshot) -> str:
    """Train and test frontier, heat map, parallel coordinates, the medians, and the settings to do it again."""
    figures: list[tuple[str, str, Figure]] = []
    sentences = []
    points: list[Point] = []
    scoring = sweep.config.data.scoring
    for measure in (Measure("test", scoring=scoring), Measure("train", scoring=scoring)):
        points = summarize(sweep.results, measure)
        if not points:
            continue
        models, what = sweep.baselines, (sweep.plan, sweep.config, sweep.results)
        frontier = frontier_figure(*what, points, models, measure, "parameters", "")
        figures.append((f"frontier-{measure.part}", f"{measure.title} against parameters", frontier))
        figures.append(
            (
                f"ranks-{measure.part}",
                f"{measure.title} by rank and factorization",
                heat_figure(sweep.config, points, measure),
            )
        )
        figures.append(
            (f"parallel-{measure.part}", f"What varies, to {measure.title}", parallel_figure(points, measure))
        )
        sentences.append(_bold(cheapest_sentence(points, measure)))
    if note := unseen_note(points, sweep.results, sweep.baselines):
        sentences.append(escape(note))
    body = "".join(f'<h2>{escape(title)}</h2><div class="figure" id="{name}"></div>' for name, title, _ in figures)
    # A tag or a comment within the data would change where the script ends.
    data = json.dumps([{"id": name, "figure": figure} for name, _, figure in figures]).replace("<", "\\u003c")
    done, asked = len(sweep.results), sweep.plan.asked
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Tensor-train sweep</title>'
        f"<style>{_STYLE}</style></head><body><h1>Tensor-train layers: {done:,} runs</h1>"
        f"<p>{asked:,} asked for, {sweep.plan.redundant:,} of them redundant; {duration(sweep.seconds)}. "
        f"{escape(' '.join(sweep.plan.notes))}</p>"
        + "".join(f"<p>{sentence}</p>" for sentence in sentences)
        + body
        + f'<h2>Medians over seeds</h2><div class="wide">{_table(configuration_table(points, sweep.results))}</div>'
        + f'<h2>Models to compare with</h2><div class="wide">{_table(baseline_table(sweep.baselines, scoring))}</div>'
        + f"<h2>Settings</h2><pre>{escape(json.dumps(sweep.config.to_json(), indent=1))}</pre>"
        + f'<script id="figures" type="application/json">{data}</script>'
        + f"<script>{get_plotlyjs()}</script><script>{_DRAW}</script></body></html>"
    )


def _bold(markdown: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(markdown))


def _table(columns: dict[str, list[Any]]) -> str:
    rows: Sequence[tuple[Any, ...]] = list(zip(*columns.values(), strict=True))
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) >= 10 else f"{value:.4f}" if abs(value) >= 1e-3 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
