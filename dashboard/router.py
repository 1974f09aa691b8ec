"""Page config and navigation, nothing else. Run by app.py for every visitor."""

import streamlit as st

from dashboard.navigation import ICON, PAGES, STYLE

st.set_page_config(page_title="Tensor-train layers, live", page_icon=ICON, layout="wide")
st.html(STYLE)
st.navigation(PAGES, position="top").run()
