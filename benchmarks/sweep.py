"""How long do 64 runs take as a sweep, beside the naive loop and beside the same runs one by one in this engine?

Ranks 1 to 16 with four seeds each, 500 steps of Adam on the reference task. The sweep is timed from its start to its
end as the page does it, with its worker process and its closed-form models, and the same runs one by one in the same
engine, each as the Train page does it; the worker is warm, as it is in the app.

    python -m benchmarks.sweep [--steps 500] [--threads 2] [--repeats 3]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.results import write_section
from benchmarks.tables import markdown_table, middle_and_spread
from ttcore import Engine
from ttcore.engine_executor import EngineExecutor
from ttcore.machine import free_memory, processors
from ttcore.sweep import Sweep
from ttcore.sweep_config import SweepConfig
from ttcore.sweep_plan import plan_sweep
from ttcore.sweep_presets import sweep_preset

_LONGEST = 1200.0


def config(steps: int, threads: int) -> SweepConfig:
    """The 64 runs."""
    base = sweep_preset("reference")
    return replace(
        base,
        train=replace(base.train, steps=steps, threads=threads, device="cpu"),
        factorizations=base.factorizations[-1:],
        ranks=tuple(range(1, 17)),
        seeds=(0, 1, 2, 3),
    )


def naive_seconds(steps: int, threads: int) -> float:
    """The naive loop for each rank and seed, one after the other; its training alone."""
    from benchmarks.naive_loop import naive_loop

    sweep = config(steps, threads)
    return sum(naive_loop(steps, threads, rank, seed).seconds for rank in sweep.ranks for seed in sweep.seeds)


def single_seconds(steps: int, threads: int) -> float:
    """Each run by itself in the app's engine, one after the other, as the Train page does them."""
    with _engine(threads) as engine:
        runs = plan_sweep(config(steps, threads), free_memory()).runs
        began = time.perf_counter()
        for run in runs:
            ended = engine.wait(engine.submit(run, "benchmark"), lambda now: not now.active, _LONGEST)
            assert ended is not None and ended.finished is not None, "a run has not ended"
        return time.perf_counter() - began


def sweep_seconds(steps: int, threads: int) -> float:
    """The sweep in the app's engine, closed-form models included."""
    with _engine(threads) as engine:
        began = time.perf_counter()
        sweep = Sweep(config(steps, threads), EngineExecutor(engine)).start()
        assert sweep.wait(_LONGEST)
        seconds = time.perf_counter() - began
        assert len(sweep.snapshot().results) == 64, sweep.snapshot().message
        return seconds


@contextmanager
def _engine(threads: int) -> Iterator[Engine]:
    """One whose worker is warm, as it is in the app."""
    engine = Engine(threads=threads)
    try:
        assert engine.wait_until_ready(120)
        yield engine
    finally:
        engine.close()


_SUBJECTS: dict[str, Callable[[int, int], float]] = {
    "naive": naive_seconds,
    "single": single_seconds,
    "sweep": sweep_seconds,
}


def compare(steps: int, threads: int, repeats: int) -> str:
    """All of them in turns, each in a process of its own; a Markdown table."""
    seconds: dict[str, list[float]] = {name: [] for name in _SUBJECTS}
    for repeat in range(repeats):
        for name in sorted(_SUBJECTS, reverse=repeat % 2 == 0):
            command = [sys.executable, "-m", "benchmarks.sweep", "--one", name]
            command += ["--steps", str(steps), "--threads", str(threads)]
            folder = Path(__file__).resolve().parent.parent
            ended = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, timeout=_LONGEST, check=True)
            seconds[name].append(float(ended.stdout))
            print(f"{name}: {seconds[name][-1]:.1f} s", file=sys.stderr, flush=True)

    def ratio(one: str, other: str) -> str:
        return middle_and_spread([a / b for a, b in zip(seconds[one], seconds[other], strict=True)])

    rows = [
        ["naive loop, one after the other, s", middle_and_spread(seconds["naive"], 1), ""],
        ["the same runs one by one in the same engine, s", middle_and_spread(seconds["single"], 1), ""],
        ["the sweep, s", middle_and_spread(seconds["sweep"], 1), ""],
        ["sweep / naive loop", ratio("sweep", "naive"), "≤ 0.33"],
        ["sweep / one by one", ratio("sweep", "single"), "≤ 0.7"],
    ]
    title = f"reference task, ranks 1 to 16 × 4 seeds, {steps} steps, {threads} threads, {repeats} turns"
    return markdown_table([title, "median (lowest to highest)", "wanted"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", choices=sorted(_SUBJECTS), help="time one of them here and print its seconds")
    arguments = parser.parse_args()
    if arguments.one:
        print(_SUBJECTS[arguments.one](arguments.steps, arguments.threads))
        return
    text = compare(arguments.steps, arguments.threads, arguments.repeats)
    write_section("sweep", "A sweep of 64 runs (`python -m benchmarks.sweep`)", text)


if __name__ == "__main__":
    main()
