from __future__ import annotations

from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttcore import InputError, TTShape
from ttcore.advisor import Advice, Proposal, advise, ranks_within
from ttcore.shapes import replace_ranks


def modes_of(advice: Advice) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(proposal.shape.in_modes, proposal.shape.out_modes) for proposal in advice.proposals]


def check_proposal(proposal: Proposal, in_features: int, out_features: int, rank: int) -> None:
    """Everything a proposal says, counted again from its modes and ranks."""
    shape = proposal.shape
    sizes = [m * n for m, n in zip(shape.in_modes, shape.out_modes, strict=True)]
    assert (shape.in_features, shape.out_features) == (in_features, out_features)
    assert proposal.in_padding == prod(shape.in_modes) - in_features >= 0
    assert proposal.out_padding == prod(shape.out_modes) - out_features >= 0
    assert 2 <= proposal.num_cores == len(sizes) <= 6
    assert shape.ranks == tuple(min(rank, useful) for useful in proposal.useful_ranks)
    ranks, parameters, dense = (1, *shape.ranks, 1), proposal.parameters, in_features * out_features
    assert parameters == sum(ranks[k] * size * ranks[k + 1] for k, size in enumerate(sizes))
    assert proposal.balance == min(sizes) / max(sizes)
    assert 1 not in sizes or dense <= 3
    assert ("no smaller than the full layer" in proposal.note) == (parameters >= dense)
    assert ("larger; fewer cores" in proposal.note) == (4 * prod(sizes) > 5 * dense)


# ---- laws -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out_features", [1, 2, 3, 10, 16, 17, 100])
def test_every_size_gets_sound_proposals(out_features):
    for in_features in range(1, 2001):
        rank = (8, 1, 2, 5, 100)[in_features % 5]
        advice = advise(in_features, out_features, rank)
        assert 1 <= len(advice.proposals) <= 6
        for proposal in advice.proposals:
            check_proposal(proposal, in_features, out_features, rank)
        modes = modes_of(advice)
        assert len(set(modes)) == len(modes)
        lengths = [len(ins) for ins, _ in modes if ins != (in_features, 1)]
        assert all(lengths.count(length) <= 2 for length in lengths), "two orders at most"
        if advice.compresses:
            assert advice.proposals[0].parameters < in_features * out_features
        elif rank > 1:
            assert all(proposal.parameters >= in_features * out_features for proposal in advice.proposals)
        assert advice.verdict.endswith(".")
        assert 1 <= advice.verdict.count(". ") + 1 <= 2, advice.verdict


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 2**32), st.integers(1, 2**32), st.integers(1, 2**32), st.integers(1, 20))
def test_wild_sizes_get_sound_proposals(in_features, out_features, rank, most):
    advice = advise(in_features, out_features, rank, most)
    assert 1 <= len(advice.proposals) <= most
    for proposal in advice.proposals:
        check_proposal(proposal, in_features, out_features, rank)


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 300), st.integers(1, 40), st.integers(1, 6))
def test_fewer_proposals_are_the_first_ones(in_features, out_features, rank, most):
    some, all_of_them = (advise(in_features, out_features, rank, number) for number in (most, 20))
    assert some.proposals == all_of_them.proposals[:most]
    assert (some.compresses, some.verdict) == (all_of_them.compresses, all_of_them.verdict)


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 60))
def test_a_larger_rank_never_makes_compression_possible(in_features, out_features):
    compresses = [advise(in_features, out_features, rank).compresses for rank in range(1, 40)]
    assert compresses == sorted(compresses, reverse=True)
    assert compresses[0] == compresses[1], "rank 1 counts only where rank 2 would still do"


# ---- named layers ---------------------------------------------------------------------------------------------------


def test_digits():
    advice = advise(64, 10, 6)
    assert modes_of(advice)[:2] == [((8, 8), (5, 2)), ((8, 8), (2, 5))]
    assert [proposal.order for proposal in advice.proposals[:2]] == ["larger outputs first", "larger outputs last"]
    assert ((64, 1), (1, 10)) in modes_of(advice), "low rank is one of them"
    assert advice.compresses
    assert advice.verdict == (
        "64 inputs and 10 outputs factorize without padding: at rank 6 (8, 8) → (5, 2) has 336 of the full layer's "
        "640 weights (52.5 %)."
    )


def test_digits_at_a_rank_that_is_too_high():
    advice = advise(64, 10, 20)
    assert not advice.compresses
    assert advice.verdict == (
        "64 inputs and 10 outputs: at rank 20 no TT layer is smaller than the full layer's 640 weights. At rank 11 or "
        "below one is: (4, 4, 4) → (5, 2, 1) has 588 at rank 11."
    )
    assert advise(64, 10, 11).compresses and not advise(64, 10, 12).compresses


def test_the_reference_layer():
    advice = advise(4096, 16, 8)
    first = advice.proposals[0]
    assert (first.shape.in_modes, first.shape.out_modes) == ((8, 8, 8, 8), (2, 2, 2, 2))
    assert (first.parameters, first.balance, first.order, first.note) == (2304, 1.0, "", "")
    assert first.useful_ranks == (16, 256, 16)


@pytest.mark.parametrize("rank", [1, 2, 4, 8])
def test_diabetes_cannot_be_compressed_at_any_rank(rank):
    advice = advise(10, 1, rank)
    assert not advice.compresses
    assert modes_of(advice)[0] == ((5, 2), (1, 1))
    assert advice.verdict == (
        "10 inputs and 1 output: a TT layer cannot compress the full layer's 10 weights. The smallest of rank 2, "
        "(5, 2) → (1, 1), has 14 and can already represent every weight matrix; only rank 1, one product of a small "
        "matrix per core, has fewer (7)."
    )
    if rank == 1:
        assert advice.proposals[0].note == "smaller than the full layer at rank 1 alone"


def test_breast_cancer():
    advice = advise(30, 2, 3)
    assert advice.compresses
    assert modes_of(advice)[:2] == [((6, 5), (2, 1)), ((6, 5), (1, 2))]
    assert [proposal.parameters for proposal in advice.proposals[:2]] == [51, 48]


def test_wine_is_smallest_as_low_rank_without_padding():
    advice = advise(13, 3, 2)
    assert modes_of(advice)[:2] == [((13, 1), (1, 3)), ((7, 2), (1, 3))]
    assert advice.proposals[0].note == "plain low rank, which never pads"
    assert advice.verdict == (
        "13 inputs and 3 outputs need no padding as plain low rank: at rank 2 (13, 1) → (1, 3) has 32 of the full "
        "layer's 39 weights (82.1 %)."
    )


def test_a_prime_size_is_padded_a_little():
    advice = advise(1021, 16)
    assert modes_of(advice)[0] == ((33, 31), (4, 4))
    assert (advice.proposals[0].in_padding, advice.proposals[0].out_padding) == (2, 0)
    assert [proposal.order for proposal in advice.proposals[:2]] == ["larger inputs first", "larger inputs last"]


def test_a_padded_layer_is_told_of_low_rank():
    assert advise(1021, 17).verdict == (
        "1,021 inputs and 17 outputs are padded to 1,023 and 18, a matrix 6.09 % larger: at rank 8 (33, 31) → (6, 3) "
        "has 2,328 of the full layer's 17,357 weights (13.4 %). Plain low rank, (1021, 1) → (1, 17), pads nothing and "
        "has 8,304."
    )


def test_padding_that_wastes_is_neither_first_nor_silent():
    advice = advise(5, 5, 2)
    assert modes_of(advice)[:2] == [((5, 1), (1, 5)), ((3, 2, 1), (1, 1, 5))]
    assert [proposal.note for proposal in advice.proposals[2:4]] == [
        "padding makes its matrix 44 % larger; fewer cores or low rank pad less",
        "padding makes its matrix 44 % larger; fewer cores or low rank pad less; no smaller than the full layer at "
        "this rank",
    ]


@pytest.mark.parametrize(
    ("in_features", "out_features", "first"),
    [
        (1, 1, ((1, 1), (1, 1))),
        (2, 1, ((2, 1), (1, 1))),
        (1, 2, ((1, 1), (2, 1))),
        (7, 3, ((7, 1), (1, 3))),
        (16384, 16384, ((128, 128), (128, 128))),
    ],
)
def test_extreme_sizes(in_features, out_features, first):
    advice = advise(in_features, out_features, 2)
    assert modes_of(advice)[0] == first
    assert advice.compresses == (in_features * out_features > 2)


@pytest.mark.parametrize("bad", [0, -1, "64", 2.0, None, True, 2**32 + 1])
@pytest.mark.parametrize("field", ["in_features", "out_features", "rank", "most"])
def test_other_values_are_refused(field, bad):
    with pytest.raises(InputError, match=field) as refused:
        advise(**{"in_features": 64, "out_features": 10, field: bad})
    assert refused.value.field == field


# ---- ranks within a budget ------------------------------------------------------------------------------------------


Layer = tuple[tuple[int, ...], tuple[int, ...]]


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    d = draw(st.integers(1, 7))
    ins, outs = (tuple(draw(st.integers(1, 9)) for _ in range(d)) for _ in range(2))
    return ins, outs


budgets = st.one_of(st.integers(1, 3000), st.integers(1, 10**12))


def smallest(layer: Layer) -> int:
    return TTShape(*layer, 1).num_parameters


@settings(deadline=None, max_examples=300)
@given(layers(), budgets)
def test_no_bond_can_be_raised_within_the_budget(layer: Layer, extra: int) -> None:
    budget = smallest(layer) + extra
    shape = ranks_within(*layer, budget)
    assert shape.num_parameters <= budget
    assert shape.clipped() == shape
    for bond, rank in enumerate(shape.ranks):
        raised = replace_ranks(shape, (*shape.ranks[:bond], rank + 1, *shape.ranks[bond + 1 :]))
        assert raised.num_parameters > budget or raised.clipped() != raised


@settings(deadline=None, max_examples=300)
@given(layers(), budgets, st.one_of(st.integers(1, 3), st.integers(1, 10**6)))
def test_a_larger_budget_never_gives_fewer_weights(layer: Layer, extra: int, more: int) -> None:
    budget = smallest(layer) + extra
    assert ranks_within(*layer, budget).num_parameters <= ranks_within(*layer, budget + more).num_parameters


@settings(deadline=None, max_examples=200)
@given(layers(), st.integers(1, 100))
def test_it_never_does_worse_than_a_uniform_rank(layer: Layer, rank: int) -> None:
    uniform = TTShape(*layer, rank).clipped()
    assert ranks_within(*layer, uniform.num_parameters) == uniform


def test_a_budget_above_every_need_gives_the_useful_ranks():
    assert ranks_within((8, 8, 8, 8), (2, 2, 2, 2), 10**12).ranks == (16, 256, 16)
    assert ranks_within((8,), (2,), 10**12).ranks == ()


def test_a_budget_between_two_uniform_ranks():
    assert ranks_within((8, 8, 8, 8), (2, 2, 2, 2), 2304).ranks == (8, 8, 8)
    between = ranks_within((8, 8, 8, 8), (2, 2, 2, 2), 2600)
    assert between.ranks == (8, 9, 8)
    assert between.num_parameters == 2560


def test_many_cores_and_a_large_budget_take_no_time():
    ins, outs = (2, 1) * 32, (1, 2) * 32
    shape = ranks_within(ins, outs, 10**12)
    assert shape.clipped() == shape
    assert 0.99 * 10**12 < shape.num_parameters <= 10**12


def test_the_real_sizes_are_kept():
    shape = ranks_within((33, 31), (6, 3), 1000, 1021, 17)
    assert (shape.in_features, shape.out_features, shape.ranks) == (1021, 17, (3,))


def test_a_budget_below_rank_one_is_refused_with_the_number():
    with pytest.raises(InputError, match=r"63 is below the 64 weights") as refused:
        ranks_within((8, 8, 8, 8), (2, 2, 2, 2), 63)
    assert refused.value.field == "budget"
    assert ranks_within((8, 8, 8, 8), (2, 2, 2, 2), 64).ranks == (1, 1, 1)


@pytest.mark.parametrize("bad", [0, -5, 2.5, "100", None])
def test_other_budgets_are_refused(bad):
    with pytest.raises(InputError, match="budget") as refused:
        ranks_within((8, 8), (2, 2), bad)
    assert refused.value.field == "budget"


def test_bad_modes_are_refused_as_everywhere():
    with pytest.raises(InputError) as refused:
        ranks_within((8, 0), (2, 2), 100)
    assert refused.value.field == "in_modes"
