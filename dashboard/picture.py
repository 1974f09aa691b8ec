"""An SVG drawing in the page itself, so that its text takes the page's colour; st.html would strip it."""

import streamlit as st

_COMPONENT = st.components.v2.component(
    "svg_picture",
    html='<div class="tt-picture"></div>',
    css="""
    .tt-picture { color: var(--st-text-color); font-family: var(--st-font); }
    """,
    js="""
    export default function ({ data, parentElement }) {
      const host = parentElement.querySelector(".tt-picture")
      if (host.innerHTML !== data.svg) host.innerHTML = data.svg
    }
    """,
)


def picture(svg: str, *, key: str) -> None:
    """Show SVG text that the program itself has made; it is not cleaned."""
    _COMPONENT(key=key, data={"svg": svg})
