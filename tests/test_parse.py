from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ttcore import InputError
from ttcore.parse import (
    parse_budget,
    parse_modes,
    parse_numbers,
    parse_ranks,
    parse_real,
    parse_reals,
    parse_whole,
    show_modes,
)


@pytest.mark.parametrize(
    ("text", "number"), [("10000", 10_000), ("10_000", 10_000), ("1e4", 10_000), (" 7 ", 7), ("-3", -3), ("2.0", 2)]
)
def test_whole(text, number):
    assert parse_whole(text, "steps") == number


@pytest.mark.parametrize("text", ["", "x", "1.5", "nan", "inf", "1e400", "9" * 5000, "1e17", "0x10", "1,000"])
def test_not_whole(text):
    with pytest.raises(InputError, match="steps") as refused:
        parse_whole(text, "steps")
    assert refused.value.field == "steps"
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize(
    ("text", "number"), [("0.05", 0.05), ("5e-2", 0.05), ("0,05", 0.05), ("-1", -1.0), ("inf", math.inf)]
)
def test_real(text, number):
    assert parse_real(text, "lr") == number


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "1,2,3", "1,2.3", "--1"])
def test_not_real(text):
    with pytest.raises(InputError, match="lr") as refused:
        parse_real(text, "lr")
    assert refused.value.field == "lr"


@pytest.mark.parametrize(
    "text", ["8,4,2", "8 4 2", "8x4x2", "8×4×2", "8·4·2", " (8, 4, 2) ", "[8,4,2]", "8;4;2", "8,4,2,"]
)
def test_modes(text):
    assert parse_modes(text, "in_modes") == (8, 4, 2)


@pytest.mark.parametrize("text", ["", " ", ",", "8,a", "8.5,2", "1e3", "()", "8,,y", "9" * 5000])
def test_not_modes(text):
    with pytest.raises(InputError, match="in_modes") as refused:
        parse_modes(text, "in_modes")
    assert refused.value.field == "in_modes"


def test_ranks():
    assert parse_ranks("8") == 8
    assert parse_ranks("4,8,4") == (4, 8, 4)
    with pytest.raises(InputError) as refused:
        parse_ranks("many")
    assert refused.value.field == "ranks"


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1).map(tuple))
def test_shown_modes_are_read_back(modes):
    assert parse_modes(show_modes(modes), "in_modes") == modes


@given(st.integers(1, 10**9))
def test_a_shown_rank_is_read_back(rank):
    assert parse_ranks(show_modes(rank)) == rank


@given(st.text())
def test_any_text_is_a_value_or_a_refusal(text):
    for parse in (parse_whole, parse_real, parse_modes, parse_ranks):
        try:
            parse(text, "field")
        except InputError as error:
            assert error.field == "field"


# ---- lists of a grid ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1-4, 8", (1, 2, 3, 4, 8)),
        ("2-16/2", (2, 4, 6, 8, 10, 12, 14, 16)),
        ("1 - 3", (1, 2, 3)),
        ("1–3 5..6", (1, 2, 3, 5, 6)),
        ("1..9 / 4", (1, 5, 9)),
        (" (1, 2,4) ", (1, 2, 4)),
        ("[7]", (7,)),
        ("0", (0,)),
        ("5-5", (5,)),
        ("1-9/99999999999", (1,)),
        ("3,2,1,3", (3, 2, 1, 3)),
        ("1-10000", tuple(range(1, 10_001))),
        ("99999999998-99999999999", (99_999_999_998, 99_999_999_999)),
    ],
)
def test_numbers(text, numbers):
    assert parse_numbers(text, "ranks") == numbers


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ",", "()", "x", "1.5", "-1", "1-", "-", "1--3", "1-2-3", "1-3/", "/2", "1,-3", "1-,3", "1e3", "²"),
        *("4-1", "1-4/0", "1-99999999999", "0-99999999999999999/2", "1-10001", "1-9000,1-9000", "9" * 5000),
        *("1-" + "9" * 5000, "1-9/" + "9" * 5000, "9" * 100_000, "1" + " " * 100_000 + "x", "1,2," * 10_000 + "-"),
    ],
    ids=lambda text: text[:24],
)
@pytest.mark.timeout(5)
def test_not_numbers(text):
    with pytest.raises(InputError, match="ranks") as refused:
        parse_numbers(text, "ranks")
    assert refused.value.field == "ranks"
    assert len(str(refused.value)) < 200


@given(st.integers(0, 10**15), st.integers(0, 500), st.integers(1, 50))
def test_a_range_counts_as_python_does(first, width, step):
    numbers = parse_numbers(f"{first}-{first + width}/{step}", "seeds")
    assert numbers == tuple(range(first, first + width + 1, step))


@given(st.text() | st.text("0123456789-–./, ()", max_size=40))
@example("1-" + "9" * 18 + "/" + "9" * 18)
def test_any_text_is_a_list_of_numbers_or_a_refusal(text):
    for parse in (parse_numbers, parse_reals):
        try:
            numbers = parse(text, "field")
        except InputError as error:
            assert error.field == "field"
            assert len(str(error)) < 200
        else:
            assert 0 < len(numbers) <= 10_000


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0.01, 0.02", (0.01, 0.02)), ("1e-3", (0.001,)), ("[0.5;2 3]", (0.5, 2.0, 3.0)), ("0.1,,0.2", (0.1, 0.2))],
)
def test_reals(text, numbers):
    assert parse_reals(text, "rates") == numbers


@pytest.mark.parametrize("text", ["", " ", ",", "()", "x", "0.1, y", "1..2", "0.1-0.2"])
def test_not_reals(text):
    with pytest.raises(InputError, match="rates") as refused:
        parse_reals(text, "rates")
    assert refused.value.field == "rates"


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=9))
def test_reals_that_are_written_are_read(numbers):
    assert parse_reals(", ".join(map(repr, numbers)), "rates") == tuple(numbers)


# ---- how many parameters --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        *[("2000", 2000), (" 2,000 ", 2000), ("2_000", 2000), ("2e3", 2000), ("1.9", 1), ("1", 1)],
        *[("5 %", 3276), ("5%", 3276), ("0,5 %", 327), ("100 %", 65_536), ("250 %", 163_840), ("1e-2%", 6)],
    ],
)
def test_budget(text, parameters):
    assert parse_budget(text, 65_536) == parameters


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "%", "x", "0", "-5", "-5 %", "0 %", "0.001 %", "5 % %", "5 parameters", "1.2.3", "0.9"),
        *("nan", "inf", "nan %", "inf %", "1e400", "1e99 %", "9" * 5000, "9" * 5000 + "%", "-inf"),
    ],
    ids=lambda text: text[:12],
)
def test_not_a_budget(text):
    with pytest.raises(InputError, match="budget") as refused:
        parse_budget(text, 65_536)
    assert refused.value.field == "budget"
    assert len(str(refused.value)) < 200


@given(st.text() | st.text("0123456789.,%_ e-", max_size=12), st.integers(1, 2**40))
def test_any_text_is_a_budget_or_a_refusal(text, dense):
    try:
        budget = parse_budget(text, dense)
    except InputError as error:
        assert error.field == "budget"
    else:
        assert isinstance(budget, int) and 1 <= budget < 2**53


@given(st.integers(1, 10**15))
def test_a_number_of_parameters_is_read_as_it_is_written(number):
    assert parse_budget(f"{number:,}", 1) == parse_budget(str(number), 7) == number


@given(st.floats(0.01, 100), st.integers(10_000, 2**40))
def test_a_share_is_of_the_full_model(percent, dense):
    assert parse_budget(f"{percent!r} %", dense) == int(percent / 100 * dense)
