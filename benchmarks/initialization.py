"""Which start trains best as TTLinear's own default: unit, glorot or he?

TTLinear, with bias, is trained with Adam at several constant rates on tasks of different shapes, two to six cores,
ranks 2 to 16. Every start is drawn from the same seeds. What counts, per task and seed, are the training loss (mean of
the last ten steps) and, where the task can be learned at all, the score on unseen samples (R², or the share of digits
named rightly); both once at the start's own best rate (lowest median training loss over the seeds) and once at the
common rate of 0.01, which stands for a user who tunes nothing.

The rule: on each of these the three starts are ranked 1 to 3, equal values (to three digits) sharing their rank. The
mean over seeds and columns is the task's mean rank, the mean over tasks decides, and the lowest wins.

    python -m benchmarks.initialization [--seeds 3] [--steps 300]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import inf, isfinite, prod
from multiprocessing import get_context
from statistics import mean, median

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.results import write_section
from benchmarks.tables import markdown_table
from ttcore import DataConfig, TTLinear, TTShape, load
from ttcore.layers import INITS
from ttcore.metrics import scores

RATES = (0.01, 0.03, 0.1)
COMMON_RATE = 0.01
_LAST_STEPS = 10

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task:
    """Data and the layers that are to learn them, one after the other with ReLU between."""

    name: str
    data: Callable[[], Arrays]
    layers: tuple[TTShape, ...]
    classes: bool = False
    # Whether unseen samples can be predicted at all.
    learnable: bool = True


@dataclass(frozen=True)
class Outcome:
    """How one training ended; `score` is NaN where it does not count."""

    loss: float
    score: float


def _reference() -> Arrays:
    data = load(DataConfig())
    return data.x_train, data.y_train, data.x_test, data.y_test


def _planted(in_modes: tuple[int, ...], out_modes: tuple[int, ...], rank: int) -> Callable[[], Arrays]:
    config = DataConfig(
        source="planted",
        teacher_in_modes=in_modes,
        teacher_out_modes=out_modes,
        teacher_ranks=rank,
        train_samples=max(256, prod(in_modes) // 2),
        test_samples=512,
        noise=0.1,
    )

    def draw() -> Arrays:
        data = load(config)
        return data.x_train, data.y_train, data.x_test, data.y_test

    return draw


def _digits() -> Arrays:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x - x.mean()) / x.std()
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1000], order[1000:]
    return x[train], y[train], x[test], y[test]


def _layer(in_modes: tuple[int, ...], out_modes: tuple[int, ...], rank: int, out: int | None = None) -> TTShape:
    return TTShape(in_modes, out_modes, rank, out_features=out).clipped()


_LONG = ((4, 4, 4, 4, 4), (2, 2, 2, 2, 1))
_SIX = ((4, 4, 4, 4, 2, 2), (2, 2, 2, 2, 2, 1))
_THREE = ((8, 8, 8), (4, 2, 2))

TASKS = (
    Task("regression, d = 4, rank 8", _reference, (_layer((8,) * 4, (2,) * 4, 8),), learnable=False),
    Task("regression, d = 2, rank 4", _reference, (_layer((64, 64), (4, 4), 4),), learnable=False),
    Task("regression, d = 6, rank 16", _reference, (_layer((4,) * 6, (2, 2, 2, 2, 1, 1), 16),), learnable=False),
    Task("planted rank 2, d = 3, rank 4", _planted(*_THREE, 2), (_layer(*_THREE, 4),)),
    Task("planted rank 4, d = 5, rank 4", _planted(*_LONG, 4), (_layer(*_LONG, 4),)),
    Task("planted rank 4, d = 5, rank 8", _planted(*_LONG, 4), (_layer(*_LONG, 8),)),
    Task("planted rank 3, d = 6, rank 6", _planted(*_SIX, 3), (_layer(*_SIX, 6),)),
    Task("digits, d = 2, rank 8", _digits, (_layer((8, 8), (5, 2), 8),), classes=True),
    Task("digits, d = 3, rank 4", _digits, (_layer((4, 4, 4), (3, 2, 2), 4, 10),), classes=True),
    Task("digits, d = 6, rank 2", _digits, (_layer((2,) * 6, (5, 2, 1, 1, 1, 1), 2),), classes=True),
    Task(
        "digits, two layers, d = 3, rank 8",
        _digits,
        (_layer((4, 4, 4), (4, 4, 4), 8), _layer((4, 4, 4), (3, 2, 2), 8, 10)),
        classes=True,
    ),
    Task(
        "digits, two wide layers, d = 4, rank 16",
        _digits,
        (_layer((4, 4, 2, 2), (4, 4, 4, 4), 16), _layer((4, 4, 4, 4), (3, 2, 2, 1), 16, 10)),
        classes=True,
    ),
    Task(
        "digits, three layers, d = 3, rank 4",
        _digits,
        (_layer((4, 4, 4), (8, 4, 4), 4), _layer((8, 4, 4), (4, 4, 4), 4), _layer((4, 4, 4), (3, 2, 2), 4, 10)),
        classes=True,
    ),
)


@lru_cache(maxsize=1)
def _tensors(task: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x_train, y_train, x_test, y_test = TASKS[task].data()
    target = torch.int64 if TASKS[task].classes else torch.float32
    return (
        torch.tensor(x_train, dtype=torch.float32),
        torch.tensor(y_train, dtype=target),
        torch.tensor(x_test, dtype=torch.float32),
        torch.tensor(y_test, dtype=target),
    )


def train_once(task: int, init: str, rate: float, seed: int, steps: int) -> Outcome:
    """Train task number `task` from one start at one rate."""
    x_train, y_train, x_test, y_test = _tensors(task)
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential()
    for number, shape in enumerate(TASKS[task].layers):
        if number:
            model.append(nn.ReLU())
        model.append(TTLinear(shape, init=init, generator=generator))
    loss_of = nn.functional.cross_entropy if TASKS[task].classes else nn.functional.mse_loss
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model(x_train), y_train)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    final = mean(losses[-_LAST_STEPS:])
    with torch.no_grad():
        predicted = model(x_test)
    if not isfinite(final):
        return Outcome(inf, -inf)
    if not TASKS[task].learnable:
        return Outcome(final, float("nan"))
    if TASKS[task].classes:
        return Outcome(final, (predicted.argmax(1) == y_test).float().mean().item())
    return Outcome(final, scores(predicted, y_test).score)


def _train_all(jobs: list[tuple[int, str, float, int, int]]) -> list[Outcome]:
    """Every job, spread over processes of one thread each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(train_once, *zip(*jobs, strict=True), chunksize=len(RATES) * len(INITS)))


def mean_ranks(values: list[float], lowest_is_best: bool) -> list[float]:
    """The rank of each value from 1, equal values sharing the mean of their places; to three digits."""
    keys = [float(f"{value:.3g}") * (1 if lowest_is_best else -1) for value in values]
    return [mean(place for place, other in enumerate(sorted(keys), 1) if other == key) for key in keys]


def measure(seeds: int, steps: int) -> str:
    """Train everything; the table, and the winner by the rule above."""
    settings = list(product(range(len(TASKS)), range(seeds), INITS, RATES))
    outcomes = dict(
        zip(settings, _train_all([(task, init, rate, seed, steps) for task, seed, init, rate in settings]), strict=True)
    )
    rows = []
    totals: dict[str, list[float]] = {init: [] for init in INITS}
    for number, task in enumerate(TASKS):
        best = {
            init: min(RATES, key=lambda rate: median(outcomes[number, seed, init, rate].loss for seed in range(seeds)))
            for init in INITS
        }
        ranks: dict[str, list[float]] = {init: [] for init in INITS}
        for seed, at_best in product(range(seeds), (True, False)):
            ended = [outcomes[number, seed, init, best[init] if at_best else COMMON_RATE] for init in INITS]
            columns = [mean_ranks([outcome.loss for outcome in ended], lowest_is_best=True)]
            if task.learnable:
                columns.append(mean_ranks([outcome.score for outcome in ended], lowest_is_best=False))
            for column in columns:
                for init, rank in zip(INITS, column, strict=True):
                    ranks[init].append(rank)
        for init in INITS:
            totals[init].append(mean(ranks[init]))
            row = [task.name if init == INITS[0] else "", init, f"{best[init]:g}"]
            for rate in (best[init], COMMON_RATE):
                runs = [outcomes[number, seed, init, rate] for seed in range(seeds)]
                row.append(f"{median(run.loss for run in runs):.3g}")
                row.append(f"{median(run.score for run in runs):.3f}" if task.learnable else "")
            rows.append([*row, f"{totals[init][-1]:.2f}"])
    at_common = [f"loss at {COMMON_RATE}", f"score at {COMMON_RATE}"]
    header = ["task", "start", "best rate", "loss", "score", *at_common, "rank"]
    overall = {init: mean(values) for init, values in totals.items()}
    verdict = ", ".join(f"{init} {rank:.2f}" for init, rank in sorted(overall.items(), key=lambda item: item[1]))
    return (
        f"{markdown_table(header, rows)}\n\nMedians over {seeds} seeds, {steps} steps. "
        f"Mean rank over {len(TASKS)} tasks: {verdict}. Winner: **{min(overall, key=lambda init: overall[init])}**."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    text = measure(arguments.seeds, arguments.steps)
    write_section("initialization", "Starts (`python -m benchmarks.initialization`)", text)


if __name__ == "__main__":
    main()
