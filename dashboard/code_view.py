"""A run or a sweep as a script that a person takes away."""

from __future__ import annotations

import streamlit as st

from ttcore.config import RunConfig
from ttcore.errors import InputError
from ttcore.script import script_of
from ttcore.script_data import TABLE_FILE, table_npz
from ttcore.script_sweep import sweep_script_of
from ttcore.sweep_config import SweepConfig

# Pixels; what is longer scrolls.
_HEIGHT = 420


def code_view(config: RunConfig | SweepConfig, key: str) -> None:
    """An expander with the script, to copy or to download; for a prepared table its samples too."""
    with st.expander("Code", icon=":material/code:", key=f"code_{key}"):
        try:
            script = script_of(config) if isinstance(config, RunConfig) else sweep_script_of(config)
        except InputError as error:
            st.caption(f"There is no script: {error}.")
            return
        needs = "numpy, torch and scikit-learn"
        if config.data.source == "table":
            needs += f", and `{TABLE_FILE}` in the folder where it is started"
        st.caption(f"The same in a file of its own. It needs {needs}.")
        st.code(script, language="python", wrap_lines=False, height=_HEIGHT)
        with st.container(horizontal=True, key=f"code_files_{key}"):
            st.download_button(
                "Script (Python)",
                script,
                "train_tt.py" if isinstance(config, RunConfig) else "sweep_tt.py",
                "text/x-python",
                key=f"code_script_{key}",
                on_click="ignore",
                icon=":material/download:",
            )
            if config.data.source == "table":
                _samples(config, key)


def _samples(config: RunConfig | SweepConfig, key: str) -> None:
    data = config.data
    st.download_button(
        "Samples (NPZ)",
        lambda: table_npz(data),
        TABLE_FILE,
        "application/octet-stream",
        key=f"code_samples_{key}",
        on_click="ignore",
        icon=":material/download:",
    )
