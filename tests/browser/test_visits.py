"""Links, reloads and several people at once: the run goes on and is found again."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.server import Server, wait_until_gone
from tests.browser.visitor import ENDLESS, SHORT, Visitor

pytestmark = pytest.mark.browser

NewTab = Callable[..., Visitor]


# ---- links ----------------------------------------------------------------------------------------------------------


def test_the_first_thing_ever_asked_of_a_server_is_the_history(fresh_server: Server, new_tab: NewTab):
    tab = new_tab(fresh_server)
    tab.page.goto(fresh_server.url("run-history"))
    tab.shows_text("No runs yet.")
    tab.page.get_by_role("heading", name="Runs", exact=True).wait_for()
    tab.check()
    # And a bare file name does no harm, now or later.
    for name in ("train", "runs", "data", "einsum", "gradients"):
        tab.page.goto(fresh_server.url(name))
        tab.page.get_by_test_id("stTopNavLink").first.wait_for()
        assert tab.page.locator("[data-testid=stException]").count() == 0
    tab.problems.clear()
    tab.open(SHORT).wait_for_state("Ready")


def test_the_first_thing_ever_asked_of_a_server_is_a_bare_file_name(fresh_server: Server, new_tab: NewTab):
    tab = new_tab(fresh_server)
    tab.page.goto(fresh_server.url("runs"))
    tab.page.locator("[data-testid=stMain] :is(h1, .st-key-train button, [data-testid=stAlert])").first.wait_for()
    assert tab.page.locator("[data-testid=stException]").count() == 0
    assert "Traceback" not in tab.page.locator("body").inner_text()
    tab.problems.clear()
    tab.open(SHORT).train_and_wait()


# ---- settings in the address ----------------------------------------------------------------------------------------


def test_an_address_carries_all_settings_to_another_browser(visit: Visit):
    query = (
        "preset=planted&in=16,16,16&out=4,2,2&ranks=3,4&opt=sgd&lr=0.3&steps=123&target=0.9&init=he&seed=9&noise=0.1"
    )
    page = visit(query)
    expected = dict(pair.split("=") for pair in query.split("&"))
    assert page.query == expected
    typed = ("in", "out", "ranks", "lr", "steps", "target", "seed")
    for key in typed:
        assert page.field(key).input_value() == expected[key]
    expect(page.page.get_by_role("combobox", name="Optimizer")).to_have_value("SGD with momentum")
    network = page.page.locator(".st-key-network svg").get_attribute("aria-label")
    assert network is not None and "ranks 3, 4;" in network

    page.type("lr", "0.25")
    page.wait_for_query(lr="0.25", seed="9")
    page.type("seed", "0")
    page.wait_for_query(seed=None)

    other = visit(page.page.url.partition("?")[2])
    for key in typed:
        assert other.field(key).input_value() == page.field(key).input_value()
    assert other.query == page.query
    other.button("train", ":enabled").wait_for()


def test_the_drawing_follows_every_change(visit: Visit):
    page = visit()
    network = page.page.locator(".st-key-network svg")
    page.type("ranks", "4,8,4")
    expect(network).to_have_attribute("aria-label", re.compile("ranks 4, 8, 4; useful"))
    page.type("ranks", "1000000")
    expect(network).to_have_attribute("aria-label", re.compile("ranks 16, 256, 16; useful"))
    page.shows_text("Ranks (1000000, 1000000, 1000000) are more than these modes can use")
    page.type("in", "8,8,8,7")
    page.shows_text("3584")
    page.button("train", ":disabled").wait_for()
    page.type("in", "8,8,8,9")
    page.shows_text("Padding: inputs are padded with 512 zeros to 4608.")


def test_garbage_in_the_address_is_named(visit: Visit):
    page = visit("preset=nope&rank=minus&opt=1&sched=&device=tpu&nonsense=<b>x</b>&in=%00&lr=%F0%9F%92%A9&run=nowhere")
    warning = page.page.get_by_test_id("stAlert").filter(has_text="In the address")
    for name in ("preset=nope", "rank=minus", "opt=1", "sched=", "device=tpu", "nonsense"):
        expect(warning).to_contain_text(name)
    page.shows_text("not known here")
    page.button("train", ":disabled").wait_for()
    assert page.page.locator("[data-testid=stException]").count() == 0


# ---- the run goes on ------------------------------------------------------------------------------------------------


def test_to_the_other_page_and_back_while_it_trains(visit: Visit):
    page = visit(ENDLESS)
    page.press("train")
    page.wait_for_step(1)
    at = page.step
    page.go_to("Runs")
    page.page.get_by_role("heading", name="Runs", exact=True).wait_for()
    page.page.get_by_test_id("stDataFrame").wait_for()
    page.go_to("Train")
    page.wait_until_drawn()
    page.wait_for_step(at + 1)
    page.wait_for_state("Training")
    assert page.field("steps").input_value() == "10000000"
    page.wait_for_ticks()
    page.press("pause")
    page.wait_for_state("Paused")


def test_a_reload_finds_the_run_and_may_still_pause_it(visit: Visit):
    page = visit(ENDLESS)
    page.press("train")
    page.wait_for_step(1)
    at, run = page.step, page.query["run"]
    page.reload()
    page.wait_for_step(at + 1)
    assert page.query["run"] == run
    assert page.field("steps").input_value() == "10000000"
    page.wait_for_ticks()
    page.press("pause")
    page.wait_for_state("Paused")
    at = page.step
    page.reload()
    page.wait_for_state("Paused")
    assert page.step == at
    page.press("resume")
    page.wait_for_step(at + 1)


def test_two_visitors_at_once_each_see_their_own_run(visit: Visit):
    one, other = visit(ENDLESS), visit(f"{ENDLESS}&seed=5")
    one.press("train")
    one.wait_for_step(1)
    other.press("train")
    other.wait_for_state("Waiting for 1 run before this one")
    assert one.query["run"] != other.query["run"]
    one.press("pause")
    one.wait_for_state("Paused")
    other.wait_for_step(1)
    at = one.step
    other.wait_for_ticks()
    assert one.step == at
    one.press("resume")
    one.wait_for_state("Waiting for 1 run before this one")
    other.press("stop")
    other.wait_for_state("Stopped on request.")
    one.wait_for_step(at + 1)


def test_the_address_of_a_run_lets_others_watch_and_nothing_more(visit: Visit):
    owner = visit(ENDLESS)
    owner.press("train")
    owner.wait_for_step(1)
    guest = visit(f"run={owner.query['run']}")
    guest.shows_text("You are watching a run that someone else started")
    guest.wait_for_ticks()
    for key in ("pause", "stop"):
        guest.button(key, ":disabled").wait_for()
    guest.key("s")
    guest.key("p")
    guest.wait_for_ticks()
    owner.press("stop")
    owner.wait_for_state("Stopped on request.")
    guest.wait_for_state("Stopped on request.")
    guest.shows_text("the TT layer reached")


def test_a_killed_training_process_is_told_and_the_next_run_starts(visit: Visit, server: Server):
    before = visit(SHORT)
    before.train_and_wait()
    page = visit(ENDLESS)
    page.press("train")
    page.wait_for_step(1)
    workers = server.workers()
    assert len(workers) == 1
    killed = time.monotonic()
    os.kill(workers[0], signal.SIGKILL)
    page.wait_for_state("The training process ended unexpectedly.")
    # Two seconds for the engine, and slack for a tick on a busy machine.
    assert time.monotonic() - killed < 4
    wait_until_gone(workers)
    page.type("steps", "60")
    page.wait_for_query(steps="60")
    page.train_and_wait()
    before.reload()
    before.wait_for_state("All steps are done.")


# ---- the history ----------------------------------------------------------------------------------------------------


def test_the_history_lists_the_runs_of_this_visitor_alone(visit: Visit):
    page = visit(SHORT)
    page.train_and_wait()
    page.go_to("Runs")
    table = page.page.get_by_test_id("stDataFrame")
    table.wait_for()
    page.shows_text("Mark a run at the left edge of its row")
    with page.page.expect_download() as download:
        page.page.get_by_role("button", name="All results (JSON)").click()
    assert download.value.suggested_filename == "tt-runs.json"
    other = visit(SHORT)
    other.go_to("Runs")
    other.shows_text("No runs yet.")
