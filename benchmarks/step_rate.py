"""How fast is a training step, beside the naive loop, the dense layer and the public TT libraries?

All train the reference task in float32 with the same number of threads, in turns, each time in a process of its own.
The engine and the loops are timed by the clock on the wall: the engine's events and its measurements on the test
samples are part of that, the full model (solved once, beside the training) is not.

    python -m benchmarks.step_rate [--steps 3000] [--threads 2] [--repeats 5] [--no-peers]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks import peers
from benchmarks.one_peer import PEERS
from benchmarks.results import write_section
from benchmarks.tables import markdown_table, middle_and_spread
from ttcore import RunConfig
from ttcore.machine import processors

_WARM_UP = 20
_LONGEST_RUN = 600.0
_STACKED_RANKS = range(1, 9)


def _rate(configs: Sequence[RunConfig], steps: int, threads: int) -> float:
    """Run-steps per second of ttcore.train_many by the clock on the wall, from the first event after the warm-up on."""
    from ttcore import train_many
    from ttcore.baselines import full_model
    from ttcore.events import Progress

    full_model(configs[0].data)  # kept from here on, so that it takes no time below
    runs = [
        replace(config, train=replace(config.train, steps=steps + _WARM_UP, threads=threads, device="cpu"))
        for config in configs
    ]
    first: tuple[float, int] | None = None
    last = (0.0, 0)
    for event in train_many(runs):
        if isinstance(event, Progress) and event.run == len(runs) - 1:
            last = (time.perf_counter(), event.step)
            if first is None and event.step >= _WARM_UP:
                first = last
    assert first is not None and last[1] > first[1], "too few steps to time"
    return len(runs) * (last[1] - first[1]) / (last[0] - first[0])


def engine_rate(steps: int, threads: int) -> float:
    """Steps per second of ttcore.train on the reference preset."""
    from ttcore import preset

    return _rate([preset("reference")], steps, threads)


def stacked_rate(steps: int, threads: int) -> float:
    """Run-steps per second of eight ranks of it as one."""
    from ttcore import preset

    return _rate([replace(preset("reference"), ranks=rank) for rank in _STACKED_RANKS], steps, threads)


def naive_rate(steps: int, threads: int) -> float:
    """Steps per second of the naive loop at rank 8."""
    from benchmarks.naive_loop import naive_loop

    return naive_loop(steps, threads).steps_per_second


def dense_rate(steps: int, threads: int) -> float:
    """Steps per second of nn.Linear with torch's Adam."""
    import torch

    from benchmarks.one_peer import IN, OUT, RANK, dense, train_rate

    torch.set_num_threads(threads)
    return train_rate(dense(IN, OUT, RANK), steps)


_SUBJECTS = {"naive": naive_rate, "engine": engine_rate, "stacked": stacked_rate, "dense": dense_rate}


def compare(steps: int, threads: int, repeats: int, with_peers: bool) -> str:
    """Alternate all of them; Markdown tables of the rates and their ratios."""
    rates: dict[str, list[float]] = {name: [] for name in _SUBJECTS}
    figures: dict[str, list[dict[str, float]]] = {}
    failures: dict[str, str] = {}
    for repeat in range(repeats):
        # Whoever goes first meets the cooler machine, so they take turns at that too.
        for name in sorted(_SUBJECTS, reverse=repeat % 2 == 0):
            rates[name].append(_in_a_process(name, steps // 2 if name == "stacked" else steps, threads))
            print(f"{name}: {rates[name][-1]:,.0f} steps/s", file=sys.stderr, flush=True)
        for name in PEERS if with_peers else ():
            found = peers.peer(name, max(100, steps // 10), threads)
            print(name, found, file=sys.stderr, flush=True)
            if isinstance(found, str):
                failures[name] = found
            else:
                figures.setdefault(name, []).append(found)

    def ratio(one: str, other: str) -> str:
        return middle_and_spread([a / b for a, b in zip(rates[one], rates[other], strict=True)])

    rows = [
        ["naive einsum loop, rank 8, steps/s", middle_and_spread(rates["naive"], 0), ""],
        ["nn.Linear with torch's Adam, steps/s", middle_and_spread(rates["dense"], 0), ""],
        ["`ttcore.train`, rank 8, steps/s", middle_and_spread(rates["engine"], 0), ""],
        ["`ttcore.train_many`, ranks 1 to 8 as one, run-steps/s", middle_and_spread(rates["stacked"], 0), ""],
        ["engine / naive loop", ratio("engine", "naive"), "≥ 2.5"],
        ["engine / nn.Linear", ratio("engine", "dense"), "≥ 1.4"],
        ["eight ranks as one / naive loop", ratio("stacked", "naive"), "≥ 4.5"],
    ]
    text = ""
    if figures:
        fastest = peers.best(figures, "steps_per_second")
        rows.append(["engine / best peer", f"{median(rates['engine']) / fastest:.2f}", "≥ 2.5"])
        text = f"\n\nThe peers, in the same turns:\n\n{peers.table(figures, failures)}"
    title = f"reference task, float32, {threads} threads, {steps:,} steps, {repeats} turns"
    return markdown_table([title, "median (lowest to highest)", "wanted"], rows) + text


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
    parser.add_argument("--no-peers", action="store_true", help="leave the public libraries out")
    parser.add_argument("--one", choices=sorted(_SUBJECTS), help="time one of them here and print its rate")
    arguments = parser.parse_args()
    if arguments.one:
        print(_SUBJECTS[arguments.one](arguments.steps, arguments.threads))
        return
    text = compare(arguments.steps, arguments.threads, arguments.repeats, not arguments.no_peers)
    write_section("step-rate", "Training steps (`python -m benchmarks.step_rate`)", text)


if __name__ == "__main__":
    main()
