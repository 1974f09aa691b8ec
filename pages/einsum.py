"""A contraction in every notation: network, formula, einsum, loops; its entries, and what its order costs."""

import streamlit as st

from dashboard.einsum_colours import colours
from dashboard.einsum_controls import einsum_controls
from dashboard.einsum_view import agreement, in_code, layer, lit_entries, notation, order, style

style()
st.title("Einsum")
st.caption(
    "A tensor-train layer is one contraction, and contractions are ordinary operations in another notation: give every "
    "axis a letter, multiply where letters meet, and add up over the letters that the result does not have."
)
chosen = einsum_controls()
if chosen is None:
    st.info("Mend what is marked above, and everything is drawn again.", icon=":material/info:")
else:
    shown = colours(chosen.contraction)
    notation(chosen.contraction, shown)
    lit_entries(chosen.contraction, chosen.seed, shown)
    in_code(chosen.contraction)
    agreement(chosen.contraction, chosen.seed)
    order(chosen.contraction, shown)
    layer(chosen.contraction)
