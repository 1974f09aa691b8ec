"""How it looks: wide, narrow and on a phone, light and dark. The pictures are left in pytest's temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.visitor import SHORT, Visitor

pytestmark = pytest.mark.browser

SIZES = {"desk": (1280, 800), "projector": (1280, 720), "phone": (390, 844)}
# Elements that stick out of the window and are not inside something that scrolls sideways by itself.
_STICKING_OUT = """
() => {
  const scrolls = (element) => {
    for (let at = element; at && at !== document.body; at = at.parentElement)
      if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(at).overflowX)
          && at.getBoundingClientRect().right <= innerWidth + 1 && at !== element) return true
    return false
  }
  return [...document.querySelectorAll("[data-testid=stMain] :is(button, p, h1, h3, label, svg, input)")]
    .filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && !scrolls(element))
    .map((element) => `${element.tagName} ${element.textContent.slice(0, 40)}`)
}
"""


def no_overflow(page: Visitor) -> None:
    width, shown = page.page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
    assert width <= shown
    main = page.page.evaluate(
        "(() => { const main = document.querySelector('[data-testid=stMain]'); return [main.scrollWidth, "
        "main.clientWidth] })()"
    )
    assert main[0] <= main[1]
    assert page.page.evaluate(_STICKING_OUT) == []


@pytest.mark.parametrize(("size", "scheme"), [("desk", "dark"), ("projector", "light"), ("phone", "light")])
def test_nothing_sticks_out(visit: Visit, tmp_path: Path, size, scheme):
    width, height = SIZES[size]
    page = visit(SHORT, viewport={"width": width, "height": height}, color_scheme=scheme)
    no_overflow(page)
    page.page.screenshot(path=tmp_path / "1 before.png")
    page.train_and_wait()
    no_overflow(page)
    page.page.screenshot(path=tmp_path / "2 after.png")
    if size == "phone":
        page.page.get_by_test_id("stExpandSidebarButton").click()
        expect(page.field("lr")).to_be_visible()
        no_overflow(page)
        page.page.screenshot(path=tmp_path / "3 controls.png")
        page.page.get_by_test_id("stSidebarNavLink").filter(has_text="Runs").click()
    else:
        page.go_to("Runs")
    page.page.get_by_role("heading", name="Runs", exact=True).wait_for()
    page.page.get_by_test_id("stDataFrame").wait_for()
    no_overflow(page)
    page.page.screenshot(path=tmp_path / "4 runs.png")


def test_all_buttons_and_figures_fit_on_a_projector_at_once(visit: Visit):
    page = visit(SHORT, viewport={"width": 1280, "height": 720})
    page.train_and_wait()
    for place in (page.button("train"), page.progress, page.page.get_by_test_id("stMetric").last):
        box = place.bounding_box()
        assert box is not None and box["y"] + box["height"] <= 720
    charts = page.chart().bounding_box()
    assert charts is not None and charts["y"] < 500


def test_light_and_dark_differ_and_text_is_seen_on_both(visit: Visit):
    grounds = []
    for scheme in ("light", "dark"):
        page = visit(SHORT, color_scheme=scheme)
        ground, text = page.page.evaluate(
            "(() => { const style = getComputedStyle(document.querySelector('[data-testid=stApp]'));"
            "return [style.backgroundColor, style.color].map((c) => c.match(/\\d+/g).slice(0, 3)"
            ".reduce((sum, part) => sum + Number(part), 0)) })()"
        )
        assert abs(ground - text) > 400
        ticks = page.chart().evaluate("(plot) => getComputedStyle(plot.querySelector('.xtick text')).fill")
        assert abs(sum(int(part) for part in ticks.strip("rgb()").split(",")) - ground) > 400
        grounds.append(ground)
    assert grounds[0] > 600 > 200 > grounds[1]
