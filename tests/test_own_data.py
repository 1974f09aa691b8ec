"""A file, or a data set of OpenML, as the data of a run: what is refused at once, and what is held."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ttcore import InputError, openml, own_data
from ttcore.intake import Description
from ttcore.own_data import from_file, from_openml
from ttcore.table_store import TableStore


@pytest.fixture(autouse=True)
def _own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("TTCORE_TABLES", str(tmp_path / "store"))


# ---- files ----------------------------------------------------------------------------------------------------------


def test_a_file(tmp_path):
    path = tmp_path / f"{'long' * 50}.csv"
    path.write_text("Target,x\n" + "\n".join(f"{n / 7!r},{n}" for n in range(20)))
    data = from_file(path, ())
    assert (data.source, data.title, data.task) == ("table", path.name[:200], "regression")
    assert (data.samples, data.features, data.outputs, data.train_samples) == (20, 1, 1, 16)
    stored = TableStore().get(data.key)
    assert stored.targets == ("Target",)
    assert own_data.config_of(stored, test_fraction=0.5).test_samples == 10
    # Refused, whatever it is called, as too small for this hold-out.
    with pytest.raises(InputError, match=r"test_fraction 0\.99 of 20 samples"):
        own_data.config_of(stored, test_fraction=0.99)


def test_what_is_no_file(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    for path, words in (
        (tmp_path, "is a folder; give a file"),
        (pipe, "is no plain file"),
        (tmp_path / "nowhere.csv", "No such file or directory"),
        (tmp_path / f"{'x' * 300}.csv", "File name too long"),
        (Path("a\0b.csv"), "null byte"),
    ):
        for targets in ((), ("y",)):
            with pytest.raises(InputError, match=words) as refused:
                from_file(path, targets)
            assert refused.value.field == "file"


# ---- OpenML ---------------------------------------------------------------------------------------------------------


class Fetching:
    """In place of the child: every name is the same data set."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(
        self, name: str, targets: Any, task: str, drop_missing: bool, server: str, data_home: Path, folder: Path
    ) -> openml.Fetched:
        self.count += 1
        np.save(folder / "x.npy", np.arange(20.0).reshape(10, 2))
        np.save(folder / "y.npy", np.arange(10.0).reshape(10, 1) + self.count)
        description = Description(10, 2, 1, "regression", ("a", "b"), ("t",), ("A note.",), 0)
        return openml.Fetched(61, "1", "OpenML 61: iris", tuple(targets) or ("t",), description)


@pytest.fixture
def fetching(monkeypatch) -> Fetching:
    fake = Fetching()
    monkeypatch.setattr(openml, "fetch", fake)
    return fake


def test_a_data_set_is_fetched_once(fetching):
    data = from_openml("iris")
    stored = TableStore().get(data.key)
    assert (stored.title, stored.targets, stored.notes) == ("OpenML 61: iris", ("t",), ("A note.",))
    assert stored.arrays()[1][:, 0].tolist() == list(range(1, 11))
    assert from_openml(" Iris ") == data
    assert fetching.count == 1
    # By another name the same table is found, and this name is known from then on.
    for _ in range(2):
        assert from_openml("61") == data
    assert from_openml("61", ["t"]).key == data.key
    assert fetching.count == 3


def test_what_makes_another_table(fetching, monkeypatch):
    keys = {from_openml("61").key}
    for options in (["u"], "auto", False), ([], "regression", False), ([], "auto", True):
        keys.add(from_openml("61", *options).key)
    monkeypatch.setenv("TTCORE_OPENML", "http://localhost/mirror/")
    keys.add(from_openml("61").key)
    assert len(keys) == fetching.count == 5


def test_a_table_that_is_gone_is_fetched_again(fetching):
    store = TableStore()
    first = from_openml("61")
    store._remove(store.folder / first.key)
    assert from_openml("61") == first
    for note in store.folder.rglob("asked/*"):
        note.write_bytes(b"\xff nothing")
    assert from_openml("61") == first
    assert fetching.count == 3


def test_nothing_is_left_of_a_refusal(monkeypatch):
    def fetch(*_: Any) -> openml.Fetched:
        raise InputError("no such thing", "openml")

    monkeypatch.setattr(openml, "fetch", fetch)
    with pytest.raises(InputError, match="no such thing"):
        from_openml("61")
    assert list(TableStore().folder.iterdir()) == []
