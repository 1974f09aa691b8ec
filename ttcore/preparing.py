"""prepare(table, targets) -> Prepared: the columns of a table as inputs and outputs of a layer. NumPy only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import numpy as np

from ttcore.checks import choice, shown
from ttcore.errors import InputError
from ttcore.tables import MAX_NAME, MAX_TABLE_BYTES, Column, Table

Task = Literal["regression", "classification"]
TASKS = ("auto", "regression", "classification")

MAX_CATEGORIES = 256
# After categories have become columns; classes count as much.
MAX_FEATURES = 16_384
# Fewer leave nothing to train or nothing to test on.
MIN_ROWS = 4
MAX_NUMBER = 1e150
# Whole numbers are classes where they are at most so many, and at most one in five rows.
_MOST_CLASSES_GUESSED = 20
_ROWS_A_CLASS = 5
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a layer is trained on.

    x: float64 (rows, features); y: float64 (rows, outputs), for classification one-hot. `target_names` are the
    target columns, for classification the classes. `dropped` rows were left out. `notes` are sentences on what was
    done to the table.
    """

    x: np.ndarray
    y: np.ndarray
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    task: Task
    dropped: int = 0
    notes: tuple[str, ...] = ()


def prepare(table: Table, targets: Sequence[str], task: str = "auto", drop_missing: bool = False) -> Prepared:
    """Inputs from all other columns and outputs from the `targets`, in the order of the table and of `targets`.

    task: "auto" is classification for a single target of categories or of few whole numbers. drop_missing: leave out
    rows with a missing or infinite value, and feature columns without any value. Raises InputError with the field
    "targets", "task", "missing" or "file".
    """
    choice(task, TASKS, "task")
    outputs = _targets(table, targets)
    chosen = set(targets)
    features = [column for column in table.columns if column.name not in chosen]
    if not features:
        raise InputError("every column is a target; leave at least one column as a feature", "targets")
    _refuse_odd([*features, *outputs])
    notes: list[str] = []
    features = _without_empty(features, outputs, table.rows, drop_missing, notes)
    keep = _complete([*features, *outputs], table.rows, drop_missing)
    _refuse_huge([*features, *outputs])
    rows = int(keep.sum())
    dropped = table.rows - rows
    if dropped:
        count = "1 row is" if dropped == 1 else f"{dropped:,} rows are"
        notes.append(f"{count} left out for a missing or infinite value; {rows:,} remain.")
    if rows < MIN_ROWS:
        raise InputError(
            f"{rows:,} complete {'row is' if rows == 1 else 'rows are'} too few to train and test on; "
            f"give at least {MIN_ROWS}",
            "missing" if dropped else "file",
        )
    kind = _task(outputs, keep, task)
    if kind == "classification":
        y, target_names = _one_hot(outputs[0], keep)
    else:
        y, target_names = _numbers(outputs, keep), tuple(column.name for column in outputs)
    x, feature_names = _inputs(features, keep, notes)
    return Prepared(x, y, feature_names, target_names, kind, dropped, tuple(notes))


def _targets(table: Table, targets: Sequence[str]) -> list[Column]:
    known = {column.name: column for column in table.columns}
    if not targets:
        raise InputError(f"no target is chosen; choose at least one of {_some(known)}", "targets")
    for target, count in Counter(targets).items():
        if target not in known:
            near = get_close_matches(str(target), known, n=_NAMED) or known
            raise InputError(f"the table has no column {shown(target)}; choose from {_some(near)}", "targets")
        if count > 1:
            raise InputError(f"the target {shown(target)} is given {count} times; give it once", "targets")
    return [known[target] for target in targets]


def _some(names: Sequence[str] | dict[str, Column]) -> str:
    first = [shown(name) for name in list(names)[:8]]
    return ", ".join(first) + (", ..." if len(names) > len(first) else "")


def _refuse_odd(columns: Sequence[Column]) -> None:
    for column in columns:
        if column.odd:
            where = f"line {column.odd_line}" if column.odd_line else f"row {column.odd_row + 1}"
            cells = "cell that is not one" if column.odd_count == 1 else "cells that are not"
            raise InputError(
                f"the column {shown(column.name)} holds numbers and {column.odd_count:,} {cells}: "
                f"{_some(column.odd)}, first in {where}; write numbers like 12.5 and leave missing cells empty",
                "file",
            )


def _without_empty(
    features: list[Column], outputs: list[Column], rows: int, drop_missing: bool, notes: list[str]
) -> list[Column]:
    """The features that have any value; a note names the others."""
    for column in outputs:
        if column.missing == rows:
            raise InputError(f"the target {shown(column.name)} has no values; choose another", "targets")
    empty = [column.name for column in features if column.missing == rows]
    if not empty:
        return features
    if not drop_missing:
        raise InputError(
            f"{_columns(len(empty))} without any value: {_some(empty)}; take them out of the file, or ask for "
            "missing values to be left out",
            "missing",
        )
    if len(empty) == len(features):
        raise InputError("no feature column has any value; give at least one that has", "missing")
    notes.append(f"{_columns(len(empty))} left out for having no value: {_some(empty)}.")
    return [column for column in features if column.missing < rows]


def _columns(count: int) -> str:
    return "1 column is" if count == 1 else f"{count:,} columns are"


def _refuse_huge(columns: Sequence[Column]) -> None:
    """Numbers whose squares are no numbers any more."""
    for column in columns:
        if column.kind == "number":
            values = column.values[np.isfinite(column.values)]
            if len(values) and (largest := float(np.abs(values).max())) > MAX_NUMBER:
                raise InputError(
                    f"column {shown(column.name)} holds {largest:.3g}, and numbers up to {MAX_NUMBER:g} are handled; "
                    "give it in another unit",
                    "file",
                )


def _complete(columns: Sequence[Column], rows: int, drop_missing: bool) -> np.ndarray:
    """bool (rows,): where every column has a finite value; without `drop_missing` that must be everywhere."""
    if not drop_missing:
        for what, counts in (
            ("missing", {column.name: column.missing for column in columns if column.missing}),
            ("infinite", {column.name: column.infinite for column in columns if column.infinite}),
        ):
            if counts:
                named = ", ".join(f"{count:,} in {shown(name)}" for name, count in list(counts.items())[:_NAMED])
                more = f", and in {len(counts) - _NAMED:,} more columns" if len(counts) > _NAMED else ""
                raise InputError(
                    f"the table has {what} values, {named}{more}; ask for rows with such values to be left out, or "
                    "fill them in",
                    "missing",
                )
    keep = np.ones(rows, bool)
    for column in columns:
        if column.missing or column.infinite:
            keep &= np.isfinite(column.values) if column.kind == "number" else column.values >= 0
    return keep


def _task(outputs: Sequence[Column], keep: np.ndarray, task: str) -> Task:
    if task == "classification" and len(outputs) > 1:
        raise InputError(
            f"classification has one target and {len(outputs)} are chosen; choose one, or regression", "targets"
        )
    if task == "classification":
        return "classification"
    if task == "auto" and len(outputs) == 1 and _looks_like_classes(outputs[0], keep):
        return "classification"
    for column in outputs:
        if column.kind == "category":
            raise InputError(
                f"the target {shown(column.name)} holds categories such as {shown(column.categories[0])} and "
                "regression needs numbers; choose it alone for classification, or another target",
                "targets",
            )
    return "regression"


def _looks_like_classes(column: Column, keep: np.ndarray) -> bool:
    if column.kind == "category":
        return True
    values = column.values[keep]
    most = min(_MOST_CLASSES_GUESSED, max(2, len(values) // _ROWS_A_CLASS))
    return bool((values == np.floor(values)).all()) and np.unique(values).size <= most


def _one_hot(column: Column, keep: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """y (rows, classes) of zeros and ones, and the classes: numbers in their order, text in its."""
    found, codes, counts = np.unique(column.values[keep], return_inverse=True, return_counts=True)
    name, rows, classes = shown(column.name), len(codes), len(found)
    if classes == 1:
        raise InputError(
            f"the target {name} has the same class, {shown(_label(column, found[0]))}, in all {rows:,} rows; choose a "
            "target of two classes or more",
            "targets",
        )
    if classes > rows / 2:
        raise InputError(
            f"the target {name} has {classes:,} different values in {rows:,} rows, too many for classes; choose "
            "regression, or another target",
            "targets",
        )
    if classes > MAX_FEATURES or rows * classes * 8 > MAX_TABLE_BYTES:
        raise InputError(
            f"the target {name} has {classes:,} classes in {rows:,} rows, which is too large; choose regression, or "
            "another target",
            "targets",
        )
    labels = tuple(_label(column, value) for value in found)
    if counts.min() < 2:
        raise InputError(
            f"the class {shown(labels[int(counts.argmin())])} of the target {name} has a single row and every class "
            "needs two, one to train and one to test on; take the row out or give more of its class",
            "targets",
        )
    _refuse_long(column.name, labels, "targets")
    y = np.zeros((rows, classes))
    y[np.arange(rows), codes] = 1
    return y, labels


def _label(column: Column, value: float) -> str:
    if column.kind == "category":
        return column.categories[int(value)]
    return str(int(value)) if value == np.floor(value) and abs(value) < 2**53 else repr(float(value))


def _numbers(outputs: Sequence[Column], keep: np.ndarray) -> np.ndarray:
    y = np.stack([column.values[keep] for column in outputs], axis=1)
    for column, low, high in zip(outputs, y.min(0), y.max(0), strict=True):
        if low == high:
            raise InputError(
                f"the target {shown(column.name)} is {low:g} in every row, so there is nothing to learn; "
                "choose another",
                "targets",
            )
    return y


def _inputs(features: Sequence[Column], keep: np.ndarray, notes: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """x (rows, features) and the names; categories become columns name=value of zeros and ones."""
    # For each column the codes of categories that become columns; None for a number.
    plan: list[tuple[Column, np.ndarray | None]] = []
    names: list[str] = []
    constant = []
    for column in features:
        if column.kind == "number":
            plan.append((column, None))
            names.append(column.name)
            continue
        codes = np.unique(column.values[keep])
        if len(codes) > MAX_CATEGORIES:
            raise InputError(
                f"the column {shown(column.name)} has {len(codes):,} different texts such as "
                f"{shown(column.categories[codes[0]])} and a feature may have {MAX_CATEGORIES}; take the column out, "
                "or give it as numbers",
                "file",
            )
        labels = [column.categories[code] for code in codes]
        _refuse_long(column.name, labels, "file")
        if len(codes) == 1:
            constant.append(column.name)
            continue
        # Of two values one column tells everything.
        codes = codes[1:] if len(codes) == 2 else codes
        plan.append((column, codes))
        made = [f"{column.name}={column.categories[code]}" for code in codes]
        names += made
        notes.append(
            f"{shown(column.name)} became 1 column of zeros and ones, {shown(made[0])}."
            if len(made) == 1
            else f"{shown(column.name)} became {len(made)} columns of zeros and ones, one for each of its values."
        )
    if constant:
        notes.append(f"{_columns(len(constant))} left out for having the same text in every row: {_some(constant)}.")
    rows = int(keep.sum())
    if not names:
        raise InputError(
            f"no feature is left, since {_some(constant)} has the same text in every row; give another column", "file"
        )
    if len(names) > MAX_FEATURES:
        raise InputError(
            f"the table gives {len(names):,} features and at most {MAX_FEATURES:,} are handled; leave columns out",
            "file",
        )
    if rows * len(names) * 8 > MAX_TABLE_BYTES:
        raise InputError(
            f"the table gives {len(names):,} features in {rows:,} rows, {rows * len(names) * 8 / 2**30:.3g} GiB, and "
            f"at most {MAX_TABLE_BYTES / 2**30:g} GiB are handled; leave out rows or columns",
            "file",
        )
    x = np.empty((rows, len(names)))
    at = 0
    for column, wanted in plan:
        values = column.values[keep]
        if wanted is None:
            x[:, at] = values
            at += 1
        else:
            x[:, at : at + len(wanted)] = values[:, None] == wanted
            at += len(wanted)
    return x, tuple(names)


def _refuse_long(name: str, labels: Sequence[str], field: str) -> None:
    """A page shows every label, and longer ones are no categories but texts."""
    long = next((label for label in labels if len(label) > MAX_NAME), None)
    if long is not None:
        raise InputError(
            f"the column {shown(name)} holds a text of {len(long):,} characters, {shown(long)}, and categories have at "
            f"most {MAX_NAME}; take the column out, or shorten its texts",
            field,
        )
