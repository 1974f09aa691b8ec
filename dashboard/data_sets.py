"""The data that the program knows: each source with what it is, its sizes, its origin, and the way to a run on it."""

from __future__ import annotations

import streamlit as st

from dashboard.data_open import open_run, open_sweep
from dashboard.form import sizes
from dashboard.run_settings import RUN, preset_of
from dashboard.sweep_settings import SWEEP
from ttcore.config import DataConfig, RunConfig
from ttcore.sources import SOURCES
from ttcore.sweep_config import SweepConfig


def data_sets() -> None:
    """A row for each source but the visitor's own; on a phone its parts stand below each other."""
    for source, spec in SOURCES.items():
        if source == "table":
            continue
        data = DataConfig(source=source)
        preset = preset_of(data)
        with st.container(border=True, key=f"source_{source}"):
            what, size, way = st.columns([5, 3, 3], vertical_alignment="center")
            what.markdown(f"**{spec.title}** · {spec.task}  \n{spec.about}")
            what.caption(spec.origin)
            size.markdown(sizes(data))
            if not spec.samples:
                size.caption("These sizes are a start; all can be set.")
            with way, st.container(horizontal=True):
                open_buttons(source, RUN.starts[preset], SWEEP.starts[preset])


def open_buttons(name: str, run: RunConfig, sweep: SweepConfig) -> None:
    """To the Train page and to the Trade-off page with these settings."""
    st.button(
        "Train on it",
        key=f"to_train_{name}",
        icon=":material/play_circle:",
        width="stretch",
        on_click=open_run,
        args=(run,),
    )
    st.button(
        "Sweep it",
        key=f"to_sweep_{name}",
        icon=":material/scatter_plot:",
        width="stretch",
        help="On the Trade-off page: many ranks and factorizations.",
        on_click=open_sweep,
        args=(sweep,),
    )
