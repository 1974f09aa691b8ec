"""The one shared Engine, and what a browser session remembers: who it is, which run it shows, which curves it keeps."""

from __future__ import annotations

import gc
import os
import threading

import streamlit as st

from dashboard.owner import owner as owner
from dashboard.owner import remember_owner as remember_owner
from dashboard.run_settings import RUN
from ttcore import machine
from ttcore.config import DataConfig, RunConfig
from ttcore.engine import Engine, RunSnapshot
from ttcore.jobs import TaskFuture
from ttcore.sweeps import HeldSweep, Sweeps

# Data sets whose models to compare with are kept.
_MOST_COMPARISONS = 32


@st.cache_resource(show_spinner=False, on_release=Engine.close)
def engine() -> Engine:
    """The engine of this server; its worker starts with the first page."""
    started = Engine(threads=default_threads())
    # What is loaded by now stays for good: no collection need look at it again.
    gc.collect()
    gc.freeze()
    return started


def default_threads() -> int:
    """Threads of the worker where a run leaves them open: one processor stays free for the page and its server."""
    return max(1, machine.processors() - 1)


@st.cache_resource(show_spinner=False, on_release=Sweeps.close)
def sweeps() -> Sweeps:
    """The sweeps of this server. A Dask cluster is named in its environment: what a scheduler sends is trusted."""
    return Sweeps(engine(), default_threads(), os.environ.get("TTCORE_SCHEDULER", ""))


class Comparisons:
    """What TT layers are to be compared with, of each data set: the engine is asked for it once, for all visitors."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[DataConfig, TaskFuture] = {}

    def ask(self, data: DataConfig) -> TaskFuture:
        """The answer to come: the list that ttcore.comparison.compare gives."""
        with self._lock:
            future = self._asked.pop(data, None)
            if future is None:
                _, future = engine().submit_task("compare_with", {"data": data.to_json()})
            # The one asked for last stands last.
            self._asked[data] = future
            while len(self._asked) > _MOST_COMPARISONS:
                del self._asked[next(iter(self._asked))]
            return future

    def forget(self, data: DataConfig, failed: TaskFuture) -> None:
        """Let the next who asks try again."""
        with self._lock:
            if self._asked.get(data) is failed:
                del self._asked[data]


@st.cache_resource(show_spinner=False)
def comparisons() -> Comparisons:
    """The comparisons of this server."""
    return Comparisons()


def show_run(run_id: str | None) -> None:
    """Make this the run that the Train page shows; its id goes into the address."""
    st.session_state.shown_run = run_id
    if run_id is None:
        st.query_params.pop("run", None)
    elif st.query_params.get("run") != run_id:
        st.query_params["run"] = run_id


def open_run(run_id: str, config: RunConfig) -> None:
    """Show a run on the Train page, with its settings in the controls."""
    st.session_state.shown_run = run_id
    RUN.show(config)


def open_settings(config: RunConfig) -> None:
    """Show settings on the Train page, ready to be trained."""
    st.session_state.shown_run = None
    RUN.show(config)


def shown_run() -> RunSnapshot | None:
    """The run of the address, or the one that this session showed last."""
    run_id = st.query_params.get("run") or st.session_state.get("shown_run")
    if run_id is None:
        return None
    run = engine().snapshot(run_id)
    show_run(run_id if run else None)
    if run is None:
        st.toast(
            "The run in the address is not known here: the server was started anew since, or the run was too long ago.",
            icon=":material/info:",
        )
    return run


def show_sweep(sweep_id: str | None) -> None:
    """Make this the sweep that the Trade-off page shows; its id goes into the address."""
    st.session_state.shown_sweep = sweep_id
    if sweep_id is None:
        st.query_params.pop("sweep", None)
    elif st.query_params.get("sweep") != sweep_id:
        st.query_params["sweep"] = sweep_id


def shown_sweep() -> HeldSweep | None:
    """The sweep of the address, or the one that this session showed last."""
    sweep_id = st.query_params.get("sweep") or st.session_state.get("shown_sweep")
    if sweep_id is None:
        return None
    held = sweeps().get(sweep_id)
    show_sweep(sweep_id if held else None)
    if held is None:
        st.toast(
            "The sweep in the address is not known here: the server was started anew since, or it was too long ago.",
            icon=":material/info:",
        )
    return held


def kept_runs() -> list[RunSnapshot]:
    """The runs whose curves stay on the chart, oldest first."""
    snapshots = [engine().snapshot(run_id) for run_id in st.session_state.get("kept_runs", [])]
    return [run for run in snapshots if run is not None]


def keep(run_id: str, kept: bool) -> None:
    """Hold a run's curve on the chart, or let it go."""
    others = [other for other in st.session_state.get("kept_runs", []) if other != run_id]
    st.session_state.kept_runs = [*others, run_id] if kept else others


def is_kept(run_id: str) -> bool:
    return run_id in st.session_state.get("kept_runs", [])
