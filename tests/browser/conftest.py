"""A real Chromium and the app as a user starts it. Without a Chromium these tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.server import Server, running_app
from tests.browser.visitor import MILLISECONDS, Visitor

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Visit = Callable[..., Visitor]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"the browser tests need one of {', '.join(NAMES)} on the PATH (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that do not need one that has just been started."""
    with running_app(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


DESK: Any = {"viewport": {"width": 1280, "height": 800}}


@pytest.fixture(scope="session")
def first_context(browser: Browser) -> Iterator[BrowserContext]:
    """The first visitor of every test on an ordinary desk: without cookies somebody new, with all scripts at hand."""
    context = browser.new_context(**DESK)
    yield context
    context.close()


@pytest.fixture
def new_tab(browser: Browser, first_context: BrowserContext) -> Iterator[Callable[..., Visitor]]:
    """Opens a tab of a new visitor, or of `context`; afterwards its run is ended and everything checked."""
    contexts: list[BrowserContext] = []
    tabs: list[Visitor] = []

    def opened(server: Server, context: BrowserContext | None = None, **options: Any) -> Visitor:
        if context is None and not tabs and not options:
            first_context.clear_cookies()
            context = first_context
        elif context is None:
            context = browser.new_context(**DESK | options)
            contexts.append(context)
        tabs.append(Visitor(context.new_page(), server.url()))
        return tabs[-1]

    yield opened
    for tab in tabs:
        for stop in ("stop", "sweep_stop"):
            if tab.button(stop, ":enabled").count():
                tab.button(stop, ":enabled").click()
                tab.button(stop, ":disabled").wait_for(timeout=MILLISECONDS)
    for tab in tabs:
        tab.check()
    for tab in tabs:
        tab.page.close()
    for context in contexts:
        context.close()


@pytest.fixture
def visit(server: Server, new_tab: Callable[..., Visitor]) -> Visit:
    """Opens the Train page with the settings of a query, as a new visitor."""

    def visited(query: str = "", **options: Any) -> Visitor:
        return new_tab(server, **options).open(query)

    return visited


@pytest.fixture
def fresh_server(browser: Browser, tmp_path: Path) -> Iterator[Server]:
    """A server that nobody has asked for anything yet."""
    with running_app(tmp_path / "log") as running:
        yield running
