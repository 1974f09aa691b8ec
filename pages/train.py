"""The home page: pick modes and rank, press Train, watch the layer learn beside the full model."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard import session
from dashboard.code_view import code_view
from dashboard.controls import run_controls
from dashboard.drawings import network_svg, size_svg
from dashboard.figures import Axes
from dashboard.form import unusable
from dashboard.live_run import live_run
from dashboard.picture import picture
from dashboard.result import result
from ttcore import machine
from ttcore.config import RunConfig
from ttcore.engine import RunSnapshot, RunState
from ttcore.planning import check_memory
from ttcore.scoring import REGRESSION

SPEEDS = {"full speed": None, "20 steps/s": 20.0, "5 steps/s": 5.0, "1 step/s": 1.0}
# The script waits this long for a run's first losses, or its answer to a button, so that neither needs a tick.
ANSWER = 0.5


def start(config: RunConfig, steps: int | None = None) -> None:
    """Train, or take the first single step; an own run that is still going ends first."""
    stop_own()
    run_id = session.engine().submit(config, session.owner(), speed=SPEEDS[st.session_state.speed], steps=steps)
    session.show_run(run_id)
    session.engine().wait(run_id, is_still if steps else has_begun, ANSWER)


def ask(request: Callable[[str], None], run_id: str, answered: Callable[[RunSnapshot], bool]) -> None:
    """Pass a request on, and wait a moment for what comes of it."""
    request(run_id)
    session.engine().wait(run_id, answered, ANSWER)


def has_begun(run: RunSnapshot) -> bool:
    return run.step > 0 or not run.active


def is_still(run: RunSnapshot) -> bool:
    return run.state in (RunState.PAUSED, RunState.ENDED)


def is_ended(run: RunSnapshot) -> bool:
    return not run.active


def stop_own() -> None:
    run = session.shown_run()
    if run is not None and run.active and run.owner == session.owner():
        session.engine().stop(run.id)


def reset() -> None:
    """Back to the start: the next Train has the same seed and so the same start."""
    stop_own()
    session.show_run(None)


def change_speed() -> None:
    run = session.shown_run()
    if run is not None and run.active and run.owner == session.owner():
        session.engine().set_speed(run.id, SPEEDS[st.session_state.speed])


def button(label: str, icon: str, shortcut: str, enabled: bool, action: Callable[..., None], *args: Any) -> None:
    st.button(
        label,
        key=label.lower(),
        icon=f":material/{icon}:",
        shortcut=shortcut,
        type="primary" if label == "Train" else "secondary",
        disabled=not enabled,
        on_click=action,
        args=args,
    )


def buttons(config: RunConfig | None, run: RunSnapshot | None) -> None:
    """Train, Pause or Resume, Step, Stop, Reset, the speed, and Keep; each with its key."""
    engine = session.engine()
    run_id = run.id if run is not None else ""
    active = run is not None and run.active and run.owner == session.owner()
    paused = active and run is not None and run.state is RunState.PAUSED
    same = active and run is not None and run.config == config
    ended = run is not None and not run.active
    with st.container(horizontal=True, key="buttons", vertical_alignment="bottom", gap="small"):
        button("Train", "play_arrow", "T", config is not None and not same, start, config)
        if paused:
            button("Resume", "resume", "P", True, engine.resume, run_id)
            button("Step", "skip_next", "N", True, ask, engine.step, run_id, is_still)
        else:
            button("Pause", "pause", "P", active, ask, engine.pause, run_id, is_still)
            button("Step", "skip_next", "N", config is not None and not active, start, config, 1)
        button("Stop", "stop", "S", active, ask, engine.stop, run_id, is_ended)
        button("Reset", "restart_alt", "Z", run is not None, reset)
        st.selectbox(
            "Speed",
            list(SPEEDS),
            key="speed",
            label_visibility="collapsed",
            width=140,
            on_change=change_speed,
            persist_state="session",
        )
        if session.is_kept(run_id):
            button("Unkeep", "keep_off", "K", ended, session.keep, run_id, False)
        else:
            button("Keep", "keep", "K", ended, session.keep, run_id, True)


def axes() -> Axes:
    with st.container(horizontal=True, key="axes", vertical_alignment="center", gap="medium"):
        x = st.segmented_control(
            "x axis",
            ["steps", "seconds"],
            default="steps",
            required=True,
            key="x_axis",
            label_visibility="collapsed",
            persist_state="session",
        )
        log_x = st.toggle("log x", key="log_x", persist_state="session")
        log_loss = st.toggle("log loss", True, key="log_loss", persist_state="session")
    return Axes(x="seconds" if x == "seconds" else "steps", log_x=log_x, log_loss=log_loss)


def layer_picture(config: RunConfig) -> None:
    """What the settings mean, before anything runs."""
    shape = config.shape
    # A long train needs the whole width.
    left, right = (
        st.columns([1.7, 1], vertical_alignment="center") if shape.num_cores <= 7 else (st.container(), st.container())
    )
    with left:
        picture(network_svg(shape), key="network")
    with right:
        picture(size_svg(shape), key="size")
    if config.train.optimizer != "als":
        plan = check_memory([config], machine.free_memory()).training
        with st.container(key="plan"):
            st.caption(f"Planned: {plan.headline}.", help=f"```\n{plan.report()}\n```")
    notes = [config.clipped_note, config.padding_note]
    if shape.parameter_ratio >= 1:
        hint = ": lower the ranks to compress" if max(shape.ranks, default=1) > 1 else ""
        notes.append(f"This layer is not smaller than the full one{hint}.")
    if any(notes):
        st.caption(" ".join(filter(None, notes)))


engine = session.engine()
session.remember_owner()
with st.sidebar:
    config = run_controls(engine.machine["gpu"] if engine.machine else None)
run = session.shown_run()

# Each part has a container of its own, filled or not: a note that comes or goes must not shift the charts below it to
# another place, where the browser would build them anew.
with st.container():
    if config is not None:
        layer_picture(config)
    else:
        st.warning(unusable(), icon=":material/info:")
buttons(config, run)
with st.container():
    if run is not None and run.owner != session.owner():
        st.info(
            "You are watching a run that someone else started; only they can pause or stop it.",
            icon=":material/visibility:",
        )
    elif run is not None and config is not None and config != run.config:
        st.caption(f"The charts show run {run.number}, which has other settings than the ones at the left.")
curves = st.container()
chosen_axes = axes()
with curves:
    live_run(run, session.kept_runs(), chosen_axes, config.data.scoring if config is not None else REGRESSION)
if run is not None and not run.active:
    result(run)
if config is not None:
    code_view(config, "run")
