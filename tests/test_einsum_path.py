"""FLOPs and orders against a brute force that knows nothing of the planner."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.test_einsum_contraction import contractions
from ttcore.einsum_contraction import Contraction, parse_contraction
from ttcore.einsum_examples import EXAMPLES, REFERENCE
from ttcore.einsum_layer import layer_contraction
from ttcore.einsum_path import MAX_EXACT, best, left_to_right, loop_flops
from ttcore.shapes import TTShape


def brute_force(terms: tuple[str, ...], output: str, sizes: dict[str, int]) -> int:
    """The fewest FLOPs over every sequence of pairs, each counted by walking over all of its indices."""

    def alone(number: int, left: tuple[str, ...]) -> tuple[str, int]:
        others = output + "".join(left[:number] + left[number + 1 :])
        kept = "".join(dict.fromkeys(letter for letter in left[number] if letter in others))
        walked = sum(1 for _ in product(*(range(sizes[letter]) for letter in set(left[number]))))
        return kept, walked if set(kept) != set(left[number]) else 0

    start, prepared = 0, []
    for number in range(len(terms)):
        kept, flops = alone(number, terms)
        prepared.append(kept)
        start += flops

    def fewest(left: tuple[str, ...]) -> int:
        if len(left) == 1:
            return 0
        found = []
        for one, other in combinations(range(len(left)), 2):
            rest = tuple(term for number, term in enumerate(left) if number not in (one, other))
            both = set(left[one]) | set(left[other])
            kept = "".join(sorted(letter for letter in both if letter in output + "".join(rest)))
            multiplications = sum(1 for _ in product(*(range(sizes[letter]) for letter in both)))
            additions = multiplications if len(kept) < len(both) else 0
            found.append(multiplications + additions + fewest((*rest, kept)))
        return min(found)

    return start + fewest(tuple(prepared))


@given(contractions())
@settings(max_examples=60, deadline=None)
def test_the_best_order_is_the_best_of_all(contraction):
    assert best(contraction).flops == brute_force(contraction.operands, contraction.output, contraction.sizes)
    assert best(contraction).flops <= left_to_right(contraction).flops


@pytest.mark.parametrize(
    ("expression", "shapes", "loops", "straight", "cheapest"),
    [
        # Of a matrix product every way counts 2 · 4 · 3 · 5.
        ("ij,jk->ik", "4x3, 3x5", 120, 120, 120),
        # Nothing is added in an outer product, nothing is multiplied in a sum, neither in a transpose.
        ("i,j->ij", "4, 5", 20, 20, 20),
        ("ij->", "4x3", 12, 12, 12),
        ("ij->ji", "4x3", 0, 0, 0),
        ("ii->i", "4x4", 0, 0, 0),
        # A (2x100) B (100x3) C (3x50): left to right 1200 + 600.
        ("ij,jk,kl->il", "2x100, 100x3, 3x50", 2 * 100 * 3 * 50 * 3, 1800, 1800),
        # From the right a vector stays a vector.
        ("ij,jk,k->i", "30x30, 30x30, 30", 30**3 * 3, 2 * 30**3 + 2 * 30**2, 4 * 30**2),
    ],
)
def test_flops_by_hand(expression, shapes, loops, straight, cheapest):
    contraction = parse_contraction(expression, shapes)
    assert (loop_flops(contraction), left_to_right(contraction).flops, best(contraction).flops) == (
        loops, straight, cheapest,
    )  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_numpy_finds_no_better_order(name):
    contraction = parse_contraction(EXAMPLES[name].expression, EXAMPLES[name].shapes)
    tensors = [np.broadcast_to(np.zeros(()), shape) for shape in contraction.shapes]
    order: Any = np.einsum_path(contraction.expression, *tensors, optimize="optimal")[0][1:]
    terms, flops = list(contraction.operands), 0
    for pair in order:
        taken = [terms.pop(place) for place in sorted(pair, reverse=True)]
        both = set("".join(taken))
        kept = {letter for letter in both if letter in contraction.output + "".join(terms)}
        size = prod(contraction.sizes[letter] for letter in both)
        flops += size * (len(taken) - 1 + (kept != both))
        terms.append("".join(sorted(kept)))
    assert best(contraction).flops <= flops


@given(contractions(fewest=2))
@settings(max_examples=60, deadline=None)
def test_the_states_between_the_steps(contraction):
    for path in (best(contraction), left_to_right(contraction)):
        states = list(path.states())
        assert len(states) == len(path.steps) + 1
        for (state, names, live), step in zip(states, path.steps, strict=False):
            assert len(state.operands) == len(names) == len(live)
            assert tuple(state.operands[live.index(number)] for number in step.taken) == step.terms
            assert state.output == contraction.output
        last, names, _ = states[-1]
        assert last.operands == (contraction.output,) and names == ("".join(contraction.names),)


def many(count: int) -> Contraction:
    """A layer of so many tensors."""
    return layer_contraction(TTShape((2,) * (count - 1), (2,) * (count - 1), 3), 4)


@pytest.mark.parametrize("count", range(3, 17))
def test_any_number_of_tensors_up_to_the_limit(count):
    contraction = many(count)
    found = best(contraction)
    assert found.flops <= left_to_right(contraction).flops
    assert len(found.steps) == count - 1
    assert sorted(members(found.tree)) == list(range(count))


def members(tree: Any) -> Iterator[int]:
    if isinstance(tree, int):
        yield tree
    else:
        yield from members(tree[0])
        yield from members(tree[1])


def test_the_reference_layer():
    contraction = layer_contraction(REFERENCE, 256)
    assert len(contraction.operands) <= MAX_EXACT
    assert left_to_right(contraction).flops == 117_964_800
    # Two half-trains, W from them, then one product: 2 · 256 · 4096 · 16 is the last one.
    assert best(contraction).flops == 34_668_544
    assert best(contraction).steps[-1].flops == 2 * 256 * 4096 * 16
    assert loop_flops(contraction) == 5 * 256 * 8**7 * 2**4
