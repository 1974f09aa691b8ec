"""What there is to learn from, and whether one's own data are fit for a tensor-train layer."""

import streamlit as st

from dashboard import session
from dashboard.data_intake import openml, own_file, own_tables
from dashboard.data_sets import data_sets

session.remember_owner()
st.title("Data")
st.caption("What a tensor-train layer can learn from here, and whether your own data are fit for one.")
included, own, fetched = st.tabs(["Data sets", "Your own file", "OpenML"])
with included:
    data_sets()
with own:
    own_file()
with fetched:
    openml()
own_tables()
