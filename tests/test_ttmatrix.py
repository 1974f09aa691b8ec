from __future__ import annotations

from itertools import pairwise
from math import prod

import pytest
import torch

from tests.tables import NAMES, SHAPES, dense_by_einsum, random_cores
from ttcore import TTShape, ttmatrix


@pytest.mark.parametrize("name", NAMES)
def test_to_dense_is_the_einsum_of_all_cores(name):
    shape = SHAPES[name]
    cores = random_cores(shape)
    weight = ttmatrix.to_dense(cores, shape)
    assert weight.shape == (shape.out_features, shape.in_features)
    torch.testing.assert_close(weight, dense_by_einsum(cores, shape))


@pytest.mark.parametrize("name", NAMES)
def test_joined_neighbours_are_one_core(name):
    cores = random_cores(SHAPES[name])
    joined = ttmatrix.join(cores)
    assert joined.shape == (1, SHAPES[name].padded_in_features, SHAPES[name].padded_out_features, 1)
    whole = TTShape((joined.shape[1],), (joined.shape[2],), ())
    padded = TTShape(SHAPES[name].in_modes, SHAPES[name].out_modes, SHAPES[name].ranks)
    torch.testing.assert_close(dense_by_einsum([joined], whole), dense_by_einsum(cores, padded))


def test_the_reference_contraction_in_its_own_letters():
    shape = TTShape((8, 8, 8, 8), (2, 2, 2, 2), 8)
    cores = random_cores(shape)
    first, last = cores[0][0], cores[-1][..., 0]
    x = torch.randn(3, 4096, dtype=torch.float64)
    # There the middle cores are (input, rank, output, rank) letters b f i j: rank i to the left.
    letters = "aei,ibfj,jcgk,kdh,nabcd->nefgh"
    y = torch.einsum(letters, first, cores[1], cores[2], last, x.reshape(3, 8, 8, 8, 8)).reshape(3, 16)
    torch.testing.assert_close(ttmatrix.apply(cores, x, shape), y)


def test_a_two_core_train_with_modes_of_1_is_plain_low_rank():
    shape = SHAPES["low rank as two cores"]
    down, up = random_cores(shape)
    torch.testing.assert_close(ttmatrix.to_dense([down, up], shape), up[:, 0, :, 0].T @ down[0, :, 0, :].T)


# ---- starts ---------------------------------------------------------------------------------------------------------


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", NAMES)
def test_unit_cores_have_unit_norm(name):
    for core, shape in zip(
        ttmatrix.initialize(SHAPES[name], "unit", generator=generator(0), dtype=torch.float64),
        SHAPES[name].core_shapes,
        strict=True,
    ):
        assert core.shape == shape
        assert torch.linalg.vector_norm(core).item() == pytest.approx(1, abs=1e-12)


STARTS = {
    "one core": TTShape((6,), (4,), ()),
    "rank 1, deep": TTShape((2, 2, 2, 2), (2, 1, 2, 1), 1),
    "two cores": TTShape((8, 8), (4, 4), 5),
    "three cores, unequal ranks": TTShape((4, 4, 4), (2, 2, 2), (2, 7)),
    "padded": TTShape((4, 4, 4), (3, 2, 2), (3, 6), 53, 11),
    "five cores": TTShape((2, 3, 2, 2, 2), (2, 1, 2, 1, 2), (2, 6, 3, 2)),
    "low rank as two cores": SHAPES["low rank as two cores"],
}


@pytest.mark.parametrize("init", ["glorot", "he"])
@pytest.mark.parametrize("name", STARTS)
def test_the_dense_weight_has_the_variance_that_was_asked_for(name, init):
    """Entries have mean 0, so each draw's mean square estimates the variance; one number a draw, draws independent."""
    shape = STARTS[name]
    fans = {"glorot": shape.in_features + shape.out_features, "he": shape.in_features}
    draws = generator(7)
    estimates = torch.stack(
        [
            ttmatrix.to_dense(ttmatrix.initialize(shape, init, generator=draws, dtype=torch.float64), shape)
            .square()
            .mean()
            for _ in range(1500 if name.startswith("rank 1") else 300)
        ]
    )
    error = estimates.std() / len(estimates) ** 0.5
    assert abs(estimates.mean() - 2 / fans[init]) < 4 * error
    # The check has teeth: a third of the variance more or less would be seen.
    assert error < 0.07 * 2 / fans[init]


@pytest.mark.parametrize("init", ["unit", "glorot", "he"])
def test_a_seed_is_the_same_start_in_both_precisions(init):
    shape = SHAPES["unequal ranks"]
    double = ttmatrix.initialize(shape, init, generator=generator(3), dtype=torch.float64)
    single = ttmatrix.initialize(shape, init, generator=generator(3), dtype=torch.float32)
    other = ttmatrix.initialize(shape, init, generator=generator(4), dtype=torch.float64)
    for a, b, c in zip(single, double, other, strict=True):
        assert torch.equal(a, b.float())
        assert not torch.equal(b, c)


def test_the_default_precision_is_torchs():
    assert all(core.dtype == torch.get_default_dtype() for core in ttmatrix.initialize(SHAPES["rank 1"]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
@pytest.mark.parametrize("name", NAMES)
def test_cuda_gives_what_the_cpu_gives(name):
    shape = SHAPES[name]
    cores = random_cores(shape)
    x = torch.randn(4, shape.in_features, dtype=torch.float64)
    y = ttmatrix.apply([core.cuda() for core in cores], x.cuda(), shape)
    torch.testing.assert_close(y.cpu(), ttmatrix.apply(cores, x, shape))


def test_the_table_holds_the_hard_cases():
    shapes = SHAPES.values()
    assert {shape.num_cores for shape in shapes} == set(range(1, 8))
    assert any(shape.padded_in_features > shape.in_features for shape in shapes)
    assert any(shape.padded_out_features > shape.out_features for shape in shapes)
    assert any(any(a != b for a, b in pairwise(shape.ranks)) for shape in shapes)
    assert any(shape.ranks != shape.clipped().ranks for shape in shapes)
    assert any(set(shape.ranks) == {1} for shape in shapes)
    assert all(prod(shape.in_modes) * prod(shape.out_modes) < 20_000 for shape in shapes)
