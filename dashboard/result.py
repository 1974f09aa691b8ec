"""What a run has reached, once it has ended: the sentence, the pictures and the files to take away."""

from __future__ import annotations

import json

import streamlit as st

from dashboard.figures import prediction_figure, weight_figure, weight_limit
from dashboard.live_figure import live_figure
from ttcore.engine import RunSnapshot
from ttcore.events import Finished, StopReason
from ttcore.export import cores_npz, curve_csv
from ttcore.report import result_object, summary_sentence


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
    _pictures(run, finished)


def _explanations(run: RunSnapshot, finished: Finished) -> list[str]:
    """What a careful listener asks next."""
    notes = [run.config.clipped_note, run.config.padding_note]
    full = run.full_model
    if full is not None and full.test.r2 < 0.5 and finished.test.r2 < 0.5:
        notes.append(
            f"Train R² is the fit to {run.config.data.train_samples} samples. They cannot determine "
            f"{run.config.data.in_features:,} unstructured inputs, so on unseen samples no model does well here, the "
            "full one included; the task Planted shows where a TT layer does."
        )
    elif full is not None and finished.test.r2 > 0.9 > full.test.r2:
        notes.append(
            "The truth behind these data has the structure of a tensor train: with the same samples the TT layer "
            "generalizes, and the full model, which fits the training samples perfectly, does not."
        )
    return notes


def take_away(run: RunSnapshot, finished: Finished) -> None:
    """Download buttons; the files are made when they are asked for."""
    name = f"tt-run-{run.number}"
    with st.container(horizontal=True, key=f"take_away_{run.number}"):
        st.download_button(
            "Curve (CSV)",
            lambda: curve_csv(run.curve),
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
    if finished.predictions:
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
    if finished.weight.size and run.full_model is not None:
        st.subheader("The weight matrix")
        limit = weight_limit(finished.weight, run.full_model.weight)
        left, right = st.columns(2)
        with left:
            live_figure(
                weight_figure(finished.weight, "TT layer, multiplied out", limit),
                key="weight_tt",
                height=260,
                alt="Heat map of the TT layer's dense weight: outputs down, inputs across.",
            )
        with right:
            if run.full_model.weight.size:
                live_figure(
                    weight_figure(run.full_model.weight, "Full model (least squares)", limit),
                    key="weight_full",
                    height=260,
                    alt="Heat map of the full model's weight, outputs down and inputs across.",
                )
        rows, columns = finished.weight.shape
        shape = run.config.shape
        if (rows, columns) != (shape.out_features, shape.in_features):
            st.caption(
                f"{shape.out_features} × {shape.in_features:,} weights in {rows} × {columns} cells: each shows its "
                "entry of largest magnitude. Both pictures share one colour scale."
            )
