"""Files as tables: what is written is read, what is no table is refused with a sentence, and nothing else happens."""

from __future__ import annotations

import csv
import io
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pa_parquet  # type: ignore[import-untyped]
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ttcore import InputError, tables
from ttcore.tables import Column, Table, read_table

Data = dict[str, list[Any]]


def read(content: bytes, name: str = "table.csv") -> Table:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        return read_table(path, name)


def column(content: bytes | str, name: str = "table.csv") -> Column:
    """The first one."""
    return read(content.encode() if isinstance(content, str) else content, name).columns[0]


def cells(column: Column) -> list[Any]:
    """As `Data` has them: floats, text, None for missing."""
    if column.kind == "category":
        return [None if code < 0 else column.categories[code] for code in column.values]
    return [None if np.isnan(value) else float(value) for value in column.values]


def as_text(data: Data, delimiter: str) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(data)
    for row in zip(*data.values(), strict=True):
        writer.writerow(["" if cell is None else cell if isinstance(cell, str) else repr(cell) for cell in row])
    return out.getvalue().encode()


def as_parquet(data: Data | pa.Table) -> bytes:
    out = io.BytesIO()
    pa_parquet.write_table(data if isinstance(data, pa.Table) else pa.table(data), out)
    return out.getvalue()


def npy(array: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def as_npz(data: Data) -> bytes:
    def array(cells: list[Any]) -> np.ndarray:
        if any(isinstance(cell, str) for cell in cells):
            return np.array([cell or "" for cell in cells])
        return np.array([np.nan if cell is None else cell for cell in cells])

    return npz({name: array(cells) for name, cells in data.items()})


WRITERS: dict[str, Callable[[Data], bytes]] = {
    ".csv": lambda data: as_text(data, ","),
    ".tsv": lambda data: as_text(data, "\t"),
    ".parquet": as_parquet,
    ".npz": as_npz,
}

# Wild inside, but with ends that are no white space, no missing value and no number.
wild = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8).map("a{}z".format)
numbers = st.floats(allow_nan=False) | st.integers(-(2**53), 2**53).map(float) | st.none()


@st.composite
def generated(draw: st.DrawFn) -> Data:
    names = draw(st.lists(wild, min_size=2, max_size=4, unique=True))
    rows = draw(st.integers(1, 8))

    def one_column() -> list[Any]:
        if draw(st.booleans()):
            return draw(st.lists(numbers, min_size=rows, max_size=rows))
        return [draw(wild), *draw(st.lists(wild | st.none(), min_size=rows - 1, max_size=rows - 1))]

    return {name: one_column() for name in names}


@pytest.mark.parametrize("ending", WRITERS)
@settings(max_examples=60, deadline=None)
@given(data=generated())
@example(data={'a"z': ["a\r\n,z", None], "a;z": [1e-320, -0.0], "a\tz": [1.7976931348623157e308, float("-inf")]})
def test_what_is_written_is_read(ending, data):
    table = read(WRITERS[ending](data), f"table{ending.upper()}")
    assert [column.name for column in table.columns] == list(data)
    for column, written in zip(table.columns, data.values(), strict=True):
        read_back = cells(column)
        assert read_back == written
        assert table.rows == len(column.values) == len(written)
        present = [cell for cell in written if cell is not None]
        assert column.missing == len(written) - len(present)
        assert column.distinct == len(set(present))
        assert column.infinite == sum(cell in (float("inf"), float("-inf")) for cell in present)
        assert (column.odd, column.odd_count) == ((), 0)
        assert column.values.dtype == (np.float64 if column.kind == "number" else np.int32)


def test_breast_cancer_is_exactly_what_it_was():
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*bunch.feature_names, "target"])
    for row, target in zip(bunch.data, bunch.target, strict=True):
        writer.writerow([*map(repr, row.tolist()), target])
    table = read(out.getvalue().encode())
    assert [column.name for column in table.columns] == [*bunch.feature_names, "target"]
    np.testing.assert_array_equal(np.stack([column.values for column in table.columns[:-1]], 1), bunch.data)
    np.testing.assert_array_equal(table.columns[-1].values, bunch.target)


VALID = {
    ".csv": b'a,b\n1,x\n2.5,"y,\n"\n',
    ".tsv": b"a\tb\n1\tx\n2.5\ty\n",
    ".parquet": as_parquet({"a": [1.0, None, 3.0], "b": ["x", "y", None]}),
    ".npy": npy(np.arange(6.0).reshape(3, 2)),
    ".npz": npz({"X": np.arange(6.0).reshape(3, 2), "y": np.array(["a", "b", "a"])}),
}


@pytest.mark.parametrize("ending", VALID)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_bytes_are_a_table_or_refused(ending, data):
    valid = VALID[ending]
    if data.draw(st.booleans()):
        content = data.draw(st.binary(max_size=60))
    else:
        broken = bytearray(valid[: data.draw(st.integers(1, len(valid)))])
        for position in data.draw(st.lists(st.integers(0, len(broken) - 1), max_size=4)):
            broken[position] = data.draw(st.integers(0, 255))
        content = bytes(broken)
    try:
        table = read(content, f"table{ending}")
    except InputError as refused:
        assert refused.field == "file"
        assert len(str(refused)) < 400
    else:
        assert table.rows >= 1
        assert all(len(column.values) == table.rows for column in table.columns)


def header_of(shape: tuple[int, ...], dtype: str = "<f8") -> bytes:
    """An array file that promises this shape and has no data."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": dtype, "fortran_order": False, "shape": shape})
    return out.getvalue()


def archive(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names given twice
        for name, content in members:
            opened.writestr(name, content)
    return out.getvalue()


def lying_size(size: int) -> bytes:
    """An archive whose directory says that its member has `size` bytes."""
    content = bytearray(archive(("x.npy", npy(np.zeros(4)))))
    at = content.rindex(b"PK\1\2") + 24
    content[at : at + 4] = struct.pack("<I", size)
    return bytes(content)


NESTED = as_parquet(pa.table({"plain": [1], "tree": [[1, 2]]}))
BAD: dict[str, tuple[str, bytes, str]] = {
    "unknown ending": ("t.xls", b"a,b\n1,2\n", r"'t\.xls'.*\.csv, \.tsv, \.parquet, \.npy, \.npz"),
    "no ending": ("table", b"a,b\n1,2\n", r"'table'.*\.csv"),
    "empty": ("t.csv", b"", "'t.csv' is empty"),
    "blank": ("t.csv", b"\n\n", "no rows"),
    "header only": ("t.csv", b"a,b\n", "at least one row"),
    "header only, without an end": ("t.csv", b"a,b", "at least one row"),
    "binary": ("t.csv", b"PK\3\4\0\0\0", "binary.*save it as text"),
    "UTF-16": ("t.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-8"),
    "Latin-1": ("t.csv", "a,b\n1,é\n".encode("latin-1"), "UTF-8"),
    "Latin-1 in the header": ("t.csv", "é,b\n1,2\n".encode("latin-1"), "UTF-8"),
    "too few cells": ("t.csv", b"a,b\n1,2\n3\n", "1 columns in line 3 and 2 in its header, with commas"),
    "too many cells": ("t.csv", b'a,b\n"1\n",2\n\n3,4,5\n', "3 columns in line 5 and 2"),
    "semicolons, ragged": ("t.csv", b"a;b\n1;2\n1;2;3\n", "3 columns in line 3 and 2.*semicolons"),
    "duplicate name": ("t.csv", b"a,b, a\n1,2,3\n", "2 columns named 'a'"),
    "empty name": ("t.csv", b"a,,c\n1,2,3\n", "no name for column 2"),
    "comma at the ends": ("t.csv", b"a,b,\n1,2,\n", "no name for column 3"),
    "long name": ("t.csv", b"a," + b"b" * 300 + b"\n1,2\n", "name of 300 characters for column 2"),
    "no header": ("t.csv", b"1,2.5\n2,3\n", "only numbers in its first line, such as '2.5'"),
    "open quote": ("t.csv", b'a,b\n1,"2\n3,4\n', "quote.*never closed"),
    "too many columns": ("t.csv", b",".join(b"c%d" % n for n in range(20_001)) + b"\n", "20,001 columns.*20,000"),
    "array of objects": ("t.npy", npy(np.array([1, "a"], object), allow_pickle=True), "Python objects"),
    "archive of objects": ("t.npz", npz({"x": np.array([1, None], object)}), "Python objects"),
    "complex": ("t.npy", npy(np.array([1j])), "complex numbers"),
    "bytes": ("t.npy", npy(np.array([b"a"])), "S1"),
    "records": ("t.npy", npy(np.zeros(3, [("a", "f8")])), "values of type"),
    "a single number": ("t.npy", npy(np.array(1.0)), "0 dimensions"),
    "a picture": ("t.npy", npy(np.zeros((2, 2, 2))), "3 dimensions"),
    "no rows": ("t.npy", npy(np.zeros((0, 3))), "0 rows of 3 columns"),
    "no columns": ("t.npy", npy(np.zeros((3, 0))), "3 rows of 0 columns"),
    "wide array": ("t.npy", npy(np.zeros((1, 20_001), bool)), "20,001 columns"),
    "cut array": ("t.npy", npy(np.zeros(100))[:-8], r"ends before.*\(100,\)"),
    "array of 8 TiB": ("t.npy", header_of((2**30, 1024)), "8,192 GiB.*at most 2 GiB"),
    "text of 2 TiB": ("t.npy", header_of((2**10,), "<U536870911"), "ends before"),
    "text of no width": ("t.npy", header_of((2**40,), "<U0"), "8,192 GiB"),
    "no archive": ("t.npz", npy(np.zeros(3)), r"cannot be read as a \.npz file"),
    "empty archive": ("t.npz", archive(), "no name for column 1"),
    "archive of other things": ("t.npz", archive(("a.txt", b"hello")), r"'a\.txt', which is no array"),
    "archive of different lengths": ("t.npz", npz({"X": np.zeros((3, 2)), "y": np.zeros(4)}), "'X' 3, 'y' 4 rows"),
    "same names": ("t.npz", npz({"X": np.zeros((3, 2)), "X_1": np.zeros(3)}), "2 columns named 'X_1'"),
    "same members": ("t.npz", archive(("a.npy", npy(np.ones(2))), ("a.npy", npy(np.ones(2)))), "2 columns named 'a'"),
    "cut archive": ("t.npz", VALID[".npz"][:-30], "cannot be read"),
    "lying member": ("t.npz", lying_size(3 * 2**30), "3 GiB and at most 2 GiB"),
    "lying array": ("t.npz", archive(("x.npy", header_of((2**20,)))), "ends before"),
    "many arrays": ("t.npz", archive(*((f"{n}.npy", header_of((2**28 - 1,), "<U0")) for n in range(2))), "4 GiB"),
    "nested": ("t.parquet", NESTED, "nested values.*column 'tree'"),
    "bytes in Parquet": ("t.parquet", as_parquet(pa.table({"raw": [b"x"]})), "binary.*column 'raw'"),
    "cut Parquet": ("t.parquet", VALID[".parquet"][:-9], r"cannot be read as a \.parquet file"),
    "no Parquet": ("t.parquet", b"a,b\n1,2\n", "cannot be read"),
    "Parquet without rows": ("t.parquet", as_parquet(pa.table({"a": pa.array([], pa.float64())})), "0 rows"),
    "Parquet without columns": ("t.parquet", as_parquet(pa.table({})), "0 columns"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files(case):
    name, content, words = BAD[case]
    with pytest.raises(InputError, match=f"(?s){words}") as refused:
        read(content, name)
    assert refused.value.field == "file"
    message = str(refused.value)
    assert len(message) < 400
    assert repr(name) in message
    # One sentence that says how to go on.
    assert ";" in message


def test_size_of_the_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"a,b\n1,2\n")
    monkeypatch.setattr(tables, "MAX_FILE_BYTES", 7)
    with pytest.raises(InputError, match="8 bytes and files up to 7 bytes"):
        read_table(path, "t.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "nothing", "t.csv")


def test_a_zip_bomb_is_not_unpacked(monkeypatch):
    bomb = archive(*((f"a{n}.npy", header_of((2**20,)) + bytes(2**23)) for n in range(3)))
    assert len(bomb) < 100_000
    monkeypatch.setattr(tables, "MAX_TABLE_BYTES", 2**24)
    monkeypatch.setattr(np.lib.format, "read_array", None)
    with pytest.raises(InputError, match="24 MiB and at most 16 MiB"):
        read(bomb, "t.npz")


def test_a_parquet_file_that_unpacks_to_too_much(monkeypatch):
    content = as_parquet({"a": np.zeros(10_000), "b": np.zeros(10_000)})
    assert len(content) < 5_000
    monkeypatch.setattr(tables, "MAX_TABLE_BYTES", 150_000)
    with pytest.raises(InputError, match="160,000 bytes and at most 150,000 bytes"):
        read(content, "t.parquet")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_delimiters(delimiter, ending):
    rows = ["a b,c,d", "1,x,2", "3,y,4"]
    table = read("\n".join(rows).replace(",", delimiter).encode(), f"t{ending}")
    assert [cells(column) for column in table.columns] == [[1, 3], ["x", "y"], [2, 4]]


def test_one_column():
    assert cells(column("a|b\n1\n2\n")) == [1, 2]
    assert cells(column('a\n1\n\n""\n')) == [1, None]


@pytest.mark.parametrize("text", ["a;b\n1,5;2\n-2,25e1;3\n", "a\tb\n 1,5\t2\n-2,25e1\t3\n"])
def test_decimal_commas(text):
    assert cells(column(text)) == [1.5, -22.5]


def test_decimal_commas_beside_points_are_odd():
    mixed = column("a;b\n1,5;2\n2.5;3\n3.5;3\n")
    assert (mixed.kind, mixed.odd, mixed.odd_line) == ("number", ("1,5",), 2)
    grouped = column("a;b\n1.234,5;2\n2.345,5;3\n")
    assert (grouped.kind, grouped.odd_count) == ("number", 2)


@pytest.mark.parametrize(
    ("text", "number"),
    [("+1", 1), ("1.", 1), (".5", 0.5), ("1E+2", 100), (" 7 ", 7), ("-Inf", -np.inf), ("1e400", np.inf), ("-0", 0)],
)
def test_numbers(text, number):
    # Alone, and in a column that takes the longer way.
    assert column(f"a,b\n{text},1\n").values.tolist() == [number]
    longer = column("a,b\n" + f"{text},1\n" * 10 + "x,1\n")
    assert longer.values.tolist()[:-1] == [number] * 10
    assert np.isnan(longer.values[-1])


@pytest.mark.parametrize("text", ["1_000", "0x10", "--1", "1e", "١٢", "1.2.3", "2020-01-02", "12:30"])
def test_not_numbers(text):
    assert cells(column(f"a,b\n{text},1\n")) == [text]


@pytest.mark.parametrize("marker", ["", "NA", "N/A", "nan", "NaN", "null", "None", "?", '" "', '"NA"'])
def test_missing(marker):
    for present in ("1.5", "x"):
        found = column(f"a,b\n{present},1\n{marker},1\n")
        assert (found.missing, found.distinct, found.odd) == (1, 1, ())
    assert column(f"a,b\n{marker},1\n").kind == "number"


def test_odd_cells_are_noticed():
    rows = [f"{n},x" for n in range(40)]
    rows[10:14] = ["abc,x", "?,x", '"12,5",x', "abc,x"]
    found = column("a,b\n" + "\n".join(rows))
    assert (found.kind, found.odd, found.odd_count, found.missing) == ("number", ("abc", "12,5"), 3, 1)
    assert (found.odd_row, found.odd_line) == (10, 12)
    assert np.isnan(found.values).sum() == 4

    # With line ends in cells and blank lines the line is another than the row.
    rows[3] = '3,"x\n\ny"\n'
    assert column("\n\na,b\n" + "\n".join(rows)).odd_line == 17


def test_mostly_text_is_text():
    assert column("a,b\n" + "\n".join(["1,x"] * 8 + ["y,x"] * 2)).kind == "category"


def test_types_of_parquet():
    import datetime
    import decimal

    table = read(
        as_parquet(
            pa.table(
                {
                    "bool": [True, None, False],
                    "int": pa.array([1, None, 2**53], pa.int64()),
                    "half": pa.array(np.array([1, 2, np.inf], np.float16)),
                    "decimal": [decimal.Decimal("1.25"), None, decimal.Decimal("-3.50")],
                    "dictionary": pa.array(["b", None, "a"]).dictionary_encode(),
                    "numbers": pa.array([3, 1, 3]).dictionary_encode(),
                    "day": [datetime.date(2020, 1, 2), None, datetime.date(1999, 1, 1)],
                    "text": ["1", "NA", "2.5"],
                    "nothing": pa.nulls(3),
                }
            )
        ),
        "t.parquet",
    )
    assert {column.name: cells(column) for column in table.columns} == {
        "bool": ["true", None, "false"],
        "int": [1, None, 2**53],
        "half": [1, 2, np.inf],
        "decimal": [1.25, None, -3.5],
        "dictionary": ["b", None, "a"],
        "numbers": [3, 1, 3],
        "day": ["2020-01-02", None, "1999-01-01"],
        "text": [1, None, 2.5],
        "nothing": [None, None, None],
    }
    assert [column.distinct for column in table.columns] == [2, 2, 3, 2, 2, 2, 2, 2, 0]


def test_arrays():
    table = read(
        npz({"X": np.arange(6.0, dtype=np.float32).reshape(3, 2), "y": np.array([True, False, True])}), "t.npz"
    )
    assert [column.name for column in table.columns] == ["X_1", "X_2", "y"]
    assert [cells(column) for column in table.columns] == [[0, 2, 4], [1, 3, 5], ["true", "false", "true"]]
    assert [column.name for column in read(npy(np.zeros((2, 3), ">i2")), "t.npy").columns] == [
        "column_1",
        "column_2",
        "column_3",
    ]
    assert cells(column(npy(np.array(["é", "x"])), "t.npy")) == ["é", "x"]
    assert column(npy(np.array([1, np.nan, np.inf])), "t.npy").infinite == 1


def test_a_byte_order_mark_is_no_part_of_a_name():
    assert column("\ufeffa,b\r\n1,2\r\n").name == "a"
