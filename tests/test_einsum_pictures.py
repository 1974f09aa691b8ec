"""The network, its layout, the entries and the colours of a contraction, as they are handed to the page."""

from __future__ import annotations

import json
import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings

from dashboard.einsum_cells import MAX_SIDE, are_small, cells, written
from dashboard.einsum_colours import colours
from dashboard.einsum_layout import RADIUS, layout
from dashboard.einsum_network import legend_html, network_svg
from tests.test_drawings import drawn
from tests.test_einsum_contraction import contractions
from ttcore.einsum_check import compare
from ttcore.einsum_contraction import Contraction, parse_contraction
from ttcore.einsum_examples import EXAMPLES
from ttcore.einsum_layer import layer_contraction
from ttcore.einsum_path import best
from ttcore.shapes import TTShape


def square(expression: str) -> Contraction:
    """The expression with a size of its own for every letter."""
    terms = expression.split("->")[0].split(",")
    sizes = {letter: 2 + place for place, letter in enumerate(dict.fromkeys("".join(terms)))}
    return parse_contraction(expression, ", ".join("x".join(str(sizes[letter]) for letter in term) for term in terms))


NETWORKS = {
    **{name: parse_contraction(example.expression, example.shapes) for name, example in EXAMPLES.items()},
    "canonical": square("ir,jr,kr->ijk"),
    "Tucker": square("abc,ax,by,cz->xyz"),
    "ring": square("ab,bc,cd,da->"),
    "ring of eight": square("ab,bc,cd,de,ef,fg,gh,ah->ae"),
    "all kinds at once": square("ijj,jk,kkl,m->ilm"),
    "a letter three times": square("iii,i->i"),
    "diagonal kept": square("iij->ij"),
    "three edges": square("ijk,ijk->"),
    "hub with many legs": square("abcdef,ax,by,cz->xyzdef"),
    "TT matrix": square("iox,xjpy,ykqz,zlr->ijklopqr"),
    "sixteen": layer_contraction(TTShape((2,) * 15, (2,) * 15, 2), 3),
}


def texts(root: ElementTree.Element) -> list[str]:
    """Every label in one piece."""
    return ["|".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_holds_every_tensor_letter_and_size(name):
    check_network(NETWORKS[name])


@given(contractions())
@settings(max_examples=100, deadline=None)
def test_any_network_can_be_drawn(contraction):
    check_network(contraction)


def check_network(contraction: Contraction) -> None:
    root = drawn(network_svg(contraction, colours(contraction)))
    labels = texts(root)
    assert sorted(label for label in labels if "|" not in label) == sorted(contraction.names)
    assert sorted(label for label in labels if "|" in label) == sorted(
        f"{letter}|{size:,}" for letter, size in contraction.sizes.items()
    )
    (picture,) = [element for element in root.iter() if element.get("role") == "img"]
    assert all(f"{letter} ({size})" in picture.get("aria-label", "") for letter, size in contraction.sizes.items())
    # A line has the colour of its letter, and all of the picture is within its frame.
    strokes = {element.get("stroke") for element in root.iter() if element.tag.endswith("path")}
    assert strokes == set(colours(contraction).values())
    left, top, width, height = map(float, picture.get("viewBox", "").split())
    for element in root.iter():
        if element.get("x") and element.get("y"):
            assert left <= float(element.get("x", "")) <= left + width
            assert top <= float(element.get("y", "")) <= top + height


@pytest.mark.parametrize("name", NETWORKS)
def test_no_tensor_lies_on_another(name):
    contraction = NETWORKS[name]
    places = layout(contraction.operands, contraction.names).places
    for one, other in combinations(places, 2):
        apart = other.at - one.at
        assert abs(apart.real) >= one.half + other.half or abs(apart.imag) >= 2 * RADIUS


@pytest.mark.parametrize(
    ("name", "kind"),
    [("matrix-matrix", "line"), ("TT matrix", "line"), ("batched", "line"), ("tt-layer", "comb"), ("Tucker", "comb"),
     ("sixteen", "comb"), ("ring", "circle"), ("canonical", "circle")],
)  # fmt: skip
def test_the_layout_is_the_one_that_a_reader_expects(name, kind):
    assert layout(NETWORKS[name].operands, NETWORKS[name].names).kind == kind


@pytest.mark.parametrize("name", NETWORKS)
def test_every_state_on_the_way_can_be_drawn(name):
    path = best(NETWORKS[name])
    shown = colours(NETWORKS[name])
    for (state, names, live), step in zip(path.states(), [*path.steps, None], strict=True):
        marked = [live.index(number) for number in step.taken] if step else []
        labels = texts(drawn(network_svg(state, shown, names, marked)))
        assert set(names) <= set(labels)


def test_the_legend_says_what_is_summed():
    contraction = NETWORKS["matrix-matrix"]
    chips = re.findall(
        r"<b[^>]*>(.)</b><span>(\d+)</span><span[^>]*>(\w+)<", legend_html(contraction, colours(contraction))
    )
    assert chips == [("i", "4", "kept"), ("k", "5", "kept"), ("j", "3", "summed")]


def test_letters_of_twelve_and_fewer_differ():
    shown = colours(NETWORKS["tt-layer"])
    assert len(shown) == 12 == len(set(shown.values()))


# ---- entries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in ("tt-layer",)])
def test_the_entries_are_those_of_the_tensors(name):
    contraction = NETWORKS[name]
    comparison = compare(contraction, 0)
    data = cells(contraction, comparison, colours(contraction))
    if data is None:
        pytest.fail("every small example has its entries drawn")
    json.dumps(data)
    assert [tensor["name"] for tensor in data["tensors"]] == list(contraction.names)
    assert data["result"]["shape"] == list(contraction.result_shape)
    for tensor, values in zip(data["tensors"], comparison.tensors, strict=True):
        assert tensor["values"] == values.reshape(-1).tolist()
        assert len(tensor["texts"]) == values.size


def test_large_tensors_are_not_drawn():
    contraction = NETWORKS["tt-layer"]
    assert not are_small(contraction)
    assert cells(contraction, compare(contraction, 0), colours(contraction)) is None
    assert are_small(parse_contraction("ij->i", f"{MAX_SIDE}x{MAX_SIDE}"))
    assert not are_small(parse_contraction("ij->i", f"{MAX_SIDE + 1}x2"))


def test_a_vector_lies_where_it_belongs():
    def rows(expression: str, shapes: str) -> list[bool]:
        contraction = parse_contraction(expression, shapes)
        data = cells(contraction, compare(contraction, 0), colours(contraction))
        assert data is not None
        return [tensor["row"] for tensor in (*data["tensors"], data["result"])]

    assert rows("ij->i", "4x3") == [False, False]
    assert rows("ij->j", "4x3") == [False, True]
    assert rows("i,j->ij", "4, 5") == [False, True, False]
    assert rows("ij,j->i", "4x3, 3") == [False, False, False]


@pytest.mark.parametrize(
    ("value", "text"),
    [(-3.0, "−3"), (0.0, "0"), (0.7071, "0.71"), (-12.345, "−12.3"), (123.44, "123.4"), (-0.0, "0"), (1e9, "1.0e+09")],
)
def test_entries_as_they_are_written(value, text):
    assert written(value) == text
