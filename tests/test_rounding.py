"""Laws of rounding, each against singular values and weights in full, which are small enough here."""

from __future__ import annotations

from itertools import pairwise
from math import prod, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tables import NAMES, SHAPES, dense_by_einsum, random_cores, same_arrays
from ttcore import Dataset, InputError, TTShape
from ttcore.metrics import scores
from ttcore.rounding import Rounded, bond_spectra, round_cores
from ttcore.rounding_scores import ranks_to_score, score_every_rank, score_rounded
from ttcore.shapes import replace_ranks, shape_of_cores

# Of results of a few products and decompositions in float64, relative to the largest.
EPS = 1e-12

SEVERAL_CORES = [name for name in NAMES if SHAPES[name].num_cores > 1]


def arrays(shape: TTShape, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[np.ndarray]:
    return [core.numpy() for core in random_cores(shape, dtype, seed)]


def graded(shape: TTShape) -> list[np.ndarray]:
    """Cores whose singular values fall by orders of magnitude, so that every tolerance finds something to cut."""
    return [core * 0.1 ** np.arange(core.shape[3]) for core in arrays(shape)]


def padded_weight(cores) -> np.ndarray:
    shape = shape_of_cores([core.shape for core in cores])
    return dense_by_einsum([torch.from_numpy(core).double() for core in cores], shape).numpy()


def unfoldings(weight: np.ndarray, shape: TTShape) -> list[np.ndarray]:
    """The padded weight as a matrix at each of the d-1 bonds, by permuting its modes to m_1 n_1 m_2 n_2 .. ."""
    d = shape.num_cores
    full = weight.reshape(*shape.out_modes, *shape.in_modes).transpose([axis for k in range(d) for axis in (d + k, k)])
    sizes = [m * n for m, n in zip(shape.in_modes, shape.out_modes, strict=True)]
    return [full.reshape(prod(sizes[:bond]), -1) for bond in range(1, d)]


def dense_spectra(cores) -> list[np.ndarray]:
    shape = shape_of_cores([core.shape for core in cores])
    return [np.linalg.svd(matrix, compute_uv=False) for matrix in unfoldings(padded_weight(cores), shape)]


def assert_left_orthogonal(rounded: Rounded) -> None:
    for core in rounded.cores[:-1]:
        matrix = core.reshape(-1, core.shape[3])
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(core.shape[3]), atol=EPS)


def assert_laws(cores, rounded: Rounded) -> None:
    """What holds whatever was asked for."""
    shape = shape_of_cores([core.shape for core in cores])
    weight, spectra = padded_weight(cores), dense_spectra(cores)
    norm = float(np.linalg.norm(weight))
    assert rounded.norm == pytest.approx(norm, rel=EPS)
    assert [core.shape for core in rounded.cores] == list(replace_ranks(shape, rounded.ranks).core_shapes)
    assert all(core.dtype == np.float64 for core in rounded.cores)
    assert all(1 <= rank <= most for rank, most in zip(rounded.ranks, shape.clipped().ranks, strict=True))
    assert_left_orthogonal(rounded)
    error = np.linalg.norm(weight - padded_weight(rounded.cores))
    slack = EPS * norm
    # A bound, and no more than that: the error itself.
    assert error == pytest.approx(rounded.discarded, abs=slack)
    # No train of these ranks is nearer than the largest of the tails, and this one is within the root of their squares.
    tails = [np.linalg.norm(values[rank:]) for values, rank in zip(spectra, rounded.ranks, strict=True)]
    assert max(tails, default=0.0) - slack <= error <= np.linalg.norm(tails) + slack


# ---- singular values ------------------------------------------------------------------------------------------------


def assert_spectra(cores) -> None:
    spectra, expected = bond_spectra(cores), dense_spectra(cores)
    assert len(spectra) == len(expected) == len(cores) - 1
    for values, dense in zip(spectra, expected, strict=True):
        assert (np.diff(values) <= 0).all()
        atol = EPS * dense[0]
        np.testing.assert_allclose(values, dense[: len(values)], rtol=0, atol=atol)
        np.testing.assert_allclose(dense[len(values) :], 0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", NAMES)
def test_spectra_are_the_singular_values_of_the_dense_unfoldings(name, dtype):
    cores = arrays(SHAPES[name], dtype)
    assert_spectra(cores)
    assert tuple(len(values) for values in bond_spectra(cores)) == SHAPES[name].clipped().ranks


# ---- rounding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_without_limits_it_is_the_same_weight(name):
    shape = SHAPES[name]
    cores = arrays(shape)
    rounded = round_cores(cores)
    assert_laws(cores, rounded)
    assert rounded.ranks == shape.clipped().ranks
    assert rounded.discarded == rounded.relative_error == 0
    np.testing.assert_allclose(padded_weight(rounded.cores), padded_weight(cores), rtol=0, atol=EPS * rounded.norm)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", NAMES)
def test_every_max_rank(name, dtype):
    cores = arrays(SHAPES[name], dtype)
    most = SHAPES[name].clipped().ranks
    steps = [round_cores(cores, max_ranks=rank) for rank in range(1, max(most, default=1) + 2)]
    for rank, rounded in enumerate(steps, 1):
        assert_laws(cores, rounded)
        assert max(rounded.ranks, default=1) <= rank
    for fewer, more in pairwise(steps):
        assert all(a <= b for a, b in zip(fewer.ranks, more.ranks, strict=True))
        assert fewer.discarded >= more.discarded - EPS * more.norm
    assert steps[-1].ranks == most and steps[-1].discarded == 0


@pytest.mark.parametrize("name", SEVERAL_CORES)
def test_each_bond_has_a_limit_of_its_own(name):
    cores = arrays(SHAPES[name])
    bonds = len(cores) - 1
    for bond in range(bonds):
        limits = [50] * bonds
        limits[bond] = 1
        rounded = round_cores(cores, max_ranks=limits)
        assert rounded.ranks[bond] == 1
        assert_laws(cores, rounded)
        # Cut at one bond alone, it is the best of its rank.
        assert rounded.discarded == pytest.approx(
            np.linalg.norm(dense_spectra(cores)[bond][1:]), abs=EPS * rounded.norm
        )


TOLERANCES = (0.5, 0.1, 1e-3)


@pytest.mark.parametrize("make", [arrays, graded])
@pytest.mark.parametrize("name", NAMES)
def test_tolerances(name, make):
    cores = make(SHAPES[name])
    steps = [round_cores(cores, tolerance=tolerance) for tolerance in TOLERANCES]
    for tolerance, rounded in zip(TOLERANCES, steps, strict=True):
        assert_laws(cores, rounded)
        assert rounded.discarded <= tolerance * rounded.norm
        error = np.linalg.norm(padded_weight(cores) - padded_weight(rounded.cores))
        assert error <= tolerance * rounded.norm + EPS * rounded.norm
    for coarse, fine in pairwise(steps):
        assert all(a <= b for a, b in zip(coarse.ranks, fine.ranks, strict=True))


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("name", SEVERAL_CORES)
def test_a_tolerance_keeps_no_more_than_it_must_at_the_first_bond(name, tolerance):
    cores = graded(SHAPES[name])
    rounded = round_cores(cores, tolerance=tolerance)
    values = dense_spectra(cores)[0]
    allowed = tolerance * rounded.norm / sqrt(len(cores) - 1)
    rank = rounded.ranks[0]
    assert np.linalg.norm(values[rank:]) <= allowed
    assert rank == 1 or np.linalg.norm(values[rank - 1 :]) > allowed


def test_some_tolerance_cuts_and_some_does_not():
    """Otherwise the tests of tolerances would hold for code that never cuts."""
    ranks = [round_cores(graded(SHAPES["unequal ranks"]), tolerance=tolerance).ranks for tolerance in TOLERANCES]
    assert len(set(ranks)) == 3 and ranks[-1] != SHAPES["unequal ranks"].clipped().ranks
    assert round_cores(arrays(SHAPES["unequal ranks"]), tolerance=1e-3).ranks == SHAPES["unequal ranks"].clipped().ranks


@pytest.mark.parametrize("name", NAMES)
def test_of_a_tolerance_and_a_max_rank_the_lower_counts(name):
    cores = graded(SHAPES[name])
    for tolerance in TOLERANCES:
        rounded = round_cores(cores, tolerance=tolerance, max_ranks=2)
        assert_laws(cores, rounded)
        by_tolerance = round_cores(cores, tolerance=tolerance).ranks
        assert all(rank <= min(2, most) for rank, most in zip(rounded.ranks, by_tolerance, strict=True))


@pytest.mark.parametrize("limits", [{}, {"max_ranks": 2}, {"tolerance": 0.3}], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_rounding_what_is_rounded_changes_nothing(name, limits):
    once = round_cores(arrays(SHAPES[name]), **limits)
    again = round_cores(once.cores, max_ranks=once.ranks, tolerance=1e-10)
    assert again.ranks == once.ranks
    assert again.discarded <= EPS * once.norm
    np.testing.assert_allclose(
        padded_weight(again.cores), padded_weight(once.cores), rtol=0, atol=10 * EPS * (once.norm or 1)
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_given_cores_are_left_alone(name):
    cores = arrays(SHAPES[name])
    before = [core.copy() for core in cores]
    for core in cores:
        core.flags.writeable = False
    rounded = round_cores(cores, max_ranks=2)
    for core in rounded.cores:
        core += 1
    assert same_arrays(cores, before)


# ---- hard cores -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEVERAL_CORES)
def test_superfluous_ranks_are_found(name):
    """A train doubled in every rank by adding it to itself, and turned so that no core shows it."""
    cores = arrays(replace_ranks(SHAPES[name], SHAPES[name].clipped().ranks))
    twice = []
    turn = np.ones((1, 1))
    draw = np.random.default_rng(5)
    for k, core in enumerate(cores):
        first, last = k == 0, k == len(cores) - 1
        r, m, n, s = core.shape
        wide = np.zeros((r if first else 2 * r, m, n, s if last else 2 * s))
        wide[:r, ..., :s] += core
        wide[-r:, ..., -s:] += core
        other = np.eye(1) if last else draw.standard_normal((2 * s, 2 * s))
        wide = np.tensordot(np.linalg.inv(turn), np.tensordot(wide, other, 1), 1)
        twice.append(wide)
        turn = other
    np.testing.assert_allclose(padded_weight(twice), 2 * padded_weight(cores), rtol=0, atol=1e-8)
    rounded = round_cores(twice, tolerance=1e-9)
    assert rounded.ranks == round_cores(cores, tolerance=1e-9).ranks
    np.testing.assert_allclose(padded_weight(rounded.cores), 2 * padded_weight(cores), rtol=0, atol=1e-8)
    # Asked for more than there is, it keeps what it was asked for, and is exact all the same.
    assert round_cores(twice, max_ranks=rounded.ranks).relative_error < 1e-9
    for limits in ({}, {"max_ranks": 2}):
        assert_left_orthogonal(round_cores(twice, **limits))


@pytest.mark.parametrize("name", NAMES)
def test_zero_cores(name):
    for zeros in (range(SHAPES[name].num_cores), [0], [SHAPES[name].num_cores - 1]):
        cores = [core * (k not in zeros) for k, core in enumerate(arrays(SHAPES[name]))]
        assert all((values == 0).all() for values in bond_spectra(cores))
        for limits in ({}, {"max_ranks": 1}, {"tolerance": 0.1}, {"tolerance": 0.0}):
            rounded = round_cores(cores, **limits)
            assert rounded.norm == rounded.discarded == rounded.relative_error == 0
            assert not padded_weight(rounded.cores).any()
            assert_left_orthogonal(rounded)
            if limits:
                assert set(rounded.ranks) <= {1}


@pytest.mark.parametrize("scales", [(1e-30,), (1e30,), (1e-290, 1e290), (5e-324, 1e300)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_tiny_and_huge_cores(name, scales):
    """Powers of two near the scales; the smallest are only halved at the end, as nothing is smaller."""
    cores = [np.sign(core) for core in arrays(SHAPES[name])]
    powers = [2.0 ** int(np.log2(scales[k % len(scales)])) for k in range(len(cores))]
    scaled = [core * power for core, power in zip(cores, powers, strict=True)]
    exponent = sum(int(np.log2(power)) for power in powers)
    plain, rounded = round_cores(cores, max_ranks=2), round_cores(scaled, max_ranks=2)
    assert rounded.ranks == plain.ranks
    assert rounded.norm == np.ldexp(plain.norm, exponent)
    assert rounded.discarded == np.ldexp(plain.discarded, exponent)
    assert same_arrays(rounded.cores[:-1], plain.cores[:-1])
    assert np.array_equal(rounded.cores[-1], np.ldexp(plain.cores[-1], exponent))
    for values, expected in zip(bond_spectra(scaled), bond_spectra(cores), strict=True):
        assert np.array_equal(values, np.ldexp(expected, exponent))


def test_a_weight_that_float64_cannot_hold_is_refused():
    cores = [core * 1e200 for core in arrays(SHAPES["two cores"])]
    for function in (round_cores, bond_spectra):
        with pytest.raises(InputError, match="larger than float64 can hold; divide"):
            function(cores)


def test_whole_numbers_are_cores_too():
    cores = [np.arange(6).reshape(1, 3, 1, 2), np.arange(8).reshape(2, 2, 2, 1)]
    assert_laws(cores, round_cores(cores, max_ranks=1))
    assert_spectra(cores)


@st.composite
def trains(draw) -> list[np.ndarray]:
    """Cores of few and small modes, unequal ranks, some entries zero, each core with a scale of its own."""
    d = draw(st.integers(1, 5))
    modes = st.lists(st.integers(1, 3), min_size=d, max_size=d)
    ranks = draw(st.lists(st.integers(1, 6), min_size=d - 1, max_size=d - 1))
    shape = TTShape(draw(modes), draw(modes), ranks)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    zeros = draw(st.sampled_from([0.0, 0.5, 0.95]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    cores = []
    for core in shape.core_shapes:
        scale = 10.0 ** draw(st.integers(-6, 6))
        entries = scale * generator.standard_normal(core) * (generator.random(core) >= zeros)
        cores.append(entries.astype(dtype))
    return cores


@settings(deadline=None, max_examples=200)
@given(trains(), st.data())
def test_wild_trains(cores, data):
    bonds = len(cores) - 1
    limit = st.integers(1, 8)
    max_ranks = data.draw(st.one_of(st.none(), limit, st.lists(limit, min_size=bonds, max_size=bonds)))
    tolerance = data.draw(st.one_of(st.none(), st.floats(0, 1, exclude_max=True)))
    rounded = round_cores(cores, max_ranks=max_ranks, tolerance=tolerance)
    assert_laws(cores, rounded)
    if max_ranks is None and tolerance is not None:
        assert rounded.discarded <= tolerance * rounded.norm
    if max_ranks is not None:
        limits = [max_ranks] * bonds if isinstance(max_ranks, int) else max_ranks
        assert all(rank <= most for rank, most in zip(rounded.ranks, limits, strict=True))
    if rounded.norm:
        assert_spectra(cores)


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "field", "words"),
    [
        ({"max_ranks": 0}, "max_ranks", "max_ranks 0 is below 1"),
        ({"max_ranks": -3}, "max_ranks", "max_ranks -3 is below 1"),
        ({"max_ranks": (2, 0, 2)}, "max_ranks", "max_ranks holds 0"),
        ({"max_ranks": (2, 2)}, "max_ranks", r"max_ranks \(2, 2\) has 2 entries, but 4 cores have 3 .* or 3"),
        ({"max_ranks": ()}, "max_ranks", "max_ranks is empty"),
        ({"max_ranks": 2.0}, "max_ranks", "max_ranks must be a list of whole numbers"),
        ({"max_ranks": True}, "max_ranks", "max_ranks must be a list of whole numbers"),
        ({"max_ranks": "2"}, "max_ranks", "max_ranks must be a list of whole numbers"),
        ({"tolerance": -0.1}, "tolerance", "tolerance must be at least 0 and below 1, e.g. 0.01 .* -0.1 is not"),
        ({"tolerance": 1}, "tolerance", "below 1, .* and 1 is not"),
        ({"tolerance": float("nan")}, "tolerance", "nan is not"),
        ({"tolerance": float("inf")}, "tolerance", "inf is not"),
        ({"tolerance": "small"}, "tolerance", "'small' is not"),
    ],
    ids=str,
)
def test_bad_limits_are_refused(limits, field, words):
    with pytest.raises(InputError, match=words) as caught:
        round_cores(arrays(SHAPES["the reference in small"]), **limits)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("cores", "words"),
    [
        ([], "at least one core"),
        ([np.zeros((1, 2, 2, 3)), np.zeros((2, 2, 2, 1))], "core 2 has shape"),
        ([np.zeros((1, 2, 2, 2))], "end with a rank of 1"),
        ([np.zeros((1, 2, 1))], "core 1 has shape"),
        ([np.zeros((1, 2, 2, 0)), np.zeros((0, 2, 2, 1))], "ranks holds 0"),
        ([np.zeros((1, 2, 2, 1), complex)], "core 1 holds complex128"),
        ([np.zeros((1, 2, 2, 1)), np.full((1, 2, 2, 1), np.nan)], "core 2 holds numbers that are not finite"),
        ([np.full((1, 2, 2, 1), -np.inf)], "core 1 holds numbers that are not finite"),
    ],
)
def test_bad_cores_are_refused(cores, words):
    for function in (round_cores, bond_spectra):
        with pytest.raises(InputError, match=words):
            function(cores)


# ---- scores after rounding ------------------------------------------------------------------------------------------


def planted_on(cores, shape: TTShape) -> Dataset:
    """Samples whose targets are exactly what these cores say."""
    draw = np.random.default_rng(2)
    weight = padded_weight(cores)[: shape.out_features, : shape.in_features]
    x_train, x_test = draw.standard_normal((40, shape.in_features)), draw.standard_normal((30, shape.in_features))
    return Dataset(x_train, x_train @ weight.T, x_test, x_test @ weight.T)


@pytest.mark.parametrize("name", SEVERAL_CORES)
def test_scores_are_those_of_the_rounded_weight(name):
    shape = SHAPES[name]
    cores = arrays(shape)
    dataset = planted_on(cores, shape)
    rows = score_every_rank(cores, shape, dataset)
    assert len(rows) == max(shape.clipped().ranks)
    for rank, row in enumerate(rows, 1):
        rounded = round_cores(cores, max_ranks=rank)
        assert row.ranks == rounded.ranks
        own = replace_ranks(shape, rounded.ranks)
        assert (row.parameters, row.parameter_ratio) == (own.num_parameters, own.parameter_ratio)
        assert row.parameters == sum(core.size for core in rounded.cores)
        assert row.relative_error == rounded.discarded / rounded.norm
        weight = padded_weight(rounded.cores)[: shape.out_features, : shape.in_features]
        for got, x, y in (
            (row.train, dataset.x_train, dataset.y_train),
            (row.test, dataset.x_test, dataset.y_test),
        ):
            expected = scores(x @ weight.T, y)
            assert got.score == pytest.approx(expected.score, abs=1e-9)
            assert got.loss == pytest.approx(expected.loss, rel=1e-9, abs=1e-12 * rounded.norm**2)
    assert rows[-1].train.score == pytest.approx(1) and rows[-1].test.score == pytest.approx(1)
    if len(rows) > 1:
        assert rows[0].train.score < 0.999 and rows[0].relative_error > 0.01


def test_one_core_has_one_score():
    shape = SHAPES["one core, padded"]
    cores = arrays(shape)
    (row,) = score_every_rank(cores, shape, planted_on(cores, shape))
    assert row.ranks == () and row.relative_error == 0 and row.test.score == pytest.approx(1)


@pytest.mark.parametrize("largest", [1, 2, 63, 64, 65, 66, 100, 1000, 10**6])
def test_ranks_that_are_scored(largest):
    ranks = ranks_to_score(largest)
    assert ranks[0] == 1 and ranks[-1] == largest and len(ranks) <= 64
    assert all(a < b for a, b in pairwise(ranks))
    assert ranks[: min(largest, 32)] == list(range(1, min(largest, 32) + 1))
    if largest <= 64:
        assert len(ranks) == largest


def test_scores_on_what_does_not_fit_are_refused():
    shape = SHAPES["two cores"]
    cores = arrays(shape)
    dataset, rounded = planted_on(cores, shape), round_cores(cores)
    with pytest.raises(InputError, match="give the shape of the layer that was rounded"):
        score_rounded(rounded, TTShape((3, 4), (2, 3), 3), dataset)
    with pytest.raises(InputError, match="in_features = 12"):
        score_rounded(rounded, shape, Dataset(*(np.zeros((2, 11)), np.zeros((2, 6))) * 2))
    with pytest.raises(InputError, match="5 targets and the layer 6"):
        score_rounded(rounded, shape, Dataset(*(np.zeros((2, 12)), np.zeros((2, 5))) * 2))
