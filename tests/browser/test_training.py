"""Training as a person sees it: from Train to the result, and every button between."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.visitor import ENDLESS, MILLISECONDS, SHORT, TINY

pytestmark = pytest.mark.browser


@pytest.mark.timeout(400)
def test_the_reference_task_to_the_end(visit: Visit):
    page = visit()
    page.shows_text("28.4× smaller")
    page.press("train")
    page.wait_for_step(1)
    expect(page.progress).to_contain_text("All steps are done. · step 10,000 of 10,000", timeout=5 * MILLISECONDS)
    page.page.locator(".st-key-weight_full .js-plotly-plot").wait_for()
    assert page.number("Train R²") >= 0.92
    assert page.number("Best train R²") >= 0.93
    assert page.number("Test R²") <= 0.2
    assert page.number("Steps per second") > 10
    sentence = page.page.locator(".st-key-result").inner_text()
    assert "2,304 parameters, 3.52 % of the full model's 65,536" in sentence
    reached = re.search(r"training R² of ([\d.]+)", sentence)
    assert reached is not None
    assert float(reached[1]) == page.number("Train R²")
    assert "The full model has 1.0000 and 0.0" in sentence
    lines = page.lines()
    assert set(lines) == {"train", "test", "full model, test"}
    assert len(lines["train"]["x"]) <= 1000
    assert lines["train"]["x"][-1] == 9999


def test_pause_step_resume_stop_and_reset(visit: Visit):
    page = visit(ENDLESS)
    page.press("train")
    page.wait_for_step(1)
    page.press("pause")
    page.wait_for_state("Paused")
    page.button("resume", ":enabled").wait_for()
    paused_at = page.step
    for step in range(paused_at + 1, paused_at + 4):
        page.press("step")
        page.wait_for_exact_step(step)
        page.wait_for_state("Paused")
    page.press("resume")
    page.wait_for_step(paused_at + 20)
    page.press("stop")
    page.wait_for_state("Stopped on request.")
    page.button("stop", ":disabled").wait_for()
    assert page.step > paused_at
    page.shows_text("the TT layer reached")
    page.press("reset")
    page.wait_for_state("Ready")
    page.wait_for_query(run=None)
    assert page.lines() == {}


def test_the_same_seed_is_the_same_curve(visit: Visit):
    page = visit(SHORT)
    page.train_and_wait()
    first = page.lines()["train"]
    page.press("reset")
    page.wait_for_state("Ready")
    page.train_and_wait()
    again = page.lines()["train"]
    assert len(first["y"]) == 60
    assert again == first
    page.type("seed", "1")
    page.wait_for_query(seed="1")
    page.train_and_wait()
    assert page.lines()["train"]["y"] != first["y"]


def test_one_step_as_the_first_thing(visit: Visit):
    page = visit(SHORT)
    page.press("step")
    page.wait_for_exact_step(1)
    page.wait_for_state("Paused")
    page.press("step")
    page.wait_for_exact_step(2)
    page.press("resume")
    page.wait_for_state("All steps are done.")


def test_slow_motion_and_back_to_full_speed(visit: Visit):
    page = visit(ENDLESS)
    page.choose("speed", "5 steps/s")
    page.press("train")
    page.wait_for_step(1)
    began, first = time.monotonic(), page.step
    page.wait_for_step(first + 8)
    assert time.monotonic() - began > 1.0
    assert page.step < first + 40
    page.choose("speed", "full speed")
    page.wait_for_step(500)


def test_keys(visit: Visit):
    page = visit(ENDLESS)
    page.button("train", ":enabled").wait_for()
    page.key("t")
    page.wait_for_step(1)
    page.button("pause", ":enabled").wait_for()
    page.key("p")
    page.wait_for_state("Paused")
    page.button("resume", ":enabled").wait_for()
    at = page.step
    page.key("n")
    page.wait_for_exact_step(at + 1)
    page.wait_for_state("Paused")
    page.key("p")
    page.wait_for_step(at + 20)
    page.button("stop", ":enabled").wait_for()
    page.key("s")
    page.wait_for_state("Stopped on request.")
    page.button("reset", ":enabled").wait_for()
    page.key("z")
    page.wait_for_state("Ready")


def test_a_key_typed_into_a_field_is_text(visit: Visit):
    page = visit(SHORT)
    page.field("target").focus()
    page.page.keyboard.type("stop")
    page.field("target").press("Enter")
    page.shows_text("must be a number such as 0.05, and 'stop' is not")
    page.wait_for_state("Ready")
    page.button("train", ":disabled").wait_for()


def test_a_target_ends_the_run(visit: Visit):
    page = visit(f"{TINY}&steps=100000&target=0.5&lr=0.05")
    page.press("train")
    page.wait_for_state("The target was reached on the training data.")
    assert page.step < 100_000


def test_a_loss_that_is_not_finite_says_what_to_change(visit: Visit):
    page = visit(f"{TINY}&steps=2000&opt=sgd&lr=1000")
    page.press("train")
    page.wait_for_state("The loss was no longer finite")
    expect(page.page.get_by_test_id("stAlert").filter(has_text="Lower the learning rate")).to_be_visible()


def test_what_is_typed_is_refused_at_once_and_disturbs_nothing(visit: Visit):
    page = visit(ENDLESS)
    page.press("train")
    page.wait_for_step(1)
    page.type("lr", "nan")
    page.shows_text("Lr must be a number above 0")
    page.button("train", ":disabled").wait_for()
    page.wait_for_ticks()
    page.press("pause")
    page.wait_for_state("Paused")
