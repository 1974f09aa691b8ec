"""The result of a run as one JSON object, the same for the command line, downloads and pages. No torch."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from ttcore.config import RunConfig
from ttcore.events import Best, Finished, FullModel, Scores, Started
from ttcore.results import RunResult, run_result


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
            "train": _plain(full_model.train),
            "test": _plain(full_model.test),
        },
    }


def run_object(result: RunResult) -> dict[str, Any]:
    """What one run has reached, of a sweep or by itself; curves and cores left out.

    `best` is on the training data, `best_test` what the same cores reach on the test samples.
    """
    shape = result.config.shape
    return {
        "stop_reason": result.stop_reason.value,
        "steps": result.steps,
        "seconds": result.seconds,
        "steps_per_second": result.steps / result.seconds if result.seconds > 0 else 0.0,
        "train": _plain(result.train),
        "test": _plain(result.test),
        "best": _plain(result.best),
        "best_test": _plain(result.best_test),
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


def _plain(scores: Scores | Best) -> dict[str, Any]:
    return {
        name: value if not isinstance(value, float) or math.isfinite(value) else None
        for name, value in asdict(scores).items()
    }


def summary_sentence(config: RunConfig, finished: Finished, full_model: FullModel | None) -> str:
    """What was reached, for how many parameters, beside the full model."""
    shape = config.shape
    size = (
        f"{shape.num_parameters:,} parameters, {percent(shape.parameter_ratio)} of the full model's "
        f"{shape.dense_parameters:,}"
    )
    text = (
        f"With {size}, the TT layer reached a training R² of {finished.train.r2:.4f} and a test R² of "
        f"{finished.test.r2:.4f} after {finished.step:,} steps"
    )
    if finished.best.step != finished.step:
        text += f" (best in training: {finished.best.r2:.4f} at step {finished.best.step:,})"
    text += "."
    if full_model is not None:
        text += f" The full model has {full_model.train.r2:.4f} and {full_model.test.r2:.4f}."
    return text


def percent(ratio: float) -> str:
    """0.03516 as "3.52 %"; small ratios keep three digits."""
    return f"{100 * ratio:.3g} %" if ratio < 10 else f"{100 * ratio:,.0f} %"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
