"""Expressions and shapes as a person types them: what is taken, and what each refusal says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttcore.einsum_contraction import MAX_ENTRIES, Contraction, parse_contraction, show_shapes
from ttcore.einsum_text import count, formula, implicit_note, sentence
from ttcore.errors import InputError

SIZES = {"a": 1, "b": 2, "i": 3, "j": 2, "k": 3}


@st.composite
def contractions(draw: st.DrawFn, fewest: int = 1) -> Contraction:
    """Up to four tensors of up to three axes, letters repeated as it comes, with any output."""
    term = st.text("abijk", min_size=1, max_size=3)
    operands = tuple(draw(st.lists(term, min_size=fewest, max_size=4)))
    used = sorted(set("".join(operands)))
    output = "".join(draw(st.lists(st.sampled_from(used), unique=True, max_size=4)))
    return Contraction(operands, output, tuple(tuple(SIZES[letter] for letter in term) for term in operands))


@given(contractions())
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read(contraction):
    assert parse_contraction(contraction.expression, show_shapes(contraction.shapes)) == contraction


@pytest.mark.parametrize(
    ("expression", "shapes"),
    [
        (" ij , jk -> ik ", "4x3, 3x5"),
        ("ij,jk→ik", "4 × 3; 3 × 5"),
        ("ij,jk->ik", "(4, 3), (3, 5)"),
        ("ij,jk->ik", "[4x3, 3x5]"),
        ("ij,jk->ik", "4*3, 3 5,"),
    ],
)
def test_ways_to_write_the_same(expression, shapes):
    assert parse_contraction(expression, shapes) == Contraction(("ij", "jk"), "ik", ((4, 3), (3, 5)))


@pytest.mark.parametrize("expression", ["ij,jk", "ba", "ii", "ij,kj", "Ab,bC", "ii,j"])
def test_an_output_that_is_left_out_is_numpys(expression):
    operands = expression.split(",")
    sizes = {letter: 2 + place for place, letter in enumerate(sorted(set(expression) - {","}))}
    shapes = [tuple(sizes[letter] for letter in term) for term in operands]
    contraction = parse_contraction(expression, show_shapes(shapes))
    tensors = [np.random.default_rng(0).normal(size=shape) for shape in shapes]
    given_by_numpy = np.einsum(expression, *tensors)
    np.testing.assert_allclose(np.einsum(contraction.expression, *tensors), given_by_numpy)
    assert contraction.result_shape == np.shape(given_by_numpy)
    assert contraction.implicit and "as NumPy means it" in implicit_note(contraction)


# What was typed, and what the message must hold: the letter, the tensors, the sizes, the field.
REFUSED = {
    "empty": ("", "4x3", "expression", ["is empty", "ij,jk->ik"]),
    "blank": ("   ", "4x3", "expression", ["is empty"]),
    "unknown output letter": ("ij,jk->iz", "4x3, 3x5", "expression", ["letter z", "A: ij", "B: jk"]),
    "output letter twice": ("ij,jk->ikk", "4x3, 3x5", "expression", ["letter k 2 times"]),
    "sizes disagree": ("ij,jk->ik", "4x3, 7x5", "shapes", ["letter j", "3 in tensor A (ij, 4x3)", "7 in tensor B"]),
    "not square": ("ii->", "4x5", "shapes", ["letter i is 4 and 5 within tensor A"]),
    "broadcasting": ("ij,jk->ik", "4x3, 1x5", "shapes", ["letter j", "one size everywhere"]),
    "too few shapes": ("ij,jk->ik", "4x3", "shapes", ["2 tensors", "1 shape is given"]),
    "too many shapes": ("ij->i", "4x3, 3x2", "shapes", ["1 tensor ", "2 shapes are given"]),
    "no shapes": ("ij->i", "", "shapes", ["no shapes are given"]),
    "too many axes": ("ij,jk->ik", "4x3x2, 3x5", "shapes", ["tensor A", "2 letters (ij)", "4x3x2 has 3 sizes"]),
    "too few axes": ("ijk->ik", "4x3", "shapes", ["tensor A", "3 letters (ijk)", "2 sizes"]),
    "ellipsis": ("...ij->ji", "4x3", "expression", ["ellipsis", "bij,bjk->bik"]),
    "a digit": ("i1->i", "4x3", "expression", ["'1'", "52 letters"]),
    "a letter of another alphabet": ("αβ->α", "4x3", "expression", ["'α'", "52 letters"]),
    "half an arrow": ("ij-i", "4x3", "expression", ["'-'", "->"]),
    "two arrows": ("ij->i->j", "4x3", "expression", ["2 arrows"]),
    "an empty tensor": ("ij,,jk->ik", "4x3, 3x5", "expression", ["tensor B has no letters"]),
    "a comma at the end": ("ij,->i", "4x3", "expression", ["tensor B has no letters"]),
    "17 tensors": (",".join(["i"] * 17) + "->i", ",".join(["2"] * 17), "expression", ["17 tensors", "16"]),
    "33 axes": ("i" * 33 + "->i", "x".join(["1"] * 33), "expression", ["33 letters", "32"]),
    "zero": ("ij->i", "4x0", "shapes", ["'0'", "tensor A", "at least 1"]),
    "negative": ("ij->i", "4x-3", "shapes", ["'-3'"]),
    "words": ("ij->i", "four by three", "shapes", ["'four'"]),
    "an endless number": ("i->i", "9" * 300, "shapes", ["whole numbers"]),
    "too large": ("ij->i", "4000x4000", "shapes", ["16,004,000 entries", f"{MAX_ENTRIES:,}", "smaller"]),
    "a result too large": ("i,j->ij", "3000, 3000", "shapes", ["the result C alone 9,000,000"]),
    "sizes beyond counting": ("abcdef->", "x".join(["9" * 18] * 6), "shapes", ["about 10^"]),
    "code": ("__import__('os')", "4x3", "expression", ["'_'"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_what_is_wrong_and_the_way_out(case):
    expression, shapes, field, parts = REFUSED[case]
    with pytest.raises(InputError) as refused:
        parse_contraction(expression, shapes)
    assert refused.value.field == field
    message = str(refused.value)
    assert all(part in message for part in parts), message
    # One sentence, to which the page adds the full stop; and never longer than somebody reads.
    assert not message.endswith(".") and ". " not in message.replace("...", "") and len(message) < 320


@st.composite
def malformed(draw: st.DrawFn) -> tuple[str, str]:
    """A good expression with one mistake in it."""
    good = draw(contractions())
    left, output = ",".join(good.operands), good.output
    shapes = [list(shape) for shape in good.shapes]
    number = draw(st.integers(0, len(shapes) - 1))
    mistakes = ["stranger", "twice", "sign", "dots", "no shape", "one more shape", "one more axis", "zero", "large"]
    shared = [letter for letter in set(left) - {","} if left.count(letter) > 1]
    mistake = draw(st.sampled_from([*mistakes, "disagree"] if shared else mistakes))
    if mistake == "stranger":
        output += "z"
    elif mistake == "twice":
        output += 2 * left[0]
    elif mistake == "sign":
        at = draw(st.integers(0, len(left)))
        left = left[:at] + draw(st.sampled_from("0(_é%=;:\\'\"-")) + left[at:]
    elif mistake == "dots":
        left = "..." + left
    elif mistake == "no shape":
        del shapes[number]
    elif mistake == "one more shape":
        shapes.append([2])
    elif mistake == "one more axis":
        shapes[number].append(1)
    elif mistake == "zero":
        shapes[number][0] = 0
    elif mistake == "large":
        shapes[number] = [MAX_ENTRIES + 1] * len(shapes[number])
    else:
        letter = draw(st.sampled_from(sorted(shared)))
        number = next(k for k, term in enumerate(good.operands) if letter in term)
        shapes[number][good.operands[number].index(letter)] += 1
    return f"{left}->{output}", show_shapes(shapes)


@given(malformed())
@settings(max_examples=200, deadline=None)
def test_one_mistake_is_always_refused(texts):
    with pytest.raises(InputError) as refused:
        parse_contraction(*texts)
    assert refused.value.field in ("expression", "shapes") and str(refused.value)


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(expression, shapes):
    try:
        contraction = parse_contraction(expression, shapes)
    except InputError:
        return
    assert contraction.operands


# ---- in words -------------------------------------------------------------------------------------------------------


def test_formula_and_sentence():
    contraction = parse_contraction("ij,jk->ik", "4x3, 3x5")
    red = dict.fromkeys("ijk", "#ff0000")
    text = formula(contraction, red).replace(r"\textcolor{#ff0000}", "")
    assert text == r"\Large C_{{i}{k}} = \sum_{{j}} A_{{i}{j}}\, B_{{j}{k}}"
    assert sentence(contraction) == (
        "For every i and k: the products of matching entries of A and B, added up over all j."
    )


@given(contractions())
@settings(max_examples=100, deadline=None)
def test_every_formula_is_balanced(contraction):
    text = formula(contraction, dict.fromkeys(contraction.sizes, "#123456"))
    assert text.count("{") == text.count("}")
    assert text.count(r"\begin") == text.count(r"\end")
    assert sentence(contraction).endswith(".")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (999_999, "999,999"), (1_234_567, "1.23 million"), (8_589_934_592, "8.59 billion"),
        (999_900_000, "1,000 million"), (5 * 10**14, "500 trillion"), (123 * 10**20, "1.23 × 10²²"),
    ],
)  # fmt: skip
def test_large_counts_can_be_read(number, text):
    assert count(number) == text
