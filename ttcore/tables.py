"""read_table(path, name) -> Table: CSV, TSV, Parquet, NPY and NPZ files as named columns. Nothing is ever unpickled.

Text is read the same wherever it stands: white space around it goes, the usual words for a missing value are missing
values, a column whose present values are all numbers is a number column, and every other column holds categories. A
column that is mostly numbers is a number column too, and keeps the cells that are not as `odd`.
"""

from __future__ import annotations

import codecs
import csv
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.csv as pa_csv  # type: ignore[import-untyped]
import pyarrow.parquet as pa_parquet  # type: ignore[import-untyped]

from ttcore.checks import shown
from ttcore.errors import InputError

MAX_FILE_BYTES = 200 * 2**20
# What a table may take in memory, at eight bytes a cell.
MAX_TABLE_BYTES = 2 * 2**30
MAX_COLUMNS = 20_000
MAX_NAME = 200

_MISSING_WORDS = ["", "NA", "N/A", "n/a", "#N/A", "nan", "NaN", "NAN", "null", "NULL", "None", "?"]
_NUMBER = r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf(?:inity)?))$"
_COMMA_NUMBER = r"^[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d+)?$"
# "1.234,5", "1 234" and "1,234.5": numbers to a person, so that they are never taken for categories.
_WRITTEN_NUMBER = r"^[+-]?(?:\d[\d.' ]*,\d+|\d{1,3}(?:[,' ]\d{3})+(?:\.\d+)?)$"
# A column of which this share are numbers is meant to be one of numbers.
_MOSTLY = 0.9

_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_SNIFFED_BYTES = 2**16
_SNIFFED_ROWS = 20


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a table.

    `values` are float64 (rows,) with NaN for a cell without a number, or for categories int32 (rows,): indices into
    `categories`, -1 for a missing cell. `odd_count` cells of a number column hold other text: `odd` are up to three
    of them, `odd_row` is the first one's row (from 0) and `odd_line` its line in a text file (from 1; 0 elsewhere).
    """

    name: str
    kind: Literal["number", "category"]
    values: np.ndarray
    missing: int
    infinite: int = 0
    categories: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()
    odd_count: int = 0
    odd_row: int = -1
    odd_line: int = 0

    @cached_property
    def distinct(self) -> int:
        """How many different values the present cells hold."""
        present = ~np.isnan(self.values) if self.kind == "number" else self.values >= 0
        return int(np.unique(self.values[present]).size)


@dataclass(frozen=True, eq=False)
class Table:
    """The columns in the order of the file; at least one, of at least one row."""

    columns: tuple[Column, ...]
    rows: int


def read_table(path: Path, name: str) -> Table:
    """The table in the file at `path`, read by the ending of `name` (the name that its owner knows it by).

    Raises InputError (field "file") for everything that is not a table of numbers and categories within the limits,
    and MemoryError.
    """
    reader = _READERS.get(Path(name).suffix.lower())
    if reader is None:
        raise _refusal(
            f"{shown(name)} is of no known kind; tables are read from {', '.join(_READERS)} files, "
            "so save it as one of these"
        )
    # Damaged files make zipfile, NumPy and pyarrow raise errors of a dozen kinds.
    try:
        size = path.stat().st_size
        if size == 0:
            raise _refusal(f"{shown(name)} is empty; give a file with column names and at least one row")
        if size > MAX_FILE_BYTES:
            raise _refusal(
                f"{shown(name)} has {_size(size)} and files up to {_size(MAX_FILE_BYTES)} are read; "
                "leave out rows or columns"
            )
        return reader(path, name)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise _refusal(
            f"{shown(name)} cannot be read as a {Path(name).suffix.lower()} file, it is damaged or of another kind "
            f"({_first_words(error)}); save it anew"
        ) from None


def _refusal(message: str) -> InputError:
    return InputError(message, "file")


def _first_words(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:117] + "..."


def _size(count: int) -> str:
    for unit, step in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= step:
            return f"{count / step:,.4g} {unit}"
    return f"{count:,} bytes"


def _check_extent(file: str, rows: int, columns: int, from_file: bool = True) -> None:
    """Refuse what would not fit, before anything of that size is made."""
    if rows < 1 or columns < 1:
        raise _refusal(f"{shown(file)} has {rows:,} rows of {columns:,} columns; give at least one row of data")
    if columns > MAX_COLUMNS:
        raise _refusal(f"{shown(file)} has {columns:,} columns and at most {MAX_COLUMNS:,} are read; leave some out")
    _check_bytes(file, rows * columns * 8)


def _check_bytes(file: str, count: int) -> None:
    if count > MAX_TABLE_BYTES:
        raise _refusal(
            f"{shown(file)} unpacks to {_size(count)} and at most {_size(MAX_TABLE_BYTES)} are handled; "
            "leave out rows or columns"
        )


def _check_names(file: str, names: Sequence[str]) -> None:
    for number, name in enumerate(names, 1):
        if not name:
            raise _refusal(f"{shown(file)} has no name for column {number}; give every column a name of its own")
        if len(name) > MAX_NAME:
            raise _refusal(
                f"{shown(file)} has a name of {len(name):,} characters for column {number}, {shown(name)}; "
                f"use at most {MAX_NAME}"
            )
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise _refusal(f"{shown(file)} has {count} columns named {shown(name)}; give every column a name of its own")


# CSV and TSV


def _read_csv(path: Path, file: str) -> Table:
    return _read_text(path, file, ",")


def _read_tsv(path: Path, file: str) -> Table:
    return _read_text(path, file, "\t")


def _read_text(path: Path, file: str, usual: str) -> Table:
    content = path.read_bytes()
    if b"\0" in content or not _is_utf8(content):
        raise _refusal(f"{shown(file)} is a binary file, or text that is not in UTF-8; save it as text in UTF-8")
    delimiter = _sniff(content, usual)
    ending = content.find(b"\n")
    in_first_line = content.count(delimiter.encode(), 0, ending if ending >= 0 else len(content)) + 1
    _check_extent(file, 1, in_first_line)
    records = _parse(content, file, delimiter)
    _check_extent(file, records.num_rows - 1, records.num_columns)

    texts = [column.combine_chunks() for column in records.itercolumns()]
    names = [text[0].as_py().strip() for text in texts]
    _check_names(file, names)
    _check_header(file, names)
    # A quote that nothing closes swallows the rest of the file, which ends up in its last cell.
    if content.count(b'"') % 2 and "\n" in texts[-1][-1].as_py():
        raise _refusal(f"{shown(file)} has a quote that opens a cell and is never closed; close it or take it out")

    columns = [_from_text(name, text[1:], delimiter != ",") for name, text in zip(names, texts, strict=True)]
    odd_rows = {column.odd_row for column in columns if column.odd}
    if odd_rows:
        # The header is record 0.
        lines = _lines(content, delimiter, {row + 1 for row in odd_rows})
        columns = [replace(column, odd_line=lines[column.odd_row + 1]) if column.odd else column for column in columns]
    return Table(tuple(columns), records.num_rows - 1)


def _is_utf8(content: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        # In pieces, since a decoded text may take four times the file.
        for start in range(0, len(content), 2**20):
            decoder.decode(content[start : start + 2**20])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _sniff(content: bytes, usual: str) -> str:
    """The delimiter: the usual one, unless the header has one column by it and by just one other several."""
    head = io.StringIO(content[:_SNIFFED_BYTES].decode("utf-8-sig", errors="replace"), newline="")
    lines = [line for line in head if line.strip()]
    if len(content) > _SNIFFED_BYTES and len(lines) > 1:
        lines.pop()  # it is cut short

    def widths(delimiter: str) -> list[int]:
        return [len(record) for record in csv.reader(lines, delimiter=delimiter)][:_SNIFFED_ROWS]

    if widths(usual)[:1] != [1]:
        return usual
    found = [
        delimiter
        for delimiter in _DELIMITERS
        # A single column may well have a bar in its name, but then its cells have none.
        if (width := widths(delimiter)) and width[0] > 1 and any(cells > 1 for cells in width[1:])
    ]
    return found[0] if len(found) == 1 else usual


def _parse(content: bytes, file: str, delimiter: str) -> Any:
    """All records, the header among them, as an Arrow table of text; columns f0, f1, ..."""
    ragged: list[Any] = []

    def on_ragged(row: Any) -> str:
        ragged.append(row)
        return "error"

    try:
        return pa_csv.read_csv(
            pa.py_buffer(content),
            # One block: a column is then one array, and a row may be as long as the file.
            read_options=pa_csv.ReadOptions(
                use_threads=False, block_size=len(content) + 1, autogenerate_column_names=True
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=on_ragged
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types={f"f{number}": pa.string() for number in range(MAX_COLUMNS)}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if ragged:
            row = ragged[0]
            line = _lines(content, delimiter, {row.number - 1})[row.number - 1]
            raise _refusal(
                f"{shown(file)} has {row.actual_columns} columns in line {line} and {row.expected_columns} in its "
                f"header, with {_DELIMITERS[delimiter]} between them; give every row the same columns"
            ) from None
        if "Empty CSV" in str(error):
            raise _refusal(
                f"{shown(file)} has no rows; give a line of column names and at least one row of data"
            ) from None
        raise


def _lines(content: bytes, delimiter: str, records: set[int]) -> dict[int, int]:
    """The line, from 1, where each of these records (from 0, blank lines not counted) begins."""
    found = {record: record + 1 for record in records}
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", "replace", newline=""), delimiter=delimiter)
    number, line, last = 0, 1, max(records)
    try:
        for record in reader:
            if record:
                if number in found:
                    found[number] = line
                number += 1
            line = reader.line_num + 1
            if number > last:
                break
    except csv.Error:  # a cell beyond Python's limit: without quoted line ends the first guess is right
        pass
    return found


def _check_header(file: str, names: Sequence[str]) -> None:
    """A first row of data in the place of the names would be lost; whole numbers do serve as names."""
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return
    fraction = next((name for name, number in zip(names, numbers, strict=True) if not number.is_integer()), None)
    if fraction is not None:
        raise _refusal(
            f"{shown(file)} has only numbers in its first line, such as {shown(fraction)}, where the names of the "
            "columns belong; put a line of names above it"
        )


# Parquet


def _read_parquet(path: Path, file: str) -> Table:
    with pa_parquet.ParquetFile(path) as opened:
        schema, rows = opened.schema_arrow, opened.metadata.num_rows
        _check_extent(file, rows, len(schema))
        groups = [opened.metadata.row_group(number) for number in range(opened.metadata.num_row_groups)]
        _check_bytes(file, sum(group.total_byte_size for group in groups))
    names = [name.strip() for name in schema.names]
    _check_names(file, names)
    for name, field in zip(names, schema, strict=True):
        _check_type(file, name, field.type)
    # Text stays a dictionary, since a long one repeated would unpack to far more than the file.
    text = [field.name for field in schema if _is_text(field.type)]
    with pa_parquet.ParquetFile(path, read_dictionary=text) as opened:
        table = opened.read(use_threads=False)
    return Table(
        tuple(_from_arrow(name, column) for name, column in zip(names, table.itercolumns(), strict=True)),
        table.num_rows,
    )


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_number(kind: Any) -> bool:
    return any(
        test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    )


def _is_time(kind: Any) -> bool:
    return pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind)


def _check_type(file: str, name: str, kind: Any) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (_is_text(kind) or _is_number(kind) or _is_time(kind) or pa.types.is_boolean(kind)):
        nested = "nested values" if pa.types.is_nested(kind) else "values"
        raise _refusal(
            f"{shown(file)} has {nested} of type {shown(str(kind))} in column {shown(name)}; "
            "give it columns of numbers, booleans, dates and text, or leave this one out"
        )


def _from_arrow(name: str, chunked: Any) -> Column:
    kind = chunked.type
    if pa.types.is_dictionary(kind):
        if _is_text(kind.value_type):
            return _from_text(name, chunked.unify_dictionaries().combine_chunks())
        return _from_arrow(name, chunked.cast(kind.value_type))
    if pa.types.is_boolean(kind):
        return _booleans(name, pc.fill_null(chunked.cast(pa.int8()), -1).to_numpy())
    if _is_time(kind):
        return _from_text(name, chunked.cast(pa.string()).combine_chunks())
    if _is_text(kind):
        return _from_text(name, chunked.combine_chunks())
    # As to_numpy has it, null is NaN.
    return _numbers(name, chunked.cast(pa.float64(), safe=False).combine_chunks().to_numpy(zero_copy_only=False))


# NPY and NPZ


def _read_npy(path: Path, file: str) -> Table:
    with path.open("rb") as stream:
        _check_array(file, stream, path.stat().st_size)
    array = np.load(path, allow_pickle=False)
    return _from_arrays(file, {"column": array[:, None] if array.ndim == 1 else array})


def _read_npz(path: Path, file: str) -> Table:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_bytes(file, sum(member.file_size for member in members))
        cells = 0
        for member in members:
            if not member.filename.endswith(".npy"):
                raise _refusal(
                    f"{shown(file)} holds {shown(member.filename)}, which is no array; save it with numpy.savez"
                )
            with archive.open(member) as stream:
                cells += _check_array(file, stream, member.file_size)
            _check_bytes(file, cells * 8)
        _check_names(file, [member.filename.removesuffix(".npy") for member in members] or [""])
        arrays = {}
        for member in members:
            with archive.open(member) as stream:
                arrays[member.filename.removesuffix(".npy")] = np.lib.format.read_array(stream, allow_pickle=False)
    return _from_arrays(file, arrays)


def _check_array(file: str, stream: Any, length: int) -> int:
    """The number of cells that the header of an array promises, after a check that the stream can hold them."""
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if dtype.hasobject or dtype.kind not in "biufU":
        what = {"O": "Python objects", "c": "complex numbers"}.get(dtype.kind, f"values of type {shown(str(dtype))}")
        raise _refusal(f"{shown(file)} holds {what}; save arrays of real numbers, booleans or text of fixed width")
    if len(shape) not in (1, 2):
        raise _refusal(
            f"{shown(file)} holds an array of {len(shape)} dimensions; save arrays of shape (rows,) or (rows, columns)"
        )
    _check_extent(file, shape[0], prod(shape[1:]))
    if prod(shape) * dtype.itemsize > length - stream.tell():
        raise _refusal(f"{shown(file)} ends before its array of shape {shape} does; save it anew")
    return prod(shape)


def _from_arrays(file: str, arrays: dict[str, np.ndarray]) -> Table:
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        lengths = ", ".join(f"{shown(name)} {count:,}" for name, count in list(rows.items())[:3])
        raise _refusal(f"{shown(file)} has arrays of different lengths ({lengths} rows); give all the same number")
    series: list[tuple[str, np.ndarray]] = []
    for name, array in arrays.items():
        if array.ndim == 1:
            series.append((name.strip(), array))
        else:
            series += [(f"{name.strip()}_{number}", array[:, number - 1]) for number in range(1, array.shape[1] + 1)]
    _check_extent(file, next(iter(rows.values())), len(series))
    _check_names(file, [name for name, _ in series])
    return Table(tuple(_from_array(name, values) for name, values in series), len(series[0][1]))


def _from_array(name: str, values: np.ndarray) -> Column:
    if values.dtype.kind == "U":
        return _from_text(name, pa.array(values, type=pa.string()))
    if values.dtype.kind == "b":
        return _booleans(name, values)
    # A number beyond float64's range becomes infinite, and is counted as that.
    with np.errstate(over="ignore"):
        return _numbers(name, np.ascontiguousarray(values, dtype=np.float64))


# Columns


def _numbers(name: str, values: np.ndarray) -> Column:
    return Column(name, "number", values, int(np.isnan(values).sum()), int(np.isinf(values).sum()))


def _booleans(name: str, values: np.ndarray) -> Column:
    codes = values.astype(np.int32)
    return Column(name, "category", codes, int((codes < 0).sum()), categories=("false", "true"))


def _from_text(name: str, text: Any, decimal_comma: bool = False) -> Column:
    """Text, plain or as an Arrow dictionary, as numbers or categories; with `decimal_comma` 1,5 may be a number."""
    if not pa.types.is_dictionary(text.type):
        numbers = _as_numbers(text)
        if numbers is not None:
            return _numbers(name, numbers)
        text = text.dictionary_encode()
    # From here on the different texts are looked at once each; `codes` says in which rows they stand.
    words = pc.fill_null(pc.utf8_trim_whitespace(text.dictionary.cast(pa.string())), "")
    codes = pc.fill_null(text.indices.cast(pa.int32()), -1).to_numpy()
    counts = np.bincount(codes[codes >= 0], minlength=len(words))
    absent = _flags(pc.is_in(words, value_set=pa.array(_MISSING_WORDS)))
    number = _matches(words, _NUMBER)
    spelled = words
    if decimal_comma:
        with_comma = _matches(words, _COMMA_NUMBER)
        if counts[with_comma].sum() > counts[number].sum():
            number, spelled = with_comma, pc.replace_substring(words, ",", ".")
    present, parsed = counts[~absent].sum(), counts[number].sum()
    odd = ~number & ~absent & (counts > 0)
    meant = parsed + counts[odd & _matches(words, _WRITTEN_NUMBER)].sum()
    if meant < _MOSTLY * present:
        return _categories(name, words, codes, absent)

    values = np.full(len(words) + 1, np.nan)  # the last one for code -1
    values[:-1][number] = spelled.filter(pa.array(number)).cast(pa.float64()).to_numpy()
    column = replace(_numbers(name, values[codes]), missing=int(len(codes) - present))
    if not odd.any():
        return column
    return replace(
        column,
        odd=tuple(words.filter(pa.array(odd))[:3].to_pylist()),
        odd_count=int(present - parsed),
        odd_row=int(np.flatnonzero((codes >= 0) & odd[codes])[0]),
    )


def _as_numbers(text: Any) -> np.ndarray | None:
    """float64 with NaN for missing where every cell is a number or missing; else None."""
    try:
        return text.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        pass
    words = pc.utf8_trim_whitespace(text)
    words = pc.if_else(pc.is_in(words, value_set=pa.array(_MISSING_WORDS)), pa.scalar(None, pa.string()), words)
    try:
        return words.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None


def _categories(name: str, words: Any, codes: np.ndarray, absent: np.ndarray) -> Column:
    """Categories in the order of their text; white space around them may have hidden that two are one."""
    found = words.to_pylist()
    names = sorted({word for word, missing in zip(found, absent, strict=True) if not missing})
    code_of = {word: code for code, word in enumerate(names)}
    new = np.array([code_of.get(word, -1) for word in found] + [-1], dtype=np.int32)
    values = new[codes]
    return Column(name, "category", values, int((values < 0).sum()), categories=tuple(names))


def _flags(values: Any) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False).astype(bool)


def _matches(words: Any, pattern: str) -> np.ndarray:
    return _flags(pc.match_substring_regex(words, pattern))


_READERS: dict[str, Callable[[Path, str], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
    ".npy": _read_npy,
    ".npz": _read_npz,
}
