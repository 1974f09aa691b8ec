"""What a sweep says, against the slow, obvious way to find it, and its sentences word for word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sweeps import full, made_up
from tests.tables import tiny
from ttcore.config import DataConfig, RunConfig
from ttcore.events import Best, Scores
from ttcore.frontier import (
    Measure,
    Point,
    best,
    budget_sentence,
    cheapest_sentence,
    cheapest_within,
    described,
    name_of,
    overlap,
    pareto,
    summarize,
    unseen_note,
)
from ttcore.results import RunResult
from ttcore.scoring import CLASSIFICATION

R2 = Measure()
MSE = Measure(what="loss")
MEASURES = [
    Measure(part=part, what=what, moment=moment)
    for part in ("train", "test")
    for what in ("score", "loss")
    for moment in ("last", "best")
]

# Few distinct values, so that there are ties, and some that are not numbers.
_values = st.sampled_from([-2.0, -0.5, 0.0, 0.25, 0.9, 0.901, 0.905, 0.91, 1.0, nan, inf, -inf]) | st.floats(-5, 1)


@st.composite
def results(draw: st.DrawFn) -> dict[int, RunResult]:
    """Any results of a small sweep, by places that need not be in order."""
    made = {}
    for place in draw(st.lists(st.integers(0, 99), max_size=16, unique=True)):
        config = tiny(
            ranks=draw(st.integers(1, 7)),
            seed=place,
            lr=draw(st.sampled_from([0.1, 0.2])),
            optimizer=draw(st.sampled_from(["adam", "sgd"])),
            **draw(st.sampled_from([{}, {"in_modes": (12, 1), "out_modes": (1, 4)}])),
        )
        scores = [Scores(loss=draw(_values), score=draw(_values)) for _ in range(3)]
        top = Best(loss=draw(_values), score=draw(_values), step=1)
        made[place] = made_up(config, train=scores[0], test=scores[1], best_test=scores[2], best=top)
    return made


def score(result: RunResult, measure: Measure) -> float:
    parts = {
        ("train", "last"): result.train,
        ("test", "last"): result.test,
        ("train", "best"): result.best,
        ("test", "best"): result.best_test,
    }
    return getattr(parts[measure.part, measure.moment], measure.what)


def as_good(left: Point, right: Point, measure: Measure) -> bool:
    return left.median >= right.median if measure.what == "score" else left.median <= right.median


# ---- laws -----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(results(), st.sampled_from(MEASURES))
def test_points_are_the_configurations_over_their_seeds(made, measure):
    points = summarize(made, measure)
    finite = {place: result for place, result in made.items() if math.isfinite(score(result, measure))}
    assert sorted(place for point in points for place in point.places) == sorted(finite)
    for point in points:
        alike = [
            place
            for place, result in finite.items()
            if result.config.shape == point.shape
            and replace(result.config.train, seed=0) == replace(point.config.train, seed=0)
        ]
        assert list(point.places) == sorted(alike)
        values = [score(made[place], measure) for place in alike]
        assert (point.median, point.low, point.high) == (median(values), min(values), max(values))
        assert point.seeds == len(values)
        assert point.config == made[point.places[0]].config
        assert point.parameters == point.shape.num_parameters
    assert [point.parameters for point in points] == sorted(point.parameters for point in points)


@settings(deadline=None, max_examples=60)
@given(results(), st.sampled_from(MEASURES), st.randoms())
def test_the_front_is_what_nothing_beats(made, measure, shuffle):
    points = summarize(made, measure)
    front = pareto(points, measure)
    kept = [
        (point.parameters, point.median)
        for point in points
        if not any(
            other.parameters <= point.parameters
            and as_good(other, point, measure)
            and (other.parameters, other.median) != (point.parameters, point.median)
            for other in points
        )
    ]
    assert [(point.parameters, point.median) for point in front] == sorted(set(kept))
    shuffle.shuffle(points)
    assert [(point.parameters, point.median) for point in pareto(points, measure)] == sorted(set(kept))


@settings(deadline=None, max_examples=60)
@given(results(), st.sampled_from(MEASURES), st.sampled_from([0.0, 0.01, 0.3]))
def test_best_and_cheapest_are_found(made, measure, share):
    points = summarize(made, measure)
    if not points:
        assert pareto(points, measure) == []
        return
    top = best(points, measure)
    assert all(as_good(top, point, measure) for point in points)
    assert top.parameters == min(point.parameters for point in points if point.median == top.median)
    cheap = cheapest_within(points, measure, share)
    room = share * abs(top.median)
    close = [point for point in points if abs(point.median - top.median) <= room]
    assert cheap in close
    assert cheap.parameters == min(point.parameters for point in close)
    assert all(as_good(cheap, point, measure) for point in close if point.parameters == cheap.parameters)
    assert cheap.parameters <= top.parameters


@settings(deadline=None, max_examples=60)
@given(results(), st.sampled_from(MEASURES), st.integers(1, 120))
def test_sentences_are_of_what_is_found(made, measure, budget):
    points = summarize(made, measure)
    if not points:
        return
    text = cheapest_sentence(points, measure)
    cheap, top = cheapest_within(points, measure), best(points, measure)
    assert text.startswith(f"**Cheapest within 1 % of the best {measure.title}:** {described(cheap, measure)}.")
    assert ("It is the best itself" in text) == (cheap == top)
    if cheap != top:
        assert described(top, measure) in text
    for sentence in (text, budget_sentence(points, measure, budget)):
        assert "nan" not in sentence
        assert sentence == sentence.strip()
        assert sentence.endswith(".")
        assert "  " not in sentence


@settings(deadline=None, max_examples=60)
@given(results(), st.sampled_from(MEASURES), st.integers(1, 120))
def test_the_best_within_a_budget_is_found(made, measure, budget):
    points = summarize(made, measure)
    if not points:
        return
    text = budget_sentence(points, measure, budget)
    affordable = [point for point in points if point.parameters <= budget]
    if not affordable:
        assert "none" in text
        assert f"has {points[0].parameters:,}." in text
        return
    start = f"**Best {measure.title} under {budget} parameters:** "
    top = next(point for point in affordable if text.startswith(f"{start}{described(point, measure)}."))
    assert all(as_good(top, point, measure) for point in affordable)
    cheaper_and_covered = [
        point for point in affordable if point.parameters < top.parameters and top.seeds > 1 and overlap(point, top)
    ]
    assert ("spread reaches down" in text) == bool(cheaper_and_covered)


# ---- cases ----------------------------------------------------------------------------------------------------------


def points_of(*rows: tuple[int, Sequence[float]], measure: Measure = R2) -> list[Point]:
    """Points of the tiny run: a rank, and the test score of each seed."""
    made: dict[int, RunResult] = {}
    for rank, values in rows:
        for seed, value in enumerate(values):
            scores = Scores(loss=value, score=value)
            made[len(made)] = made_up(tiny(ranks=rank, seed=seed, lr=0.05), test=scores)
    return summarize(made, measure)


def test_runs_that_broke_are_left_out():
    [point] = points_of((1, [nan, 0.5, inf, 0.75]), (2, [nan]))
    assert (point.median, point.low, point.high, point.seeds, point.places) == (0.625, 0.5, 0.75, 2, (1, 3))


def test_of_equal_ones_the_smaller_counts():
    points = points_of((1, [0.5]), (2, [0.5]), (3, [0.25]))
    assert [point.shape.ranks for point in pareto(points, R2)] == [(1,)]
    assert best(points, R2).shape.ranks == (1,)


def test_what_is_below_zero_has_its_neighbourhood_too():
    points = points_of((1, [-1.015]), (2, [-1.005]), (3, [-1.0]))
    assert cheapest_within(points, R2).shape.ranks == (2,)
    points = points_of((1, [0.1015]), (2, [0.1005]), (3, [0.1]), measure=MSE)
    assert cheapest_within(points, MSE).shape.ranks == (2,)


def test_the_cheapest_with_one_seed():
    # Parameters of the tiny layer: 3·2·r + r·4·2.
    points = points_of((1, [0.1]), (2, [0.895]), (3, [0.9]))
    assert cheapest_sentence(points, R2) == (
        "**Cheapest within 1 % of the best test R²:** rank 2 of 3·4 → 2·2 (adam at 0.05) with 28 parameters (58.3 % of "
        "the full model) reaches 0.8950. The best, rank 3 of 3·4 → 2·2 (adam at 0.05) with 42 parameters (87.5 % of "
        "the full model) reaches 0.9000. With one seed each the spread is not known; add seeds to see whether the "
        "difference is one."
    )
    assert cheapest_sentence(points[2:], R2) == (
        "**Cheapest within 1 % of the best test R²:** rank 3 of 3·4 → 2·2 (adam at 0.05) with 42 parameters (87.5 % of "
        "the full model) reaches 0.9000. It is the best itself. With one seed its spread is not known."
    )


def test_a_spread_that_covers_the_difference_is_told():
    covered = points_of((2, [0.89, 0.895, 0.901]), (3, [0.9, 0.9, 0.91]))
    text = cheapest_sentence(covered, R2)
    assert "reaches 0.8950, median of 3 seeds, 0.8900 to 0.9010." in text
    assert text.endswith("The seeds' spread covers the difference between the two.")
    apart = points_of((2, [0.89, 0.895, 0.899]), (3, [0.9, 0.9, 0.91]))
    assert cheapest_sentence(apart, R2).endswith("The difference between the two is larger than the seeds' spread.")
    by_error = points_of((2, [0.1005, 0.1006]), (3, [0.1, 0.1]), measure=MSE)
    text = cheapest_sentence(by_error, MSE)
    assert "best test MSE" in text
    assert "reaches 0.101, median of 2 seeds, 0.101 to 0.101" in text
    assert "larger than" in text


def test_the_best_within_a_budget():
    points = points_of((1, [0.1]), (2, [0.895]), (3, [0.9]))
    assert budget_sentence(points, R2, 41).startswith("**Best test R² under 41 parameters:** rank 2 of")
    assert budget_sentence(points, R2, 42).startswith("**Best test R² under 42 parameters:** rank 3 of")
    assert budget_sentence(points, R2, 42).endswith("reaches 0.9000. With one seed its spread is not known.")
    assert budget_sentence(points, R2, 13) == (
        "**Under 13 parameters:** none; the smallest layer of this sweep has 14."
    )
    covered = points_of((1, [0.1, 0.2]), (2, [0.89, 0.91]), (3, [0.9, 0.92]))
    assert budget_sentence(covered, R2, 1000).endswith(
        "The seeds' spread reaches down to rank 2 of 3·4 → 2·2 (adam at 0.05) with 28 parameters (58.3 % of the full "
        "model) reaches 0.9000, median of 2 seeds, 0.8900 to 0.9100."
    )
    assert budget_sentence(covered, R2, 20).endswith("median of 2 seeds, 0.1000 to 0.2000.")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "rank 2 of 3·4 → 2·2 (adam at 0.02)"),
        ({"ranks": 99}, "rank 6 of 3·4 → 2·2 (adam at 0.02)"),
        ({"in_modes": (12, 1), "out_modes": (1, 4)}, "rank 2 of low rank (adam at 0.02)"),
        ({"in_modes": (12,), "out_modes": (4,), "optimizer": "sgd"}, "12 → 4 (sgd at 0.02)"),
        ({"optimizer": "lbfgs"}, "rank 2 of 3·4 → 2·2 (lbfgs)"),
        (
            {"in_modes": (3, 2, 2), "out_modes": (2, 2, 1), "ranks": (2, 1), "optimizer": "als"},
            "ranks 2·1 of 3·2·2 → 2·2·1 (als)",
        ),
    ],
)
def test_names(changes, name):
    [point] = summarize({0: made_up(tiny(**changes))}, R2)
    assert name_of(point) == name


def test_titles():
    assert [measure.title for measure in MEASURES] == [
        "train R²",
        "train R² at the lowest training loss",
        "train MSE",
        "train MSE at the lowest training loss",
        "test R²",
        "test R² at the lowest training loss",
        "test MSE",
        "test MSE at the lowest training loss",
    ]
    of_classes = [Measure(what=what, scoring=CLASSIFICATION).title for what in ("score", "loss")]
    assert of_classes == ["test accuracy", "test cross-entropy"]


# ---- where nothing can be known of unseen samples -------------------------------------------------------------------


def note(trains: Sequence[float], tests: Sequence[float], models: Sequence[float] = (0.1,), **data: Any) -> str:
    data = data or {"train_samples": 10}
    made = {
        place: made_up(tiny(seed=place, **data), train=train, test=test)
        for place, (train, test) in enumerate(zip(trains, tests, strict=True))
    }
    return unseen_note(summarize(made, Measure(part="train")), made, [full(test=model) for model in models])


def test_it_is_said_where_nothing_does_well_on_unseen_samples():
    text = note([0.9, 0.6], [0.05, -0.5])
    assert "best test R² 0.10" in text
    assert "10 samples cannot determine 12 unstructured inputs" in text
    assert "best test R² 0.30" in note([0.9], [0.3])


def test_of_enough_samples_and_of_real_data_only_the_best_is_said():
    assert note([0.9], [0.3], train_samples=12) == "On unseen samples no model does well here (best test R² 0.30)."
    real = RunConfig(data=DataConfig(source="diabetes"), in_modes=(5, 2), out_modes=(1, 1))
    made = {0: made_up(real, train=0.6, test=0.31)}
    text = unseen_note(summarize(made, R2), made, [full(test=0.33)])
    assert text == "On unseen samples no model does well here (best test R² 0.33)."
    classes = RunConfig(data=DataConfig(source="digits"), in_modes=(8, 8), out_modes=(5, 2))
    made = {0: made_up(classes, train=0.6, test=0.4)}
    text = unseen_note(summarize(made, R2), made, [full(test=0.1)])
    assert text == "On unseen samples no model does well here (best test accuracy 0.40)."


@pytest.mark.parametrize(
    ("trains", "tests", "models"),
    [
        ([0.9], [0.5], [0.1]),
        ([0.9], [0.1], [0.7]),
        ([0.4], [0.1], [0.1]),
        ([0.9], [0.1], []),
        ([], [], [0.1]),
        ([nan, 0.9], [nan, 0.9], [0.1]),
        ([0.9, 0.9], [nan, 0.9], [0.1]),
        ([0.9, 0.9], [0.9, nan], [nan]),
        ([nan, 0.3], [0.1, 0.1], [0.1]),
        ([0.9], [nan], [nan]),
    ],
)
def test_it_is_not_said_where_something_does_or_nothing_is_learned(trains, tests, models):
    assert note(trains, tests, models) == ""


def test_a_run_that_broke_does_not_hide_it():
    for trains, tests in (([nan, 0.9], [nan, 0.1]), ([0.9, nan], [0.1, nan]), ([0.9, 0.9], [-inf, 0.1])):
        assert "best test R² 0.10" in note(trains, tests, [nan, 0.05])
