from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import make_regression

from tests.tables import tiny
from ttcore import DataConfig, load
from ttcore.datasets import Dataset

PLANTED = DataConfig(source="planted")


def arrays(dataset: Dataset) -> list[np.ndarray]:
    return [dataset.x_train, dataset.y_train, dataset.x_test, dataset.y_test]


def test_the_reference_training_rows_are_the_published_ones():
    np.random.seed(123)  # as the published code does
    x, y = make_regression(n_samples=256, n_features=4096, n_informative=128, n_targets=16)
    dataset = load(DataConfig())
    np.testing.assert_allclose(dataset.x_train, (x - x.mean(0)) / x.std(0), atol=1e-12)
    np.testing.assert_allclose(dataset.y_train, (y - y.mean(0)) / y.std(0), atol=1e-12)


def test_the_reference_test_rows_have_the_same_truth_and_the_training_statistics():
    x, y, coefficients = make_regression(
        n_samples=256, n_features=4096, n_informative=128, n_targets=16, coef=True, random_state=123
    )
    dataset = load(DataConfig())
    assert [array.shape for array in arrays(dataset)] == [(256, 4096), (256, 16), (1024, 4096), (1024, 16)]
    raw = dataset.x_test * x.std(0) + x.mean(0)
    np.testing.assert_allclose(dataset.y_test * y.std(0) + y.mean(0), raw @ coefficients, atol=1e-8)
    # As drawn they are standard normal, so the statistics were not their own.
    assert abs(raw.mean()) < 4 / raw.size**0.5 and abs(raw.std() - 1) < 0.01
    assert np.abs(dataset.x_test.mean(0)).max() > 0.01


def unfolding_ranks(weight: np.ndarray, ins: tuple[int, ...], outs: tuple[int, ...]) -> list[int]:
    d = len(ins)
    full = weight.reshape(*outs, *ins).transpose([axis for k in range(d) for axis in (d + k, k)])
    sizes = [m * n for m, n in zip(ins, outs, strict=True)]
    return [int(np.linalg.matrix_rank(full.reshape(int(np.prod(sizes[:bond])), -1), tol=1e-8)) for bond in range(1, d)]


def test_the_planted_truth_is_a_tensor_train_of_the_teachers_rank():
    config = DataConfig(
        source="planted",
        teacher_in_modes=(3, 4, 3),
        teacher_out_modes=(2, 2, 2),
        teacher_ranks=(2, 3),
        train_samples=100,
    )
    dataset = load(config)
    weight = np.linalg.lstsq(dataset.x_train, dataset.y_train, rcond=None)[0].T
    np.testing.assert_allclose(dataset.x_train @ weight.T, dataset.y_train, atol=1e-10)
    np.testing.assert_allclose(dataset.x_test @ weight.T, dataset.y_test, atol=1e-10)
    assert unfolding_ranks(weight, (3, 4, 3), (2, 2, 2)) == [2, 3]
    # One number scales all targets: columns keep spreads of their own.
    assert dataset.y_train.std() == pytest.approx(1)
    assert np.ptp(dataset.y_train.std(0)) > 0.05


def test_planted_inputs_are_left_as_they_were_drawn():
    dataset = load(PLANTED)
    assert [array.shape for array in arrays(dataset)] == [(256, 4096), (256, 16), (1024, 4096), (1024, 16)]
    for x in (dataset.x_train, dataset.x_test):
        assert abs(x.mean()) < 4 / x.size**0.5
        assert abs(x.std() - 1) < 4 / (2 * x.size) ** 0.5
        assert np.abs(x.mean(0)).max() > 0.01, "not standardized"
    assert abs(dataset.y_test.std() - 1) < 0.2


def test_noise_is_added_to_train_and_test_alike():
    config = tiny(train_samples=4000, test_samples=4000).data
    noisy = tiny(train_samples=4000, test_samples=4000, noise=0.5).data
    clean, loud = load(config), load(noisy)
    assert np.array_equal(clean.x_train, loud.x_train) and np.array_equal(clean.x_test, loud.x_test)
    differences = [loud.y_train - clean.y_train, loud.y_test - clean.y_test]
    for difference in differences:
        assert difference.std() == pytest.approx(0.5, rel=4 / (2 * difference.size) ** 0.5)
    assert abs(np.corrcoef(differences[0].ravel(), differences[1].ravel())[0, 1]) < 4 / differences[0].size ** 0.5


def test_a_seed_is_a_draw():
    first = load(tiny(data_seed=1).data)
    for array, other in zip(arrays(first), arrays(load(tiny(data_seed=2).data)), strict=True):
        assert not np.isclose(array, other).any()
    torch.manual_seed(99)
    again = load(tiny(data_seed=1, seed=5).data)
    assert all(np.array_equal(a, b) for a, b in zip(arrays(first), arrays(again), strict=True))


def test_teacher_train_test_and_noise_have_draws_of_their_own():
    base = load(tiny().data)
    more = load(tiny(train_samples=25, test_samples=16).data)
    assert np.array_equal(base.x_test, more.x_test), "more training samples change no test sample"
    assert np.array_equal(base.x_train, more.x_train[:20])
    assert not np.isclose(base.x_train[:16], base.x_test).any()


def test_arrays_cannot_be_written():
    for config in (tiny().data, DataConfig()):
        for array in arrays(load(config)):
            assert array.dtype == np.float64
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
