"""The result of a run as one JSON object, the same for the command line, downloads and pages. No torch."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from ttcore.config import RunConfig
from ttcore.events import Best, Finished, FullModel, Scores, Started
from ttcore.results import RunResult, run_result
from ttcore.scoring import Scoring
from ttcore.wording import percent


def result_object(
    config: RunConfig, started: Started, finished: Finished, full_model: FullModel | None
) -> dict[str, Any]:
    """Plain values for json.dumps; numbers that are not finite become null.

    `seconds` and `steps_per_second` are of training alone. `full_model` is null where the run was stopped before
    least squares was solved.
    """
    return run_object(run_result(config, started, finished)) | {
        "full_model": None
        if full_model is None
        else {
            "parameters": full_model.parameters,
            "train": plain_scores(full_model.train, config.data.scoring),
            "test": plain_scores(full_model.test, config.data.scoring),
        },
    }


def run_object(result: RunResult) -> dict[str, Any]:
    """What one run has reached, of a sweep or by itself; curves and cores left out.

    `best` is on the training data, `best_test` what the same cores reach on the test samples.
    """
    shape, scoring = result.config.shape, result.config.data.scoring
    return {
        "stop_reason": result.stop_reason.value,
        "steps": result.steps,
        "seconds": result.seconds,
        "steps_per_second": result.steps / result.seconds if result.seconds > 0 else 0.0,
        "train": plain_scores(result.train, scoring),
        "test": plain_scores(result.test, scoring),
        "best": plain_scores(result.best, scoring),
        "best_test": plain_scores(result.best_test, scoring),
        "parameters": shape.num_parameters,
        "parameter_ratio": shape.parameter_ratio,
        "compression": shape.compression,
        "ranks": list(shape.ranks),
        "device": result.device,
        "device_name": result.device_name,
        "threads": result.threads,
        "stacked": result.stacked,
        "plan": result.plan,
        "config": result.config.to_json(),
    }


def plain_scores(scores: Scores | Best, scoring: Scoring) -> dict[str, Any]:
    """With the names that loss and score have for this kind of task."""
    names = {"loss": scoring.loss, "score": scoring.score}
    return {
        names.get(name, name): value if not isinstance(value, float) or math.isfinite(value) else None
        for name, value in asdict(scores).items()
    }


def summary_sentence(config: RunConfig, finished: Finished, full_model: FullModel | None) -> str:
    """What was reached, for how many parameters, beside the full model."""
    shape = config.shape
    size = (
        f"{shape.num_parameters:,} parameters, {percent(shape.parameter_ratio)} of the full model's "
        f"{shape.dense_parameters:,}"
    )
    score = config.data.scoring.score_title
    text = (
        f"With {size}, the TT layer reached a training {score} of {finished.train.score:.4f} and a test {score} of "
        f"{finished.test.score:.4f} after {finished.step:,} steps"
    )
    if finished.best.step != finished.step:
        text += f" (best in training: {finished.best.score:.4f} at step {finished.best.step:,})"
    text += "."
    if full_model is not None:
        text += f" The full model has {full_model.train.score:.4f} and {full_model.test.score:.4f}."
    return text
