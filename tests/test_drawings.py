from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from dashboard.drawings import network_svg, size_svg
from tests.tables import NAMES, SHAPES
from ttcore.shapes import TTShape

MORE = {
    "reference": TTShape((8, 8, 8, 8), (2, 2, 2, 2), 8),
    "twelve cores": TTShape((2,) * 12, (2,) * 12, 9).clipped(),
    "sixty-four cores": TTShape((1,) * 63 + (2,), (1,) * 63 + (2,), 1),
    "a million": TTShape((8, 8, 8, 8), (2, 2, 2, 2), 1_000_000).clipped(),
    "larger than the full layer": TTShape((4, 4), (4, 4), 16),
    "much larger": TTShape((2, 2), (2, 2), 5_000),
    "far smaller": TTShape((64,) * 5, (64,) * 5, 1),
}
ALL = SHAPES | MORE
assert len(NAMES) + len(MORE) == len(ALL)


def drawn(svg: str) -> ElementTree.Element:
    """The picture as XML, and that it is one with sensible sizes."""
    root = ElementTree.fromstring(svg)
    assert "nan" not in svg and "inf" not in svg.lower().replace("infinit", "")
    for element in root.iter():
        for name in ("width", "height", "r", "stroke-width"):
            if (value := element.get(name)) is not None:
                assert float(value) > 0
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter() if element.tag.endswith("text")]


def label(root: ElementTree.Element) -> str:
    (picture,) = [element for element in root.iter() if element.get("role") == "img"]
    return picture.get("aria-label") or ""


@pytest.mark.parametrize("name", ALL)
def test_the_network_shows_every_core_mode_and_rank(name):
    shape = ALL[name]
    root = drawn(network_svg(shape))
    circles = [element for element in root.iter() if element.tag.endswith("circle")]
    assert len(circles) == shape.num_cores

    words = texts(root)
    assert [word for word in words if word.startswith("G")] == [f"G{_sub(k)}" for k in range(1, shape.num_cores + 1)]
    ranks = words[: 2 * len(shape.ranks)]
    assert ranks[::2] == [f"{rank:,}" for rank in shape.ranks]
    assert ranks[1::2] == [f"of {rank:,}" for rank in shape.useful_ranks]
    modes = [word for word in words[2 * len(shape.ranks) :] if word.isdigit()]
    assert modes[::2] == [str(mode) for mode in shape.in_modes]
    assert modes[1::2] == [str(mode) for mode in shape.out_modes]


@pytest.mark.parametrize("name", ALL)
def test_the_network_in_words(name):
    shape = ALL[name]
    words = label(drawn(network_svg(shape)))
    numbers = [int(number) for number in re.findall(r"\d+", words)]
    expected = [shape.num_cores, *shape.in_modes, *shape.out_modes, *shape.ranks, *shape.useful_ranks]
    assert numbers == expected
    assert ("none" in words) == (shape.num_cores == 1)


def test_a_higher_rank_is_a_thicker_bond():
    def thickness(rank: int) -> float:
        root = drawn(network_svg(TTShape((8, 8), (8, 8), rank)))
        return float(next(e for e in root.iter() if e.tag.endswith("line")).get("stroke-width") or 0)

    widths = [thickness(rank) for rank in (1, 2, 8, 64, 1_000_000)]
    assert widths == sorted(widths)
    assert widths[0] < widths[3]
    assert widths[-1] < 15


@pytest.mark.parametrize("name", ALL)
def test_areas_are_parameter_counts(name):
    shape = ALL[name]
    root = drawn(size_svg(shape))
    full, tt = [float(e.get("width") or 0) for e in root.iter() if e.tag.endswith("rect")]
    assert max(full, tt) == pytest.approx(118, abs=0.1)
    # A square that could not be seen is drawn a little larger.
    assert (tt / full) ** 2 == pytest.approx(shape.parameter_ratio, rel=0.1) or min(full, tt) == 1.5


@pytest.mark.parametrize("name", ALL)
def test_the_size_in_words(name):
    shape = ALL[name]
    root = drawn(size_svg(shape))
    words = label(root)
    assert f"{shape.num_parameters:,} parameters" in words
    assert f"{shape.dense_parameters:,}" in words
    rows = texts(root)
    assert f"TT layer: {shape.num_parameters:,}" in rows
    assert f"full model: {shape.dense_parameters:,}" in rows
    smaller = shape.parameter_ratio <= 1
    assert ("smaller" in rows[0]) == smaller and ("larger" in rows[0]) == (not smaller)


def test_the_published_figures():
    rows = texts(drawn(size_svg(MORE["reference"])))
    assert rows[:4] == ["28.4× smaller", "3.52 % of the full model", "TT layer: 2,304", "full model: 65,536"]


@pytest.mark.parametrize("name", ALL)
def test_figures_are_written_in_plain_digits(name):
    assert not re.search(r"\de[+-]\d", " ".join(texts(drawn(size_svg(ALL[name])))))


def _sub(number: int) -> str:
    return "".join("₀₁₂₃₄₅₆₇₈₉"[int(digit)] for digit in str(number))
