"""Own data on the Data page: a file or a data set of OpenML becomes a prepared table, each refusal at its place."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.address import MAX_LENGTH
from dashboard.advice import proposal_table
from dashboard.data_sets import open_buttons
from dashboard.data_tables import data_of_table, known_tables, remember_table
from dashboard.form import counted, sizes
from dashboard.run_settings import own_run
from dashboard.sweep_settings import own_sweep
from ttcore.advisor import advise
from ttcore.errors import InputError
from ttcore.intake import ColumnInfo, Inspection, inspect
from ttcore.table_store import Stored, TableStore

KINDS = ("csv", "tsv", "parquet", "npy", "npz")
# Megabytes, as the server's configuration has it.
MAX_UPLOAD = 200
TASKS = {
    "auto": "as the target looks",
    "regression": "regression: numbers",
    "classification": "classification: classes",
}
# More columns would take a browser long to draw.
_PREVIEW_COLUMNS = 50
_INSPECTED = "data_inspected"
# Each look at a file may take gigabytes.
_ONE_AT_A_TIME = threading.Lock()


def own_file() -> None:
    """Choose a file, see what is in it, say what is to be learnt, and prepare it."""
    uploaded = st.file_uploader(
        "A file of your own",
        type=KINDS,
        key="data_file",
        max_upload_size=MAX_UPLOAD,
        help=f"A table with a line of names, or NumPy arrays, of at most {MAX_UPLOAD} MB. It stays on this server.",
    )
    if uploaded is None:
        st.caption(
            "CSV, TSV or Parquet: a row for each sample, a column for each quantity. NPY and NPZ: arrays of shape "
            "(samples,) or (samples, columns). Text becomes columns of zeros and ones."
        )
        return
    name, content = " ".join(uploaded.name.split()), uploaded.getbuffer()
    digest = sha256(content).hexdigest()
    found = _inspected(digest, name, content)
    if isinstance(found, str):
        _refused(st, found)
        return
    _preview(found)
    slots, options = _options(digest, found)
    _prepare_button(name, content, slots, options)


def openml() -> None:
    """A data set of OpenML, by name or number."""
    st.caption("OpenML is a public library of data sets; the server needs the web for it.")
    name = st.text_input(
        "Name or number", key="data_openml", max_chars=MAX_LENGTH, placeholder="wine-quality-red, or 40691",
        persist_state="session",
    )  # fmt: skip
    targets = st.text_input(
        "Targets (optional)", key="data_openml_targets", max_chars=MAX_LENGTH, persist_state="session",
        help="Columns with commas between; empty: the target that OpenML names.",
    )  # fmt: skip
    task = _task("data_openml_task")
    drop = st.checkbox("Leave out rows with missing values", key="data_openml_drop", persist_state="session")
    if st.button("Fetch", key="fetch", icon=":material/cloud_download:", type="primary", disabled=not name.strip()):
        chosen = tuple(part.strip() for part in targets.split(",") if part.strip())
        try:
            from ttcore.own_data import from_openml

            with st.spinner("Fetching and preparing …"):
                remember_table(from_openml(name.strip(), chosen, task, drop).key)
        except InputError as error:
            _refused(st, str(error))


def own_tables() -> None:
    """Every table of this session: what was done to it, whether a layer can compress it, and the way to a run."""
    for place, (key, stored) in enumerate(known_tables().items()):
        if place == 0:
            st.subheader("Your tables")
        title = f"{stored.title}: {', '.join(stored.targets[:3])}{', …' * (len(stored.targets) > 3)}"
        with st.expander(escaped(title), expanded=place == 0, key=f"table_{key}"):
            _own_table(key, stored)


def escaped(text: str) -> str:
    """Text from outside as Markdown shows it letter by letter."""
    return re.sub(r"([\\`*_\[\]<>$:#~|])", r"\\\1", text)


def _own_table(key: str, stored: Stored) -> None:
    data = data_of_table(stored)
    run = own_run(data)
    st.markdown(f"{sizes(data)} · {data.task_kind}")
    for note in stored.notes:
        st.caption(escaped(note))
    advice = advise(data.in_features, data.out_features, max(run.shape.ranks, default=1))
    (st.success if advice.compresses else st.info)(advice.verdict, icon=":material/lightbulb:")
    st.dataframe(proposal_table(advice.proposals), hide_index=True)
    with st.container(horizontal=True):
        open_buttons(key, run, own_sweep(data))


def _inspected(digest: str, name: str, content: memoryview) -> Inspection | str:
    """What is in the file, or why it cannot be read; looked at once a session."""
    kept = st.session_state.get(_INSPECTED)
    if kept is None or kept[0] != (digest, name):
        try:
            with st.spinner("Looking into the file …"), _as_file(content) as path, _ONE_AT_A_TIME:
                found: Inspection | str = inspect(path, name)
        except InputError as error:
            found = str(error)
        kept = st.session_state[_INSPECTED] = ((digest, name), found)
    return kept[1]


@contextmanager
def _as_file(content: memoryview) -> Iterator[Path]:
    """The upload as a file, for as long as it is worked on; a full disk is a refusal too."""
    try:
        with tempfile.TemporaryDirectory(prefix="tt-upload-") as folder:
            path = Path(folder) / "upload"
            path.write_bytes(content)
            yield path
    except OSError as error:
        raise InputError(f"the file cannot be kept on this server ({error.strerror})", "file") from None


def _preview(found: Inspection) -> None:
    columns = found.columns[:_PREVIEW_COLUMNS]
    more = f"; the first {_PREVIEW_COLUMNS} are shown" if len(found.columns) > len(columns) else ""
    st.markdown(f"{counted(found.rows, 'row')} · {counted(len(found.columns), 'column')}{more}")
    st.dataframe(
        {column.name: [row[place] for row in found.preview] for place, column in enumerate(columns)},
        hide_index=True,
    )
    with st.expander("Columns"):
        st.dataframe(column_table(found.columns), hide_index=True)


def column_table(columns: Sequence[ColumnInfo]) -> dict[str, list[Any]]:
    """Columns of equal length, one entry a column of the file."""
    return {
        "column": [column.name for column in columns],
        "kind": [column.kind for column in columns],
        "missing": [column.missing + column.infinite for column in columns],
        "distinct": [column.distinct for column in columns],
    }


def _options(digest: str, found: Inspection) -> tuple[dict[str, Any], tuple[list[str], str, bool]]:
    """Draw what can be chosen: the places for refusals by the field that they name, and targets, task, drop_missing."""
    slots: dict[str, Any] = {}
    targets = st.multiselect(
        "Targets: what is to be learnt",
        [column.name for column in found.columns],
        default=[found.target],
        # Each file has columns of its own.
        key=f"data_targets_{digest}",
        help="All other columns are inputs. Several targets are learnt together, as numbers.",
        persist_state="session",
    )
    slots["targets"] = st.empty()
    task = _task("data_task")
    slots["task"] = st.empty()
    drop = False
    if any(column.missing or column.infinite for column in found.columns):
        drop = st.checkbox("Leave out rows with missing values", key="data_drop", persist_state="session")
        slots["missing"] = st.empty()
    return slots, (targets, task, drop)


def _task(key: str) -> str:
    return st.selectbox("Task", list(TASKS), format_func=TASKS.__getitem__, key=key, persist_state="session")


def _prepare_button(
    name: str, content: memoryview, slots: Mapping[str, Any], options: tuple[list[str], str, bool]
) -> None:
    if not st.button("Prepare", key="prepare", icon=":material/table_view:", type="primary"):
        return
    try:
        with st.spinner("Preparing …"), _as_file(content) as path, _ONE_AT_A_TIME:
            stored = TableStore().add(path, name, *options)
        # Too small to be split is a refusal too.
        own_run(data_of_table(stored))
    except InputError as error:
        _refused(slots.get(error.field, st), str(error))
    else:
        remember_table(stored.key)


def _refused(place: Any, message: str) -> None:
    place.error(f"{escaped(message)}.", icon=":material/error:")
