"""A sweep as a table: only what differs, best and last value both. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from ttcore.frontier import Point
from ttcore.results import Baseline, RunResult
from ttcore.sweep_config import WITHOUT_RATE, Factorization

_SCORES = ("train R²", "best train R²", "test R²", "test R² at best")
# Shown whatever they are: without them a row has no name.
_ALWAYS = ("model", "rank", "parameters", *_SCORES)


def configuration_table(points: Sequence[Point], results: Mapping[int, RunResult]) -> dict[str, list[Any]]:
    """Columns of equal length, one entry a configuration: medians over its seeds."""
    rows = []
    for point in points:
        runs = [results[place] for place in point.places]
        scores = {name: median(_scores(run)[name] for run in runs) for name in _SCORES}
        spread = [_scores(run)["test R²"] for run in runs]
        rows.append(
            _settings(runs[0])
            | {"seeds": point.seeds}
            | scores
            | {"test R² lowest": min(spread), "test R² highest": max(spread)}
        )
    return _columns(rows, always=_ALWAYS)


def run_table(results: Mapping[int, RunResult]) -> dict[str, list[Any]]:
    """Columns of equal length, one entry a run in the order of the grid."""
    rows = []
    for _, run in sorted(results.items()):
        ends = {"best at step": run.best.step, "steps": run.steps, "ended": run.stop_reason.value.replace("_", " ")}
        rows.append(_settings(run) | {"seed": run.config.train.seed} | _scores(run) | ends | {"seconds": run.seconds})
    return _columns(rows, always=(*_ALWAYS, "seed"))


def baseline_table(baselines: Sequence[Baseline]) -> dict[str, list[Any]]:
    """The models to compare with."""
    rows = [
        {
            "model": model.kind.replace("_", " "),
            "rank": model.rank,
            "parameters": model.parameters,
            "penalty": model.penalty,
            "train R²": model.train.r2,
            "test R²": model.test.r2,
        }
        for model in baselines
    ]
    return _columns(rows, always=("model", "rank", "parameters", "penalty", "train R²", "test R²"))


def _settings(run: RunResult) -> dict[str, Any]:
    config, shape = run.config, run.config.shape
    return {
        "factorization": Factorization(config.in_modes, config.out_modes).label,
        "cores": shape.num_cores,
        "rank": config.ranks if isinstance(config.ranks, int) else max(config.ranks, default=1),
        # Said where it is not the rank asked for at every bond.
        "ranks trained": "" if set(shape.ranks) <= {config.ranks} else "·".join(map(str, shape.ranks)),
        "optimizer": config.train.optimizer,
        "rate": None if config.train.optimizer in WITHOUT_RATE else config.train.lr,
        "parameters": shape.num_parameters,
        "parameter ratio": shape.parameter_ratio,
        "compression": shape.compression,
    }


def _scores(run: RunResult) -> dict[str, float]:
    values = (run.train.r2, run.best.r2, run.test.r2, run.best_test.r2)
    return dict(zip(_SCORES, values, strict=True))


def _columns(rows: Sequence[dict[str, Any]], always: Sequence[str]) -> dict[str, list[Any]]:
    """Rows as columns; a column in which all rows agree is left out."""
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
    return {name: column for name, column in columns.items() if name in always or len(set(column)) > 1}
