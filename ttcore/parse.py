"""Text that a person typed, in a field, an address or on the command line, as values. Range rules are config's."""

from __future__ import annotations

import re

from ttcore.checks import shown
from ttcore.errors import InputError

_SEPARATORS = re.compile(r"[\s,;x×·]+")


def parse_whole(text: str, field: str) -> int:
    """ "10_000", "10000" or "1e4" as an integer."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not number.is_integer() or abs(number) > 2**53:
        raise InputError(f"{field} must be a whole number, and {shown(text)} is not", field)
    return int(number)


def parse_real(text: str, field: str) -> float:
    """ "0.05", "5e-2" or "0,05" as a float."""
    try:
        return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        raise InputError(f"{field} must be a number such as 0.05, and {shown(text)} is not", field) from None


def parse_flag(text: str, field: str) -> bool:
    """ "true" or "false", in any case."""
    known = {"true": True, "false": False}
    if text.strip().lower() not in known:
        raise InputError(f"{field} must be true or false, and {shown(text)} is not", field)
    return known[text.strip().lower()]


def parse_modes(text: str, field: str) -> tuple[int, ...]:
    """ "8,8,8,8", "8 8 8 8" or "8x8x8x8" as a tuple of integers."""
    parts = [part for part in _SEPARATORS.split(text.strip().strip("()[]")) if part]
    try:
        numbers = tuple(int(part) for part in parts)
    except ValueError:
        numbers = ()
    if not numbers:
        raise InputError(
            f"{field} must be whole numbers with commas between, such as 8,8,8,8, and {shown(text)} is not", field
        )
    return numbers


def parse_ranks(text: str, field: str = "ranks") -> int | tuple[int, ...]:
    """ "8" is one rank for every bond, "4,8,4" one for each."""
    numbers = parse_modes(text, field)
    return numbers[0] if len(numbers) == 1 else numbers


_DIGITS = r"([0-9]{1,18})"
_NUMBER = re.compile(_DIGITS)
_RANGE = re.compile(rf"{_DIGITS}(?:-|–|\.\.){_DIGITS}(?:/{_DIGITS})?")
# A list of numbers is a grid's, and no grid has more entries on one side.
_MOST_NUMBERS = 10_000


def parse_numbers(text: str, field: str) -> tuple[int, ...]:
    """ "1-4, 8" as (1, 2, 3, 4, 8); "2-16/2" counts in steps of two."""
    numbers: list[int] = []
    spaced = " ".join(text.strip().strip("()[]").split())
    for part in re.sub(r" ?(-|–|\.\.|/) ?", r"\1", spaced).replace(",", " ").split():
        span = _RANGE.fullmatch(part)
        if span:
            first, last, step = int(span[1]), int(span[2]), int(span[3] or 1)
            if last < first or step == 0:
                raise InputError(f"{field} holds {shown(part)}, which counts nothing; write 1-8 or 2-16/2", field)
            numbers += range(first, min(last, first + step * _MOST_NUMBERS) + 1, step)
        elif _NUMBER.fullmatch(part):
            numbers.append(int(part))
        else:
            raise InputError(f"{field} must be whole numbers such as 1-8 or 1,2,4,8, and {shown(part)} is not", field)
        if len(numbers) > _MOST_NUMBERS:
            raise InputError(f"{field} {shown(text)} are more than {_MOST_NUMBERS:,} numbers; use fewer", field)
    if not numbers:
        raise InputError(f"{field} is empty; give whole numbers such as 1-8 or 1,2,4,8", field)
    return tuple(numbers)


def parse_reals(text: str, field: str) -> tuple[float, ...]:
    """ "0.01, 0.02" as (0.01, 0.02); the decimal sign is a point."""
    parts = text.strip().strip("()[]").replace(",", " ").replace(";", " ").split()
    if not parts:
        raise InputError(f"{field} is empty; give numbers such as 0.01, 0.02", field)
    return tuple(parse_real(part, field) for part in parts)


def show_modes(modes: tuple[int, ...] | int) -> str:
    """(8, 8, 8, 8) as it is typed: "8,8,8,8"."""
    return str(modes) if isinstance(modes, int) else ",".join(str(mode) for mode in modes)


def parse_budget(text: str, dense_parameters: int) -> int:
    """ "2,000" as it stands, "5 %" as that share of the full model's parameters."""
    plain = text.strip().replace("_", "")
    try:
        if plain.endswith("%"):
            share = float(plain[:-1].replace(",", "."))
            budget = share / 100 * dense_parameters
        else:
            grouped = re.fullmatch(r"\d{1,3}(,\d{3})+", plain)
            budget = float(plain.replace(",", "" if grouped else "."))
    except ValueError:
        budget = float("nan")
    if not 1 <= budget < 2**53:
        raise InputError(
            f"the budget must be at least 1 parameter, such as 2000 or 5 % of the full model, and {shown(text)} is not",
            "budget",
        )
    return int(budget)
