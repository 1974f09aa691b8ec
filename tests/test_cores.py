from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from tests.tables import NAMES, SHAPES, dense_by_einsum, random_cores
from ttcore import InputError, TTShape, cores, ttmatrix

LARGE = TTShape((2, 7, 8, 8, 7, 4), (4, 4, 4, 4, 4, 4), 4)  # 25088 -> 4096

# Outputs pile up from the left, from the right, or from both sides, where only one sample or less fits.
SWEEPS = SHAPES | {
    "outputs first": TTShape((1, 1, 9), (5, 4, 1), (3, 3), 8, 19),
    "outputs last": TTShape((9, 1, 1), (1, 5, 4), (3, 3), 8, 19),
    "outputs on both sides": TTShape((1, 9, 1), (5, 1, 4), (3, 4), 8, 19),
}


def arrays(shape: TTShape, dtype: torch.dtype = torch.float64) -> list[np.ndarray]:
    return [core.numpy() for core in random_cores(shape, dtype)]


def samples(count: int, shape: TTShape) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, shape.in_features))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", SWEEPS)
def test_the_dense_weight_is_the_einsum_of_all_cores(name, dtype):
    shape = SWEEPS[name]
    weight = cores.dense_weight(arrays(shape, dtype), shape.in_features, shape.out_features)
    expected = dense_by_einsum([core.double() for core in random_cores(shape, dtype)], shape).numpy()
    assert weight.dtype == np.float64 and weight.shape == (shape.out_features, shape.in_features)
    np.testing.assert_allclose(weight, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("few", [None, 1, 30, 300], ids=["dense", "sweep", "sweep in blocks", "sweep in large blocks"])
@pytest.mark.parametrize("name", SWEEPS)
def test_apply_is_the_dense_weight(name, few, monkeypatch):
    shape = SWEEPS[name]
    weight = dense_by_einsum(random_cores(shape), shape).numpy()
    if few is not None:
        monkeypatch.setattr(cores, "_FEW_ELEMENTS", few)
    for count in (0, 1, 7):
        x = samples(count, shape)
        y = cores.apply(arrays(shape), x, shape.in_features, shape.out_features)
        assert y.shape == (count, shape.out_features)
        np.testing.assert_allclose(y, x @ weight.T, rtol=1e-11, atol=1e-11 * np.abs(weight).max())


@pytest.mark.parametrize("few", [1, 10**6])
def test_apply_is_in_float64(few, monkeypatch):
    monkeypatch.setattr(cores, "_FEW_ELEMENTS", few)
    shape = SHAPES["five cores, padded"]
    single, x = arrays(shape, torch.float32), samples(5, shape).astype(np.float32)
    y = cores.apply(single, x, shape.in_features, shape.out_features)
    double = cores.apply([core.astype(float) for core in single], x.astype(float), shape.in_features, 7)
    assert y.dtype == np.float64 and np.array_equal(y, double)


def peak_mib(count: int, shape: TTShape) -> float:
    """The most that apply takes at once beside its result, in MiB."""
    train, x = arrays(shape), samples(count, shape).astype(np.float32)
    tracemalloc.start()
    try:
        y = cores.apply(train, x, shape.in_features, shape.out_features)
        return (tracemalloc.get_traced_memory()[1] - y.nbytes) / 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        (LARGE, 3),
        (LARGE, 300),
        (TTShape((64, 64), (4, 4), 8), 8_000),
        # One sample alone would grow to 200 MiB from either side.
        (TTShape((1, 4096, 1), (256, 1, 256), 25), 1),
    ],
    ids=["large", "large, many samples", "small, many samples", "outputs on both sides"],
)
def test_apply_takes_a_bounded_amount_of_memory(shape, count):
    assert peak_mib(count, shape) < 150


def test_a_large_layer_is_what_the_layer_says():
    train = random_cores(LARGE)
    x = samples(3, LARGE)
    y = cores.apply([core.numpy() for core in train], x, LARGE.in_features, LARGE.out_features)
    expected = ttmatrix.apply(train, torch.from_numpy(x), LARGE).numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


def test_a_rank_far_above_the_useful_one_takes_no_detour():
    """The two middle cores alone have few entries; joined from the wrong side they would have millions."""
    train = [np.ones(core) for core in TTShape((64, 1, 1, 1), (64, 1, 1, 1), (1, 1, 3000)).core_shapes]
    tracemalloc.start()
    try:
        weight = cores.dense_weight(train, 64, 64)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()
    assert np.array_equal(weight, np.full((64, 64), 3000.0))


@pytest.mark.parametrize(
    ("train", "sizes", "words"),
    [
        ([], (1, 1), "at least one core"),
        ([np.zeros((1, 2, 2, 3)), np.zeros((2, 2, 2, 1))], (4, 4), "core 2 has shape"),
        ([np.zeros((1, 2, 2, 2))], (2, 2), "end with a rank of 1"),
        ([np.zeros((1, 2, 2, 1), complex)], (2, 2), "core 1 holds complex128; .* convert it to float64"),
        ([np.zeros((1, 2, 2, 1), object)], (2, 2), "core 1 holds object"),
        ([np.zeros((1, 2, 2, 1))], (3, 2), "in_modes .* less than the 3"),
        ([np.zeros((1, 2, 2, 1))], (2, 3), "out_modes .* less than the 3"),
        ([np.zeros((1, 0, 2, 1))], (1, 2), "holds 0"),
    ],
)
def test_what_is_not_a_train_of_this_size_is_refused(train, sizes, words):
    with pytest.raises(InputError, match=words):
        cores.dense_weight(train, *sizes)
    with pytest.raises(InputError, match=words):
        cores.apply(train, np.zeros((1, sizes[0])), *sizes)


@pytest.mark.parametrize("x", [np.zeros((2, 5)), np.zeros(4), np.zeros((1, 2, 4))])
def test_samples_of_another_size_are_refused(x):
    with pytest.raises(InputError, match="in_features = 4"):
        cores.apply([np.zeros((1, 4, 2, 1))], x, 4, 2)


def test_the_table_sweeps_from_both_sides():
    larger = [np.sign(np.subtract(*cores._largest_states(arrays(SWEEPS[name])))) for name in SWEEPS]
    assert {-1, 0, 1} == set(larger) and set(NAMES) < set(SWEEPS)
