"""One tab of one visitor: what it does on the pages, what it sees there, and all that goes wrong meanwhile."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import ConsoleMessage, Locator, Page, Request, Response, expect

# Training is slow where the processors are shared with a browser and other tests.
SECONDS = 60
MILLISECONDS = 1000 * SECONDS

# A planted run of 12 features that takes a moment, and one that goes on for as long as a test wants.
TINY = "preset=planted&tin=3,4&tout=2,2&trank=2&ntrain=20&ntest=16&in=3,4&out=2,2&rank=2&threads=1"
SHORT = f"{TINY}&steps=60"
ENDLESS = f"{TINY}&steps=10000000"

# On a deep link Streamlit's own frontend first looks for its server below the page's address.
_LOOK_FOR_SERVER = re.compile(r"/[\w-]+/_stcore/(health|host-config)$")
# A page that is left, or a link that turns out to be a file, gives up what it is loading.
_GIVEN_UP = "net::ERR_ABORTED"

_LAST_X = """
([chart, name]) => {
  const plot = document.querySelector(`.st-key-${chart} .tt-live-figure`)
  return plot?.data?.find((trace) => trace.name === name)?.x?.at(-1) ?? -1
}
"""


class Visitor:
    """Wraps a Playwright page; `check` fails on everything that should not have happened in it."""

    def __init__(self, page: Page, home: str) -> None:
        self.page = page
        self.home = home
        self.problems: list[str] = []
        page.set_default_timeout(MILLISECONDS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("request", self._request)
        page.on("requestfailed", self._failed)
        page.on("response", self._response)

    # ---- what went wrong --------------------------------------------------------------------------------------------

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _LOOK_FOR_SERVER.search(str(message.location.get("url", ""))):
            self.problems.append(f"console: {message.text} ({message.location})")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.home, self.home.replace("http", "ws"), "data:", "blob:")):
            self.problems.append(f"request to elsewhere: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != _GIVEN_UP:
            self.problems.append(f"failed: {request.url} {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not _LOOK_FOR_SERVER.search(response.url):
            self.problems.append(f"status {response.status}: {response.url}")

    def check(self) -> None:
        assert self.page.locator("[data-testid=stException]").count() == 0, "an exception is on the page"
        assert not self.problems, self.problems

    # ---- moving about -----------------------------------------------------------------------------------------------

    def open(self, query: str = "", path: str = "") -> Visitor:
        """The Train page with these settings, complete."""
        self.page.goto(f"{self.home}{path}" + (f"?{query}" if query else ""))
        return self.wait_until_drawn()

    def reload(self) -> Visitor:
        self.page.reload()
        return self.wait_until_drawn()

    def wait_until_drawn(self) -> Visitor:
        self.page.locator(".st-key-score_curve .tt-live-figure.js-plotly-plot").wait_for()
        self.button("train").wait_for()
        return self

    def go_to(self, page: str) -> None:
        self.page.get_by_test_id("stTopNavLink").filter(has_text=page).click()

    @property
    def query(self) -> dict[str, str]:
        """The settings in the address."""
        return {key: values[-1] for key, values in parse_qs(urlsplit(self.page.url).query).items()}

    def wait_for_query(self, **wanted: str | None) -> None:
        """Wait until the address has these settings, or no more has those given as None."""
        self.page.wait_for_function(
            """(wanted) => {
              const query = new URLSearchParams(location.search)
              return Object.entries(wanted).every(([key, value]) => query.get(key) === value)
            }""",
            arg=wanted,
        )

    # ---- controls ---------------------------------------------------------------------------------------------------

    def button(self, key: str, state: str = "") -> Locator:
        """state: ":enabled" or ":disabled" to find it only then."""
        return self.page.locator(f".st-key-{key} button{state}")

    def press(self, key: str) -> None:
        self.button(key, ":enabled").click()

    def field(self, key: str) -> Locator:
        return self.page.locator(f".st-key-{key} input")

    def type(self, key: str, text: str) -> None:
        self.field(key).fill(text)
        self.field(key).press("Enter")

    def choose(self, key: str, option: str) -> None:
        self.page.locator(f".st-key-{key}").get_by_role("combobox").click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def key(self, letter: str) -> None:
        self.page.keyboard.press(letter)

    def shows_text(self, text: str) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=MILLISECONDS)

    # ---- what the page shows ----------------------------------------------------------------------------------------

    @property
    def progress(self) -> Locator:
        return self.page.get_by_test_id("stProgress")

    @property
    def step(self) -> int:
        shown = re.search(r"step ([\d,]+) of", self.progress.inner_text())
        return int(shown[1].replace(",", "")) if shown else 0

    def wait_for_state(self, words: str) -> None:
        """Training, Paused, Ready, or the sentence of an end."""
        expect(self.progress).to_contain_text(words, timeout=MILLISECONDS)

    def wait_for_step(self, step: int) -> None:
        """Wait until at least so many steps are shown."""
        self.page.wait_for_function(
            r"""(step) => {
              const text = document.querySelector('[data-testid="stProgress"]')?.textContent ?? ""
              return Number((text.match(/step ([\d,]+) of/)?.[1] ?? "0").replaceAll(",", "")) >= step
            }""",
            arg=step,
        )

    def wait_for_exact_step(self, step: int) -> None:
        expect(self.progress).to_contain_text(re.compile(rf"step {step:,} of"), timeout=MILLISECONDS)

    def number(self, label: str) -> float:
        """The value of one of the figures above the charts."""
        metric = self.page.get_by_test_id("stMetric").filter(
            has=self.page.get_by_test_id("stMetricLabel").get_by_text(label, exact=True)
        )
        return float(metric.get_by_test_id("stMetricValue").inner_text().replace(",", ""))

    def train_and_wait(self) -> None:
        """Press Train, and wait until the new run is done with all that follows, the one before it gone."""
        before = self.query.get("run")
        self.press("train")
        self.page.wait_for_function(
            """(before) => {
              const run = new URLSearchParams(location.search).get("run")
              const drawn = document.querySelector(".st-key-loss_curve .tt-live-figure")?.layout?.uirevision
              return run !== null && run !== before && drawn?.startsWith(run)
            }""",
            arg=before,
        )
        self.wait_for_state("All steps are done.")
        self.page.locator(".st-key-weight_full .js-plotly-plot").wait_for()

    # ---- charts -----------------------------------------------------------------------------------------------------

    def chart(self, key: str = "loss_curve") -> Locator:
        return self.page.locator(f".st-key-{key} .tt-live-figure")

    def lines(self, key: str = "loss_curve") -> dict[str, dict[str, Any]]:
        """Name of each line of a chart, once it is drawn -> its x and y."""
        traces = self.page.wait_for_function(
            "(key) => document.querySelector(`.st-key-${key} .tt-live-figure`)?.data"
            "?.map(({ name, x, y }) => ({ name, x, y }))",
            arg=key,
        ).json_value()
        return {trace["name"]: trace for trace in traces}

    def last_x(self, name: str = "train", key: str = "loss_curve") -> float:
        return self.page.evaluate(_LAST_X, [key, name])

    def wait_for_ticks(self, count: int = 2, name: str = "train", key: str = "loss_curve") -> None:
        """Wait until the chart has been given more of a moving run, so many times."""
        for _ in range(count):
            before = self.last_x(name, key)
            self.page.wait_for_function(
                f"([chart, name, x]) => ({_LAST_X})([chart, name]) > x", arg=[key, name, before]
            )
