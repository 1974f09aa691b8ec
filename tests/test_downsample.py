from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ttcore.downsample import envelope, pick, pool

values = arrays(
    np.float64, st.integers(1, 3000), elements=st.floats(-1e9, 1e9) | st.sampled_from([np.nan, np.inf, -np.inf])
)


@settings(deadline=None)
@given(values, st.integers(4, 400), st.booleans())
def test_the_envelope_keeps_every_extreme(losses, most, logarithmic):
    kept = envelope(losses, most, logarithmic=logarithmic)
    assert len(kept) <= max(most, 1)
    assert kept[0] == 0 and kept[-1] == len(losses) - 1
    assert (np.diff(kept) > 0).all()
    if not np.isnan(losses).all():
        assert np.nanmin(losses[kept]) == np.nanmin(losses)
        assert np.nanmax(losses[kept]) == np.nanmax(losses)
    if len(losses) <= most:
        assert len(kept) == len(losses)


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("spike", [0, 1, 499, 5000, 9998, 9999])
def test_a_single_spike_is_never_thinned_away(spike, logarithmic):
    losses = np.linspace(2, 1, 10_000)
    for value in (100.0, -100.0):
        losses[spike] = value
        assert spike in envelope(losses, 1000, logarithmic=logarithmic)


def test_two_spikes_far_apart_are_both_kept():
    losses = np.ones(10_000)
    losses[[1234, 8765]] = [5.0, 3.0]
    assert {1234, 8765} <= set(envelope(losses, 500))


def test_logarithmic_bins_keep_the_first_steps_apart():
    losses = np.random.default_rng(0).random(100_000)
    early = [np.sum(envelope(losses, 1000, logarithmic=log) < 100) for log in (True, False)]
    assert early[0] > 10 * early[1]


@settings(deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.floats(-1e6, 1e6)),
    st.integers(1, 45),
    st.integers(1, 45),
)
def test_pooling_shows_entries_of_largest_magnitude(matrix, rows, columns):
    small = pool(matrix, rows, columns)
    assert small.shape[0] <= rows and small.shape[1] <= columns
    assert np.isin(small, matrix).all() or 0 in small
    assert np.abs(small).max() == np.abs(matrix).max()
    if matrix.shape[0] <= rows and matrix.shape[1] <= columns:
        assert np.array_equal(small, matrix)


def test_pooling_keeps_the_sign_and_the_place():
    matrix = np.zeros((4, 6))
    matrix[1, 4], matrix[3, 0] = -5, 2
    assert np.array_equal(pool(matrix, 2, 3), [[0, 0, -5], [2, 0, 0]])


@given(st.integers(1, 10_000), st.integers(2, 300))
def test_picked_indices_are_spread_over_all(count, most):
    chosen = pick(count, most)
    assert len(chosen) == min(count, most)
    assert chosen[0] == 0 and chosen[-1] == count - 1
    gaps = np.diff(chosen)
    assert count == 1 or (gaps.min() >= 1 and gaps.max() - gaps.min() <= 1)
