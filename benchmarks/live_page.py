"""What the live Train page costs, and what it costs the training. The app is started as a user starts it.

    python -m benchmarks.live_page first-point   click on Train to the first drawn point, in Chromium, worker warm
    python -m benchmarks.live_page tick          CPU time of the server's process per live tick
    python -m benchmarks.live_page share         step rate while watched, as a share of the command line's
    python -m benchmarks.live_page memory        growth of the server over minutes of live training
    python -m benchmarks.live_page all

Each prints a Markdown table. Options: --repeats, --steps, --threads, --seconds, --minutes.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

from benchmarks.app_server import PROJECT, AppServer, app_server, end
from benchmarks.bare_viewer import BareViewer
from benchmarks.results import write_section
from benchmarks.tables import markdown_table, middle_and_spread
from ttcore.config import MAX_STEPS
from ttcore.machine import processors

# Longer than any look: stopped when the measurement is over.
_ENDLESS = f"steps={MAX_STEPS}"
# From here on the curves have all the points that a picture can have.
_FULL_CURVE = 3000
# A watched run and its command-line twin are timed from this share of their steps on.
_WARM_UP_SHARE = 0.2
_LONGEST_RUN = 900.0
_MEMORY_WARM_UP = 30.0
_MEMORY_SAMPLE = 5.0


# ---- click to first point -------------------------------------------------------------------------------------------


def first_point(options: argparse.Namespace) -> str:
    from benchmarks.chromium_viewer import chromium, click_to_first_point, ready_page, wait_until_ended

    delays = []
    with app_server() as server:
        _warm_worker(server, options.threads)
        with chromium() as browser:
            for _ in range(options.repeats):
                with ready_page(browser, server.url(f"steps=1000&threads={options.threads}")) as page:
                    delays.append(click_to_first_point(page))
                    _say(f"first point after {delays[-1]:.3f} s")
                    # Not stopped: a stop that is answered late costs the worker its warmth.
                    wait_until_ended(page)
    row = ["click to first drawn point, s", middle_and_spread(delays), "0.7 at most"]
    return _table(f"Chromium, worker warm, {options.repeats} repeats", [row])


# ---- CPU per tick ---------------------------------------------------------------------------------------------------


def tick(options: argparse.Namespace) -> str:
    watched, alone, ticks_per_second = [], [], []
    with app_server() as server:
        _warm_worker(server, options.threads)
        for _ in range(options.repeats):
            with BareViewer(server.port, f"{_ENDLESS}&threads={options.threads}") as viewer:
                _start(viewer)
                _reach(viewer, _FULL_CURVE)
                cpu, ticks, began = server.cpu_seconds(), viewer.ticks, time.perf_counter()
                viewer.watch(lambda: False, options.seconds)
                ticks = viewer.ticks - ticks
                watched.append(1000 * (server.cpu_seconds() - cpu) / ticks)
                ticks_per_second.append(ticks / (time.perf_counter() - began))
                # The server goes on listening to its worker while nobody looks.
                cpu = server.cpu_seconds()
                viewer.watch(lambda: False, options.seconds, ticking=False)
                alone.append(1000 * (server.cpu_seconds() - cpu) / options.seconds)
                _say(f"{watched[-1]:.1f} ms a tick; {alone[-1]:.1f} ms a second while nobody looks")
                _end(viewer)
    rows = [
        ["server CPU per live tick, all of it, ms", middle_and_spread(watched, 1), "15 at most"],
        ["of a second while nobody looks, ms", middle_and_spread(alone, 1), ""],
        ["ticks per second", middle_and_spread(ticks_per_second), ""],
    ]
    return _table(f"bare viewer, {options.seconds:.0f} s each, {options.repeats} repeats", rows)


# ---- share of the command line's rate -------------------------------------------------------------------------------


def share(options: argparse.Namespace) -> str:
    """All three count steps as a viewer sees them, against the clock on the wall, over the same steps."""
    from benchmarks.chromium_viewer import chromium, ready_page, watch_training

    steps = options.steps
    query = f"steps={steps}&threads={options.threads}"

    def watched_barely(server: AppServer) -> list[tuple[float, int]]:
        with BareViewer(server.port, query) as viewer:
            _start(viewer)
            if not viewer.watch(lambda: not viewer.live, _LONGEST_RUN):
                raise RuntimeError("the run did not end in time")
            return list(viewer.sightings)

    def watched_in_chromium(server: AppServer) -> list[tuple[float, int]]:
        with chromium() as browser, ready_page(browser, server.url(query)) as page:
            return watch_training(page, steps, _LONGEST_RUN)

    subjects: dict[str, Callable[[AppServer], list[tuple[float, int]]]] = {
        "command line": lambda server: command_line(steps, options.threads),
        "watched by the bare viewer": watched_barely,
        "watched in Chromium": watched_in_chromium,
    }
    rates: dict[str, list[float]] = {name: [] for name in subjects}
    with app_server() as server:
        _warm_worker(server, options.threads)
        for _ in range(options.repeats):
            for name, run in subjects.items():
                rates[name].append(seen_rate(run(server), steps))
                _say(f"{name}: {rates[name][-1]:,.0f} steps/s")
    rows = [[f"{name}, steps/s", middle_and_spread(values, 0), ""] for name, values in rates.items()]
    base = rates["command line"]
    for name, target in (("watched by the bare viewer", "90 at least"), ("watched in Chromium", "70 at least")):
        shares = [100 * rate / alone for rate, alone in zip(rates[name], base, strict=True)]
        rows.append([f"share {name}, %", middle_and_spread(shares, 0), target])
    return _table(f"{steps:,} steps, {options.threads} threads, {options.repeats} repeats in turns", rows)


def seen_rate(sightings: list[tuple[float, int]], steps: int) -> float:
    """Steps per second between the first and the last sighting after the warm-up, those of an ended run left out."""
    seen = [(when, step) for when, step in sightings if _WARM_UP_SHARE * steps <= step < steps]
    if len(seen) < 2 or seen[-1][1] == seen[0][1]:
        raise RuntimeError(f"a run of {steps} steps is too short to see its rate; ask for more steps")
    return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])


def command_line(steps: int, threads: int) -> list[tuple[float, int]]:
    """Train on the command line as at a terminal; when it showed which step."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ttcore", "train", "--preset", "reference"]
    command += ["--steps", str(steps), "--threads", str(threads)]
    sightings = []
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    try:
        deadline = time.monotonic() + _LONGEST_RUN
        while time.monotonic() < deadline:
            try:
                text = os.read(ours, 4096).decode(errors="replace")
            except OSError:
                break  # how a terminal says that its program has ended
            now = time.perf_counter()
            sightings += [(now, int(step.replace(",", ""))) for step in re.findall(r"step ([\d,]+) of", text)]
    finally:
        end(process)
        os.close(ours)
    return sightings


# ---- memory ---------------------------------------------------------------------------------------------------------


def memory(options: argparse.Namespace) -> str:
    minutes: list[list[float]] = []
    per_tick = []
    with app_server() as server, BareViewer(server.port, f"{_ENDLESS}&threads={options.threads}") as viewer:
        _start(viewer)
        viewer.watch(lambda: False, _MEMORY_WARM_UP)
        for minute in range(options.minutes):
            cpu, ticks = server.cpu_seconds(), viewer.ticks
            samples = []
            for _ in range(round(60 / _MEMORY_SAMPLE)):
                samples.append(server.resident_megabytes())
                viewer.watch(lambda: not viewer.live, _MEMORY_SAMPLE)
            if not viewer.live:
                raise RuntimeError("the run ended before the measurement did")
            minutes.append([*samples, server.resident_megabytes()])
            per_tick.append(1000 * (server.cpu_seconds() - cpu) / (viewer.ticks - ticks))
            _say(
                f"minute {minute + 1}: {median(samples):.1f} MB, {per_tick[-1]:.1f} ms a tick, "
                f"step {viewer.shown_step:,}"
            )
        steps = viewer.shown_step
        _end(viewer)
    start, finish = minutes[0][0], max(minutes[-1])
    rows = [
        ["resident at the start, MB", f"{start:.1f}", ""],
        ["highest of the last minute, MB", f"{finish:.1f}", ""],
        ["growth, MB", f"{finish - start:.1f}", "below 20 in ten minutes"],
        ["server CPU per tick, first and last minute, ms", f"{per_tick[0]:.1f}, {per_tick[-1]:.1f}", ""],
    ]
    title = f"{options.minutes} minutes after {_MEMORY_WARM_UP:.0f} s of warm-up, {steps:,} steps shown"
    return markdown_table([title, "value", "wanted"], rows)


# ---- shared ---------------------------------------------------------------------------------------------------------


def _start(viewer: BareViewer) -> None:
    viewer.settle()
    viewer.click("train")
    if not viewer.watch(lambda: viewer.live, 30.0):
        raise RuntimeError("nothing on the page moves after Train was pressed")


def _reach(viewer: BareViewer, step: int) -> None:
    if not viewer.watch(lambda: viewer.shown_step >= step, _LONGEST_RUN):
        raise RuntimeError(f"the run did not reach step {step} in time")


def _end(viewer: BareViewer) -> None:
    viewer.click("stop")
    if not viewer.watch(lambda: not viewer.live, 30.0):
        raise RuntimeError("the page still moves after Stop was pressed")
    viewer.settle()


def _warm_worker(server: AppServer, threads: int) -> None:
    """Let the worker start and train once, so that nothing that happens only once is measured."""
    with BareViewer(server.port, f"steps=300&threads={threads}") as viewer:
        _start(viewer)
        if not viewer.watch(lambda: not viewer.live, 120.0):
            raise RuntimeError("the first, short run did not end within two minutes")
        viewer.settle()


def _table(title: str, rows: list[list[str]]) -> str:
    return markdown_table([title, "median (lowest to highest)", "wanted"], rows)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_MEASUREMENTS = {"first-point": first_point, "tick": tick, "share": share, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("what", choices=[*_MEASUREMENTS, "all"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10_000, help="of each run in `share`")
    # As the page has it: one processor stays free for the server and the browser.
    threads = max(1, processors() - 1)
    parser.add_argument("--threads", type=int, default=threads, help="CPU threads of the training, everywhere")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each look in `tick`")
    parser.add_argument("--minutes", type=int, default=10, help="of `memory`")
    options = parser.parse_args()
    for name, measure in _MEASUREMENTS.items():
        if options.what in (name, "all"):
            write_section(f"live-{name}", f"The live page (`python -m benchmarks.live_page {name}`)", measure(options))


if __name__ == "__main__":
    main()
