from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttcore import InputError
from ttcore.parse import parse_modes, parse_ranks, parse_real, parse_whole, show_modes


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
