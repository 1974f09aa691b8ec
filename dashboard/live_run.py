"""The part of the Train page that moves: progress, numbers and curves of the run that is shown."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.figures import Axes, Line, loss_figure, r2_figure
from dashboard.live_figure import live_figure
from dashboard.session import engine
from ttcore.config import differing_settings
from ttcore.engine import RunSnapshot, RunState
from ttcore.events import StopReason
from ttcore.report import duration

# Seconds between two pictures; in slow motion every step should be seen.
TICK = 0.5
SLOW_TICK = 0.2
CHART_HEIGHT = 290
_DONE = (StopReason.TARGET_REACHED, StopReason.CONVERGED)


def live_run(run: RunSnapshot | None, kept: Sequence[RunSnapshot], axes: Axes) -> None:
    """Draw the run, again and again while it moves; without one, the empty charts."""
    moving = run is not None and run.state in (RunState.QUEUED, RunState.RUNNING)
    tick = None
    if moving:
        assert run is not None
        tick = SLOW_TICK if run.speed else TICK
    st.fragment(_draw, run_every=tick)(run.id if run else None, [other.id for other in kept], axes, moving)


def _draw(run_id: str | None, kept_ids: Sequence[str], axes: Axes, moving: bool) -> None:
    run = engine().snapshot(run_id) if run_id else None
    if moving and (run is None or run.state not in (RunState.QUEUED, RunState.RUNNING)):
        # Buttons and results belong to the whole page, and so does the end of the ticking.
        st.rerun()
    _progress(run)
    _numbers(run)
    _curves(run, [other for other in map(engine().snapshot, kept_ids) if other is not None], axes)


def _progress(run: RunSnapshot | None) -> None:
    if run is None:
        st.progress(0.0, text="Ready: press **Train** (or the key T).")
        return
    steps = run.config.train.steps
    # Who converged or met the target is done, however many steps were allowed.
    done = 1.0 if run.finished and run.finished.stop_reason in _DONE else min(1.0, run.step / steps)
    at = f"step {run.step:,} of {steps:,}"
    match run.state:
        case RunState.QUEUED:
            ahead = f"{run.place} run{'' if run.place == 1 else 's'}" if run.place else "the training process to start"
            text = f"Waiting for {ahead}{' before this one' if run.place else ''} · {at}"
        case RunState.RUNNING:
            eta = f" · {duration(run.eta)} left" if run.eta is not None else ""
            shared = f" · shares the device with {run.others} more" if run.others else ""
            text = f"Training · {at}{eta}{shared}"
        case RunState.PAUSED:
            text = f"Paused · {at}"
        case RunState.ENDED:
            text = f"{run.message} · {at}"
    st.progress(done, text=text)


def _numbers(run: RunSnapshot | None) -> None:
    measured = run.curve.measured[-1] if run is not None and len(run.curve.measured) else None
    finished = run.finished if run is not None else None
    train = finished.train if finished else None
    test = finished.test if finished else None
    train_r2 = train.r2 if train else measured[3] if measured is not None else None
    test_r2 = test.r2 if test else measured[5] if measured is not None else None
    full = run.full_model if run is not None else None
    rate = None
    if run is not None:
        moving = run.state is RunState.RUNNING
        rate = (run.rate if moving else run.step / run.seconds if run.seconds else 0.0) or None
    with st.container(horizontal=True, key="numbers", gap="small"):
        _number(
            "Train R²",
            train_r2,
            "{:.4f}",
            f"full model {full.train.r2:.4f}" if full else None,
            "The fit to the training samples.",
        )
        _number(
            "Test R²",
            test_r2,
            "{:.4f}",
            f"full model {full.test.r2:.4f}" if full else None,
            "On samples that training never saw.",
        )
        _number(
            "Best train R²",
            run.best.r2 if run and run.best and run.step else None,
            "{:.4f}",
            f"at step {run.best.step:,}" if run and run.best and run.step else None,
            "At a constant rate Adam spikes now and then; the best cores are kept too.",
        )
        _number(
            "Steps per second",
            rate,
            "{:,.0f}" if not rate or rate >= 20 else "{:.1f}",
            f"{run.started.device.upper()}, {run.started.threads} thread{'s' * (run.started.threads > 1)}"
            if run and run.started
            else None,
            "Training alone, once the run has ended.",
        )


def _number(label: str, value: float | None, form: str, note: str | None, explained: str) -> None:
    shown = "–" if value is None else form.format(value)
    st.metric(label, shown, delta=note or " ", delta_color="off", delta_arrow="off", help=explained, width=168)


def _curves(run: RunSnapshot | None, kept: Sequence[RunSnapshot], axes: Axes) -> None:
    others = [other for other in kept if run is None or other.id != run.id]
    names = legend_names([*others, *([run] if run else [])])
    lines = [Line(name, other.curve) for name, other in zip(names, others, strict=False)]
    shown = Line("train" if not others else names[-1], run.curve) if run else None
    full = run.full_model if run else next((other.full_model for other in kept if other.full_model), None)
    revision = f"{run.id if run else ''}-{axes}"
    left, right = st.columns(2, gap="small")
    with left:
        live_figure(
            loss_figure(shown, lines, full, axes, revision),
            key="loss_curve",
            height=CHART_HEIGHT,
            alt="Loss curve: mean squared error on training and test samples against steps, beside the full model's.",
        )
    with right:
        live_figure(
            r2_figure(shown, lines, full, axes, revision),
            key="r2_curve",
            height=CHART_HEIGHT,
            alt="R² curve on training and test samples against steps, beside the full model's.",
        )


def legend_names(runs: Sequence[RunSnapshot]) -> list[str]:
    """Each run's number with the settings in which the runs differ."""
    names = []
    for run, settings in zip(runs, differing_settings([run.config for run in runs]), strict=True):
        parts = [f"{name.replace('_', ' ')} {_setting(value)}" for name, value in settings.items()]
        names.append(f"run {run.number}: {', '.join(parts)}" if parts else f"run {run.number}")
    return names


def _setting(value: object) -> str:
    if isinstance(value, list):
        return "·".join(str(item) for item in value)
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
