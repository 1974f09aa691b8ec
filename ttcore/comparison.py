"""What a TT layer is to be compared with on its data, at every size: so that it is never held against a straw man."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ttcore import logistic
from ttcore.baselines import full_model
from ttcore.config import DataConfig
from ttcore.control import Control, Turn
from ttcore.datasets import Dataset, load
from ttcore.linear_models import closed_forms
from ttcore.results import Baseline


def compare(config: DataConfig) -> tuple[Baseline, ...]:
    """The full model, ridge, low rank by rank, without and with a penalty, and the constant prediction, in this order.

    Of classes low rank comes once, as logistic regression with a penalty. Kept for the last few data sets.
    """
    return _kept(config)


@lru_cache(maxsize=8)
def _kept(config: DataConfig) -> tuple[Baseline, ...]:
    return tuple(model for part in PARTS for model in part(config))


def compare_in_steps(
    data: Any, control: Control | None = None, state: dict[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """The same, with a look at the control between models: {"state": ...} at a pause, last {"value": models}.

    data: as DataConfig.to_json gives it. state: of an earlier pause. What a stop ends has no value.
    """
    control, config = control or Control(), DataConfig.from_json(data)
    models: list[Baseline] = list(state["models"]) if state else []
    done = state["parts"] if state else 0
    while done < len(PARTS):
        match control.turn():
            case Turn.STOP:
                return
            case Turn.PAUSE:
                yield {"state": {"parts": done, "models": models}}
                control.wait_while_paused()
            case _:
                models += PARTS[done](config)
                done += 1
                yield {"fraction": done / len(PARTS)}
    yield {"value": models}


def _full(config: DataConfig) -> list[Baseline]:
    full = full_model(config)
    return [Baseline(kind="full", parameters=full.parameters, train=full.train, test=full.test)]


def _others(config: DataConfig) -> list[Baseline]:
    dataset = load(config)
    return list(_classifiers(dataset) if dataset.classes else closed_forms(dataset))


def _constant(config: DataConfig) -> list[Baseline]:
    dataset = load(config)
    value = np.log(logistic.constant(dataset.y_train)) if dataset.classes else dataset.y_train.mean(0)
    train, test = dataset.scores_of(lambda x: np.tile(value, (len(x), 1)))
    return [Baseline(kind="constant", parameters=0, train=train, test=test)]


# What is fitted one after another, so that somebody else may have the processors in between.
PARTS: tuple[Callable[[DataConfig], list[Baseline]], ...] = (_full, _others, _constant)


def _classifiers(dataset: Dataset) -> Iterator[Baseline]:
    x, onehot = dataset.sample(logistic.MAX_SAMPLES)
    ridge = logistic.ridge(x, onehot)
    train, test = (replace(scores, loss=math.nan) for scores in dataset.scores_of(ridge.values))
    yield Baseline(kind="ridge", parameters=ridge.parameters, penalty=ridge.penalty, train=train, test=test)
    for model in logistic.low_rank(x, onehot):
        train, test = dataset.scores_of(model.logits)
        yield Baseline(
            kind="low_rank",
            rank=model.rank,
            parameters=model.parameters,
            penalty=model.penalty,
            train=train,
            test=test,
        )


@dataclass(frozen=True)
class EqualSize:
    """What stands beside a layer of some size: one model of each kind, and what a person should know of it."""

    models: tuple[Baseline, ...]
    note: str


def at_equal_size(models: Sequence[Baseline], parameters: int) -> EqualSize:
    """The constant, full and ridge models, and of each low-rank kind the one whose size is nearest to `parameters`.

    The note says so where even rank 1 is larger than that.
    """
    chosen = [model for model in models if model.rank is None]
    note = ""
    for kind in ("low_rank", "low_rank_ridge"):
        ranked = [model for model in models if model.kind == kind]
        if ranked:
            # Of two that are as near the larger one, so that the layer is not flattered.
            chosen.append(min(ranked, key=lambda model: (abs(model.parameters - parameters), -model.parameters)))
            least = min(model.parameters for model in ranked)
            if least > parameters:
                note = (
                    f"Even a matrix of rank 1 has {least:,} weights, more than this layer's {parameters:,}; it is what "
                    "stands nearest."
                )
    return EqualSize(tuple(chosen), note)
