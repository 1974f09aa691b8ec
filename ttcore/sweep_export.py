"""What a person takes away from a sweep: rows, CSV, JSON and back, and a script that repeats it. No torch."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pprint import pformat
from typing import Any

from ttcore.checks import shown
from ttcore.config import DataConfig, RunConfig, checked_mapping
from ttcore.errors import InputError
from ttcore.events import Best, Scores, StopReason
from ttcore.parse import show_modes
from ttcore.report import plain_scores, run_object
from ttcore.results import Baseline, RunResult
from ttcore.scoring import Scoring
from ttcore.sweep import SweepSnapshot
from ttcore.sweep_config import Factorization, SweepConfig
from ttcore.sweep_plan import SweepPlan


def run_row(result: RunResult) -> dict[str, Any]:
    """A run as one flat row."""
    config, shape, scoring = result.config, result.config.shape, result.config.data.scoring
    return {
        "model": "tt",
        "factorization": Factorization(config.in_modes, config.out_modes).label,
        "cores": shape.num_cores,
        "in_modes": show_modes(config.in_modes),
        "out_modes": show_modes(config.out_modes),
        "rank": show_modes(config.ranks),
        "ranks": show_modes(shape.ranks),
        "optimizer": config.train.optimizer,
        "lr": config.train.lr,
        "seed": config.train.seed,
        "parameters": shape.num_parameters,
        "parameter_ratio": shape.parameter_ratio,
        "compression": shape.compression,
        f"train_{scoring.loss}": result.train.loss,
        f"train_{scoring.score}": result.train.score,
        f"test_{scoring.loss}": result.test.loss,
        f"test_{scoring.score}": result.test.score,
        "best_step": result.best.step,
        f"best_train_{scoring.loss}": result.best.loss,
        f"best_train_{scoring.score}": result.best.score,
        f"best_test_{scoring.loss}": result.best_test.loss,
        f"best_test_{scoring.score}": result.best_test.score,
        "steps": result.steps,
        "stop_reason": result.stop_reason.value,
        "seconds": result.seconds,
        "stacked": result.stacked,
        "device": result.device,
        "threads": result.threads,
    }


def baseline_row(model: Baseline, data: DataConfig) -> dict[str, Any]:
    """A model to compare with as a row of the same columns, what it has not left out."""
    dense_parameters, scoring = data.in_features * data.out_features, data.scoring
    return {
        "model": model.kind,
        "rank": model.rank,
        "penalty": model.penalty,
        "parameters": model.parameters,
        "parameter_ratio": model.parameters / dense_parameters,
        "compression": dense_parameters / model.parameters if model.parameters else None,
        f"train_{scoring.loss}": model.train.loss,
        f"train_{scoring.score}": model.train.score,
        f"test_{scoring.loss}": model.test.loss,
        f"test_{scoring.score}": model.test.score,
    }


def sweep_csv(sweep: SweepSnapshot) -> str:
    """One row a run in the order of the grid, then one a model to compare with."""
    rows = [run_row(result) for _, result in sorted(sweep.results.items())]
    rows += [baseline_row(model, sweep.config.data) for model in sweep.baselines]
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: repr(v) if isinstance(v, float) else v for name, v in row.items()} for row in rows)
    return out.getvalue()


def sweep_object(sweep: SweepSnapshot) -> dict[str, Any]:
    """Everything but curves and cores, as plain values for json.dumps; numbers that are not finite become null."""
    return {
        "sweep": sweep.config.to_json(),
        "asked": sweep.plan.asked,
        "distinct": len(sweep.plan.runs),
        "notes": list(sweep.plan.notes),
        "seconds": sweep.seconds,
        "message": sweep.message,
        "runs": [run_object(result) for _, result in sorted(sweep.results.items())],
        "failed": [
            {"config": sweep.plan.runs[place].to_json(), "why": why} for place, why in sorted(sweep.failures.items())
        ],
        "baselines": [
            {
                "kind": model.kind,
                "rank": model.rank,
                "penalty": model.penalty,
                "parameters": model.parameters,
                "train": plain_scores(model.train, sweep.config.data.scoring),
                "test": plain_scores(model.test, sweep.config.data.scoring),
            }
            for model in sweep.baselines
        ],
    }


def read_sweep(text: str) -> tuple[SweepConfig, list[RunResult]]:
    """The settings and the results of a saved sweep, without curves and cores. Raises InputError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"it is not JSON: {error}") from None
    if not isinstance(value, dict) or "sweep" not in value or not isinstance(value.get("runs"), list):
        raise InputError('it is not a saved sweep: a JSON object with "sweep" and "runs"')
    return SweepConfig.from_json(value["sweep"]), [_read_run(run) for run in value["runs"]]


def _read_run(value: object) -> RunResult:
    run = checked_mapping(value, "a saved run", None)
    try:
        best = run["best"]
        config = RunConfig.from_json(run["config"])
        names = config.data.scoring
        return RunResult(
            config=config,
            device=str(run["device"]),
            device_name=str(run["device_name"]),
            threads=int(run["threads"]),
            plan=str(run["plan"]),
            stacked=int(run["stacked"]),
            stop_reason=StopReason(run["stop_reason"]),
            steps=int(run["steps"]),
            seconds=_number(run["seconds"]),
            train=_scores(run["train"], names),
            test=_scores(run["test"], names),
            best=Best(loss=_number(best[names.loss]), score=_number(best[names.score]), step=int(best["step"])),
            best_test=_scores(run["best_test"], names),
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"a saved run lacks what every run has, or has it in another form: {shown(error)}") from None


def _scores(value: Mapping[str, Any], names: Scoring) -> Scores:
    return Scores(loss=_number(value[names.loss]), score=_number(value[names.score]))


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def places_of(results: Sequence[RunResult], plan: SweepPlan) -> dict[int, RunResult]:
    """Results by the place of their run in a plan; what the plan does not have is left out."""
    places = {run: place for place, run in enumerate(plan.runs)}
    return {places[result.config]: result for result in results if result.config in places}


def sweep_script(config: SweepConfig) -> str:
    """A program that repeats the sweep with ttcore and prints medians over seeds, fewest parameters first."""
    settings = pformat(config.to_json(), width=100, sort_dicts=False)
    score = config.data.scoring.score_title
    return f'''"""Repeats a sweep of {config.asked:,} tensor-train layers; needs the package ttcore on its path."""

from statistics import median

from ttcore import SweepConfig, run_sweep

CONFIG = SweepConfig.from_json(
{_indented(settings)}
)

scores = {{}}  # (parameters, modes, ranks, optimizer, rate) -> (train {score}, test {score}) of each seed
for result in run_sweep(CONFIG):
    run, shape, how = result.config, result.config.shape, result.config.train
    key = (shape.num_parameters, f"{{run.in_modes}} -> {{run.out_modes}}", shape.ranks, how.optimizer, how.lr)
    scores.setdefault(key, []).append((result.train.score, result.test.score))
    print(f"{{shape.num_parameters:>9,}} parameters, seed {{how.seed}}: train {score} {{result.train.score:.4f}}, "
          f"test {score} {{result.test.score:.4f}}", flush=True)

print("\\nmedians over seeds")
for (parameters, modes, ranks, optimizer, rate), values in sorted(scores.items()):
    train, test = (median(column) for column in zip(*values))
    print(f"{{parameters:>9,}} parameters  train {score} {{train:.4f}}  test {score} {{test:.4f}}  "
          f"{{modes}} ranks {{ranks}} {{optimizer}} {{rate:g}}")
'''


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
