"""Tables as inputs and outputs of a layer, and every table that cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttcore import InputError, preparing
from ttcore.preparing import prepare
from ttcore.tables import Column, Table


def number(name: str, values: Any, **odd: Any) -> Column:
    values = np.asarray(values, float)
    return Column(name, "number", values, int(np.isnan(values).sum()), int(np.isinf(values).sum()), **odd)


def category(name: str, cells: list[str | None]) -> Column:
    names = tuple(sorted({cell for cell in cells if cell is not None}))
    codes = np.array([-1 if cell is None else names.index(cell) for cell in cells], np.int32)
    return Column(name, "category", codes, cells.count(None), categories=names)


def table(*columns: Column) -> Table:
    return Table(columns, len(columns[0].values))


COUNT = number("count", np.arange(12))
SIZE = number("size", np.linspace(-1, 1, 12))
COLOUR = category("colour", ["red", "green", "blue"] * 4)
ANSWER = category("answer", ["yes", "no"] * 6)
GAPS = number("gaps", [np.nan, 1, np.inf, *range(9)])
HOLES = category("holes", [None, None, None, "b", *"aabbaabb"])
EMPTY = number("empty", [np.nan] * 12)
SAME = category("same", ["x"] * 12)


def test_regression():
    prepared = prepare(table(COUNT, COLOUR, SIZE, ANSWER), ["size"])
    assert prepared.task == "regression"
    assert prepared.feature_names == ("count", "colour=blue", "colour=green", "colour=red", "answer=yes")
    assert prepared.target_names == ("size",)
    np.testing.assert_array_equal(prepared.y, SIZE.values[:, None])
    np.testing.assert_array_equal(prepared.x[:3], [[0, 0, 0, 1, 1], [1, 0, 1, 0, 0], [2, 1, 0, 0, 1]])
    assert prepared.x.dtype == prepared.y.dtype == np.float64
    assert prepared.notes == (
        "'colour' became 3 columns of zeros and ones, one for each of its values.",
        "'answer' became 1 column of zeros and ones, 'answer=yes'.",
    )
    assert prepared.dropped == 0


def test_several_targets_keep_their_order():
    prepared = prepare(table(COUNT, SIZE, number("z", range(12))), ["z", "count"])
    assert prepared.target_names == ("z", "count")
    assert prepared.feature_names == ("size",)
    np.testing.assert_array_equal(prepared.y[:, 1], COUNT.values)


def test_classification():
    prepared = prepare(table(COUNT, COLOUR), ["colour"])
    assert (prepared.task, prepared.target_names) == ("classification", ("blue", "green", "red"))
    np.testing.assert_array_equal(prepared.y[:3], [[0, 0, 1], [0, 1, 0], [1, 0, 0]])

    # Numbers are sorted as numbers.
    prepared = prepare(table(SIZE, number("k", [10, 9, 2.5] * 4)), ["k"], "classification")
    assert prepared.target_names == ("2.5", "9", "10")
    assert prepared.y[0].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("rows", "classes", "task"),
    [
        (178, 3, "classification"),
        (20, 2, "classification"),
        (569, 2, "classification"),
        (8, 2, "classification"),
        (442, 214, "regression"),
        (1000, 21, "regression"),
        (12, 4, "regression"),
    ],
)
def test_what_auto_takes_for_classes(rows, classes, task):
    target = number("t", np.arange(rows) % classes)
    features = number("f", range(rows))
    assert prepare(table(features, target), ["t"]).task == task
    assert prepare(table(features, target), ["t"], "regression").task == "regression"
    assert prepare(table(features, number("t", target.values + 0.5)), ["t"]).task == "regression"


def test_the_bundled_tables():
    from sklearn.datasets import load_diabetes, load_wine

    for bunch, task in ((load_diabetes(), "regression"), (load_wine(), "classification")):
        columns = [number(name, values) for name, values in zip(bunch.feature_names, bunch.data.T, strict=True)]
        prepared = prepare(table(*columns, number("target", bunch.target)), ["target"])
        assert prepared.task == task
        np.testing.assert_array_equal(prepared.x, bunch.data)
        y = prepared.y.argmax(1) if task == "classification" else prepared.y[:, 0]
        np.testing.assert_array_equal(y, bunch.target)


def test_rows_are_left_out_on_request():
    prepared = prepare(table(COUNT, GAPS, HOLES, EMPTY, SAME, SIZE), ["size"], drop_missing=True)
    assert prepared.dropped == 3
    assert prepared.feature_names == ("count", "gaps", "holes=b")
    np.testing.assert_array_equal(prepared.x[:, 0], COUNT.values[3:])
    assert prepared.notes == (
        "1 column is left out for having no value: 'empty'.",
        "3 rows are left out for a missing or infinite value; 9 remain.",
        "'holes' became 1 column of zeros and ones, 'holes=b'.",
        "1 column is left out for having the same text in every row: 'same'.",
    )


def test_categories_that_only_dropped_rows_have_make_no_column():
    rare = category("rare", ["x", *"yyyzzz", *"zzyyz"])
    holes = number("holes", [np.nan, *range(11)])
    assert prepare(table(rare, holes, SIZE), ["size"], drop_missing=True).feature_names == ("rare=z", "holes")


ODD = number("odd", [np.nan, *range(11)], odd=("12,5", "abc"), odd_count=2, odd_row=0, odd_line=2)
BAD: dict[str, tuple[Table, list[str], str, bool, str, str]] = {
    "no target": (table(COUNT, SIZE), [], "auto", False, "targets", "no target.*'count', 'size'"),
    "unknown": (table(COUNT, SIZE), ["sise"], "auto", False, "targets", "no column 'sise'; choose from 'size'$"),
    "unknown and far": (table(COUNT, SIZE), ["?"], "auto", False, "targets", "'count', 'size'"),
    "twice": (table(COUNT, SIZE), ["size", "size"], "auto", False, "targets", "'size' is given 2 times"),
    "no feature": (table(COUNT, SIZE), ["size", "count"], "auto", False, "targets", "every column is a target"),
    "unknown task": (table(COUNT, SIZE), ["size"], "ranking", False, "task", "auto, regression, classification"),
    "odd": (table(ODD, SIZE), ["size"], "auto", True, "file", "'odd'.* 2 cells.*'12,5', 'abc', first in line 2"),
    "odd target": (table(ODD, SIZE), ["odd"], "auto", True, "file", "'odd'.*12.5 and leave"),
    "empty column": (table(EMPTY, SIZE, COUNT), ["size"], "auto", False, "missing", "1 column is without.*'empty'"),
    "empty target": (table(EMPTY, SIZE), ["empty"], "auto", True, "targets", "'empty' has no values"),
    "only empty": (table(EMPTY, SIZE), ["size"], "auto", True, "missing", "no feature column has any value"),
    "missing": (table(GAPS, HOLES, SIZE), ["size"], "auto", False, "missing", "missing.*1 in 'gaps', 3 in 'holes';"),
    "many missing": (
        table(*(number(f"c{n}", GAPS.values) for n in range(5)), SIZE),
        ["size"],
        "auto",
        False,
        "missing",
        "'c0', 1 in 'c1', 1 in 'c2', and in 2 more columns; ask for rows",
    ),
    "infinite": (table(number("far", [np.inf, *range(11)]), SIZE), ["size"], "auto", False, "missing", "1 in 'far'"),
    "no complete row": (
        table(number("a", [np.nan, 1] * 6), number("b", [1, np.nan] * 6), SIZE),
        ["size"],
        "auto",
        True,
        "missing",
        "0 complete rows",
    ),
    "one row": (table(number("a", [1]), number("b", [1])), ["b"], "auto", False, "file", "1 complete row is too few"),
    "two classifications": (
        table(ANSWER, COLOUR, SIZE),
        ["answer", "colour"],
        "classification",
        False,
        "targets",
        "one target and 2",
    ),
    "regression of text": (
        table(COLOUR, SIZE),
        ["colour"],
        "regression",
        False,
        "targets",
        "categories such as 'blue'",
    ),
    "several with text": (table(COLOUR, SIZE, COUNT), ["size", "colour"], "auto", False, "targets", "'colour' holds"),
    "one class": (table(SAME, SIZE), ["same"], "auto", False, "targets", "same class, 'x', in all 12"),
    "single of a class": (
        table(SIZE, category("c", ["rare", *"aabbaabbaab"])),
        ["c"],
        "auto",
        False,
        "targets",
        "class 'rare' of the target 'c' has a single row",
    ),
    "too many classes": (
        table(SIZE, COUNT),
        ["count"],
        "classification",
        False,
        "targets",
        "12 different values in 12",
    ),
    "no variance": (
        table(COUNT, number("flat", [2.5] * 12)),
        ["flat"],
        "auto",
        False,
        "targets",
        "'flat' is 2.5 in every row",
    ),
    "free text": (
        table(category("id", [f"n{n}" for n in range(300)]), number("y", range(300))),
        ["y"],
        "auto",
        False,
        "file",
        "'id' has 300 different texts such as 'n0'.* 256",
    ),
    "long text": (
        table(category("text", ["a" * 201, "b"] * 6), SIZE),
        ["size"],
        "auto",
        False,
        "file",
        "'text'.*201 characters.*200",
    ),
    "only constant text": (table(SAME, SIZE), ["size"], "auto", False, "file", "no feature is left.*'same'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables(case):
    bad, targets, task, drop_missing, field, words = BAD[case]
    with pytest.raises(InputError, match=words) as refused:
        prepare(bad, targets, task, drop_missing)
    assert refused.value.field == field
    assert len(str(refused.value)) < 400


def test_too_large(monkeypatch):
    monkeypatch.setattr(preparing, "MAX_FEATURES", 3)
    with pytest.raises(InputError, match="4 features and at most 3"):
        prepare(table(COLOUR, COUNT, SIZE), ["size"])
    monkeypatch.setattr(preparing, "MAX_FEATURES", 4)
    monkeypatch.setattr(preparing, "MAX_TABLE_BYTES", 12 * 4 * 8 - 1)
    with pytest.raises(InputError, match="4 features in 12 rows"):
        prepare(table(COLOUR, COUNT, SIZE), ["size"])
    monkeypatch.setattr(preparing, "MAX_FEATURES", 2)
    with pytest.raises(InputError, match="3 classes in 12 rows, which is too large"):
        prepare(table(COLOUR, COUNT), ["colour"])


cells = st.sampled_from(["a", "b", "c", None])
floats = st.floats(-1e6, 1e6) | st.just(np.nan)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 30).flatmap(
        lambda rows: st.tuples(
            *(st.lists(kind, min_size=rows, max_size=rows) for kind in (cells, cells, floats, floats))
        )
    ),
    st.sampled_from(["c1", "c2", "n1", "n2"]),
    st.sampled_from(preparing.TASKS),
    st.booleans(),
)
def test_what_comes_out_is_fit_for_training(columns, target, task, drop_missing):
    c1, c2, n1, n2 = columns
    whole = table(category("c1", c1), category("c2", c2), number("n1", n1), number("n2", n2))
    try:
        prepared = prepare(whole, [target], task, drop_missing)
    except InputError as refused:
        assert refused.field
        return
    rows = whole.rows - prepared.dropped
    assert rows >= preparing.MIN_ROWS
    assert prepared.x.shape == (rows, len(prepared.feature_names))
    assert prepared.y.shape == (rows, len(prepared.target_names))
    assert np.isfinite(prepared.x).all()
    assert np.isfinite(prepared.y).all()
    assert prepared.x.shape[1] >= 1
    if prepared.task == "classification":
        assert (prepared.y.sum(1) == 1).all()
        assert (prepared.y.sum(0) >= 2).all()
        assert len(prepared.target_names) >= 2
    else:
        assert (np.ptp(prepared.y, axis=0) > 0).all()
    assert drop_missing or not prepared.dropped


def test_numbers_whose_squares_are_none_are_refused_by_name():
    huge = number("wide", [1e200, *range(11)])
    with pytest.raises(InputError, match="column 'wide' holds 1e\\+200, and numbers up to 1e\\+150 are handled"):
        prepare(table(huge, SIZE), ["size"])
