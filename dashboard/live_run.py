"""The part of the Train page that moves: progress, numbers and curves of the run that is shown."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.figures import Axes, Line, digits, loss_figure, score_figure
from dashboard.history import DATA_SETTINGS, NAMES_OF_DATA
from dashboard.live_figure import live_figure
from dashboard.session import engine
from ttcore.config import differing_settings
from ttcore.engine import RunSnapshot, RunState
from ttcore.events import StopReason
from ttcore.scoring import REGRESSION, Scoring
from ttcore.wording import duration

# Seconds between two pictures; in slow motion every step should be seen.
TICK = 0.5
SLOW_TICK = 0.2
CHART_HEIGHT = 290
_DONE = (StopReason.TARGET_REACHED, StopReason.CONVERGED)


def live_run(run: RunSnapshot | None, kept: Sequence[RunSnapshot], axes: Axes, scoring: Scoring = REGRESSION) -> None:
    """Draw the run, again and again while it moves; without one, the empty charts.

    scoring: what they will show, by the settings.
    """
    moving = run is not None and run.state in (RunState.QUEUED, RunState.RUNNING)
    tick = None
    if moving:
        assert run is not None
        tick = SLOW_TICK if run.speed else TICK
    st.fragment(_draw, run_every=tick)(run.id if run else None, [other.id for other in kept], axes, moving, scoring)


def _draw(run_id: str | None, kept_ids: Sequence[str], axes: Axes, moving: bool, usual: Scoring) -> None:
    run = engine().snapshot(run_id) if run_id else None
    if moving and (run is None or run.state not in (RunState.QUEUED, RunState.RUNNING)):
        # Buttons and results belong to the whole page, and so does the end of the ticking.
        st.rerun()
    kept = [other for other in map(engine().snapshot, kept_ids) if other is not None]
    first = run or next(iter(kept), None)
    scoring = first.config.data.scoring if first else usual
    _progress(run)
    _numbers(run, scoring)
    _curves(run, kept, axes, scoring)


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


def _numbers(run: RunSnapshot | None, scoring: Scoring) -> None:
    measured = run.curve.measured[-1] if run is not None and len(run.curve.measured) else None
    finished = run.finished if run is not None else None
    train = finished.train.score if finished else measured[3] if measured is not None else None
    test = finished.test.score if finished else measured[5] if measured is not None else None
    full = run.full_model if run is not None else None
    best = run.best if run is not None and run.step else None
    beside = "full model" if scoring.task == "regression" else "logistic regression"
    rate = None
    if run is not None:
        moving = run.state is RunState.RUNNING
        rate = (run.rate if moving else run.step / run.seconds if run.seconds else 0.0) or None
    # The longer words of classes need more room.
    width = 168 if scoring.task == "regression" else 208
    with st.container(horizontal=True, key="numbers", gap="small"):
        _number(
            f"Train {scoring.score_title}",
            digits(train),
            f"{beside} {digits(full.train.score)}" if full else None,
            "The fit to the training samples.",
            width,
        )
        _number(
            f"Test {scoring.score_title}",
            digits(test),
            f"{beside} {digits(full.test.score)}" if full else None,
            "On samples that training never saw.",
            width,
        )
        _number(
            f"Best train {scoring.score_title}",
            digits(best.score if best else None),
            f"at step {best.step:,}" if best else None,
            "At the lowest training loss. At a constant rate Adam spikes now and then; the best cores are kept too.",
            width,
        )
        _number(
            "Steps per second",
            "–" if rate is None else f"{rate:,.0f}" if rate >= 20 else f"{rate:.1f}",
            f"{run.started.device.upper()}, {run.started.threads} thread{'s' * (run.started.threads > 1)}"
            if run and run.started
            else None,
            "Training alone, once the run has ended.",
            width,
        )


def _number(label: str, value: str, note: str | None, explained: str, width: int) -> None:
    st.metric(label, value, delta=note or " ", delta_color="off", delta_arrow="off", help=explained, width=width)


def _curves(run: RunSnapshot | None, kept: Sequence[RunSnapshot], axes: Axes, scoring: Scoring) -> None:
    alike = [other for other in kept if other.config.data.scoring == scoring]
    others = [other for other in alike if run is None or other.id != run.id]
    names = legend_names([*others, *([run] if run else [])])
    lines = [Line(name, other.curve) for name, other in zip(names, others, strict=False)]
    shown = Line("train" if not others else names[-1], run.curve) if run else None
    full = run.full_model if run else next((other.full_model for other in alike if other.full_model), None)
    revision = f"{run.id if run else ''}-{axes}"
    left, right = st.columns(2, gap="small")
    with left:
        live_figure(
            loss_figure(shown, lines, full, axes, revision, scoring),
            key="loss_curve",
            height=CHART_HEIGHT,
            alt=f"Loss curve: {scoring.loss_title} on training and test samples against steps, beside the full "
            "model's.",
        )
    with right:
        live_figure(
            score_figure(shown, lines, full, axes, revision, scoring),
            key="score_curve",
            height=CHART_HEIGHT,
            alt=f"{scoring.score_title} curve on training and test samples against steps, beside the full model's.",
        )
    if len(alike) < len(kept):
        st.caption("Kept runs that are scored otherwise, R² or accuracy, are not drawn beside this one.")


def legend_names(runs: Sequence[RunSnapshot]) -> list[str]:
    """Each run's number with the settings in which the runs differ; of other data their name says enough."""
    names = []
    other_data = len({(run.config.data.source, run.config.data.name) for run in runs}) > 1
    for run, settings in zip(runs, differing_settings([run.config for run in runs]), strict=True):
        left_out = DATA_SETTINGS if other_data else NAMES_OF_DATA
        parts = [
            f"{name.replace('_', ' ')} {_setting(value)}" for name, value in settings.items() if name not in left_out
        ]
        if other_data:
            parts.insert(0, run.config.data.name)
        names.append(f"run {run.number}: {', '.join(parts)}" if parts else f"run {run.number}")
    return names


def _setting(value: object) -> str:
    if isinstance(value, list):
        return "·".join(str(item) for item in value)
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
