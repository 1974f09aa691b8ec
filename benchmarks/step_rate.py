"""Is a step of `ttcore.train` at least as quick as one of the naive einsum loop?

Both train the reference task in float32 with the same number of threads, in turns, each time in a process of its own.
Each is timed by the clock on the wall; the engine's events and its measurements on the test samples are part of that,
the full model (solved once, beside the training) is not.

    python -m benchmarks.step_rate [--steps 3000] [--threads 2] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.tables import markdown_table, middle_and_spread
from ttcore.machine import processors

_WARM_UP = 20
_LONGEST_RUN = 600.0


def engine_rate(steps: int, threads: int) -> float:
    """Steps per second of ttcore.train on the reference preset, by the clock on the wall."""
    from ttcore import preset, train
    from ttcore.baselines import full_model
    from ttcore.events import Progress

    config = preset("reference")
    full_model(config.data)  # kept from here on, so that it takes no time below
    config = replace(config, train=replace(config.train, steps=steps + _WARM_UP, threads=threads, device="cpu"))
    first: tuple[float, int] | None = None
    last = (0.0, 0)
    for event in train(config):
        if isinstance(event, Progress):
            last = (time.perf_counter(), event.step)
            if first is None and event.step >= _WARM_UP:
                first = last
    assert first is not None and last[1] > first[1], "too few steps to time"
    return (last[1] - first[1]) / (last[0] - first[0])


def naive_rate(steps: int, threads: int) -> float:
    """Steps per second of the naive loop."""
    from benchmarks.naive_loop import naive_loop

    return naive_loop(steps, threads).steps_per_second


_SUBJECTS = {"naive": naive_rate, "engine": engine_rate}


def compare(steps: int, threads: int, repeats: int) -> str:
    """Alternate the two; a Markdown table of the rates and their ratio."""
    rates: dict[str, list[float]] = {name: [] for name in _SUBJECTS}
    for repeat in range(repeats):
        # Whoever goes first meets the cooler machine, so they take turns at that too.
        for name in sorted(_SUBJECTS, reverse=repeat % 2 == 0):
            rates[name].append(_in_a_process(name, steps, threads))
            print(f"{name}: {rates[name][-1]:,.0f} steps/s", file=sys.stderr, flush=True)
    ratios = [engine / naive for engine, naive in zip(rates["engine"], rates["naive"], strict=True)]
    rows = [
        ["naive einsum loop, steps/s", middle_and_spread(rates["naive"], 0)],
        ["ttcore.train, steps/s", middle_and_spread(rates["engine"], 0)],
        ["ratio (at least 1 is wanted)", middle_and_spread(ratios)],
    ]
    title = f"reference task, float32, {threads} threads, {steps:,} steps, {repeats} repeats"
    return markdown_table([title, "median (lowest to highest)"], rows)


def _in_a_process(name: str, steps: int, threads: int) -> float:
    command = [sys.executable, "-m", "benchmarks.step_rate", "--one", name]
    command += ["--steps", str(steps), "--threads", str(threads)]
    folder = Path(__file__).resolve().parent.parent
    ended = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, timeout=_LONGEST_RUN, check=True)
    return float(json.loads(ended.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", choices=sorted(_SUBJECTS), help="time one of the two here and print its rate")
    arguments = parser.parse_args()
    if arguments.one:
        print(_SUBJECTS[arguments.one](arguments.steps, arguments.threads))
    else:
        print(compare(arguments.steps, arguments.threads, arguments.repeats))


if __name__ == "__main__":
    main()
