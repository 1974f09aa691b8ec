"""Tables from files that nobody vouches for: read and prepared in a child process of bounded memory and time.

The child is `python -m ttcore.intake`, one request as JSON on its stdin and one reply on its stdout. Its memory is
bounded by RLIMIT_DATA, which counts what a process may write to: RLIMIT_AS would count the libraries and the memory
that pyarrow and OpenBLAS only reserve as well. Linux enforces it; macOS and Windows have the limit of time alone.
This module loads neither pyarrow nor torch; the child loads pyarrow.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttcore.bounded_child import ask
from ttcore.checks import shown
from ttcore.errors import InputError

if TYPE_CHECKING:
    from ttcore.preparing import Prepared
    from ttcore.tables import Column, Table

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

# A CSV file of 200 MiB takes 1 GiB where it holds floats in full and 2.5 GiB where it holds single digits; the rest
# is for a table of MAX_TABLE_BYTES and its copy.
MEMORY_LIMIT = 4 * 2**30
# Seconds.
TIME_LIMIT = 60.0

PREVIEW_ROWS = 8
_CELL = 60
_USUAL_TARGETS = ("target", "y", "label", "class")


@dataclass(frozen=True)
class ColumnInfo:
    """A column as a page lists it; `kind` is "number" or "category", the counts are of cells."""

    name: str
    kind: str
    missing: int
    infinite: int
    distinct: int


@dataclass(frozen=True)
class Inspection:
    """What is in a file: its columns, the first rows as text ("" for missing), and a target to begin with."""

    rows: int
    columns: tuple[ColumnInfo, ...]
    preview: tuple[tuple[str, ...], ...]
    target: str


@dataclass(frozen=True)
class Description:
    """What prepare_file left in its folder; see Prepared for the names."""

    samples: int
    features: int
    outputs: int
    task: str
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    notes: tuple[str, ...]
    dropped: int


def inspect(path: Path, name: str) -> Inspection:
    """Look into the file at `path`, which its owner calls `name`.

    Raises InputError (field "file") as read_table does, and for a file that takes too much memory or time.
    """
    reply = _ask(name, {"do": "inspect", "path": str(path.resolve()), "name": name})
    return Inspection(
        reply["rows"],
        tuple(ColumnInfo(**column) for column in reply["columns"]),
        tuple(tuple(row) for row in reply["preview"]),
        reply["target"],
    )


def prepare_file(
    path: Path, name: str, targets: Sequence[str], task: str, drop_missing: bool, folder: Path
) -> Description:
    """Read the file and prepare it; x.npy, y.npy (both float64) and meta.json (the description) go into `folder`.

    Raises InputError as read_table and prepare do, and for a file that takes too much memory or time.
    """
    request = {
        "do": "prepare",
        "path": str(path.resolve()),
        "name": name,
        "targets": list(targets),
        "task": task,
        "drop_missing": drop_missing,
        "folder": str(folder.resolve()),
    }
    return described(_ask(name, request))


def describe(prepared: Prepared) -> Description:
    """What there is to say of it beside its arrays."""
    return Description(
        samples=prepared.x.shape[0],
        features=prepared.x.shape[1],
        outputs=prepared.y.shape[1],
        task=prepared.task,
        feature_names=prepared.feature_names,
        target_names=prepared.target_names,
        notes=prepared.notes,
        dropped=prepared.dropped,
    )


def described(values: dict[str, Any]) -> Description:
    """A description out of JSON, which has lists for tuples."""
    lists = {name: tuple(values[name]) for name in ("feature_names", "target_names", "notes")}
    return Description(**{**values, **lists})


def _ask(name: str, request: dict[str, Any]) -> dict[str, Any]:
    """The child's reply."""
    return ask(
        "ttcore.intake",
        {**request, "memory": MEMORY_LIMIT},
        TIME_LIMIT,
        too_long=InputError(
            f"{shown(name)} took more than {TIME_LIMIT:g} s to read and was given up; leave out rows or columns", "file"
        ),
        too_large=_too_large(name, MEMORY_LIMIT),
    )


def _too_large(name: str, limit: int) -> InputError:
    return InputError(
        f"{shown(name)} needs more than {limit / 2**30:.3g} GiB of memory to read, or is damaged; leave out rows or "
        "columns, or save it anew",
        "file",
    )


# In the child


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if resource is not None:
        # Before the libraries are loaded, so that what they take counts. An administrator may have set less.
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        memory = request["memory"]
        resource.setrlimit(
            resource.RLIMIT_DATA, (memory if most == resource.RLIM_INFINITY else min(memory, most), most)
        )
    try:
        return _inspect(request) if request["do"] == "inspect" else _prepare(request)
    except InputError as error:
        return {"error": str(error), "field": error.field}
    except MemoryError:
        return {"error": str(_too_large(request["name"], request["memory"])), "field": "file"}
    except Exception:
        traceback.print_exc()
        return {
            "error": f"{shown(request['name'])} could not be read for a reason that this program does not know; "
            "save it anew or as another kind of file",
            "field": "file",
        }


def _inspect(request: dict[str, Any]) -> dict[str, Any]:
    from ttcore.tables import read_table

    table = read_table(Path(request["path"]), request["name"])
    columns = [
        ColumnInfo(column.name, column.kind, column.missing, column.infinite, column.distinct)
        for column in table.columns
    ]
    preview = tuple(
        tuple(_cell(column, row) for column in table.columns) for row in range(min(PREVIEW_ROWS, table.rows))
    )
    return asdict(Inspection(table.rows, tuple(columns), preview, _usual_target(table)))


def _cell(column: Column, row: int) -> str:
    value = column.values[row]
    if column.kind == "category":
        text = column.categories[value] if value >= 0 else ""
    elif value != value:
        text = ""
    else:
        text = str(int(value)) if abs(value) < 2**53 and value == int(value) else repr(float(value))
    return text if len(text) <= _CELL else text[: _CELL - 3] + "..."


def _usual_target(table: Table) -> str:
    """The column whose name says so, else the last one."""
    names = [column.name for column in table.columns]
    return next((name for usual in _USUAL_TARGETS for name in names if name.lower() == usual), names[-1])


def _prepare(request: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from ttcore.preparing import prepare
    from ttcore.tables import read_table

    table = read_table(Path(request["path"]), request["name"])
    prepared = prepare(table, request["targets"], request["task"], request["drop_missing"])
    folder = Path(request["folder"])
    np.save(folder / "x.npy", prepared.x, allow_pickle=False)
    np.save(folder / "y.npy", prepared.y, allow_pickle=False)
    description = asdict(describe(prepared))
    (folder / "meta.json").write_text(json.dumps(description))
    return description


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_answer(json.load(sys.stdin))))
