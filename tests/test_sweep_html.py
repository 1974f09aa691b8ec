"""The one file with all figures of a sweep: it opens without a network, and holds the numbers of the results."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from dashboard.sweep_figures import frontier_figure, heat_figure, parallel_figure
from dashboard.sweep_html import sweep_html
from tests.sweeps import ROOM, full, grid_of_classes, made_up
from tests.test_sweep_figures import BASELINES, CONFIG, PLAN, RESULTS, results_of
from ttcore.events import Scores
from ttcore.frontier import Measure, cheapest_sentence, summarize
from ttcore.results import Baseline
from ttcore.sweep import SweepSnapshot, SweepState
from ttcore.sweep_config import Factorization, SweepConfig
from ttcore.sweep_plan import plan_sweep

HOSTILE = "</script><!--<script><img src=x onerror=alert(1)>&amp;\"'"
LOADING = {"src", "href", "srcset", "poster", "data", "action", "background", "xlink:href"}


def snapshot(**changes: Any) -> SweepSnapshot:
    values: dict[str, Any] = {
        "config": CONFIG,
        "plan": PLAN,
        "state": SweepState.ENDED,
        "results": RESULTS,
        "baselines": BASELINES,
        "failures": {},
        "chunks_in_progress": 0,
        "fraction": 1.0,
        "seconds": 12.0,
        "eta": None,
        "message": "All runs are done.",
    }
    return SweepSnapshot(**values | changes)


class Read(HTMLParser):
    """A file as a browser takes it apart."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.shown: list[str] = []
        self._in = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag
        if tag in ("script", "style"):
            (self.scripts if tag == "script" else self.styles).append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style"):
            (self.scripts if self._in == "script" else self.styles)[-1] += data
        else:
            self.shown.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.shown)


def read(sweep: SweepSnapshot) -> tuple[Read, dict[str, Any]]:
    """The page and its figures by name."""
    page = Read(sweep_html(sweep))
    assert [tag for tag, _ in page.tags if tag == "script"] == ["script"] * 3
    return page, {entry["id"]: entry["figure"] for entry in json.loads(page.scripts[0], parse_constant=pytest.fail)}


def test_nothing_is_loaded_from_elsewhere():
    page, _ = read(snapshot())
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base"), tag
        assert not LOADING & set(attributes), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    for style in page.styles:
        assert "url(" not in style and "@import" not in style
    assert page.scripts[1] == get_plotlyjs()
    assert sweep_html(snapshot()).count(get_plotlyjs()) == 1
    drawing = page.scripts[2]
    assert "//" not in drawing and "fetch" not in drawing and "import" not in drawing


def test_the_figures_hold_exactly_the_numbers_of_the_results():
    page, figures = read(snapshot())
    assert len(figures) == 6
    for measure in (Measure("test"), Measure("train")):
        points = summarize(RESULTS, measure)
        frontier = frontier_figure(PLAN, CONFIG, RESULTS, points, BASELINES, measure, "parameters", "")
        expected = {
            "frontier": frontier,
            "ranks": heat_figure(CONFIG, points, measure),
            "parallel": parallel_figure(points, measure),
        }
        for name, figure in expected.items():
            assert figures[f"{name}-{measure.part}"] == json.loads(json.dumps(figure))
        dots = [
            (told[0], y)
            for trace in figures[f"frontier-{measure.part}"]["data"]
            for told, y in zip(trace.get("customdata", []), trace["y"], strict=False)
            if len(told) > 1
        ]
        assert sorted(place for place, _ in dots) == sorted(RESULTS)
        for place, y in dots:
            assert y == pytest.approx(measure.of_run(RESULTS[place]), rel=1e-4, abs=1e-9)
        assert cheapest_sentence(points, measure).replace("**", "") in re.sub(r"\s*\n", "", page.text)
    assert {tag_id for tag, attributes in page.tags if tag == "div" and (tag_id := attributes.get("id"))} == set(
        figures
    )


def test_settings_to_do_it_again_and_tables_to_read():
    page, _ = read(snapshot())
    settings = next(text for text in page.shown if text.startswith("{"))
    assert SweepConfig.from_json(json.loads(settings)) == CONFIG
    assert sum(tag == "table" for tag, _ in page.tags) == 2
    rows = sum(tag == "tr" for tag, _ in page.tags)
    assert rows == 1 + len(summarize(RESULTS, Measure())) + 1 + len(BASELINES)
    assert f"Tensor-train layers: {len(RESULTS)} runs" in page.text


def test_classes_have_their_own_words():
    config = grid_of_classes()
    plan = plan_sweep(config, ROOM)
    models = (
        full(),
        Baseline(kind="constant", parameters=0, train=Scores(loss=1, score=0.4), test=Scores(loss=1, score=0.4)),
    )
    page, figures = read(snapshot(config=config, plan=plan, results=results_of(plan), baselines=models))
    assert "test accuracy against parameters" in page.text and "train accuracy by rank" in page.text
    assert "R²" not in page.text and "closed-form" not in page.text.lower()
    assert figures["frontier-test"]["layout"]["yaxis"]["title"]["text"] == "test accuracy"
    assert "R²" not in json.dumps(figures, ensure_ascii=False)


def test_hostile_text_stays_text(monkeypatch):
    monkeypatch.setattr(Factorization, "label", property(lambda self: f"{HOSTILE} {self}"))
    sweep = snapshot(plan=replace(PLAN, notes=(HOSTILE,)), message=HOSTILE, failures={0: HOSTILE})
    page, figures = read(sweep)
    assert not any(tag == "img" for tag, _ in page.tags)
    assert page.text.count(HOSTILE) >= 3
    names = [trace["name"] for trace in figures["frontier-test"]["data"]]
    assert any(name.startswith(HOSTILE) for name in names)
    # Within a script even a comment's beginning would change where it ends.
    raw = sweep_html(sweep)
    data = raw[raw.index('type="application/json">') :].split("</script>")[0]
    assert "<!--" not in data and "<script" not in data


def test_of_nothing_and_of_broken_results():
    page, figures = read(snapshot(results={}, baselines=()))
    assert figures == {} and "0 runs" in page.text
    nothing = Scores(loss=math.inf, score=math.nan)
    broken = {0: made_up(PLAN.runs[0], train=nothing, test=nothing), 1: made_up(PLAN.runs[1])}
    page, figures = read(snapshot(results=broken))
    assert len(figures) == 6
    assert np.isfinite(figures["ranks-test"]["data"][0]["zmin"])
