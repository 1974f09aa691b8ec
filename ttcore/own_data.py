"""A person's own data, a file or a data set of OpenML, as a DataConfig. Loads neither torch nor pyarrow by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

from ttcore import openml
from ttcore.checks import shown
from ttcore.config import DataConfig
from ttcore.errors import InputError
from ttcore.table_store import Stored, TableStore

_MAX_NAME = 200


def config_of(stored: Stored, **settings: Any) -> DataConfig:
    """The data of a prepared table; settings: of its hold-out. Raises InputError where it is too small to be split."""
    return DataConfig(
        source="table",
        key=stored.key,
        title=stored.title[:200],
        task=stored.task,  # type: ignore[arg-type]
        samples=stored.samples,
        features=stored.features,
        outputs=stored.outputs,
        **settings,
    )


def from_file(path: Path, targets: Sequence[str], task: str = "auto", drop_missing: bool = False) -> DataConfig:
    """Prepare a CSV, TSV, Parquet, NPY or NPZ file; without targets the column that looks like one is taken.

    Raises InputError for a file that cannot be used, in one sentence.
    """
    _check_file(path)
    if not targets:
        from ttcore.intake import inspect

        targets = (inspect(path, path.name).target,)
    return config_of(TableStore().add(path, path.name, targets, task, drop_missing))


def _check_file(path: Path) -> None:
    name = shown(str(path))
    try:
        if path.is_dir():
            raise InputError(f"{name} is a folder; give a file", "file")
        if path.exists() and not path.is_file():
            raise InputError(f"{name} is no plain file; save the data in one", "file")
        path.open("rb").close()
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror}); give the path of a file", "file") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} cannot be read ({error}); give the path of a file", "file") from None


def from_openml(name: str, targets: Sequence[str] = (), task: str = "auto", drop_missing: bool = False) -> DataConfig:
    """Prepare a data set of OpenML by its number ("61"), name ("iris") or name and version ("iris:1").

    Without targets OpenML's own are taken. What was asked for once is held, and needs no network while it is. Raises
    InputError, in one sentence, as prepare does and with the field "openml" for what cannot be had.
    """
    name = name.strip()
    if not name or len(name) > _MAX_NAME:
        raise InputError(
            f"a data set of OpenML is given by its name or number, such as iris or 61, and {shown(name)} is not one",
            "openml",
        )
    server, store = openml.server_address(), TableStore()
    home = store.folder / "openml" / quote(urlsplit(server).netloc, safe="")
    options = [list(targets), task, drop_missing]
    asked = home / "asked" / sha256(json.dumps([server, name.lower(), *options]).encode()).hexdigest()[:32]
    try:
        stored = store.get(asked.read_text())
    except (OSError, ValueError):
        stored = _fetched(store, server, home, name, targets, task, drop_missing)
        # Without it the same is fetched again.
        with suppress(OSError):
            asked.parent.mkdir(parents=True, exist_ok=True)
            asked.write_text(stored.key)
    return config_of(stored)


def _fetched(
    store: TableStore, server: str, home: Path, name: str, targets: Sequence[str], task: str, drop_missing: bool
) -> Stored:
    # Named like what the store leaves unfinished, so that it is removed should this process die.
    with TemporaryDirectory(prefix="tmp-", dir=store.folder, ignore_cleanup_errors=True) as made:
        folder = Path(made)
        fetched = openml.fetch(name, targets, task, drop_missing, server, home, folder)
        from ttcore.preparing import Prepared

        about = fetched.description
        x, y = (np.load(folder / f"{part}.npy", mmap_mode="r", allow_pickle=False) for part in ("x", "y"))
        prepared = Prepared(
            x, y, about.feature_names, about.target_names, about.task, about.dropped, about.notes  # type: ignore[arg-type]
        )  # fmt: skip
        source = json.dumps(["openml", server, fetched.number, fetched.version, fetched.targets, task, drop_missing])
        return store.add_arrays(source, fetched.title, prepared, fetched.targets)
