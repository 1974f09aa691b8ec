"""A table of runs: what every row shows, and the settings in which the runs differ. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ttcore.config import differing_settings
from ttcore.engine import RunSnapshot
from ttcore.parse import show_modes
from ttcore.report import result_object


def table(runs: Sequence[RunSnapshot]) -> dict[str, list[Any]]:
    """Columns of equal length, one entry a run; settings that all runs share are left out."""
    differing = differing_settings([run.config for run in runs])
    names = list(differing[0]) if differing else []
    shown_anyway = ("in_modes", "out_modes", "ranks")
    columns: dict[str, list[Any]] = {
        "run": [run.number for run in runs],
        "state": [_state(run) for run in runs],
        "task": [run.config.data.source for run in runs],
        "modes": [f"{show_modes(run.config.in_modes)} → {show_modes(run.config.out_modes)}" for run in runs],
        "ranks": [show_modes(run.config.shape.ranks) for run in runs],
        "parameters": [run.config.shape.num_parameters for run in runs],
        "parameter ratio": [run.config.shape.parameter_ratio for run in runs],
        "train R²": [run.finished.train.r2 if run.finished else None for run in runs],
        "test R²": [run.finished.test.r2 if run.finished else None for run in runs],
        "best R²": [run.best.r2 if run.best else None for run in runs],
        "steps done": [run.step for run in runs],
        "seconds": [run.seconds for run in runs],
    }
    for name in names:
        if name not in shown_anyway and name != "source":
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
