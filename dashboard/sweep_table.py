"""A sweep as a table: only what differs, best and last value both. Imports no streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from ttcore.frontier import Point
from ttcore.results import Baseline, RunResult
from ttcore.scoring import REGRESSION, Scoring
from ttcore.sweep_config import WITHOUT_RATE, Factorization

# Shown whatever they are, as scores are: without them a row has no name.
_ALWAYS = ("model", "rank", "parameters")


def configuration_table(points: Sequence[Point], results: Mapping[int, RunResult]) -> dict[str, list[Any]]:
    """Columns of equal length, one entry a configuration: medians over its seeds."""
    rows = []
    for point in points:
        runs = [results[place] for place in point.places]
        scores = [_scores(run) for run in runs]
        test = f"test {runs[0].config.data.scoring.score_title}"
        spread = [of_run[test] for of_run in scores]
        rows.append(
            _settings(runs[0])
            | {"seeds": point.seeds}
            | {name: median(of_run[name] for of_run in scores) for name in scores[0]}
            | {f"{test} lowest": min(spread), f"{test} highest": max(spread)}
        )
    return _columns(rows, always=(*_ALWAYS, *_score_names(results)))


def run_table(results: Mapping[int, RunResult]) -> dict[str, list[Any]]:
    """Columns of equal length, one entry a run in the order of the grid."""
    rows = []
    for _, run in sorted(results.items()):
        ends = {"best at step": run.best.step, "steps": run.steps, "ended": run.stop_reason.value.replace("_", " ")}
        rows.append(_settings(run) | {"seed": run.config.train.seed} | _scores(run) | ends | {"seconds": run.seconds})
    return _columns(rows, always=(*_ALWAYS, *_score_names(results), "seed"))


def baseline_table(baselines: Sequence[Baseline], scoring: Scoring = REGRESSION) -> dict[str, list[Any]]:
    """The models to compare with."""
    train, test = f"train {scoring.score_title}", f"test {scoring.score_title}"
    rows = [
        {
            "model": model.kind.replace("_", " "),
            "rank": model.rank,
            "parameters": model.parameters,
            "penalty": model.penalty,
            train: model.train.score,
            test: model.test.score,
        }
        for model in baselines
    ]
    return _columns(rows, always=(*_ALWAYS, "penalty", train, test))


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
    title = run.config.data.scoring.score_title
    return {
        f"train {title}": run.train.score,
        f"best train {title}": run.best.score,
        f"test {title}": run.test.score,
        f"test {title} at best": run.best_test.score,
    }


def _score_names(results: Mapping[int, RunResult]) -> tuple[str, ...]:
    return tuple(name for result in list(results.values())[:1] for name in _scores(result))


def _columns(rows: Sequence[dict[str, Any]], always: Sequence[str]) -> dict[str, list[Any]]:
    """Rows as columns; a column in which all rows agree is left out."""
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
    return {name: column for name, column in columns.items() if name in always or len(set(column)) > 1}
