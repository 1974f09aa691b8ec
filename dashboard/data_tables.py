"""The prepared tables that this browser knows, and the data of a table by its key."""

from __future__ import annotations

from dashboard.owner import owner, tables_by_owner
from ttcore.config import DataConfig
from ttcore.errors import InputError
from ttcore.own_data import config_of
from ttcore.table_store import Stored, TableStore

# So many tables of one browser are remembered.
_MOST = 50


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
    """Offer this table first to this browser."""
    mine = tables_by_owner().setdefault(owner(), [])
    mine[:] = [key, *(other for other in mine if other != key)][:_MOST]


def known_tables() -> dict[str, Stored]:
    """The tables of this browser that are still held, by their keys, the newest first."""
    found = {key: stored_table(key) for key in tables_by_owner().get(owner(), [])}
    return {key: stored for key, stored in found.items() if stored is not None}
