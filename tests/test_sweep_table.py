"""Tables of a sweep: only what differs, best and last values both, medians over seeds, plain values to sort by."""

from __future__ import annotations

import json
from statistics import median

import pytest

from dashboard.sweep_table import baseline_table, configuration_table, run_table
from tests.sweeps import ROOM, full, grid, grid_of_classes, made_up
from tests.tables import tiny
from tests.test_sweep_figures import BASELINES, CONFIG, PLAN, RESULTS, results_of
from ttcore.events import Best, Scores, StopReason
from ttcore.frontier import Measure, summarize
from ttcore.scoring import CLASSIFICATION
from ttcore.sweep_plan import plan_sweep

SCORES = ("train R²", "best train R²", "test R²", "test R² at best")
POINTS = summarize(RESULTS, Measure())


def plain(table: dict) -> None:
    """Columns of equal length, each of one kind of plain values, so that a click on its name sorts it."""
    json.dumps(table)
    assert len({len(column) for column in table.values()}) <= 1
    for column in table.values():
        assert len({type(value) for value in column if value is not None} - {int, float}) <= 1
        sorted(value for value in column if value is not None)


def test_one_run_is_named_and_scored_and_nothing_else():
    run = made_up(
        tiny(ranks=2),
        train=0.9,
        test=0.8,
        best=Best(loss=0.05, score=0.95, step=7),
        best_test=Scores(loss=0.3, score=0.7),
    )
    expected = {"rank": [2], "parameters": [28], "train R²": [0.9], "best train R²": [0.95], "test R²": [0.8]}
    expected |= {"test R² at best": [0.7]}
    assert run_table({3: run}) == expected | {"seed": [0]}
    assert configuration_table(summarize({3: run}, Measure()), {3: run}) == expected


def test_every_run_has_a_row_in_the_order_of_the_grid():
    shuffled = dict(sorted(RESULTS.items(), key=lambda item: item[1].test.score))
    table = run_table(shuffled)
    plain(table)
    runs = [RESULTS[place] for place in sorted(RESULTS)]
    assert table["seed"] == [run.config.train.seed for run in runs]
    assert table["train R²"] == [run.train.score for run in runs]
    assert table["best train R²"] == [run.best.score for run in runs]
    assert table["test R²"] == [run.test.score for run in runs]
    assert table["test R² at best"] == [run.best_test.score for run in runs]
    assert table["parameters"] == [run.config.shape.num_parameters for run in runs]
    assert table["compression"] == [run.config.shape.compression for run in runs]
    assert table["optimizer"] == [run.config.train.optimizer for run in runs]
    assert set(table["factorization"]) == {"low rank", "3·4 → 2·2", "12 → 4"}


@pytest.mark.parametrize("moment", ["last", "best"])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_configuration_has_the_medians_of_its_seeds(part, moment):
    points = summarize(RESULTS, Measure(part, "score", moment))
    table = configuration_table(points, RESULTS)
    plain(table)
    name = {"trainlast": SCORES[0], "trainbest": SCORES[1], "testlast": SCORES[2], "testbest": SCORES[3]}[part + moment]
    assert table[name] == [point.median for point in points]
    tests = [[RESULTS[place].test.score for place in point.places] for point in points]
    assert table["test R²"] == [median(values) for values in tests]
    assert table["test R² lowest"] == [min(values) for values in tests]
    assert table["test R² highest"] == [max(values) for values in tests]
    assert table["parameters"] == [point.parameters for point in points]
    assert "seeds" not in table, "all have as many"
    assert "seed" not in table


def test_configurations_with_fewer_seeds_so_far_say_so():
    some = {place: result for place, result in RESULTS.items() if place != 0}
    table = configuration_table(summarize(some, Measure()), some)
    assert sorted(set(table["seeds"])) == [2, 3]


def test_columns_in_which_all_rows_agree_are_left_out():
    plan = plan_sweep(grid(ranks=(1, 2)), ROOM)
    table = run_table(results_of(plan))
    assert not set(table) & {
        "factorization",
        "cores",
        "optimizer",
        "rate",
        "ended",
        "steps",
        "ranks trained",
        "seconds",
    }
    other = plan_sweep(grid(ranks=(1, 2), rates=(0.1, 0.2)), ROOM)
    assert run_table(results_of(other))["rate"] == [0.1, 0.1, 0.2, 0.2] or set(
        run_table(results_of(other))["rate"]
    ) == {0.1, 0.2}
    ended = {0: made_up(), 1: made_up(tiny(seed=1), stop_reason=StopReason.NOT_FINITE)}
    assert run_table(ended)["ended"] == ["steps done", "not finite"]


def test_ranks_are_told_where_they_are_not_those_asked_for():
    runs = {0: made_up(tiny(ranks=2)), 1: made_up(tiny(ranks=99)), 2: made_up(tiny(ranks=(3,)))}
    table = run_table(runs)
    assert table["rank"] == [2, 99, 3]
    assert table["ranks trained"][:2] == ["", "6"]


def test_models_to_compare_with():
    table = baseline_table(BASELINES)
    plain(table)
    assert table["model"][:3] == ["full", "ridge", "low rank"]
    assert table["rank"][:3] == [None, None, 1]
    assert table["penalty"][:3] == [None, 0.5, None]
    assert table["test R²"] == [model.test.score for model in BASELINES]
    assert list(baseline_table([full()])) == ["model", "rank", "parameters", "penalty", "train R²", "test R²"]


def test_classes_have_an_accuracy():
    results = results_of(plan_sweep(grid_of_classes(), ROOM))
    measure = Measure(scoring=CLASSIFICATION)
    names = ("train accuracy", "best train accuracy", "test accuracy", "test accuracy at best")
    for table in (run_table(results), configuration_table(summarize(results, measure), results)):
        plain(table)
        assert set(names) <= set(table)
        assert not any("R²" in name for name in table)
    assert run_table(results)["test accuracy"] == [result.test.score for result in results.values()]
    table = baseline_table([full()], CLASSIFICATION)
    assert list(table) == ["model", "rank", "parameters", "penalty", "train accuracy", "test accuracy"]


def test_of_nothing():
    assert configuration_table([], {}) == run_table({}) == baseline_table([]) == {}


def test_every_run_of_the_plan_is_in_one_configuration():
    assert sum(len(point.places) for point in POINTS) == len(PLAN.runs) == len(run_table(RESULTS)["rank"])
    assert len(configuration_table(POINTS, RESULTS)["rank"]) == len(PLAN.runs) // len(CONFIG.seeds)
