"""The pages and their addresses."""

from base64 import b64encode
from pathlib import Path

import streamlit as st

_HERE = Path(__file__).resolve().parent
_PAGES = _HERE.parent / "pages"
# A picture of our own, in the page itself: a named icon would be fetched from the web, and the address of a file is
# gone with the session that it was made for.
ICON = "data:image/png;base64," + b64encode((_HERE / "icon.png").read_bytes()).decode()
STYLE = _HERE / "style.css"

TRAIN = st.Page(
    _PAGES / "train.py",
    title="Train",
    icon=":material/play_circle:",
    default=True,
    help="Pick modes and rank, press Train, and watch the layer learn beside the full model.",
)
TRADEOFF = st.Page(
    _PAGES / "tradeoff.py",
    title="Trade-off",
    icon=":material/scatter_plot:",
    url_path="trade-off",
    help="How much accuracy for how few parameters: many ranks and factorizations, live, beside honest baselines.",
)
DATA = st.Page(
    _PAGES / "data.py",
    title="Data",
    icon=":material/table_view:",
    url_path="data-sets",
    help="What there is to learn from, and whether your own data are fit for a tensor-train layer.",
)
RUNS = st.Page(
    _PAGES / "runs.py",
    title="Runs",
    icon=":material/history:",
    url_path="run-history",
    help="Your runs since the server started: what they reached, for how many parameters, and their files.",
)
EINSUM = st.Page(
    _PAGES / "einsum.py",
    title="Einsum",
    icon=":material/hub:",
    url_path="einsum-laboratory",
    help="The contraction behind the layer: examples to change, drawn, in formulas, as loops, and step by step.",
)
GRADIENTS = st.Page(
    _PAGES / "gradients.py",
    title="Gradients",
    icon=":material/show_chart:",
    url_path="gradient-laboratory",
    help="Gradients by hand, by autograd and by differences, also through a tensor train; and a race of optimizers.",
)
PAGES = [TRAIN, TRADEOFF, DATA, EINSUM, GRADIENTS, RUNS]
