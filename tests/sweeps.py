"""Small sweeps, and results as sweeps need them, made up without any training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.tables import tiny
from ttcore.config import DataConfig, RunConfig, TrainConfig
from ttcore.events import Best, Scores, StopReason
from ttcore.results import Baseline, RunResult
from ttcore.sweep_config import Factorization, SweepConfig

ROOM = 2**30


def grid(**changes: Any) -> SweepConfig:
    """A sweep over the tiny run's data; `changes` are the grid's lists, or settings of the run by their own names."""
    lists = {name: changes.pop(name) for name in ("ranks", "seeds", "rates", "optimizers") if name in changes}
    factorizations = changes.pop("factorizations", ())
    run = tiny(**changes)
    return SweepConfig(data=run.data, train=run.train, factorizations=factorizations, **lists)


def grid_of_classes(**changes: Any) -> SweepConfig:
    """A sweep over the wines: 13 features, three classes."""
    usual: dict[str, Any] = {"ranks": (1, 2), "seeds": (0, 1), "factorizations": ("5,3->2,2", "13,1->1,3")}
    train = TrainConfig(lr=0.02, steps=30, threads=1, device="cpu")
    return SweepConfig(data=DataConfig(source="wine"), train=train, **usual | changes)


def made_up(config: RunConfig | None = None, **changes: Any) -> RunResult:
    """A result that nobody has trained for; a number for `train` or `test` is its R²."""
    config = config or tiny()
    for part in ("train", "test", "best_test"):
        if isinstance(changes.get(part), int | float):
            changes[part] = Scores(loss=1 - changes[part], score=changes[part])
    values: dict[str, Any] = {
        "config": config,
        "device": "cpu",
        "device_name": "a processor",
        "threads": 1,
        "plan": "left to right",
        "stacked": 1,
        "stop_reason": StopReason.STEPS_DONE,
        "steps": config.train.steps,
        "seconds": 0.25,
        "train": Scores(loss=0.1, score=0.9),
        "test": Scores(loss=0.2, score=0.8),
        "best": Best(loss=0.05, score=0.95, step=config.train.steps - 1),
        "best_test": Scores(loss=0.3, score=0.7),
        "cores": tuple(np.ones(shape) for shape in config.shape.core_shapes),
        "losses": np.linspace(1, 0.1, config.train.steps),
        "measured": np.array([[1.0, 0.1, 0.5, 0.5, 0.6, 0.4]]),
    }
    return RunResult(**values | changes)


def full(train: float = 1.0, test: float = 0.1) -> Baseline:
    """A full model of these R²."""
    scores = [Scores(loss=1 - r2, score=r2) for r2 in (train, test)]
    return Baseline(kind="full", parameters=48, train=scores[0], test=scores[1])


# Whatever a file may hold.
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([10**400, -1, 0, 1, "adam", "8,8->2,2", "8->", math.inf, math.nan]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)

_modes = st.integers(1, 3).flatmap(lambda d: st.tuples(*[st.tuples(*[st.integers(1, 4)] * d)] * 2))


@st.composite
def sweep_configs(draw: st.DrawFn) -> SweepConfig:
    """Any grid of a moderate size."""
    if draw(st.booleans()):
        data = DataConfig()
    else:
        ins, outs = draw(_modes)
        data = DataConfig(
            source="planted",
            teacher_in_modes=ins,
            teacher_out_modes=outs,
            teacher_ranks=draw(st.integers(1, 5)),
            train_samples=draw(st.integers(2, 200)),
            test_samples=draw(st.integers(2, 200)),
            noise=draw(st.floats(0, 10)),
        )
    train = TrainConfig(
        optimizer=draw(st.sampled_from(["adam", "sgd", "lbfgs", "als"])),
        lr=draw(st.floats(0, 1000, exclude_min=True)),
        steps=draw(st.integers(1, 10**7)),
        seed=draw(st.integers(0, 2**32 - 1)),
        threads=draw(st.none() | st.integers(1, 8)),
        dtype=draw(st.sampled_from(["float32", "float64"])),
        target=draw(st.none() | st.floats(-5, 1)),
    )
    balanced = [Factorization.balanced(data, d) for d in (1, 2, 3, 4)]
    return SweepConfig(
        data=data,
        train=train,
        factorizations=tuple(draw(st.lists(st.sampled_from([*balanced, Factorization.low_rank(data)]), max_size=4))),
        ranks=tuple(draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))),
        seeds=tuple(draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4))),
        rates=tuple(draw(st.lists(st.floats(0, 1000, exclude_min=True), max_size=3))),
        optimizers=tuple(draw(st.lists(st.sampled_from(["adam", "sgd", "lbfgs", "als"]), max_size=4))),
    )
