"""The part of the Trade-off page that moves: how far the sweep is, its frontier, and what can be read from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import streamlit as st

from dashboard import session
from dashboard.figures import Axes, Line, loss_figure, score_figure
from dashboard.live_figure import live_figure
from dashboard.rounding_view import rounding_view
from dashboard.sweep_controls import Asked
from dashboard.sweep_figures import SIZES, Size, frontier_figure, heat_figure, parallel_figure
from dashboard.sweep_table import baseline_table, configuration_table, run_table
from ttcore.adoption import adopted, curve_of
from ttcore.config import differing_settings
from ttcore.datasets import load
from ttcore.errors import InputError
from ttcore.events import FullModel
from ttcore.frontier import (
    Measure,
    Point,
    budget_sentence,
    cheapest_sentence,
    summarize,
    unseen_note,
)
from ttcore.parse import parse_budget
from ttcore.results import Baseline, RunResult
from ttcore.scoring import REGRESSION, Scoring
from ttcore.sweep import SweepSnapshot, SweepState
from ttcore.sweep_config import SweepConfig
from ttcore.sweep_plan import SweepPlan
from ttcore.sweeps import HeldSweep
from ttcore.wording import duration

# Seconds between two pictures, and between two of so many runs that a picture takes a while.
TICK, SLOW_TICK, MANY_RUNS = 0.7, 3.0, 1_000
FRONTIER_HEIGHT = 400
# Curves that can be told apart.
MOST_CURVES = 8
# Of models with so many parameters a twentieth is a budget to begin with; of smaller ones a half.
_LARGE = 5_000

# What a session has chosen stays chosen where the next sweep's score has another name.
MEASURES = {
    "test score": Measure("test", "score"),
    "train score": Measure("train", "score"),
    "test loss": Measure("test", "loss"),
    "train loss": Measure("train", "loss"),
}
VIEWS = ("Heat map", "Parallel coordinates", "Table", "Loss curves", "Rank along the train")
LAY, OPEN = "a click lays curves beside", "a click opens the run"
_HELP = {
    "sweep_moment": "Scores after the last update, or of the cores with the lowest training loss.",
    "sweep_click": "What a click on a point of the picture does.",
}
_Option = TypeVar("_Option", bound=str)


def sweep_view(held: HeldSweep | None, asked: Asked | None, to_train_page: Callable[[], None]) -> None:
    """Draw the sweep, again and again while it goes on; without one, what is asked for.

    to_train_page: goes there, once a run has been opened.
    """
    drawn = held.sweep.snapshot().state if held is not None else SweepState.ENDED
    tick = None
    if held is not None and drawn is not SweepState.ENDED:
        tick = SLOW_TICK if len(held.sweep.plan.runs) > MANY_RUNS else TICK
    st.fragment(_draw, run_every=tick)(held, asked, drawn, to_train_page)


def _draw(held: HeldSweep | None, asked: Asked | None, drawn: SweepState, to_train_page: Callable[[], None]) -> None:
    """The same elements in the same order, sweep or not: the browser must not build the picture anew."""
    if held is None:
        with st.container():
            st.progress(0.0, text="Ready: press **Start** (or the key T).")
        measure, size = _what_to_show(asked.config.data.scoring if asked is not None else REGRESSION)
        if asked is not None:
            _frontier(asked.config, asked.plan, {}, [], (), measure, size, "", False)
        return
    now = held.sweep.snapshot()
    if now.state is not drawn:
        # Buttons and downloads belong to the whole page, and so does the end of the ticking.
        st.rerun()
    if (place := st.session_state.pop("sweep_opening", None)) is not None:
        _open_run(now, place, held.id)
        to_train_page()
    with st.container():
        _progress(now, held)
    measure, size = _what_to_show(now.config.data.scoring)
    points = summarize(now.results, measure)
    _frontier(now.config, now.plan, now.results, points, now.baselines, measure, size, held.id, not now.active)
    if points:
        _answers(points, now, measure)
        _views(points, now, measure, held)


def _frontier(
    config: SweepConfig,
    plan: SweepPlan,
    results: Mapping[int, RunResult],
    points: Sequence[Point],
    baselines: Sequence[Baseline],
    measure: Measure,
    size: Size,
    sweep_id: str,
    ended: bool,
) -> None:
    revision = f"{sweep_id}-{measure}-{size}"
    live_figure(
        frontier_figure(plan, config, results, points, baselines, measure, size, revision, ended),
        key="frontier",
        height=FRONTIER_HEIGHT,
        alt=f"{measure.title} against {size}: every run, medians over seeds, the Pareto front, models beside.",
        on_click=lambda place: _clicked(sweep_id, place),
    )


def _progress(now: SweepSnapshot, held: HeldSweep) -> None:
    done, all_runs = len(now.results), len(now.plan.runs)
    at = f"{done:,} of {all_runs:,} runs"
    where = "" if held.where == "this machine" else f" on {held.where}"
    match now.state:
        case SweepState.RUNNING:
            left = f" · about {duration(now.eta)} left" if now.eta is not None else ""
            text = f"Sweeping{where} · {at}{left}"
            if now.failures:
                text += f" · {len(now.failures):,} could not be done"
        case SweepState.PAUSED:
            finishing = " · the chunks on the cluster finish first" if where and now.chunks_in_progress else ""
            text = f"Paused · {at}{finishing}"
        case SweepState.ENDED:
            said = f"Ended with {at}" if now.failures else now.message
            text = f"{said} · {duration(now.seconds)}{where}"
    st.progress(now.fraction, text=text)
    if now.state is SweepState.ENDED and now.failures:
        st.error(now.message, icon=":material/error:")


def _what_to_show(scoring: Scoring) -> tuple[Measure, Size]:
    named = {key: replace(measure, scoring=scoring) for key, measure in MEASURES.items()}
    with st.container(horizontal=True, key="sweep_axes", vertical_alignment="center", gap="small"):
        score = _one_of("Score", tuple(named), "sweep_score", lambda key: named[key].name)
        moment = _one_of("Moment", ("last", "best"), "sweep_moment")
        size = _picked("Size", SIZES, "sweep_size", 175)
        _picked("A click", (LAY, OPEN), "sweep_click", 240)
    return replace(named[score], moment="best" if moment == "best" else "last"), size


def _one_of(label: str, options: Sequence[str], key: str, name: Callable[[str], str] = str) -> str:
    chosen = st.segmented_control(
        label, options, default=options[0], required=True, key=key, label_visibility="collapsed",
        format_func=name, help=_HELP.get(key), persist_state="session",
    )  # fmt: skip
    return str(chosen)


def _picked(label: str, options: Sequence[_Option], key: str, width: int) -> _Option:
    return st.selectbox(
        label, options, key=key, width=width, label_visibility="collapsed", help=_HELP.get(key),
        persist_state="session",
    )  # fmt: skip


def _answers(points: Sequence[Point], now: SweepSnapshot, measure: Measure) -> None:
    """The two questions that bring people here, answered in a sentence each."""
    with st.container(border=True, key="answers"):
        st.markdown(cheapest_sentence(points, measure))
        left, right = st.columns([1, 4], vertical_alignment="center")
        with left:
            text = st.text_input(
                "Parameter budget",
                "5 %" if now.plan.runs[0].shape.dense_parameters >= _LARGE else "50 %",
                key="sweep_budget",
                max_chars=40,
                help="A number of parameters, or a share of the full model's: 2000, or 5 %.",
                persist_state="session",
            )
        with right:
            try:
                budget = parse_budget(text, now.plan.runs[0].shape.dense_parameters)
                st.markdown(budget_sentence(points, measure, budget))
            except InputError as error:
                st.error(f"{error}.", icon=":material/error:")
        if note := unseen_note(points, now.results, now.baselines):
            st.caption(note)


def _views(points: Sequence[Point], now: SweepSnapshot, measure: Measure, held: HeldSweep) -> None:
    view = st.segmented_control(
        "View", VIEWS, default=VIEWS[0], required=True, key="sweep_view", label_visibility="collapsed",
        persist_state="session",
    )  # fmt: skip
    chosen = [place for place in _chosen(held.id) if place in now.results]
    match view:
        case "Heat map":
            rows = len({(point.factorization, point.config.train.optimizer, point.config.train.lr) for point in points})
            live_figure(
                heat_figure(now.config, points, measure),
                key="heat",
                height=min(700, 110 + 42 * rows),
                alt=f"Heat map of {measure.title}: rank across, factorization down.",
            )
        case "Parallel coordinates":
            live_figure(
                parallel_figure(points, measure),
                key="parallel",
                height=360,
                alt=f"Parallel coordinates: one line a configuration, through what varies to {measure.title}.",
            )
            st.caption("Drag along an axis to keep only the lines that pass there; drag its name to move it.")
        case "Table":
            _table(points, now)
        case "Loss curves":
            _curves(now, chosen, held.id)
        case _:
            rounding_view(points, now, measure, chosen)


def _table(points: Sequence[Point], now: SweepSnapshot) -> None:
    scoring = now.config.data.scoring
    rows = _one_of("Rows", ("configurations (medians over seeds)", "every run", "models to compare with"), "sweep_rows")
    if rows == "every run":
        table = run_table(now.results)
    elif rows == "models to compare with":
        table = baseline_table(now.baselines, scoring)
    else:
        table = configuration_table(points, now.results)
    four = [name for name in table if scoring.score_title in name]
    st.dataframe(
        table,
        key="sweep_table",
        hide_index=True,
        height=360,
        column_config={
            "parameters": st.column_config.NumberColumn(format="localized"),
            "parameter ratio": st.column_config.NumberColumn(format="%.4f"),
            "compression": st.column_config.NumberColumn(format="%.1f"),
            "seconds": st.column_config.NumberColumn(format="%.1f"),
            **{name: st.column_config.NumberColumn(format="%.4f") for name in four},
        },
    )
    st.caption("A click on a column's name sorts by it; columns in which all rows agree are left out.")


def _curves(now: SweepSnapshot, chosen: Sequence[int], sweep_id: str) -> None:
    """The curves of the runs that were clicked, with a button for each to open it."""
    if not chosen:
        st.info(
            "Click points of the picture above to lay their curves beside each other here.", icon=":material/touch_app:"
        )
        return
    results = [now.results[place] for place in chosen]
    names = _run_names(results)
    lines = [Line(name, curve_of(run).view()) for name, run in zip(names, results, strict=True) if len(run.losses)]
    full = next((model for model in now.baselines if model.kind == "full"), None)
    level = (
        FullModel(parameters=full.parameters, train=full.train, test=full.test, weight=results[0].losses[:0, None])
        if full
        else None
    )
    axes, revision, scoring = Axes(), f"{sweep_id}-{chosen}", now.config.data.scoring
    left, right = st.columns(2, gap="small")
    with left:
        live_figure(
            loss_figure(None, lines, level, axes, revision, scoring),
            key="sweep_losses",
            height=300,
            alt="Training losses of the chosen runs against steps.",
        )
    with right:
        live_figure(
            score_figure(None, lines, level, axes, revision, scoring),
            key="sweep_scores",
            height=300,
            alt=f"Training {scoring.score_title} of the chosen runs against steps.",
        )
    if len(lines) < len(results):
        st.caption("This sweep is too large for all curves to be kept; those of its first runs are.")
    with st.container(horizontal=True, key="sweep_chosen_runs", gap="small"):
        for place, name in zip(chosen, names, strict=True):
            if st.button(
                name, key=f"sweep_open_{place}", icon=":material/open_in_new:", help="Open it on the Train page."
            ):
                st.session_state.sweep_opening = place
                st.rerun(scope="fragment")
        st.button("Clear", key="sweep_clear", icon=":material/close:", on_click=_clear, args=(sweep_id,))


def _run_names(results: Sequence[RunResult]) -> list[str]:
    """What tells the runs apart."""
    names = []
    for run, settings in zip(results, differing_settings([run.config for run in results]), strict=True):
        parts = [f"{name.replace('_', ' ')} {_plain(value)}" for name, value in settings.items()]
        names.append(", ".join(parts) or f"rank {_plain(run.config.ranks)}, seed {run.config.train.seed}")
    return names


def _plain(value: Any) -> str:
    return (
        "·".join(map(str, value))
        if isinstance(value, list | tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


# ---- what a click does ----------------------------------------------------------------------------------------------


def _chosen(sweep_id: str) -> list[int]:
    of_sweep, places = st.session_state.get("sweep_chosen", (sweep_id, []))
    return places if of_sweep == sweep_id else []


def _clear(sweep_id: str) -> None:
    st.session_state.sweep_chosen = (sweep_id, [])


def _clicked(sweep_id: str, place: Any) -> None:
    if not isinstance(place, int):
        return
    if st.session_state.get("sweep_click") == OPEN:
        st.session_state.sweep_opening = place
        return
    others = [other for other in _chosen(sweep_id) if other != place]
    st.session_state.sweep_chosen = (sweep_id, [*others, place][-MOST_CURVES:])
    if st.session_state.get("sweep_view") != VIEWS[-1]:
        st.session_state.sweep_view = "Loss curves"


def _open_run(now: SweepSnapshot, place: int, sweep_id: str) -> None:
    """Show the run on the Train page; the first time it is put into the history for that."""
    result = now.results.get(place)
    if result is None:
        return
    if not result.cores:
        st.toast("This sweep is too large for all curves and cores to be kept; the run's settings are opened instead.")
        session.open_settings(result.config)
    else:
        opened = st.session_state.setdefault("sweep_opened", {})
        run_id = opened.get((sweep_id, place), "")
        if session.engine().snapshot(run_id) is None:
            with st.spinner("Opening the run…"):
                run = adopted(result, session.owner(), now.baselines, load(result.config.data))
                run_id = opened[sweep_id, place] = session.engine().adopt(run)
        session.open_run(run_id, result.config)
