"""The charts: updated in place, switched, kept; and the files to take away."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.visitor import ENDLESS, SHORT, TINY, Visitor
from ttcore import DataConfig, TTLinear, load, load_cores

pytestmark = pytest.mark.browser

CHARTS = ("loss_curve", "score_curve")
AXIS_TYPES = "(plot) => [plot._fullLayout.xaxis.type, plot._fullLayout.yaxis.type]"


def test_node_zoom_and_hover_survive_live_updates(visit: Visit):
    # Both charts are the same component.
    page, chart = visit(ENDLESS), "loss_curve"
    # Slow enough for every step to stay a point of its own.
    page.choose("speed", "20 steps/s")
    page.press("train")
    page.wait_for_step(30)
    page.chart(chart).evaluate("(plot) => { plot.markedByTest = true; plot.querySelector('svg').markedByTest = true }")
    page.wait_for_ticks(3, key=chart)
    page.chart(chart).evaluate(
        "(plot) => Plotly.relayout(plot, {'xaxis.range[0]': 5, 'xaxis.range[1]': 20, 'xaxis.autorange': false})"
    )
    page.chart(chart).hover()
    page.page.locator(f".st-key-{chart} .hoverlayer .legend").wait_for()
    page.wait_for_ticks(3, key=chart)
    assert page.page.locator(f".st-key-{chart} .hoverlayer .legend").count() == 1
    marks = page.chart(chart).evaluate("(plot) => [plot.markedByTest, plot.querySelector('svg').markedByTest]")
    assert marks == [True, True]
    assert page.chart(chart).evaluate("(plot) => plot._fullLayout.xaxis.range") == [5, 20]

    # And through the end of the run, when the page as a whole is drawn again.
    page.press("stop")
    page.wait_for_state("Stopped on request.")
    page.page.locator(".st-key-result").wait_for()
    assert page.chart(chart).evaluate("(plot) => plot.markedByTest") is True
    assert page.chart(chart).evaluate("(plot) => plot._fullLayout.xaxis.range") == [5, 20]


def test_the_chart_node_stays_from_before_the_first_run_on(visit: Visit):
    page = visit(SHORT)
    for chart in CHARTS:
        page.chart(chart).evaluate("(plot) => { plot.markedByTest = true }")
    page.train_and_wait()
    page.press("reset")
    page.wait_for_state("Ready")
    for chart in CHARTS:
        assert page.chart(chart).evaluate("(plot) => plot.markedByTest") is True


def test_charts_have_words_for_those_who_do_not_see_them(visit: Visit):
    page = visit(SHORT)
    page.train_and_wait()
    for key in ("loss_curve", "score_curve", "predicted_train", "predicted_test", "weight_tt", "weight_full"):
        words = page.chart(key).get_attribute("aria-label")
        assert words is not None and len(words) > 20
    for key in ("network", "size"):
        assert page.page.locator(f".st-key-{key} svg[role=img]").get_attribute("aria-label")


def test_axes_are_switched(visit: Visit):
    page = visit(SHORT)
    page.train_and_wait()
    assert page.chart().evaluate(AXIS_TYPES) == ["linear", "log"]
    assert page.last_x() == 59
    page.page.locator(".st-key-log_x label").click()
    page.page.wait_for_function(f"() => ({AXIS_TYPES})({_plot('loss_curve')})[0] === 'log'")
    full = page.lines()["full model, test"]
    assert 0 < full["x"][0] < full["x"][1]
    page.page.locator(".st-key-log_loss label").click()
    page.page.wait_for_function(f"() => ({AXIS_TYPES})({_plot('loss_curve')})[1] === 'linear'")
    page.page.get_by_role("radio", name="seconds").click()
    page.page.wait_for_function(f"() => {_plot('score_curve')}.layout.xaxis.title.text === 'seconds of training'")
    assert page.last_x() < 10
    assert page.last_x(key="score_curve") == page.last_x()


def _plot(key: str) -> str:
    return f"document.querySelector('.st-key-{key} .tt-live-figure')"


def test_a_kept_run_stays_on_the_chart_beside_the_next(visit: Visit):
    page = visit(SHORT)
    page.train_and_wait()
    first = page.lines()["train"]
    page.press("keep")
    page.button("unkeep", ":enabled").wait_for()
    page.chart().evaluate("(plot) => { plot.marked = true }")
    page.type("lr", "0.3")
    page.wait_for_query(lr="0.3")
    page.shows_text("which has other settings than the ones at the left")
    page.train_and_wait()
    assert page.chart().evaluate("(plot) => plot.marked"), "a note above the charts has moved them to another place"
    lines = page.lines()
    kept, shown = (next(name for name in lines if name.endswith(ending)) for ending in ("lr 0.02", "lr 0.3"))
    assert kept.startswith("run ") and shown.startswith("run ")
    assert lines[kept]["y"] == first["y"]
    assert lines[shown]["y"] != first["y"]
    expect(page.chart().locator(".legendtext", has_text="lr 0.02")).to_be_visible()
    expect(page.chart().locator(".legendtext", has_text="lr 0.3")).to_be_visible()
    assert {kept, shown} <= set(page.lines("score_curve"))


def test_a_run_of_the_history_is_kept_and_opened(visit: Visit):
    page = visit(SHORT)
    page.train_and_wait()
    page.type("seed", "3")
    page.wait_for_query(seed="3")
    page.train_and_wait()
    page.go_to("Runs")
    grid = page.page.get_by_test_id("stDataFrame")
    grid.wait_for()
    # The second row, the older run: its box at the left edge.
    grid.click(position={"x": 16, "y": 88})
    page.press("keep_chosen")
    page.press("open")
    page.wait_until_drawn()
    page.wait_for_query(seed=None)
    assert page.field("seed").input_value() == "0"
    page.wait_for_state("All steps are done.")


# ---- files ----------------------------------------------------------------------------------------------------------


def taken(page: Visitor, name: str, folder: Path) -> Path:
    with page.page.expect_download() as download:
        page.page.get_by_role("button", name=name, exact=False).first.click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_curve_result_and_cores_to_take_away(visit: Visit, tmp_path: Path):
    page = visit(f"{TINY}&steps=300&lr=0.05&dtype=float64")
    page.train_and_wait()

    rows = list(csv.DictReader(io.StringIO(taken(page, "Curve (CSV)", tmp_path).read_text())))
    assert [int(row["step"]) for row in rows] == list(range(301))
    drawn = page.lines()["train"]
    np.testing.assert_allclose([float(row["train_mse"]) for row in rows[:300]], drawn["y"], rtol=1e-4)

    result = json.loads(taken(page, "Settings and result (JSON)", tmp_path).read_text())
    assert (result["stop_reason"], result["steps"]) == ("steps_done", 300)
    assert round(result["test"]["r2"], 4) == page.number("Test R²")
    assert round(result["train"]["r2"], 4) == page.number("Train R²")

    path = taken(page, "Cores (NPZ)", tmp_path)
    assert path.suffix == ".npz"
    with np.load(path, allow_pickle=False) as archive:
        first, second = archive["core_1"], archive["core_2"]
        features = int(archive["in_features"]), int(archive["out_features"])
    assert (first.shape, second.shape, features) == ((1, 3, 2, 2), (2, 4, 2, 1), (12, 4))
    by_hand = np.einsum("mnr,rMN->nNmM", first[0], second[..., 0]).reshape(4, 12)

    layer = TTLinear.from_cores(*load_cores(path))
    data = load(DataConfig.from_json(result["config"]["data"]))
    for weight in (by_hand, layer.to_dense().detach().numpy()):
        assert round(r2(np.asarray(data.x_test) @ weight.T, np.asarray(data.y_test)), 4) == page.number("Test R²")
    with torch.no_grad():
        predicted = layer(torch.tensor(data.x_test)).numpy()
    assert r2(predicted, np.asarray(data.y_test)) == pytest.approx(result["test"]["r2"], abs=1e-9)


def r2(predicted: np.ndarray, actual: np.ndarray) -> float:
    return 1 - float(((predicted - actual) ** 2).mean() / actual.var())
