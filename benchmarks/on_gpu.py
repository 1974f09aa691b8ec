"""On a GPU: how long is a step, beside the naive loop there, and how long are 64 runs as one?

python -m benchmarks.on_gpu [--steps 3000] [--repeats 5]
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from benchmarks.naive_loop import naive_loop
from benchmarks.results import write_section
from benchmarks.tables import markdown_table, middle_and_spread
from ttcore import preset, train_many
from ttcore.baselines import full_model
from ttcore.events import Finished

_STACKED = 64


def seconds_per_step(runs: int, steps: int) -> float:
    """Training time of a step of so many runs as one, by the engine's own count."""
    base = preset("reference")
    full_model(base.data)
    configs = [replace(base, train=replace(base.train, steps=steps, device="cuda", seed=seed)) for seed in range(runs)]
    ends = [event for event in train_many(configs) if isinstance(event, Finished)]
    return max(event.seconds for event in ends) / steps


def measure(steps: int, repeats: int) -> str:
    naive, alone, stacked = [], [], []
    seconds_per_step(1, 200)
    for _ in range(repeats):
        naive.append(1 / naive_loop(steps, 1, device="cuda").steps_per_second)
        alone.append(seconds_per_step(1, steps))
        stacked.append(seconds_per_step(_STACKED, steps))

    def ratio(one: list[float], other: list[float]) -> str:
        return middle_and_spread([a / b for a, b in zip(one, other, strict=True)])

    rows = [
        ["naive einsum loop, µs a step", middle_and_spread([1e6 * value for value in naive], 0), ""],
        ["engine, µs a step", middle_and_spread([1e6 * value for value in alone], 1), "≤ 60 on an H100"],
        ["naive loop / engine", ratio(naive, alone), "≥ 10"],
        [f"{_STACKED} runs as one, µs a step", middle_and_spread([1e6 * value for value in stacked], 1), ""],
        [f"{_STACKED} runs as one / one run", ratio(stacked, alone), "≤ 3"],
    ]
    title = f"reference task, float32, {steps:,} steps, {repeats} turns"
    return markdown_table([title, "median (lowest to highest)", "wanted"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    title = "On a GPU (`python -m benchmarks.on_gpu`)"
    if not torch.cuda.is_available():
        write_section(
            "on-gpu",
            title,
            "No CUDA GPU was at hand: nothing was measured, and of CUDA graphs only the fallback is tested.",
        )
        return
    text = measure(arguments.steps, arguments.repeats)
    write_section("on-gpu", title, text, torch.device("cuda"))


if __name__ == "__main__":
    main()
