"""What stands beside a run's layer at its size: models on the same data, which the engine fits once the run has ended.

The table has its rows from the start; numbers that are still to come are dashes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import CancelledError
from typing import Any

import streamlit as st

from dashboard import session
from ttcore.comparison import at_equal_size
from ttcore.config import RunConfig
from ttcore.engine import RunSnapshot
from ttcore.errors import InputError
from ttcore.events import Finished, FullModel, Scores
from ttcore.jobs import TaskFuture, WorkerLostError
from ttcore.results import Baseline, BaselineKind
from ttcore.scoring import Task

# Seconds between two looks at whether the models have been fitted.
TICK = 0.5
PENDING = "The models to compare with are being fitted …"
EXPLAINED = "Of low rank stands the size nearest to the layer's. Penalties are chosen by cross-validation."
FULL_METHODS: dict[Task, str] = {"regression": "least squares", "classification": "logistic regression"}
# In the order of the rows.
_NAMES: dict[Task, dict[BaselineKind, str]] = {
    "regression": {
        "full": "full model (least squares)",
        "ridge": "ridge",
        "low_rank": "low rank",
        "low_rank_ridge": "low rank with ridge",
        "constant": "constant (the mean)",
    },
    "classification": {
        "full": "full model (logistic regression)",
        "ridge": "ridge on the classes",
        "low_rank": "low rank",
        "constant": "constant (class shares)",
    },
}


def comparison_view(run: RunSnapshot, finished: Finished) -> None:
    """The table, which looks for its models until they are there."""
    future = session.comparisons().ask(run.config.data)
    waiting = not future.done()
    with st.container(key="at_equal_size"):
        st.subheader("At equal size")
        st.fragment(_draw, run_every=TICK if waiting else None)(run, finished, future, waiting)


def _draw(run: RunSnapshot, finished: Finished, future: TaskFuture, waiting: bool) -> None:
    if waiting and future.done():
        # The end of the ticking belongs to the whole page.
        st.rerun()
    models, told = ((), PENDING) if waiting else _answer(run.config, future)
    table = comparison_table(run.config, finished, run.full_model, models)
    _, weights, share, *scores, loss = table
    st.dataframe(
        table,
        key="comparison",
        hide_index=True,
        placeholder="–",
        column_config={
            weights: st.column_config.NumberColumn(format="localized"),
            share: st.column_config.NumberColumn(format="percent"),
            **{name: st.column_config.NumberColumn(format="%.4f") for name in scores},
            loss: st.column_config.NumberColumn(format="%.4g"),
        },
    )
    st.caption(told)


def _answer(config: RunConfig, future: TaskFuture) -> tuple[Sequence[Baseline], str]:
    """The models at the layer's size and what to know of them; none of them, and why."""
    try:
        beside = at_equal_size(future.result(), config.shape.num_parameters)
    except (InputError, WorkerLostError, CancelledError) as error:
        session.comparisons().forget(config.data, future)
        why = str(error).rstrip(".") or "the engine was closed"
        return (), f"The models to compare with could not be fitted: {why}. The next click here tries again."
    return beside.models, beside.note or EXPLAINED


def comparison_table(
    config: RunConfig, finished: Finished, full: FullModel | None, models: Sequence[Baseline]
) -> dict[str, list[Any]]:
    """Columns of equal length: the layer, and a row for each kind of model; None where there is no number (yet)."""
    shape, scoring = config.shape, config.data.scoring
    rows: list[_Row] = [("TT layer (this run)", shape.num_parameters, finished.train, finished.test)]
    found = {model.kind: model for model in models}
    for kind, name in _NAMES[config.data.task_kind].items():
        if model := found.get(kind):
            rank = "" if model.rank is None else f" (rank {model.rank})"
            rows.append((name + rank, model.parameters, model.train, model.test))
        elif kind == "full" and full is not None:
            rows.append((name, full.parameters, full.train, full.test))
        elif not models:
            rows.append((name, None, _UNKNOWN, _UNKNOWN))
    return {
        "model": [name for name, *_ in rows],
        "weights": [weights for _, weights, *_ in rows],
        "share of full": [None if weights is None else weights / shape.dense_parameters for _, weights, *_ in rows],
        f"train {scoring.score_title}": [_finite(train.score) for *_, train, _ in rows],
        f"test {scoring.score_title}": [_finite(test.score) for *_, test in rows],
        f"test {scoring.loss_short}": [_finite(test.loss) for *_, test in rows],
    }


# A name, weights, and scores on train and test.
_Row = tuple[str, int | None, Scores, Scores]
_UNKNOWN = Scores(loss=math.nan, score=math.nan)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
