"""How much accuracy for how few parameters: a sweep over factorizations and ranks, its frontier growing live."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard import session
from dashboard.code_view import code_view
from dashboard.form import unusable
from dashboard.navigation import TRAIN
from dashboard.sweep_controls import Asked, grid_sentence, sweep_controls
from dashboard.sweep_take_away import take_away
from dashboard.sweep_view import sweep_view
from ttcore.errors import InputError
from ttcore.sweep import SweepState
from ttcore.sweeps import HeldSweep


def start(asked: Asked, on_cluster: bool) -> None:
    """A new sweep; an own one that is still going ends, with what it has."""
    try:
        sweep_id = session.sweeps().start(asked.config, session.owner(), plan=asked.plan, on_cluster=on_cluster)
    except InputError as error:
        st.session_state.sweep_refused = str(error)
        return
    stop_own()
    session.show_sweep(sweep_id)


def stop_own() -> None:
    held = session.shown_sweep()
    if held is not None and held.owner == session.owner():
        held.sweep.stop()


def reset() -> None:
    stop_own()
    session.show_sweep(None)


def button(label: str, icon: str, shortcut: str, enabled: bool, action: Callable[..., None], *args: Any) -> None:
    st.button(
        label,
        key=f"sweep_{label.lower()}",
        icon=f":material/{icon}:",
        shortcut=shortcut,
        type="primary" if label == "Start" else "secondary",
        disabled=not enabled,
        on_click=action,
        args=args,
    )


def buttons(asked: Asked | None, held: HeldSweep | None) -> None:
    """Start, Pause or Resume, Stop, Reset; each with its key, the same as on the Train page."""
    sweep = held.sweep if held is not None else None
    state = sweep.snapshot().state if sweep is not None else SweepState.ENDED
    own = held is not None and held.owner == session.owner()
    active = own and state is not SweepState.ENDED
    same = active and sweep is not None and asked is not None and sweep.config == asked.config
    with st.container(horizontal=True, key="sweep_buttons", vertical_alignment="bottom", gap="small"):
        button("Start", "play_arrow", "T", asked is not None and not same, start, asked, cluster_chosen())
        if active and sweep is not None and state is SweepState.PAUSED:
            button("Resume", "resume", "P", True, sweep.resume)
        else:
            button("Pause", "pause", "P", active, sweep.pause if sweep is not None else stop_own)
        button("Stop", "stop", "S", active, stop_own)
        button("Reset", "restart_alt", "Z", held is not None, reset)


def cluster_chosen() -> bool:
    return session.sweeps().scheduler != "" and st.session_state.get("sweep_where") == CLUSTER


CLUSTER = "the Dask cluster"

engine = session.engine()
session.remember_owner()
with st.sidebar:
    asked = sweep_controls(engine.machine["gpu"] if engine.machine else None)
    if session.sweeps().scheduler:
        st.segmented_control(
            "Where it runs",
            ("this machine", CLUSTER),
            default=CLUSTER,
            required=True,
            key="sweep_where",
            persist_state="session",
            help=f"The scheduler is {session.sweeps().scheduler}, from this server's configuration.",
        )
held = session.shown_sweep()

with st.container():
    if asked is not None:
        st.markdown(grid_sentence(asked))
        if asked.plan.notes:
            st.caption(" ".join(asked.plan.notes))
    else:
        st.warning(unusable(), icon=":material/info:")
buttons(asked, held)
with st.container():
    if refused := st.session_state.pop("sweep_refused", ""):
        st.error(f"{refused}.", icon=":material/error:")
    if held is not None and held.owner != session.owner():
        st.info(
            "You are watching a sweep that someone else started; only they can pause or stop it.",
            icon=":material/visibility:",
        )
sweep_view(held, asked, lambda: st.switch_page(TRAIN))
if held is not None:
    take_away(held)
if asked is not None:
    code_view(asked.config, "sweep")
