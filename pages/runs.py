"""All runs of this browser since the server started: what they reached, for how many parameters, and their files."""

import json

import streamlit as st

from dashboard import session
from dashboard.history import results_json, table
from dashboard.navigation import TRAIN
from dashboard.result import take_away
from ttcore.engine import RunSnapshot

# Seconds between two looks while a run is going on.
TICK = 2.0
_SCORES = [f"{part} {name}" for part in ("train", "test", "best") for name in ("R²", "accuracy", "score")]


def open_on_train_page(run: RunSnapshot) -> None:
    session.open_run(run.id, run.config)
    st.switch_page(TRAIN)


def keep_all(runs: list[RunSnapshot]) -> None:
    for run in runs:
        session.keep(run.id, True)


def history(moving: bool) -> None:
    runs = session.engine().runs(session.owner())
    if moving and not any(run.active for run in runs):
        st.rerun()
    if not runs:
        st.info("No runs yet. Press **Train** on the Train page; every run of this browser then stands here.")
        st.page_link(TRAIN)
        return
    event = st.dataframe(
        table(runs),
        key="history",
        on_select="rerun",
        selection_mode="multi-row",
        hide_index=True,
        column_config={
            "parameter ratio": st.column_config.NumberColumn(format="%.4f"),
            **{name: st.column_config.NumberColumn(format="%.4f") for name in _SCORES},
            "seconds": st.column_config.NumberColumn(format="%.1f"),
        },
    )
    chosen = [runs[row] for row in event.selection.rows if row < len(runs)]
    with st.container(horizontal=True, key="history_buttons"):
        one = chosen[0] if len(chosen) == 1 else None
        if st.button("Open on the Train page", key="open", icon=":material/open_in_new:", disabled=one is None):
            assert one is not None
            open_on_train_page(one)
        ended = [run for run in chosen if not run.active]
        st.button(
            "Keep curves on the chart", key="keep_chosen", icon=":material/keep:", disabled=not ended,
            on_click=keep_all, args=(ended,),
        )  # fmt: skip
        st.download_button(
            "All results (JSON)", lambda: json.dumps(results_json(runs), indent=2), "tt-runs.json", "application/json",
            key="all_json", on_click="ignore", icon=":material/download:",
        )  # fmt: skip
    if one is not None and one.finished is not None:
        st.markdown(f"**Run {one.number}.** {one.message}")
        take_away(one, one.finished)
    elif not chosen:
        st.caption("Mark a run at the left edge of its row to open it, to keep its curve, or to take its files.")


session.remember_owner()
st.title("Runs")
going_on = any(run.active for run in session.engine().runs(session.owner()))
st.fragment(history, run_every=TICK if going_on else None)(going_on)
