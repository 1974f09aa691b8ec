from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from dashboard.history import results_json, table
from tests.pictures import classes_run, curve_of, finished_run, run_snapshot
from tests.tables import tiny
from ttcore.config import DataConfig, RunConfig
from ttcore.engine import RunState
from ttcore.events import Best, Scores, StopReason

ALWAYS = [
    "run", "state", "task", "modes", "ranks", "parameters", "parameter ratio",
    "train R²", "test R²", "best R²", "steps done", "seconds",
]  # fmt: skip


def test_no_runs_make_an_empty_table():
    assert table([]) == {name: [] for name in ALWAYS}
    assert results_json([]) == []


def test_one_run_in_one_row():
    run = run_snapshot(tiny())
    assert table([run]) == {
        "run": [1],
        "state": ["steps done"],
        "task": ["Planted"],
        "modes": ["3,4 → 2,2"],
        "ranks": ["2"],
        "parameters": [run.config.shape.num_parameters],
        "parameter ratio": [run.config.shape.parameter_ratio],
        "train R²": [0.9],
        "test R²": [0.5],
        "best R²": [0.91],
        "steps done": [30],
        "seconds": [0.5],
    }


def test_only_settings_in_which_the_runs_differ_have_a_column():
    runs = [
        run_snapshot(tiny(lr=0.1, target=0.5), number=3),
        run_snapshot(tiny(lr=0.02, ranks=4), number=2),
        run_snapshot(tiny(lr=0.02, data_seed=9), number=1),
    ]
    columns = table(runs)
    assert list(columns) == [*ALWAYS, "lr", "target", "data seed"]
    assert columns["lr"] == ["0.1", "0.02", "0.02"]
    assert columns["target"] == ["0.5", "", ""]
    assert columns["data seed"] == ["0", "0", "9"]
    assert columns["ranks"] == ["2", "4", "2"]
    assert all(len(values) == 3 for values in columns.values())


def test_scores_have_the_name_that_they_have_for_these_data():
    classes = run_snapshot(classes_run())
    columns = table([classes])
    assert list(columns) == [name.replace("R²", "accuracy") for name in ALWAYS]
    assert columns["task"] == ["Wine"]
    columns = table([classes, run_snapshot(tiny())])
    assert columns["task"] == ["Wine", "Planted"]
    assert columns["score is"] == ["accuracy", "R²"]
    assert columns["train score"] == [0.9, 0.9] and columns["best score"] == [0.91, 0.91]
    assert not {"train R²", "train accuracy", "source", "title", "key"} & set(columns)


def test_of_two_tables_of_a_persons_own_the_names_stand_in_the_column_of_the_task():
    def of_table(**data: Any) -> Any:
        sizes: dict[str, Any] = {"samples": 40, "features": 12, "outputs": 4, "task": "regression"}
        config = RunConfig(data=DataConfig(source="table", **sizes | data), in_modes=(3, 4), out_modes=(2, 2))
        return run_snapshot(config)

    runs = [of_table(key="0" * 32, title="one.csv"), of_table(key="1" * 32, title="two.csv", task="classification")]
    columns = table(runs)
    assert columns["task"] == ["one.csv", "two.csv"]
    assert not {"key", "title", "source"} & set(columns)


def test_the_ranks_are_those_that_are_trained():
    assert table([run_snapshot(tiny(ranks=1_000_000))])["ranks"] == ["6"]


def test_states_in_words():
    waiting: dict[str, Any] = {"finished": None, "best": None, "started": None, "step": 0, "seconds": 0.0}
    waiting["curve"] = curve_of(np.empty(0))
    runs = [
        run_snapshot(state=RunState.QUEUED, **waiting),
        run_snapshot(state=RunState.RUNNING, **waiting),
        run_snapshot(state=RunState.PAUSED, **waiting),
        run_snapshot(**waiting),
        *(run_snapshot(finished=finished_run(stop_reason=reason)) for reason in StopReason),
    ]
    columns = table(runs)
    assert columns["state"] == [
        "queued", "running", "paused", "failed",
        "steps done", "target reached", "stopped", "converged", "not finite", "failed",
    ]  # fmt: skip
    assert columns["train R²"][:4] == [None] * 4
    assert columns["best R²"][:4] == [None] * 4
    assert results_json(runs[:4]) == []


def test_results_are_plain_json_even_where_nothing_was_reached():
    nothing = Scores(loss=math.inf, score=-math.inf)
    broken = finished_run(train=nothing, test=nothing, best=Best(loss=math.nan, score=math.nan, step=0))
    results = results_json([run_snapshot(number=2), run_snapshot(number=1, finished=broken)])
    assert [result["run"] for result in results] == [2, 1]
    assert results[0]["train"] == {"mse": 0.1, "r2": 0.9}
    assert results[1]["train"] == {"mse": None, "r2": None}
    json.dumps(results, allow_nan=False)
