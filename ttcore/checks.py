"""What a single value must be, each rule with the sentence that says how to mend it."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Sequence
from numbers import Real

from ttcore.errors import InputError

# Above these a drawing, a plan or a state dict stops being useful long before memory does.
MAX_CORES = 64
MAX_SIZE = 2**32


def show(values: Sequence[int]) -> str:
    """(8, 8, 8, 8) as a person writes it; one entry without Python's trailing comma."""
    return "(" + ", ".join(str(value) for value in values) + ")"


def shown(value: object) -> str:
    """A value as an error message quotes it: never longer than a line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def as_integer(value: object) -> int | None:
    """An exact integer, or None; booleans and floats are not integers here."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    try:
        return operator.index(value)
    except TypeError:  # an array, say
        return None


def whole(value: object, field: str, low: int, high: int) -> int:
    """`value` as an integer in low..high."""
    number = as_integer(value)
    if number is None or not low <= number <= high:
        raise InputError(f"{field} must be a whole number from {low} to {high}, and {shown(value)} is not", field)
    return number


def positive_integer(value: object, field: str) -> int:
    return whole(value, field, 1, MAX_SIZE)


def positive_integers(values: object, field: str) -> tuple[int, ...]:
    """`values` as a tuple of positive integers; the message names the entry at fault."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InputError(
            f"{field} must be a list of whole numbers such as (8, 8, 8, 8), and {shown(values)} is not", field
        )
    entries = tuple(values)
    if not entries:
        raise InputError(f"{field} is empty; give at least one whole number, e.g. (8, 8, 8, 8)", field)
    if len(entries) > MAX_CORES:
        raise InputError(f"{field} has {len(entries)} entries; at most {MAX_CORES} are handled", field)
    numbers = []
    for entry in entries:
        number = as_integer(entry)
        if number is None or number < 1:
            raise InputError(
                f"{field} holds {shown(entry)}; every entry must be a whole number of at least 1, e.g. (8, 8, 8, 8)",
                field,
            )
        if number > MAX_SIZE:
            raise InputError(f"{field} holds {shown(entry)}; entries up to {MAX_SIZE} are handled", field)
        numbers.append(number)
    return tuple(numbers)


def real(
    value: object,
    field: str,
    rule: str,
    *,
    above: float = -math.inf,
    low: float = -math.inf,
    high: float = math.inf,
    below: float = math.inf,
) -> float:
    """`value` as a finite float with above < value < below and low <= value <= high; `rule` says so in words."""
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and above < number < below and low <= number <= high):
        raise InputError(f"{field} must be {rule}, and {shown(value)} is not", field)
    return number


def choice(value: object, options: Sequence[str], field: str) -> str:
    """`value` if it is one of the options."""
    if not isinstance(value, str) or value not in options:
        raise InputError(f"{field} must be one of {', '.join(options)}, and {shown(value)} is not", field)
    return value


def boolean(value: object, field: str) -> bool:
    """`value` if it is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{field} must be true or false, and {shown(value)} is not", field)
    return value


def matching(value: object, field: str, pattern: str, rule: str) -> str:
    """`value` if it is a text that the pattern matches as a whole; `rule` says so in words."""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise InputError(f"{field} must be {rule}, and {shown(value)} is not", field)
    return value
