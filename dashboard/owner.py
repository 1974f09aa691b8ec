"""Who a browser is: a secret of its own, and the tables that it has prepared."""

from __future__ import annotations

import re
import secrets

import streamlit as st

_COOKIE = "tensor_train_owner"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,64}")


_KEEP_COOKIE = st.components.v2.component(
    "keep_owner",
    js="""
    export default function ({ data }) {
      document.cookie = `${data.name}=${data.token}; path=/; max-age=31536000; SameSite=Strict`
    }
    """,
)


def owner() -> str:
    """A secret of this browser; whoever has it may pause and stop the runs that it started."""
    if "owner" not in st.session_state:
        cookie = st.context.cookies.get(_COOKIE, "")
        st.session_state.owner = cookie if _TOKEN.fullmatch(cookie) else secrets.token_urlsafe(24)
    return st.session_state.owner


def remember_owner() -> None:
    """Let the browser keep the secret, so that a reloaded page is the same owner."""
    if st.context.cookies.get(_COOKIE) != owner():
        with st.container(key="keep_owner_place"):
            _KEEP_COOKIE(key="keep_owner", data={"name": _COOKIE, "token": owner()})


@st.cache_resource(show_spinner=False)
def tables_by_owner() -> dict[str, list[str]]:
    """Keys of the tables that each browser has prepared since this server started, the newest first."""
    return {}
