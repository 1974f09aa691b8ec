from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttcore.curves import Curve, CurveView, GrowingArray
from ttcore.events import Best, Progress, Scores


def progress(
    first: int, losses: list[float], seconds: float, measured: float | None = None, step: int = -1
) -> Progress:
    scores: dict[str, Any] = {}
    if measured is not None:
        scores = {"train": Scores(loss=measured, score=1 - measured), "test": Scores(loss=2 * measured, score=0.5)}
    best = Best(loss=min(losses, default=1.0), score=0.0, step=first)
    step = first + len(losses) if step < 0 else step
    return Progress(first=first, step=step, losses=np.array(losses), seconds=seconds, best=best, **scores)


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 1e9), max_size=700), max_size=8))
def test_losses_are_kept_as_they_came(blocks):
    curve, views, done = Curve(), [], 0
    for number, block in enumerate(blocks):
        curve.add(progress(done, block, number + 1.0))
        done += len(block)
        views.append((done, curve.view()))
    together = np.array([loss for block in blocks for loss in block])
    assert np.array_equal(curve.view().losses, together)
    for count, view in views:
        assert np.array_equal(view.losses, together[:count]), "an earlier view stays valid"


def test_views_are_read_only():
    curve = Curve()
    curve.add(progress(0, [1.0, 2.0], 0.5, measured=0.25))
    view = curve.view()
    for array in (view.losses, view.marks, view.measured):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7
    curve.add(progress(2, [3.0], 0.6))
    assert curve.view().losses.tolist() == [1, 2, 3]
    assert view.nbytes == 2 * 8 + 2 * 8 + 6 * 8


def test_seconds_are_spread_evenly_within_a_block():
    curve = Curve()
    assert curve.view().seconds_at(np.arange(3)).tolist() == [0, 0, 0]
    curve.add(progress(0, [1.0] * 10, 1.0))
    curve.add(progress(10, [1.0] * 5, 3.0))
    assert curve.view().seconds_at(np.array([0, 5, 10, 15, 99])).tolist() == [0, 0.5, 1, 3, 3]


def test_a_step_is_measured_once():
    curve = Curve()
    curve.add(progress(0, [4.0], 0.1, measured=0.5))
    curve.add(progress(1, [], 0.1, measured=0.4, step=1))
    curve.add(progress(1, [2.0], 0.2))
    curve.add(progress(2, [1.0], 0.3, measured=0.3))
    assert curve.view().measured.tolist() == [[1, 0.1, 0.5, 0.5, 1.0, 0.5], [3, 0.3, 0.3, 0.7, 0.6, 0.5]]


def same_views(left: CurveView, right: CurveView) -> bool:
    names = ("losses", "marks", "measured", "extremes")
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=8), st.integers(0, 8), st.integers(0, 99))
def test_a_curve_of_a_view_goes_on_as_the_first(blocks, cut, seed):
    draw = np.random.default_rng(seed)
    whole, again, done = Curve(), Curve(), 0
    for number, (count, measured) in enumerate(blocks):
        if number == cut:
            view = again.view()
            again = Curve.of(view.losses, view.marks, view.measured)
            assert same_views(again.view(), view)
        event = progress(done, draw.random(count).tolist(), number + 1.0, measured=0.5 if measured else None)
        for curve in (whole, again):
            curve.add(event)
        done += count
    assert same_views(again.view(), whole.view())
    if done:
        for logarithmic in (False, True):
            left, right = (curve.view().drawn(200, logarithmic=logarithmic) for curve in (whole, again))
            assert np.array_equal(left, right)


def test_a_curve_of_a_view_is_its_own():
    first = Curve()
    first.add(progress(0, [3.0, 2.0], 0.5, measured=0.25))
    view = first.view()
    second = Curve.of(view.losses, view.marks, view.measured)
    second.add(progress(2, [1.0], 0.6))
    first.add(progress(2, [9.0], 0.7))
    assert second.view().losses.tolist() == [3, 2, 1]
    assert first.view().losses.tolist() == [3, 2, 9]
    empty = Curve.of(np.zeros(0), np.zeros((0, 2)), np.zeros((0, 6)))
    assert same_views(empty.view(), Curve().view())


def test_rows_of_several_columns_grow():
    rows = GrowingArray(3)
    for start in range(0, 3000, 3):
        rows.append(np.arange(start, start + 3)[None])
    assert np.array_equal(rows.view(), np.arange(3000).reshape(-1, 3))


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_long_curve_is_drawn_with_its_spikes_however_it_came(logarithmic: bool) -> None:
    draw = np.random.default_rng(0)
    losses = draw.random(30_000) + 1
    spikes = [5, 4095, 4096, 17_123, 29_990, 29_999]
    losses[spikes[::2]], losses[spikes[1::2]] = 50.0, 0.01
    curve, done = Curve(), 0
    while done < len(losses):
        block = losses[done : done + int(draw.integers(1, 900))]
        best = Best(loss=0.0, score=0.0, step=0)
        curve.add(Progress(first=done, step=done + len(block), losses=block, seconds=1.0, best=best))
        done += len(block)
    steps = curve.view().drawn(1000, logarithmic=logarithmic)
    assert len(steps) <= 1000
    assert (np.diff(steps) > 0).all()
    assert steps[0] == 0
    assert steps[-1] == len(losses) - 1
    assert set(spikes[:1] + spikes[2:]) <= set(steps.tolist())
    # What is left out lies between what its stretch of the picture shows.
    assert losses[steps].max() == losses.max()
    assert losses[steps].min() == losses.min()
