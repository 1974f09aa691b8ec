"""What a person takes away from a sweep: download buttons; the files are made when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable

import streamlit as st

from dashboard.sweep_html import sweep_html
from ttcore.sweep_export import sweep_csv, sweep_object, sweep_script
from ttcore.sweeps import HeldSweep


def take_away(held: HeldSweep) -> None:
    """Everything that is done by the time of the click."""
    name = f"tt-sweep-{held.number}"
    sweep = held.sweep
    files: list[tuple[str, str, str, Callable[[], str], str]] = [
        ("CSV", f"{name}.csv", "text/csv", lambda: sweep_csv(sweep.snapshot()), "One row a run and a model."),
        (
            "JSON",
            f"{name}.json",
            "application/json",
            lambda: json.dumps(sweep_object(sweep.snapshot()), indent=1, allow_nan=False),
            "Settings and results; python -m ttcore sweep --resume goes on from it.",
        ),
        (
            "Figures (HTML)",
            f"{name}.html",
            "text/html",
            lambda: sweep_html(sweep.snapshot()),
            "One file with all figures, which opens without a network.",
        ),
        (
            "Script with ttcore",
            f"{name}.py",
            "text/x-python",
            lambda: sweep_script(sweep.config),
            "Repeats this sweep with ttcore.",
        ),
    ]  # fmt: skip
    with st.container(horizontal=True, key="sweep_take_away", gap="small"):
        for label, file, kind, make, explained in files:
            st.download_button(
                label,
                make,
                file,
                kind,
                key=f"sweep_file_{label.split()[0].lower()}",
                on_click="ignore",
                icon=":material/download:",
                help=explained,
            )
    st.caption("In the corner of every picture the camera saves it as SVG, the disk as PNG.")
