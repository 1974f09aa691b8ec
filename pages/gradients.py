"""Gradients pass through a tensor train: seen three ways, core by core, and put to use in a race."""

import streamlit as st

from dashboard import session
from dashboard.gradient_cores_view import cores_view
from dashboard.gradient_matrix_view import matrix_view
from dashboard.gradient_race_view import race_view

PARTS = {"1 · One matrix": matrix_view, "2 · A tensor train": cores_view, "3 · A race": race_view}

session.engine()
session.remember_owner()
st.title("Gradients pass through")
st.caption(
    "A tensor-train layer learns like any other: the error at its outputs tells every number inside it which way to "
    "move. First for one matrix, then for the cores of a train, then in a race."
)
for tab, draw in zip(st.tabs(list(PARTS), key="gradient_part", on_change="rerun"), PARTS.values(), strict=True):
    # What nobody looks at costs nothing.
    if tab.open:
        with tab:
            draw()
