from __future__ import annotations

from itertools import pairwise, product
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tables import NAMES, SHAPES, dense_by_einsum, random_cores
from ttcore import InputError, TTShape, factorize
from ttcore.shapes import replace_ranks

modes = st.integers(1, 5)


@st.composite
def shapes(draw: st.DrawFn) -> TTShape:
    d = draw(st.integers(1, 5))
    ins, outs = (tuple(draw(modes) for _ in range(d)) for _ in range(2))
    ranks = tuple(draw(st.integers(1, 40)) for _ in range(d - 1))
    return TTShape(ins, outs, ranks, draw(st.integers(1, prod(ins))), draw(st.integers(1, prod(outs))))


# ---- factorize ------------------------------------------------------------------------------------------------------


def factorize_by_trying_all(size: int, num_modes: int) -> tuple[int, ...]:
    """The rule word for word, over every non-increasing tuple of modes."""
    least_largest = next(largest for largest in range(1, size + 1) if largest**num_modes >= size)
    cap = size if num_modes == 1 else 2 * least_largest
    lowest = 2 if size >= 2**num_modes and num_modes > 1 else 1
    allowed = [
        chosen
        for chosen in product(range(lowest, cap + 1), repeat=num_modes)
        if prod(chosen) >= size and all(a >= b for a, b in pairwise(chosen))
    ]
    return min(allowed, key=lambda chosen: (prod(chosen), chosen))


@pytest.mark.parametrize("num_modes", [1, 2, 3, 4])
def test_factorize_follows_its_rule_for_every_small_size(num_modes):
    largest = {1: 60, 2: 250, 3: 140, 4: 90}[num_modes]
    for size in range(1, largest + 1):
        assert factorize(size, num_modes) == factorize_by_trying_all(size, num_modes), size


@pytest.mark.parametrize(
    ("size", "num_modes", "expected"),
    [
        (4096, 4, (8, 8, 8, 8)),
        (1021, 2, (33, 31)),
        (16, 4, (2, 2, 2, 2)),
        (16, 5, (2, 2, 2, 2, 1)),
        (1, 3, (1, 1, 1)),
        (1021, 1, (1021,)),
        (2**32, 2, (2**16, 2**16)),
    ],
)
def test_factorize_examples(size, num_modes, expected):
    assert factorize(size, num_modes) == expected


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 2**32), st.integers(1, 64))
def test_factorize_keeps_its_promises_for_wild_sizes(size, num_modes):
    chosen = factorize(size, num_modes)
    assert len(chosen) == num_modes
    assert prod(chosen) >= size
    assert list(chosen) == sorted(chosen, reverse=True)
    if size >= 2**num_modes:
        assert min(chosen) > 1
    # No mode above twice the smallest possible largest one: half the largest cannot do, unless it is all there is.
    if num_modes > 1:
        assert (-(-chosen[0] // 2) - 1) ** num_modes < size


@settings(deadline=None, max_examples=60)
@given(st.integers(10_000, 2**31), st.integers(2, 8))
def test_factorize_pads_little(size, num_modes):
    # An even split rounded up is always allowed, so the chosen one can never pad more.
    root = next(r for r in range(round(size ** (1 / num_modes)) - 1, 2**17) if r**num_modes >= size)
    even = [root] * num_modes
    for k in range(num_modes):
        while even[k] > 2 and prod(even) // even[k] * (even[k] - 1) >= size:
            even[k] -= 1
    assert prod(factorize(size, num_modes)) <= prod(even)


@pytest.mark.parametrize("size", [0, -1, 2.0, "8", True, None, 2**32 + 1])
def test_factorize_refuses_other_sizes(size):
    with pytest.raises(InputError, match="size") as refused:
        factorize(size, 2)
    assert refused.value.field == "size"
    with pytest.raises(InputError, match="num_modes"):
        factorize(64, size)


# ---- counts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_those_of_the_arrays(name):
    shape = SHAPES[name]
    cores = [np.zeros(core) for core in shape.core_shapes]
    assert shape.num_cores == len(shape.in_modes) == len(shape.ranks) + 1
    assert shape.num_parameters == sum(core.size for core in cores)
    assert shape.dense_parameters == np.zeros((shape.out_features, shape.in_features)).size
    assert shape.parameter_ratio == shape.num_parameters / shape.dense_parameters
    assert shape.compression == pytest.approx(1 / shape.parameter_ratio)
    for k, core in enumerate(shape.core_shapes):
        assert core[1:3] == (shape.in_modes[k], shape.out_modes[k])
        assert core[0] == (shape.ranks[k - 1] if k else 1)
    assert shape.core_shapes[-1][3] == 1


def test_the_reference_layer():
    shape = TTShape((8, 8, 8, 8), (2, 2, 2, 2), 8)
    assert shape.num_parameters == 2304
    assert shape.dense_parameters == 65536
    assert shape.parameter_ratio == 0.03515625
    assert round(shape.compression, 1) == 28.4
    assert shape.useful_ranks == (16, 256, 16)


def test_real_sizes_count_not_padded_ones():
    shape = TTShape((4, 3), (3, 3), 2, 11, 7)
    assert shape.dense_parameters == 77
    assert (shape.padded_in_features, shape.padded_out_features) == (12, 9)


def test_shapes_are_values():
    assert TTShape([8, 8], np.array([2, 2]), np.int64(3)) == TTShape((8, 8), (2, 2), (3,))
    assert len({TTShape((8, 8), (2, 2), 3), TTShape((8, 8), (2, 2), np.array([3]))}) == 1
    with pytest.raises(AttributeError):
        TTShape((8,), (2,), ()).ranks = (3,)  # type: ignore[misc]


# ---- ranks ----------------------------------------------------------------------------------------------------------


def unfolding_ranks(shape: TTShape) -> tuple[int, ...]:
    """The ranks that a random matrix of this (padded) size has at each bond, counted by NumPy."""
    d = shape.num_cores
    sizes = [m * n for m, n in zip(shape.in_modes, shape.out_modes, strict=True)]
    full = np.random.default_rng(0).standard_normal(shape.padded_out_features * shape.padded_in_features)
    full = full.reshape(*shape.out_modes, *shape.in_modes)
    pairs = full.transpose([axis for k in range(d) for axis in (d + k, k)])
    return tuple(int(np.linalg.matrix_rank(pairs.reshape(prod(sizes[:bond]), -1))) for bond in range(1, d))


@pytest.mark.parametrize("name", NAMES)
def test_useful_ranks_are_those_of_a_random_matrix(name):
    assert SHAPES[name].useful_ranks == unfolding_ranks(SHAPES[name])


def is_clipped(shape: TTShape) -> bool:
    return all(right <= left * m * n and left <= m * n * right for left, m, n, right in shape.core_shapes)


@settings(deadline=None)
@given(shapes())
def test_clipped_lowers_as_little_as_the_rule_asks(shape):
    clipped = shape.clipped()
    assert is_clipped(clipped)
    assert clipped.clipped() == clipped
    assert all(new <= old for new, old in zip(clipped.ranks, shape.ranks, strict=True))
    assert all(new <= useful for new, useful in zip(clipped.ranks, shape.useful_ranks, strict=True))
    assert replace_ranks(clipped, shape.ranks) == shape, "nothing but ranks changes"
    if is_clipped(shape):
        assert clipped == shape
    # One more at any lowered bond would break the rule somewhere.
    for bond, (new, old) in enumerate(zip(clipped.ranks, shape.ranks, strict=True)):
        if new < old:
            raised = (*clipped.ranks[:bond], new + 1, *clipped.ranks[bond + 1 :])
            assert not is_clipped(replace_ranks(clipped, raised))


def squeeze(cores: list[np.ndarray]) -> list[np.ndarray]:
    """The same train with the ranks that it needs: QR from the left, then from the right."""
    cores = list(cores)
    for k in range(len(cores) - 1):
        r, m, n, s = cores[k].shape
        q, rest = np.linalg.qr(cores[k].reshape(r * m * n, s))
        cores[k] = q.reshape(r, m, n, -1)
        cores[k + 1] = np.einsum("ij,jmns->imns", rest, cores[k + 1])
    for k in range(len(cores) - 1, 0, -1):
        r, m, n, s = cores[k].shape
        q, rest = np.linalg.qr(cores[k].reshape(r, m * n * s).T)
        cores[k] = q.T.reshape(-1, m, n, s)
        cores[k - 1] = np.einsum("rmni,ji->rmnj", cores[k - 1], rest)
    return cores


@pytest.mark.parametrize("name", NAMES)
def test_clipped_represents_the_same_matrices(name):
    shape = SHAPES[name]
    cores = random_cores(shape)
    fewer = [torch.from_numpy(core) for core in squeeze([core.numpy() for core in cores])]
    assert tuple(tuple(core.shape) for core in fewer) == shape.clipped().core_shapes
    torch.testing.assert_close(dense_by_einsum(fewer, shape), dense_by_einsum(cores, shape))


@pytest.mark.parametrize("rank", [1_000_000, 10**30])
def test_an_absurd_rank_is_clipped_to_the_useful_one(rank):
    assert TTShape((8, 8, 8, 8), (2, 2, 2, 2), rank).clipped().ranks == (16, 256, 16)
    assert TTShape((8,), (2,), rank).clipped().ranks == ()


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        (((8, 8), (2, 2), 0), "ranks", ["0", "at least 1"]),
        (((8, 8), (2, 2), -3), "ranks", ["-3", "at least 1"]),
        (((8, 8), (2, 2), 2.5), "ranks", ["2.5"]),
        (((8, 8), (2, 2), "8"), "ranks", ["'8'"]),
        (((8, 8), (2, 2), True), "ranks", ["True"]),
        (((8, 8), (2, 2), None), "ranks", ["None"]),
        (((8, 8, 8), (2, 2, 2), (8, 8, 8)), "ranks", ["(8, 8, 8)", "3 entries", "2"]),
        (((8, 8, 8), (2, 2, 2), (8,)), "ranks", ["(8)", "1 entries", "2"]),
        (((8, 8, 8), (2, 2, 2), (8, 0)), "ranks", ["0", "at least 1"]),
        (((8, 8, 8), (2, 2, 2), ()), "ranks", ["empty"]),
        (((8, 0), (2, 2), 2), "in_modes", ["0", "at least 1", "(8, 8, 8, 8)"]),
        (((8, -1), (2, 2), 2), "in_modes", ["-1", "at least 1"]),
        (((8, 8.0), (2, 2), 2), "in_modes", ["8.0", "whole number"]),
        (((8, "8"), (2, 2), 2), "in_modes", ["'8'", "whole number"]),
        (("88", (2, 2), 2), "in_modes", ["'88'"]),
        ((8, (2, 2), 2), "in_modes", ["8", "list"]),
        (((), (2, 2), 2), "in_modes", ["empty"]),
        (((8, 8), (2, False), 2), "out_modes", ["False"]),
        (((8, 8, 8), (2, 2), 2), "out_modes", ["(8, 8, 8)", "(2, 2)", "modes of 1"]),
        (((1,) * 65, (1,) * 65, 1), "in_modes", ["65", "64"]),
        (((2**33, 1), (1, 1), 1), "in_modes", [str(2**33), str(2**32)]),
        (((2**20, 2**20), (1, 1), 1), "in_modes", [str(2**40), str(2**32)]),
        (((8, 8, 8), (2, 2, 2), 2, 4096), "in_modes", ["(8, 8, 8)", "512", "4096", "(16, 16, 16)"]),
        (((8, 8), (2, 2), 2, 64, 5), "out_modes", ["(2, 2)", "4", "5", "use e.g. (3, 2)"]),
        (((8, 8), (2, 2), 2, 0), "in_features", ["0"]),
        (((8, 8), (2, 2), 2, 64, 1.5), "out_features", ["1.5"]),
    ],
)
def test_refusals_name_value_rule_and_way_out(arguments, field, words):
    with pytest.raises(InputError) as refused:
        TTShape(*arguments)
    assert refused.value.field == field
    for word in words:
        assert word in str(refused.value)


def test_the_suggested_way_out_is_one():
    assert TTShape((16, 16, 16), (2, 2, 2), 2, 4096).in_features == 4096


def test_a_refusal_is_never_longer_than_a_few_lines():
    with pytest.raises(InputError) as refused:
        TTShape((8, "x" * 10_000), (2, 2), 2)  # type: ignore[arg-type]
    assert len(str(refused.value)) < 300
