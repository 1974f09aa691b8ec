"""The child process that reads files: its answers, its refusals, and its bounds on memory and time."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ttcore import InputError, intake
from ttcore.intake import ColumnInfo, inspect, prepare_file
from ttcore.tables import read_table

ROOT = Path(intake.__file__).parent.parent


def write(path: Path, rows: int = 40) -> Path:
    lines = [f"{n / 7!r},{'ab'[n % 2]},{'' if n == 3 else n}" for n in range(rows)]
    path.write_text("x,Label,n\n" + "\n".join(lines))
    return path


def test_inspect(tmp_path):
    found = inspect(write(tmp_path / "upload"), "t.csv")
    assert found.rows == 40
    assert found.columns == (
        ColumnInfo("x", "number", 0, 0, 40),
        ColumnInfo("Label", "category", 0, 0, 2),
        ColumnInfo("n", "number", 1, 0, 39),
    )
    assert len(found.preview) == 8
    assert found.preview[1] == (repr(1 / 7), "b", "1")
    assert found.preview[3][2] == ""
    assert found.target == "Label"


def test_prepare(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    made = prepare_file(write(tmp_path / "upload"), "t.csv", ["Label"], "auto", True, folder)
    assert (made.samples, made.features, made.outputs, made.task) == (39, 2, 2, "classification")
    assert (made.feature_names, made.target_names, made.dropped) == (("x", "n"), ("a", "b"), 1)
    assert len(made.notes) == 1
    x, y = (np.load(folder / f"{part}.npy", allow_pickle=False) for part in ("x", "y"))
    assert x.dtype == y.dtype == np.float64
    assert x[:3, 0].tolist() == [0, 1 / 7, 2 / 7]
    assert y[:2].tolist() == [[1, 0], [0, 1]]
    assert intake.described(json.loads((folder / "meta.json").read_text())) == made


def test_a_refusal_arrives_as_it_was_made(tmp_path):
    path = tmp_path / "file"
    path.write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(InputError) as expected:
        read_table(path, "t.csv")
    with pytest.raises(InputError) as refused:
        inspect(path, "t.csv")
    assert (str(refused.value), refused.value.field) == (str(expected.value), "file")

    with pytest.raises(InputError, match="no column 'z'") as refused:
        prepare_file(write(path), "t.csv", ["z"], "auto", False, tmp_path)
    assert refused.value.field == "targets"


def test_a_bomb_hurts_only_the_child(tmp_path, monkeypatch):
    # 256 MiB of zeros in a small file, written without being held.
    path = tmp_path / "bomb"
    header = {"descr": "<f8", "fortran_order": False, "shape": (2**25,)}
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w") as member,
    ):
        np.lib.format.write_array_header_1_0(member, header)
        for _ in range(256):
            member.write(bytes(2**20))
    assert path.stat().st_size < 2**21
    monkeypatch.setattr(intake, "MEMORY_LIMIT", 200 * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"'t\.npz' needs more than 0\.195 GiB of memory") as refused:
        inspect(path, "t.npz")
    assert refused.value.field == "file"
    # KiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_a_child_that_cannot_even_start(tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "MEMORY_LIMIT", 2**20)
    with pytest.raises(InputError, match="needs more than"):
        inspect(write(tmp_path / "upload"), "t.csv")


def test_time_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "TIME_LIMIT", 0.05)
    with pytest.raises(InputError, match=r"more than 0\.05 s"):
        inspect(write(tmp_path / "upload"), "t.csv")


def test_what_nobody_thought_of_is_one_sentence(tmp_path, capfd):
    with pytest.raises(InputError, match="a reason that this program does not know; save it anew") as refused:
        prepare_file(write(tmp_path / "upload"), "t.csv", ["x"], "auto", True, tmp_path / "nowhere")
    assert refused.value.field == "file"
    assert "FileNotFoundError" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        ("ttcore.intake, ttcore.table_store", {"torch", "streamlit", "pyarrow", "pandas"}),
        ("ttcore.tables, ttcore.preparing", {"torch", "streamlit", "pandas", "sklearn"}),
    ],
)
def test_what_is_loaded(modules, without):
    code = f"import json, sys, {modules}; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not without & set(json.loads(done.stdout))
