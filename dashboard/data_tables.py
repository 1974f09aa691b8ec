"""The prepared tables that this session knows, and the data of a table by its key."""

from __future__ import annotations

import streamlit as st

from ttcore.config import DataConfig
from ttcore.errors import InputError
from ttcore.own_data import config_of
from ttcore.table_store import Stored, TableStore

_KNOWN = "data_known_tables"


def stored_table(key: str) -> Stored | None:
    """The prepared table of this key; None where none is held."""
    if not key:
        return None
    try:
        return TableStore().get(key)
    except InputError:
        return None


def data_of_table(stored: Stored) -> DataConfig:
    """The data of a prepared table with the usual hold-out, or half of it where that leaves too few on one side.

    Raises InputError for a table that cannot be split at all.
    """
    try:
        return config_of(stored)
    except InputError:
        return config_of(stored, test_fraction=0.5)


def data_of(key: str) -> DataConfig | None:
    """The same by the key of the table; None where none is held that can be split."""
    stored = stored_table(key)
    try:
        return data_of_table(stored) if stored is not None else None
    except InputError:
        return None


def remember_table(key: str) -> None:
    """Offer this table first in this session."""
    st.session_state[_KNOWN] = [key, *(other for other in st.session_state.get(_KNOWN, []) if other != key)]


def known_tables() -> dict[str, Stored]:
    """The tables of this session that are still held, by their keys, the newest first."""
    found = {key: stored_table(key) for key in st.session_state.get(_KNOWN, [])}
    return {key: stored for key, stored in found.items() if stored is not None}
