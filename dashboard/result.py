"""What a run has reached, once it has ended: the sentence, the pictures and the files to take away."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import streamlit as st

from dashboard.comparison_view import FULL_METHODS, comparison_view
from dashboard.figures import confusion_figure, prediction_figure, weight_figure, weight_limit
from dashboard.live_figure import live_figure
from ttcore.advisor import advise
from ttcore.config import DataConfig
from ttcore.datasets import load
from ttcore.engine import RunSnapshot
from ttcore.errors import InputError
from ttcore.events import Finished, StopReason
from ttcore.export import cores_npz, curve_csv
from ttcore.report import result_object, summary_sentence
from ttcore.table_store import TableStore


def result(run: RunSnapshot) -> None:
    """Everything about an ended run that does not move any more."""
    finished = run.finished
    failed = run.message != (finished.stop_reason.sentence if finished else "")
    if finished is None or failed or finished.stop_reason in (StopReason.NOT_FINITE, StopReason.FAILED):
        st.error(run.message, icon=":material/error:")
    if finished is None:
        return
    with st.container(border=True, key="result"):
        st.markdown(f"**Run {run.number}.** {summary_sentence(run.config, finished, run.full_model)}")
        st.caption(" ".join(filter(None, [run.message, *_explanations(run, finished)])))
        take_away(run, finished)
    comparison_view(run, finished)
    _pictures(run, finished)


def _explanations(run: RunSnapshot, finished: Finished) -> list[str]:
    """What a careful listener asks next."""
    notes = [run.config.clipped_note, run.config.padding_note]
    match run.config.data.source:
        case "reference":
            return [*notes, _why_nothing_generalizes(run, finished)]
        case "planted":
            return [*notes, _why_it_generalizes(run, finished)]
    return [*notes, _why_it_is_not_smaller(run)]


def _why_nothing_generalizes(run: RunSnapshot, finished: Finished) -> str:
    full, data = run.full_model, run.config.data
    if full is None or max(full.test.score, finished.test.score) >= 0.5:
        return ""
    return (
        f"Train R² is the fit to {data.train_samples} samples. They cannot determine {data.in_features:,} unstructured "
        "inputs, so on unseen samples no model does well here, the full one included; the task Planted shows where a "
        "TT layer does."
    )


def _why_it_generalizes(run: RunSnapshot, finished: Finished) -> str:
    full = run.full_model
    if full is None or not finished.test.score > 0.9 > full.test.score:
        return ""
    return (
        "The truth behind these data has the structure of a tensor train: with the same samples the TT layer "
        "generalizes, and the full model, which fits the training samples perfectly, does not."
    )


def _why_it_is_not_smaller(run: RunSnapshot) -> str:
    shape = run.config.shape
    if shape.parameter_ratio < 1:
        return ""
    verdict = advise(shape.in_features, shape.out_features, max(shape.ranks, default=1)).verdict
    return f"This layer is not smaller than the full one. {verdict}"


def take_away(run: RunSnapshot, finished: Finished) -> None:
    """Download buttons; the files are made when they are asked for."""
    name = f"tt-run-{run.number}"
    with st.container(horizontal=True, key=f"take_away_{run.number}"):
        st.download_button(
            "Curve (CSV)",
            lambda: curve_csv(run.curve, run.config.data.scoring),
            f"{name}-curve.csv",
            "text/csv",
            key=f"csv_{run.id}",
            on_click="ignore",
            icon=":material/download:",
        )
        if run.started is not None:
            started = run.started
            st.download_button(
                "Settings and result (JSON)",
                lambda: json.dumps(result_object(run.config, started, finished, run.full_model), indent=2),
                f"{name}.json",
                "application/json",
                key=f"json_{run.id}",
                on_click="ignore",
                icon=":material/download:",
            )
        if finished.cores:
            st.download_button(
                "Cores (NPZ)",
                lambda: cores_npz(finished.cores, run.config.shape),
                f"{name}-cores.npz",
                "application/octet-stream",
                key=f"npz_{run.id}",
                on_click="ignore",
                icon=":material/download:",
                help="After the last step; for TTLinear or NumPy.",
            )
            if finished.best.step != finished.step and finished.best_cores:
                st.download_button(
                    "Best cores (NPZ)",
                    lambda: cores_npz(finished.best_cores, run.config.shape),
                    f"{name}-best-cores.npz",
                    "application/octet-stream",
                    key=f"best_npz_{run.id}",
                    on_click="ignore",
                    icon=":material/download:",
                    help=f"Of the lowest training loss, at step {finished.best.step:,}.",
                )


def _pictures(run: RunSnapshot, finished: Finished) -> None:
    if finished.confusion:
        _confusion(run, finished)
    elif finished.predictions:
        _predictions(finished)
    if finished.weight.size:
        _weights(run, finished)


def _confusion(run: RunSnapshot, finished: Finished) -> None:
    st.subheader("Predicted against actual")
    classes = _class_names(run.config.data)
    left, right = st.columns(2)
    with left:
        live_figure(
            confusion_figure(finished, "train", classes),
            key="confusion_train",
            height=_confusion_height(len(classes)),
            alt="Confusion matrix of training samples: actual classes down, predicted ones across.",
        )
    with right:
        live_figure(
            confusion_figure(finished, "test", classes),
            key="confusion_test",
            height=_confusion_height(len(classes)),
            alt="Confusion matrix of unseen samples: actual classes down, predicted ones across.",
        )


def _confusion_height(classes: int) -> int:
    return min(640, 240 + 16 * classes)


def _class_names(data: DataConfig) -> tuple[str, ...]:
    """What the classes are called; their numbers, where the table that knows is gone."""
    try:
        return _kept_names(data)
    except InputError:
        return tuple(map(str, range(data.out_features)))


@lru_cache(maxsize=32)
def _kept_names(data: DataConfig) -> tuple[str, ...]:
    # Of a table they are to be had without its samples.
    return TableStore().get(data.key).target_names if data.source == "table" else load(data).classes


def _predictions(finished: Finished) -> None:
    st.subheader("Predicted against actual")
    left, right = st.columns(2)
    with left:
        live_figure(
            prediction_figure(finished, "train"),
            key="predicted_train",
            height=300,
            alt="Predicted against actual targets of training samples.",
        )
    with right:
        live_figure(
            prediction_figure(finished, "test"),
            key="predicted_test",
            height=300,
            alt="Predicted against actual targets of unseen samples.",
        )


def _weights(run: RunSnapshot, finished: Finished) -> None:
    """Of the layer, and of the full model where it was fitted in time and has a picture."""
    st.subheader("The weight matrix")
    full = run.full_model.weight if run.full_model is not None else np.zeros((0, 0))
    limit = weight_limit(finished.weight, full)
    left, right = st.columns(2)
    with left:
        live_figure(
            weight_figure(finished.weight, "TT layer, multiplied out", limit),
            key="weight_tt",
            height=260,
            alt="Heat map of the TT layer's dense weight: outputs down, inputs across.",
        )
    with right:
        if full.size:
            live_figure(
                weight_figure(full, f"Full model ({FULL_METHODS[run.config.data.task_kind]})", limit),
                key="weight_full",
                height=260,
                alt="Heat map of the full model's weight, outputs down and inputs across.",
            )
    rows, columns = finished.weight.shape
    shape = run.config.shape
    if (rows, columns) != (shape.out_features, shape.in_features):
        st.caption(
            f"{shape.out_features} × {shape.in_features:,} weights in {rows} × {columns} cells: each shows its "
            f"entry of largest magnitude.{' Both pictures share one colour scale.' if full.size else ''}"
        )
