"""The Trade-off page in a real browser: a sweep from its start to its files, clicked, paused, reloaded and watched."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.server import Server
from tests.browser.test_layout import SIZES, no_overflow
from tests.browser.visitor import MILLISECONDS, Visitor

pytestmark = pytest.mark.browser

DATA = "preset=planted&tin=3,4&tout=2,2&trank=2&ntrain=20&ntest=16&threads=1"
# 14 runs: low rank has no more use than rank 4, two cores have.
SMALL = f"{DATA}&cores=low,2&ranks=1-5&seeds=0-1&steps=60"
LONG = f"{DATA}&cores=2&ranks=1-4&seeds=0-19&steps=20000"
ENDLESS = f"{DATA}&cores=2&ranks=1-2&seeds=0&steps=10000000"
_TRACES = """
() => document.querySelector(".st-key-frontier .tt-live-figure")?.data
  ?.map(({ name, x, y, customdata, mode }) => ({ name, x, y, customdata, mode })) ?? []
"""


class Sweeping:
    """A visitor on the Trade-off page."""

    def __init__(self, tab: Visitor) -> None:
        self.tab = tab
        self.page = tab.page

    def open(self, query: str = "") -> Sweeping:
        self.page.goto(f"{self.tab.home}trade-off" + (f"?{query}" if query else ""))
        return self.wait_until_drawn()

    def wait_until_drawn(self) -> Sweeping:
        self.page.locator(".st-key-frontier .tt-live-figure.js-plotly-plot").wait_for()
        self.tab.button("sweep_start").wait_for()
        return self

    def start(self) -> Sweeping:
        before = self.tab.query.get("sweep")
        self.tab.press("sweep_start")
        self.page.wait_for_function(
            "(before) => ![null, before].includes(new URLSearchParams(location.search).get('sweep'))", arg=before
        )
        return self

    def to_its_end(self, runs: int) -> Sweeping:
        self.start()
        self.tab.wait_for_state(f"All {runs} runs are done.")
        self.tab.button("sweep_start", ":enabled").wait_for()
        self.page.wait_for_function(f"(runs) => ({_RUNS}) === runs", arg=runs)
        return self

    def traces(self) -> list[dict[str, Any]]:
        return self.page.evaluate(_TRACES)

    def points(self) -> dict[int, tuple[float, float]]:
        """Place of each run in the picture -> its size and score."""
        found = {}
        for trace in self.traces():
            if trace["mode"] == "markers" and trace["customdata"]:
                for x, y, told in zip(trace["x"], trace["y"], trace["customdata"], strict=True):
                    found[told[0]] = (x, y)
        return found

    def click_run(self, trace: str, place: int) -> None:
        """A real click of the mouse on the point of a median."""
        chart = self.tab.chart("frontier")
        chart.scroll_into_view_if_needed()
        at = chart.evaluate(
            """(plot, [name, place]) => {
              const trace = plot.data.find((t) => t.name === name && t.mode === "lines+markers")
              const index = trace.customdata.findIndex((told) => told[0] === place)
              const { xaxis, yaxis } = plot._fullLayout
              return [xaxis._offset + xaxis.d2p(trace.x[index]), yaxis._offset + yaxis.d2p(trace.y[index])]
            }""",
            [trace, place],
        )
        box = chart.bounding_box()
        assert box is not None
        self.page.mouse.move(box["x"] + at[0], box["y"] + at[1])
        self.page.locator(".st-key-frontier .hoverlayer .hovertext").first.wait_for()
        self.page.mouse.click(box["x"] + at[0], box["y"] + at[1])

    def view(self, name: str) -> None:
        self.page.locator(".st-key-sweep_view").get_by_text(name, exact=True).click()

    def download(self, key: str, folder: Path) -> str:
        with self.page.expect_download() as waiting:
            self.tab.button(f"sweep_file_{key}").first.click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path.read_text(encoding="utf-8")


_RUNS = f"({_TRACES})().filter((t) => t.mode === 'markers' && t.customdata).reduce((n, t) => n + t.x.length, 0)"
Opened = Callable[..., Sweeping]


@pytest.fixture
def sweeping(server: Server, new_tab: Callable[..., Visitor]) -> Opened:
    """Opens the Trade-off page with the settings of a query, as a new visitor."""

    def opened(query: str = "", **options: Any) -> Sweeping:
        return Sweeping(new_tab(server, **options)).open(query)

    return opened


def test_a_sweep_to_its_end_and_its_files_hold_the_same_numbers(sweeping: Opened, browser: Browser, tmp_path: Path):
    page = sweeping(SMALL)
    page.tab.shows_text("18 runs")
    page.tab.shows_text("2 of them redundant and merged")
    assert page.points() == {}
    page.to_its_end(18)

    rows = list(csv.DictReader(io.StringIO(page.download("csv", tmp_path))))
    runs = [row for row in rows if row["model"] == "tt"]
    assert len(runs) == 18 and {row["model"] for row in rows} >= {"full", "ridge", "low_rank", "low_rank_ridge"}
    for place, (size, score) in page.points().items():
        assert size == int(runs[place]["parameters"])
        assert score == pytest.approx(float(runs[place]["test_r2"]), rel=1e-4)
    saved = json.loads(page.download("json", tmp_path))
    for row, run in zip(runs, saved["runs"], strict=True):
        assert float(row["test_r2"]) == run["test"]["r2"] and int(row["seed"]) == run["config"]["train"]["seed"]
    assert saved["distinct"] == 18 and saved["asked"] == 20
    script = page.download("script", tmp_path)
    compile(script, "sweep.py", "exec")
    assert "run_sweep" in script

    # The page of figures opens without any network, and shows the same.
    page.download("figures", tmp_path)
    context = browser.new_context(offline=True)
    alone = context.new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    (file,) = tmp_path.glob("*.html")
    alone.goto(file.as_uri())
    alone.locator("#frontier-test.js-plotly-plot").wait_for(timeout=MILLISECONDS)
    drawn = alone.evaluate("document.getElementById('frontier-test').data.filter((t) => t.mode === 'markers')")
    scores = sorted(score for trace in drawn if trace.get("customdata") for score in trace["y"])
    assert scores == sorted(score for _, score in page.points().values())
    assert asked == [file.as_uri()]
    context.close()


def test_sentences_and_views_say_what_the_points_say(sweeping: Opened):
    page = sweeping(SMALL).to_its_end(18)
    said = page.page.locator(".st-key-answers").inner_text()
    groups: dict[tuple[str, float], list[float]] = {}
    for trace in page.traces():
        if trace["mode"] == "markers" and trace["customdata"]:
            for x, y in zip(trace["x"], trace["y"], strict=True):
                groups.setdefault((trace["name"], x), []).append(y)
    best = max(statistics.median(scores) for scores in groups.values())
    assert f"{best:.4f}"[:-1] in said
    page.tab.type("sweep_budget", "1")
    expect(page.page.locator(".st-key-answers")).to_contain_text("none; the smallest layer", timeout=MILLISECONDS)
    page.tab.type("sweep_budget", "lots")
    expect(page.page.locator(".st-key-answers")).to_contain_text("'lots' is not.", timeout=MILLISECONDS)

    page.page.locator(".st-key-heat .js-plotly-plot").wait_for()
    page.view("Parallel coordinates")
    page.page.locator(".st-key-parallel .js-plotly-plot").wait_for()
    assert page.page.locator(".st-key-parallel .parcoords").count() > 0
    page.view("Table")
    page.page.get_by_test_id("stDataFrame").wait_for()
    page.view("Rank along the train")
    page.page.locator(".st-key-rounding .js-plotly-plot").wait_for()
    page.page.locator(".st-key-spectrum .js-plotly-plot").wait_for()


def test_points_come_while_it_runs_and_the_picture_stays(sweeping: Opened):
    page = sweeping(LONG).start()
    page.tab.chart("frontier").evaluate("(plot) => { plot.markedByTest = true }")
    page.page.wait_for_function(f"() => ({_RUNS}) > 0")
    first = page.page.evaluate(_RUNS)
    assert first < 80
    page.page.wait_for_function(f"(first) => ({_RUNS}) > first", arg=first)
    page.tab.press("sweep_stop")
    page.tab.wait_for_state("are done and kept.")
    assert page.tab.chart("frontier").evaluate("(plot) => plot.markedByTest") is True
    kept = re.search(r"Stopped: (\d+) of 80", page.tab.progress.inner_text())
    assert kept is not None
    page.page.wait_for_function(f"(runs) => ({_RUNS}) === runs", arg=int(kept[1]))


def test_pause_and_resume(sweeping: Opened):
    page = sweeping(ENDLESS).start()
    page.tab.wait_for_state("Sweeping")
    page.tab.press("sweep_pause")
    page.tab.wait_for_state("Paused")
    page.tab.button("sweep_resume", ":enabled").wait_for()
    page.tab.press("sweep_resume")
    page.tab.wait_for_state("Sweeping")
    page.tab.button("sweep_pause", ":enabled").wait_for()
    page.tab.press("sweep_stop")
    page.tab.wait_for_state("Stopped: 0 of 2 runs")


def test_a_reload_in_mid_sweep_and_another_page_lose_nothing(sweeping: Opened):
    page = sweeping(LONG).start()
    page.page.wait_for_function(f"() => ({_RUNS}) > 0")
    address = page.page.url
    page.page.reload()
    page.wait_until_drawn()
    page.tab.button("sweep_pause", ":enabled").wait_for()
    assert page.page.url == address
    before = page.page.evaluate(_RUNS)
    page.tab.go_to("Train")
    page.tab.wait_until_drawn()
    page.tab.go_to("Trade-off")
    page.wait_until_drawn()
    page.page.wait_for_function(f"(before) => ({_RUNS}) > before", arg=before)


def test_a_click_lays_curves_beside_each_other(sweeping: Opened):
    page = sweeping(SMALL).to_its_end(18)
    low_rank = next(trace for trace in page.traces() if trace["name"] == "low rank" and trace["mode"] != "markers")
    first, second = low_rank["customdata"][0][0], low_rank["customdata"][2][0]
    page.click_run("low rank", first)
    page.page.locator(".st-key-sweep_losses .js-plotly-plot").wait_for()
    page.click_run("low rank", second)
    page.page.wait_for_function("document.querySelector('.st-key-sweep_losses .tt-live-figure').data.length >= 3")
    names = [name for name in page.tab.lines("sweep_losses") if not name.startswith("full")]
    assert len(names) == 2 and all("rank" in name for name in names)
    assert len(page.tab.lines("sweep_losses")[names[0]]["x"]) == 60
    page.tab.press("sweep_clear")
    page.tab.shows_text("Click points of the picture above")


def test_a_click_opens_the_run_on_the_train_page(sweeping: Opened):
    page = sweeping(SMALL).to_its_end(18)
    low_rank = next(trace for trace in page.traces() if trace["name"] == "low rank" and trace["mode"] != "markers")
    page.tab.choose("sweep_click", "a click opens the run")
    place, score = low_rank["customdata"][1][0], page.points()[low_rank["customdata"][1][0]][1]
    page.click_run("low rank", place)
    page.tab.wait_until_drawn()
    page.tab.wait_for_state("All steps are done.")
    assert page.tab.field("in").input_value() == "12,1" and page.tab.field("steps").input_value() == "60"
    assert page.tab.number("Test R²") == pytest.approx(score, abs=1e-4)
    assert page.tab.last_x() == 59
    page.page.locator(".st-key-weight_tt .js-plotly-plot").wait_for()
    page.tab.go_to("Runs")
    page.page.get_by_test_id("stDataFrame").wait_for()
    page.tab.go_to("Trade-off")
    page.wait_until_drawn()
    page.tab.wait_for_state("All 18 runs are done.")


def test_the_slider_rounds_at_once(sweeping: Opened):
    page = sweeping(f"{DATA}&cores=2&ranks=4&seeds=0&steps=200").to_its_end(1)
    page.view("Rank along the train")
    page.page.locator(".st-key-rounding .js-plotly-plot").wait_for()
    error = page.page.get_by_test_id("stMetric").filter(has_text="Error of the weight").get_by_test_id("stMetricValue")
    slider = page.page.locator(".st-key-round_rank_4").get_by_role("slider")
    errors = []
    for key, rank in (("Home", "1"), ("End", "4")):
        slider.press(key)
        ranks = page.page.get_by_test_id("stMetric").filter(has_text="Ranks").get_by_test_id("stMetricValue")
        expect(ranks).to_have_text(rank, timeout=MILLISECONDS)
        errors.append(float(error.inner_text().split()[0]))
    assert errors[0] > 1 and errors[1] < 1e-3
    with page.page.expect_download() as waiting:
        page.tab.press("rounded_npz")
    assert waiting.value.suggested_filename == "tt-rounded-4-cores.npz"


@pytest.mark.parametrize(("size", "scheme"), [("desk", "dark"), ("phone", "light")])
def test_nothing_sticks_out(sweeping: Opened, tmp_path: Path, size, scheme):
    width, height = SIZES[size]
    page = sweeping(SMALL, viewport={"width": width, "height": height}, color_scheme=scheme)
    no_overflow(page.tab)
    page.page.screenshot(path=tmp_path / "1 before.png")
    page.to_its_end(18)
    page.page.locator(".st-key-heat .js-plotly-plot").wait_for()
    no_overflow(page.tab)
    page.page.screenshot(path=tmp_path / "2 after.png")


def test_the_first_thing_ever_asked_of_a_server(fresh_server: Server, new_tab: Callable[..., Visitor]):
    page = Sweeping(new_tab(fresh_server)).open(SMALL)
    page.to_its_end(18)
