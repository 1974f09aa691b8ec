"""From data to the pages that learn from them, with settings in their controls. Both end the script run."""

from __future__ import annotations

import streamlit as st

from dashboard import session
from dashboard.sweep_settings import SWEEP
from ttcore.config import RunConfig
from ttcore.sweep_config import SweepConfig


def open_run(config: RunConfig) -> None:
    """The Train page, ready to train this."""
    # Pages can be made only while a script runs, and this module is loaded without one too.
    from dashboard.navigation import TRAIN

    session.open_settings(config)
    st.switch_page(TRAIN)


def open_sweep(config: SweepConfig) -> None:
    """The Trade-off page, ready to start this."""
    from dashboard.navigation import TRADEOFF

    st.session_state.shown_sweep = None
    SWEEP.show(config)
    st.switch_page(TRADEOFF)
