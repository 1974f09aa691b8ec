"""The two laboratories as a speaker uses them: every example, one changed, one broken and mended; a race to its end."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.test_layout import no_overflow
from tests.browser.visitor import MILLISECONDS, Visitor
from ttcore.einsum_examples import EXAMPLES, TRAIN_LAYER, TRAIN_TITLE

pytestmark = pytest.mark.browser

# That of the Train page first: when the others have come is seen by their expressions.
TITLES = {TRAIN_LAYER: TRAIN_TITLE, **{name: example.title for name, example in EXAMPLES.items()}}


def network_letters(page: Visitor) -> str:
    return page.page.locator(".st-key-einsum_network").inner_text()


def test_every_einsum_example_and_one_changed_broken_and_mended(visit: Visit):
    page = visit()
    page.go_to("Einsum")
    page.page.locator(".st-key-einsum_network svg").wait_for()
    for name, title in TITLES.items():
        page.choose("einsum_example", title)
        if name in EXAMPLES:
            expect(page.field("einsum_expression")).to_have_value(EXAMPLES[name].expression, timeout=MILLISECONDS)
        expect(page.page.locator(".st-key-einsum_agreement")).to_be_visible(timeout=MILLISECONDS)
        expect(page.page.locator(".st-key-einsum_network svg")).to_be_visible(timeout=MILLISECONDS)
        assert page.page.locator("[data-testid=stException]").count() == 0
    page.choose("einsum_example", next(title for title in TITLES.values() if "matrix × matrix" in title.lower()))
    expect(page.field("einsum_expression")).to_have_value("ij,jk->ik", timeout=MILLISECONDS)
    expect(page.page.locator(".st-key-einsum_loops")).to_contain_text("k = 5", timeout=MILLISECONDS)
    page.type("einsum_shapes", "4x3, 3x2")
    expect(page.page.locator(".st-key-einsum_loops")).to_contain_text("k = 2", timeout=MILLISECONDS)
    page.type("einsum_shapes", "4x3, 5x2")
    expect(page.page.get_by_role("alert").filter(has_text="3").first).to_be_visible(timeout=MILLISECONDS)
    page.type("einsum_shapes", "4x3, 3x5")
    expect(page.page.locator(".st-key-einsum_loops")).to_contain_text("k = 5", timeout=MILLISECONDS)
    expect(page.page.get_by_role("alert")).to_have_count(0)


def test_a_race_is_run_to_its_end(visit: Visit):
    page = visit()
    page.go_to("Gradients")
    page.page.locator(".st-key-gradient_part").get_by_role("tab").last.click()
    page.page.locator(".st-key-gradient_race_start button:enabled").click()
    expect(page.page.get_by_text(re.compile(r"After [\d,]+ steps")).first).to_be_visible(timeout=2 * MILLISECONDS)
    lines = page.lines("gradient_race_curves")
    assert len(lines) >= 3 and all(len(line["x"]) > 10 for line in lines.values())


def test_nothing_sticks_out_on_a_deep_link_wide_or_on_a_phone(visit: Visit):
    page = visit(viewport={"width": 390, "height": 844}, color_scheme="dark")
    for path in ("data-sets", "einsum-laboratory", "gradient-laboratory"):
        page.page.goto(f"{page.home}{path}")
        page.page.locator("[data-testid=stMain] h1").first.wait_for()
        for width in (390, 1280):
            page.page.set_viewport_size({"width": width, "height": 844})
            page.page.wait_for_timeout(800)
            no_overflow(page)
        assert page.page.locator("[data-testid=stException]").count() == 0
