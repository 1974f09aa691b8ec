"""Prepared tables under keys: the same file is one table, and the oldest make room."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ttcore import DataConfig, InputError, table_store
from ttcore.preparing import Prepared
from ttcore.table_store import TableStore

CSV = "x,y\n" + "\n".join(f"{n},{n / 7!r}" for n in range(20))


def prepared(rows: int = 4) -> Prepared:
    x = np.arange(2.0 * rows).reshape(rows, 2)
    return Prepared(x, x[:, :1] + 1, ("a", "b"), ("t",), "regression", 0, ("A note.",))


@pytest.fixture
def store(tmp_path):
    return TableStore(tmp_path / "store")


def test_a_file_is_prepared_once(store, tmp_path, monkeypatch):
    path = tmp_path / "upload"
    path.write_text(CSV)
    stored = store.add(path, "table.csv", ["y"])
    assert len(stored.key) == 32
    assert (stored.title, stored.targets, stored.task) == ("table.csv", ("y",), "regression")
    assert (stored.samples, stored.features, stored.outputs) == (20, 1, 1)
    assert (stored.feature_names, stored.target_names, stored.notes) == (("x",), ("y",), ())
    x, y = stored.arrays()
    assert x[:, 0].tolist() == list(range(20))
    assert y[:, 0].tolist() == [n / 7 for n in range(20)]
    assert store.get(stored.key) == stored
    assert TableStore(store.folder).get(stored.key) == stored

    asked = []

    def prepare_file(path, name, targets, task, drop_missing, folder):
        asked.append((name, targets, task, drop_missing))
        raise InputError("refused", "targets")

    monkeypatch.setattr(table_store, "prepare_file", prepare_file)
    # The same file by another name is the same table, called as its owner calls it now.
    again = store.add(path, "again.csv", ["y"])
    assert (again.key, again.title, again.description) == (stored.key, "again.csv", stored.description)
    assert store.get(stored.key) == again
    assert asked == []
    # Any other option is another table; a refusal leaves nothing behind.
    others = [("t.csv", ["x"], "auto", False), ("t.csv", ["y"], "regression", False), ("t.csv", ["y"], "auto", True)]
    for options in [*others, ("t.tsv", ["y"], "auto", False)]:
        with pytest.raises(InputError, match="refused"):
            store.add(path, *options)
    path.write_text(CSV + "\n")
    with pytest.raises(InputError, match="refused"):
        store.add(path, "table.csv", ["y"])
    assert len(asked) == 5
    assert [folder.name for folder in store.folder.iterdir()] == [stored.key]


def test_arrays_are_read_only_and_mapped(store):
    stored = store.add_arrays("source", "title", prepared(), targets=["u"])
    assert stored.targets == ("u",)
    assert stored.notes == ("A note.",)
    x, y = stored.arrays()
    assert isinstance(x, np.memmap)
    np.testing.assert_array_equal(x, prepared().x)
    np.testing.assert_array_equal(y, prepared().y)
    with pytest.raises(ValueError, match="read-only"):
        x[0, 0] = 1
    assert store.add_arrays(b"source", "other title", prepared()) == stored
    assert store.add_arrays(b"other source", "title", prepared()).key != stored.key


@pytest.mark.parametrize("key", ["", "../../etc", "A" * 32, "0" * 31, "0" * 33, "0" * 32 + "\n", "g" * 32, None, 7])
def test_malformed_keys(store, key):
    with pytest.raises(InputError, match="32 hexadecimal digits") as refused:
        store.get(key)
    assert refused.value.field == "data"


def test_a_table_that_is_gone(store):
    with pytest.raises(InputError, match="not held here any more; give the file again") as refused:
        store.get("0" * 32)
    assert refused.value.field == "data"

    stored = store.add_arrays("source", "title", prepared())
    x, _ = stored.arrays()
    store._remove(stored.folder)
    # What is mapped stays, and nothing else.
    assert x[1, 1] == 3
    assert list(store.folder.iterdir()) == []
    with pytest.raises(InputError, match="not held") as refused:
        stored.arrays()
    assert refused.value.field == "data"


def test_a_file_that_is_gone(store, tmp_path):
    with pytest.raises(InputError, match="cannot be read") as refused:
        store.add(tmp_path / "nothing", "t.csv", ["y"])
    assert refused.value.field == "file"


def test_the_least_recently_used_make_room(store, monkeypatch):
    keys = [store.add_arrays(f"source {n}", "title", prepared(1000)).key for n in range(3)]
    for age, key in zip((300, 200, 100), keys, strict=True):
        used = time.time() - age
        os.utime(store.folder / key / "meta.json", (used, used))
    abandoned = store.folder / "tmp-old"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    being_written = store.folder / "tmp-new"
    being_written.mkdir()

    store.get(keys[0])
    size = sum(file.stat().st_size for file in (store.folder / keys[0]).iterdir())
    monkeypatch.setattr(table_store, "MAX_STORE_BYTES", 2 * size + 100)
    newest = store.add_arrays("source 3", "title", prepared(1000)).key
    assert {folder.name for folder in store.folder.iterdir()} == {keys[0], newest, "tmp-new"}

    # One that is too large alone is held until the next.
    monkeypatch.setattr(table_store, "MAX_STORE_BYTES", 0)
    last = store.add_arrays("source 4", "title", prepared(1000))
    assert {folder.name for folder in store.folder.iterdir()} == {last.key, "tmp-new"}


def test_another_process_that_was_quicker(store):
    stored = store.add_arrays("source", "title", prepared())
    with store._unfinished() as folder:
        (folder / "x.npy").write_bytes(b"")
        assert store._keep(folder, stored.key, "mine", (), stored.description) == stored
    np.testing.assert_array_equal(stored.arrays()[0], prepared().x)


def test_the_usual_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TTCORE_TABLES", str(tmp_path / "named" / "deep"))
    assert TableStore().folder == tmp_path / "named" / "deep"
    monkeypatch.delenv("TTCORE_TABLES")
    monkeypatch.setattr(table_store.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = TableStore().folder
    assert folder == tmp_path / f"ttcore-tables-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_folders_of_others(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "lstat", lambda path: SimpleNamespace(st_uid=os.getuid() + 1))
    with pytest.raises(InputError, match="belongs to another user; set TTCORE_TABLES") as refused:
        TableStore(tmp_path / "store")
    assert refused.value.field == "data"


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made") as refused:
        TableStore(tmp_path / "file")
    assert refused.value.field == "data"


def test_a_table_of_another_task_is_not_the_one_described(store):
    stored = store.add_arrays("source", "title", prepared())
    sizes = {"samples": stored.samples, "features": stored.features, "outputs": stored.outputs, "test_fraction": 0.5}
    assert store.held(DataConfig(source="table", key=stored.key, task="regression", **sizes)) == stored
    with pytest.raises(InputError, match="was prepared for regression"):
        store.held(DataConfig(source="table", key=stored.key, task="classification", **sizes))


def test_what_a_dead_process_left_is_cleared_away(store):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    left = store.folder / f"tmp-{child.pid}-x"
    left.mkdir()
    mine = store.folder / f"tmp-{os.getpid()}-x"
    mine.mkdir()
    store.derived("something", lambda folder: None)
    assert mine.exists() and not left.exists()
