"""The live page in a real Chromium, timed by the page's own clock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_TRAIN = ".st-key-train button"
_LOAD_MILLISECONDS = 60_000

# Notes when the button is clicked, and the first frame in which the loss chart has a drawn point of the training loss.
_TIME_FIRST_POINT = """
() => {
  window.clickedAt = null
  window.drawnAt = null
  const button = document.querySelector(".st-key-train button")
  button.addEventListener("click", (event) => { window.clickedAt ??= event.timeStamp }, { capture: true })
  const look = () => {
    const chart = document.querySelector(".st-key-loss_curve .js-plotly-plot")
    const line = chart?.data?.find((trace) => trace.name === "train")
    const drawn = chart?.querySelector(".scatterlayer .trace :is(path.point, path.js-line[d*=L])")
    if (window.clickedAt !== null && line?.y?.length >= 1 && drawn) window.drawnAt = performance.now()
    else requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
}
"""

# Notes at each change of the progress bar's text when it was and which step it shows.
_NOTE_STEPS = r"""
() => {
  window.sightings = []
  const note = () => {
    const text = document.querySelector('[data-testid="stProgress"]')?.textContent ?? ""
    const shown = text.match(/step ([\d,]+) of/)
    if (!shown) return
    const step = Number(shown[1].replaceAll(",", ""))
    if (window.sightings.at(-1)?.[1] !== step) window.sightings.push([performance.now() / 1000, step])
  }
  const bar = document.querySelector('[data-testid="stMain"]')
  new MutationObserver(note).observe(bar, { subtree: true, childList: true, characterData: true })
}
"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium, ended with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def ready_page(browser: Browser, address: str) -> Iterator[Page]:
    """The Train page of a new visitor, complete and at rest, with nothing trained yet."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = context.new_page()
        page.goto(address, timeout=_LOAD_MILLISECONDS)
        page.locator(f"{_TRAIN}:enabled").wait_for(timeout=_LOAD_MILLISECONDS)
        page.locator(".st-key-loss_curve .js-plotly-plot").wait_for(timeout=_LOAD_MILLISECONDS)
        page.wait_for_timeout(1500)
        yield page
    finally:
        context.close()


def click_to_first_point(page: Page, timeout_seconds: float = 30.0) -> float:
    """Seconds from the click on Train to the first frame with a point of the loss curve."""
    page.evaluate(_TIME_FIRST_POINT)
    page.locator(_TRAIN).click()
    page.wait_for_function("() => window.drawnAt !== null", timeout=1000 * timeout_seconds, polling=100)
    clicked, drawn = page.evaluate("() => [window.clickedAt, window.drawnAt]")
    return (drawn - clicked) / 1000


def wait_until_ended(page: Page, timeout_seconds: float = 600.0) -> None:
    """Wait until no run is going on any more."""
    page.locator(".st-key-stop button:disabled").wait_for(timeout=1000 * timeout_seconds)


def watch_training(page: Page, last_step: int, timeout_seconds: float) -> list[tuple[float, int]]:
    """Press Train and look on until the run has ended: when the page showed which step, in seconds of its own clock."""
    page.evaluate(_NOTE_STEPS)
    page.locator(_TRAIN).click()
    # A far-apart look from outside, so that looking costs nothing.
    page.wait_for_function(
        "(last) => window.sightings.at(-1)?.[1] >= last",
        arg=last_step,
        timeout=1000 * timeout_seconds,
        polling=1000,
    )
    return [(seconds, step) for seconds, step in page.evaluate("() => window.sightings")]
