"""Real data, held out five times: the presets' layers beside the models of equal size; and large data, from disk.

Scores do not depend on the machine; the seconds and the memory of the large data do.

    python -m benchmarks.real_data [--threads 2] [--large]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from benchmarks.results import write_section
from benchmarks.tables import markdown_table
from ttcore import DataConfig, RunConfig, TrainConfig, load, preset, train
from ttcore.comparison import compare
from ttcore.events import Finished
from ttcore.machine import processors
from ttcore.results import Baseline

_SPLITS = range(5)
# Modes and rank of the digits' layers.
_DIGITS = [((8, 8), (5, 2), 6), ((8, 8), (5, 2), 4), ((8, 8), (2, 5), 6), ((8, 8), (2, 5), 4), ((64, 1), (1, 10), 3)]
_LARGE = RunConfig(
    data=DataConfig(
        source="regression", samples=100_000, features=4_096, informative=128, outputs=16, noise=0.3, seed=0
    ),
    in_modes=(8, 8, 8, 8),
    out_modes=(2, 2, 2, 2),
    ranks=8,
    train=TrainConfig(lr=0.02, schedule="decay", steps=300, batch_size=1_024),
)


def trained(config: RunConfig, threads: int) -> Finished:
    config = replace(config, train=replace(config.train, threads=threads, device="cpu"))
    return next(event for event in train(config) if isinstance(event, Finished))


def split(config: RunConfig, seed: int) -> RunConfig:
    """The same run on another hold-out."""
    kept = {name: getattr(config.data, name) for name in ("source", "test_fraction")}
    return replace(config, data=DataConfig(**kept, split_seed=seed))


def scores_of(values: Sequence[float]) -> str:
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def digits(threads: int) -> str:
    base = preset("digits")
    rows = []
    for in_modes, out_modes, rank in _DIGITS:
        config = replace(base, in_modes=in_modes, out_modes=out_modes, ranks=rank)
        tests = [trained(split(config, seed), threads).test.score for seed in _SPLITS]
        rows.append([f"TT {in_modes} → {out_modes}, rank {rank}", f"{config.shape.num_parameters}", scores_of(tests)])
        print(rows[-1], file=sys.stderr, flush=True)
    by_name: dict[tuple[str, int], list[Baseline]] = {}
    for seed in _SPLITS:
        for model in compare(split(base, seed).data):
            if (model.rank or 0) <= 5:
                name = "logistic regression" if model.kind == "full" else model.kind.replace("_", " ")
                by_name.setdefault(
                    (f"{name}{f', rank {model.rank}' if model.rank else ''}", model.parameters), []
                ).append(model)
    for (name, parameters), models in by_name.items():
        rows.append([name, f"{parameters}", scores_of([model.test.score for model in models])])
    return markdown_table(["digits, 5 hold-outs of 20 %", "weights", "test accuracy, median (range)"], rows)


def diabetes(threads: int) -> str:
    base = preset("diabetes")
    rows = []
    for seed in _SPLITS:
        config = split(base, seed)
        least = next(model for model in compare(config.data) if model.kind == "full")
        reached = trained(config, threads).test.score
        rows.append([f"{seed}", f"{reached:.4f}", f"{least.test.score:.4f}", f"{reached - least.test.score:+.4f}"])
    return markdown_table(["diabetes, hold-out", "TT, full useful rank, test R²", "least squares", "difference"], rows)


def large(threads: int) -> str:
    began = time.perf_counter()
    load(_LARGE.data)
    drawn, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    end = trained(_LARGE, threads)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    began = time.perf_counter()
    models = {model.kind: model for model in compare(_LARGE.data) if model.rank is None}
    compared = time.perf_counter() - began
    rows = [
        ["drawn, split, scaled and written, once: seconds", f"{drawn:.0f}"],
        ["its peak of memory, GiB", f"{peak:.1f}"],
        [f"{end.step} steps of {_LARGE.batch} samples: steps per second", f"{end.step / end.seconds:.1f}"],
        ["peak of memory after training, GiB", f"{after:.1f}"],
        ["test R² of the TT layer, 2,304 weights", f"{end.test.score:.4f}"],
        ["seconds for the models to compare with", f"{compared:.0f}"],
        ["test R² of least squares, of ridge", f"{models['full'].test.score:.4f}, {models['ridge'].test.score:.4f}"],
    ]
    return markdown_table([f"100,000 × 4,096, {threads} threads", ""], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--large", action="store_true", help="the large data too: minutes, and 10 GiB of memory")
    arguments = parser.parse_args()
    parts = [digits(arguments.threads), diabetes(arguments.threads)]
    if arguments.large:
        parts.append(large(arguments.threads))
    write_section("real_data", "Real data (`python -m benchmarks.real_data --large`)", "\n\n".join(parts))


if __name__ == "__main__":
    main()
