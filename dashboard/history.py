"""A table of runs: what every row shows, and the settings in which the runs differ. Imports no streamlit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ttcore.config import DataConfig, differing_settings
from ttcore.engine import RunSnapshot
from ttcore.parse import show_modes
from ttcore.report import result_object
from ttcore.scoring import REGRESSION

# Settings that only say which data; a person calls them by their name.
NAMES_OF_DATA = ("source", "title", "key", "task")
# All of the data, as flat_settings names them.
DATA_SETTINGS = tuple("data_seed" if field.name == "seed" else field.name for field in fields(DataConfig))


def table(runs: Sequence[RunSnapshot]) -> dict[str, list[Any]]:
    """Columns of equal length, one entry a run; settings that all runs share are left out."""
    differing = differing_settings([run.config for run in runs])
    names = list(differing[0]) if differing else []
    shown_anyway = ("in_modes", "out_modes", "ranks", *NAMES_OF_DATA)
    scorings = list(dict.fromkeys(run.config.data.scoring for run in runs)) or [REGRESSION]
    score = scorings[0].score_title if len(scorings) == 1 else "score"
    columns: dict[str, list[Any]] = {
        "run": [run.number for run in runs],
        "state": [_state(run) for run in runs],
        "task": [run.config.data.name for run in runs],
        "modes": [f"{show_modes(run.config.in_modes)} → {show_modes(run.config.out_modes)}" for run in runs],
        "ranks": [show_modes(run.config.shape.ranks) for run in runs],
        "parameters": [run.config.shape.num_parameters for run in runs],
        "parameter ratio": [run.config.shape.parameter_ratio for run in runs],
        **({"score is": [run.config.data.scoring.score_title for run in runs]} if len(scorings) > 1 else {}),
        f"train {score}": [run.finished.train.score if run.finished else None for run in runs],
        f"test {score}": [run.finished.test.score if run.finished else None for run in runs],
        f"best {score}": [run.best.score if run.best and math.isfinite(run.best.score) else None for run in runs],
        "steps done": [run.step for run in runs],
        "seconds": [run.seconds for run in runs],
    }
    for name in names:
        if name not in shown_anyway:
            columns[name.replace("_", " ")] = [_plain(row[name]) for row in differing]
    return columns


def results_json(runs: Sequence[RunSnapshot]) -> list[dict[str, Any]]:
    """The result object of every run that has one, newest first."""
    return [
        {"run": run.number} | result_object(run.config, run.started, run.finished, run.full_model)
        for run in runs
        if run.finished is not None and run.started is not None
    ]


def _state(run: RunSnapshot) -> str:
    if run.finished is not None:
        return run.finished.stop_reason.value.replace("_", " ")
    return run.state.value if run.active else "failed"


def _plain(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, list) else "" if value is None else str(value)
