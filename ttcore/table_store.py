"""TableStore: prepared tables on disk, each under a key that its file and options decide. Loads no pyarrow.

A table is a folder named by its key with x.npy, y.npy and meta.json. It appears whole, by a rename, so that any
number of processes may share a store; the time of its meta.json says when it was last used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ttcore.checks import shown
from ttcore.errors import InputError
from ttcore.intake import Description, describe, described, prepare_file
from ttcore.machine import TABLE_FOLDER_VARIABLE, derived_folder, table_folder

if TYPE_CHECKING:
    from ttcore.config import DataConfig
    from ttcore.preparing import Prepared

MAX_STORE_BYTES = 8 * 2**30

_KEY = re.compile(r"[0-9a-f]{32}")
# Goes into every key: to be raised when the same file would be prepared otherwise.
_VERSION = 1
# Begins the names of folders that are being written or removed; one so old was left by a process that died.
_UNFINISHED = "tmp-"
_ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True)
class Stored:
    """A table that a store holds. `title` is the name of the file that it came from last; see Description."""

    key: str
    title: str
    targets: tuple[str, ...]
    description: Description
    folder: Path

    @property
    def task(self) -> str:
        return self.description.task

    @property
    def samples(self) -> int:
        return self.description.samples

    @property
    def features(self) -> int:
        return self.description.features

    @property
    def outputs(self) -> int:
        return self.description.outputs

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.description.feature_names

    @property
    def target_names(self) -> tuple[str, ...]:
        return self.description.target_names

    @property
    def notes(self) -> tuple[str, ...]:
        return self.description.notes

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """x (samples, features) and y (samples, outputs), float64, as read-only memory maps.

        Raises InputError (field "data") where they have been removed since.
        """
        try:
            x, y = (np.load(self.folder / f"{part}.npy", mmap_mode="r", allow_pickle=False) for part in ("x", "y"))
        except FileNotFoundError:
            raise _not_held(self.key) from None
        return x, y


class TableStore:
    """Prepared tables in `folder`; without one in that of TTCORE_TABLES, or in one of this user's under /tmp.

    Raises InputError (field "data") for a folder that cannot be made or that belongs to someone else.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or table_folder()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not of the folder that a link leads to: anybody may make a link.
            owner = self.folder.lstat().st_uid
        except OSError as error:
            raise InputError(
                f"the folder {shown(str(self.folder))} for tables cannot be made ({error.strerror}); set "
                f"{TABLE_FOLDER_VARIABLE} to another",
                "data",
            ) from None
        if hasattr(os, "getuid") and owner != os.getuid():
            raise InputError(
                f"the folder {shown(str(self.folder))} for tables belongs to another user; set "
                f"{TABLE_FOLDER_VARIABLE} to one of your own",
                "data",
            )

    def add(
        self, path: Path, name: str, targets: Sequence[str], task: str = "auto", drop_missing: bool = False
    ) -> Stored:
        """Prepare the file at `path`, which its owner calls `name`, unless it is held already with the same options.

        Raises InputError as prepare_file does.
        """
        options = [_VERSION, Path(name).suffix.lower(), list(targets), task, drop_missing]
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise InputError(f"{shown(name)} cannot be read ({error.strerror}); give the file again", "file") from None
        digest.update(json.dumps(options).encode())
        key = digest.hexdigest()[:32]
        with suppress(InputError):
            return self._called(self.get(key), name)
        with self._unfinished() as folder:
            description = prepare_file(path, name, targets, task, drop_missing, folder)
            return self._keep(folder, key, name, tuple(targets), description)

    def add_arrays(
        self, source: bytes | str, title: str, prepared: Prepared, targets: Sequence[str] | None = None
    ) -> Stored:
        """Hold data that came from elsewhere; `source` says what they are, and the same source is the same data.

        `targets` are the names of the target columns, by default those of the outputs.
        """
        content = source.encode() if isinstance(source, str) else source
        key = hashlib.sha256(b"arrays %d " % _VERSION + content).hexdigest()[:32]
        with suppress(InputError):
            return self.get(key)
        with self._unfinished() as folder:
            np.save(folder / "x.npy", np.asarray(prepared.x, np.float64), allow_pickle=False)
            np.save(folder / "y.npy", np.asarray(prepared.y, np.float64), allow_pickle=False)
            names = prepared.target_names if targets is None else tuple(targets)
            return self._keep(folder, key, title, names, describe(prepared))

    def get(self, key: str) -> Stored:
        """The table of this key, which counts as used now.

        Raises InputError (field "data") for a key that is none, or of a table that is not held.
        """
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise InputError(
                f"the data key must be 32 hexadecimal digits, and {shown(key)} is not; give the file again", "data"
            )
        meta = self.folder / key / "meta.json"
        try:
            content = json.loads(meta.read_text())
            os.utime(meta)
        except FileNotFoundError:
            raise _not_held(key) from None
        if "title" not in content:
            raise _not_held(key)
        return Stored(
            key, content["title"], tuple(content["targets"]), described(content["description"]), self.folder / key
        )

    def derived(self, what: str, make: Callable[[Path], None]) -> Path:
        """The folder of something made from other data, by `make(folder)` where it is not held yet.

        `what` says which data and how, and the same text is the same thing.
        """
        key = derived_folder(what).name
        kept = self.folder / key
        with suppress(FileNotFoundError):
            os.utime(kept / "meta.json")
            return kept
        # Room is made first, since what comes may be large.
        self._make_room(key)
        with self._unfinished() as folder:
            make(folder)
            (folder / "meta.json").write_text("{}")
            with suppress(OSError):
                folder.rename(kept)
        self._make_room(key)
        return kept

    def held(self, data: DataConfig) -> Stored:
        """The table that these data are.

        Raises InputError (field "data") where it is not held, or is not the one that the settings describe.
        """
        try:
            stored = self.get(data.key)
        except InputError:
            said = f"the table {shown(data.title)} is not held here any more; give the file again"
            raise InputError(said, "data") from None
        if data.task != stored.task:
            raise InputError(
                f"the table {shown(stored.title)} was prepared for {stored.task}, and the settings say {data.task}; "
                "give the file again",
                "data",
            )
        if (data.samples, data.features, data.outputs) != (stored.samples, stored.features, stored.outputs):
            raise InputError(
                f"the table {shown(stored.title)} has {stored.samples:,} samples, {stored.features:,} features and "
                f"{stored.outputs:,} outputs, and the settings say {data.samples:,}, {data.features:,} and "
                f"{data.outputs:,}; give the file again",
                "data",
            )
        return stored

    def _called(self, stored: Stored, name: str) -> Stored:
        """The same table by the name that its file has now."""
        if stored.title != name:
            content = {"title": name, "targets": stored.targets, "description": asdict(stored.description)}
            # Whoever reads it meanwhile finds the old name or the new one.
            with tempfile.NamedTemporaryFile("w", dir=stored.folder, prefix=_UNFINISHED, delete=False) as file:
                json.dump(content, file)
            Path(file.name).replace(stored.folder / "meta.json")
        return replace(stored, title=name)

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        """A folder to write into, gone afterwards unless it was renamed."""
        folder = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{os.getpid()}-", dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _keep(self, folder: Path, key: str, title: str, targets: tuple[str, ...], description: Description) -> Stored:
        content = {"title": title, "targets": targets, "description": asdict(description)}
        (folder / "meta.json").write_text(json.dumps(content))
        # Another process may have been quicker with the same table.
        with suppress(OSError):
            folder.rename(self.folder / key)
        self._make_room(key)
        return self.get(key)

    def _make_room(self, newest: str) -> None:
        """Remove what was left unfinished, and the tables used longest ago while all together are too large."""
        used: list[tuple[float, Path, int]] = []
        for folder in self.folder.iterdir():
            # Another process may remove it meanwhile.
            with suppress(FileNotFoundError):
                if folder.name.startswith(_UNFINISHED):
                    old = folder.stat().st_mtime < time.time() - _ABANDONED_SECONDS
                    if old or _is_of_the_dead(folder.name):
                        shutil.rmtree(folder, ignore_errors=True)
                elif _KEY.fullmatch(folder.name):
                    size = sum(file.stat().st_size for file in folder.iterdir())
                    used.append((folder.joinpath("meta.json").stat().st_mtime, folder, size))
        total = sum(size for _, _, size in used)
        for _, folder, size in sorted(used):
            if total <= MAX_STORE_BYTES:
                break
            if folder.name != newest:
                self._remove(folder)
                total -= size

    def _remove(self, folder: Path) -> None:
        # Renamed first, so that nobody finds a table of which half is gone.
        with suppress(OSError), self._unfinished() as away:
            folder.rename(away / folder.name)


def _is_of_the_dead(name: str) -> bool:
    """Whether an unfinished folder belongs to a process that is no more."""
    number = name.removeprefix(_UNFINISHED).partition("-")[0]
    if not number.isdecimal() or not hasattr(os, "getuid"):
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _not_held(key: str) -> InputError:
    return InputError(f"the table {key} is not held here any more; give the file again", "data")
