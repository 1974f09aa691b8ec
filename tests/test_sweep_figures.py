"""Figures of a sweep over results that nobody has trained for."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.figures import Figure
from dashboard.sweep_figures import (
    SIZES,
    Style,
    frontier_figure,
    heat_figure,
    parallel_figure,
    rounding_figure,
    size_of,
    spectrum_figure,
)
from tests.sweeps import ROOM, full, grid, grid_of_classes, made_up, sweep_configs
from ttcore.comparison import compare
from ttcore.config import RunConfig
from ttcore.events import Best, Scores
from ttcore.frontier import Measure, Point, pareto, summarize
from ttcore.results import Baseline, RunResult
from ttcore.rounding_scores import RoundedScores
from ttcore.scoring import CLASSIFICATION
from ttcore.shapes import replace_ranks
from ttcore.sweep_config import Factorization, SweepConfig
from ttcore.sweep_plan import SweepPlan, plan_sweep

MEASURES = [
    Measure(part, what, moment)
    for part in ("train", "test")
    for what in ("score", "loss")
    for moment in ("last", "best")
]
CONFIG = grid(
    factorizations=("12,1->1,4", "3,4->2,2", "12->4"),
    ranks=(1, 2, 3, 9),
    seeds=(0, 1, 2),
    rates=(0.1, 0.2),
    optimizers=("adam", "lbfgs"),
)
PLAN = plan_sweep(CONFIG, ROOM)
BASELINES = (
    full(),
    Baseline(
        kind="ridge", parameters=48, penalty=0.5, train=Scores(loss=0.3, score=0.7), test=Scores(loss=0.4, score=0.6)
    ),
    *(
        Baseline(
            kind=kind,
            rank=rank,
            parameters=16 * rank,
            train=Scores(loss=1 / rank, score=1 - 1 / rank),
            test=Scores(loss=2 / rank, score=1 - 2 / rank),
        )
        for kind in ("low_rank", "low_rank_ridge")
        for rank in (1, 2, 3, 4)
    ),
)


def result_of(config: RunConfig, scores: random.Random) -> RunResult:
    """Any scores; each is another one."""
    r2 = [scores.uniform(-0.4, 1) for _ in range(4)]
    mse = [1 - value for value in r2]
    return made_up(
        config,
        train=Scores(loss=mse[0], score=r2[0]),
        test=Scores(loss=mse[1], score=r2[1]),
        best=Best(loss=mse[2], score=r2[2], step=3),
        best_test=Scores(loss=mse[3], score=r2[3]),
        cores=(),
        losses=np.zeros(0),
    )


def results_of(plan: SweepPlan, seed: int = 0) -> dict[int, RunResult]:
    scores = random.Random(seed)
    return {place: result_of(run, scores) for place, run in enumerate(plan.runs)}


RESULTS = results_of(PLAN)


def frontier(
    results: Mapping[int, RunResult] = RESULTS,
    measure: Measure = MEASURES[0],
    size: Any = "parameters",
    *,
    config: SweepConfig = CONFIG,
    plan: SweepPlan = PLAN,
    baselines: tuple[Baseline, ...] = BASELINES,
) -> Figure:
    points = summarize(results, measure)
    return frontier_figure(plan, config, results, points, baselines, measure, size, "r")


def all_figures(config: SweepConfig, plan: SweepPlan, results: dict[int, RunResult], measure: Measure) -> list[Figure]:
    points = summarize(results, measure)
    figures = [frontier(results, measure, size, config=config, plan=plan) for size in SIZES]
    return [*figures, heat_figure(config, points, measure), parallel_figure(points, measure)]


def traces(figure: Figure, **having: Any) -> list[dict[str, Any]]:
    return [trace for trace in figure["data"] if all(trace.get(name) == value for name, value in having.items())]


def dots(figure: Figure) -> list[dict[str, Any]]:
    """Every run by itself."""
    return [
        trace for trace in figure["data"] if trace["type"] == "scatter" and len(trace.get("customdata", [[]])[0]) > 1
    ]


def medians(figure: Figure) -> list[dict[str, Any]]:
    return [trace for trace in figure["data"] if len(trace.get("customdata", [[]])[0]) == 1]


def to_come(figure: Figure) -> list[dict[str, Any]]:
    return [trace for trace in figure["data"] if trace["name"].endswith("(to come)")]


def short(value: float) -> float:
    """As a figure has it."""
    return float(f"{value:.5g}")


def numbers(value: Any) -> list[float]:
    """All numbers of a figure."""
    if isinstance(value, dict):
        return [number for inner in value.values() for number in numbers(inner)]
    if isinstance(value, list):
        return [number for inner in value for number in numbers(inner)]
    assert value is None or type(value) in (bool, int, float, str), type(value)
    return [value] if isinstance(value, float) else []


# ---- the frontier ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.title)
def test_every_run_stands_once_at_its_place_size_and_score(measure):
    for size in SIZES:
        seen = {}
        for trace in dots(frontier(measure=measure, size=size)):
            for x, y, told in zip(trace["x"], trace["y"], trace["customdata"], strict=True):
                assert told[0] not in seen
                seen[told[0]] = (x, y)
                assert told[2] == PLAN.runs[told[0]].train.seed
        assert seen == {
            place: (
                size_of(result.config.shape.num_parameters, 48, size),
                pytest.approx(measure.of_run(result), rel=1e-4, abs=1e-9),
            )
            for place, result in RESULTS.items()
        }


def test_sizes_of_the_three_axes():
    assert [size_of(24, 48, size) for size in SIZES] == [24, 0.5, 2]
    assert size_of(96, 48, "compression") == 0.5
    titles = [frontier(size=size)["layout"]["xaxis"]["title"]["text"] for size in SIZES]
    assert len(set(titles)) == 3


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.title)
def test_medians_and_error_bars_are_plain_computations(measure):
    groups: dict[Any, list[float]] = {}
    for result in RESULTS.values():
        run = result.config
        key = (run.in_modes, run.shape.ranks, run.train.optimizer, run.train.lr)
        groups.setdefault(key, []).append(measure.of_run(result))
    expected = sorted((short(median(v)), max(v) - median(v), median(v) - min(v)) for v in groups.values())
    found = sorted(
        (y, above, below)
        for trace in medians(frontier(measure=measure))
        for y, above, below in zip(trace["y"], trace["error_y"]["array"], trace["error_y"]["arrayminus"], strict=True)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_a_click_on_a_median_means_a_run_of_that_configuration():
    for trace in medians(frontier()):
        for x, (place,) in zip(trace["x"], trace["customdata"], strict=True):
            assert PLAN.runs[place].shape.num_parameters == x


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.title)
def test_the_front_is_a_staircase_through_the_best_medians(measure):
    points = summarize(RESULTS, measure)
    (front,) = traces(frontier(measure=measure), name="Pareto front")
    at = dict(zip(front["x"][:-1], front["y"][:-1], strict=True))
    best = max if measure.what == "score" else min
    for point in points:
        affordable = [short(other.median) for other in points if other.parameters <= point.parameters]
        step = at[max(x for x in at if x <= point.parameters)]
        assert step == best(affordable)
    assert front["x"] == sorted(front["x"]) and front["line"]["shape"] == "hv"
    assert front["x"][-1] == max(point.parameters for point in points)
    assert front["y"][-1] == front["y"][-2]
    assert len(at) == len(pareto(points, measure))


def test_one_seed_has_no_error_bars():
    config = grid(ranks=(1, 2, 3))
    plan = plan_sweep(config, ROOM)
    for trace in medians(frontier(results_of(plan), config=config, plan=plan)):
        assert "error_y" not in trace and "median" not in trace["text"][0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("measure", MEASURES[:2], ids=lambda measure: measure.title)
def test_models_to_compare_with_stand_at_their_sizes(measure, size):
    figure = frontier(measure=measure, size=size)
    for name, kind in (("full model", "full"), ("ridge", "ridge"), ("best low rank", "low_rank")):
        (trace,) = traces(figure, name=name)
        models = [model for model in BASELINES if model.kind == kind]
        assert trace["x"] == [size_of(model.parameters, 48, size) for model in models]
        np.testing.assert_allclose(trace["y"], [measure.of_model(model) for model in models], rtol=1e-4)


def test_runs_to_come_disappear_as_they_come_and_nothing_else_moves():
    order = list(RESULTS)
    random.Random(1).shuffle(order)
    whole = frontier()
    looks = {trace["name"]: (trace["line"]["color"], trace["marker"]["symbol"]) for trace in medians(whole)}
    assert len(looks) == len(Style(CONFIG).groups(summarize(RESULTS, MEASURES[0]))) == 9
    assert len(set(looks.values())) == 9
    for count in range(0, len(order) + 1, 7):
        so_far = {place: RESULTS[place] for place in order[:count]}
        figure = frontier(so_far)
        waiting = {
            (
                Factorization(run.in_modes, run.out_modes).label,
                run.train.optimizer,
                run.train.lr,
                run.shape.num_parameters,
            )
            for place, run in enumerate(PLAN.runs)
            if place not in so_far
        }
        ticks = to_come(figure)
        assert sum(len(trace["x"]) for trace in ticks) == len(waiting)
        for trace in ticks:
            name = trace["name"].removesuffix(" (to come)")
            assert trace["marker"]["color"] == looks[name][0]
            assert trace["showlegend"] == (count == 0)
            assert trace["x"] == sorted(set(trace["x"]))
        for trace in medians(figure):
            assert (trace["line"]["color"], trace["marker"]["symbol"]) == looks[trace["name"]]
        for size in SIZES:
            assert frontier(so_far, size=size)["layout"]["xaxis"] == frontier(size=size)["layout"]["xaxis"]
    assert to_come(whole) == []


@given(sweep_configs())
@settings(max_examples=50, deadline=None)
def test_the_size_axis_holds_all_that_will_ever_be_on_it_and_never_moves(config):
    plan = plan_sweep(config, 2**40)
    data = config.data
    low_rank = data.in_features + data.out_features
    ranks = (1, min(data.in_features, data.out_features, data.train_samples))
    sizes = [run.shape.num_parameters for run in plan.runs] + [rank * low_rank for rank in ranks]
    dense = data.in_features * data.out_features
    for size in SIZES:
        axis = frontier({}, size=size, config=config, plan=plan, baselines=())["layout"]["xaxis"]
        low, high = axis["range"]
        assert all(low < math.log10(size_of(count, dense, size)) < high for count in [*sizes, dense])
        some = {0: made_up(plan.runs[0])}
        assert frontier(some, size=size, config=config, plan=plan)["layout"]["xaxis"] == axis


def test_the_size_axis_holds_the_real_models_to_compare_with():
    models = compare(CONFIG.data)
    low, high = frontier(baselines=models)["layout"]["xaxis"]["range"]
    assert {model.kind for model in models} == {"full", "ridge", "low_rank", "low_rank_ridge", "constant"}
    assert all(low < math.log10(model.parameters) < high for model in models if model.parameters)


@pytest.mark.parametrize("lowest", [0.5, -0.3, -0.5, -1e9])
def test_scores_worse_than_nothing_do_not_squeeze_the_rest(lowest):
    results = RESULTS | {0: made_up(PLAN.runs[0], test=lowest)}
    low, high = frontier(results)["layout"]["yaxis"]["range"]
    assert -0.65 < low < 0 and high == 1.06


def constant(score: float, loss: float) -> Baseline:
    scores = Scores(loss=loss, score=score)
    return Baseline(kind="constant", parameters=0, train=scores, test=scores)


@pytest.mark.parametrize("size", SIZES)
def test_the_constant_prediction_is_a_level_across_the_picture(size):
    for measure, level in ((MEASURES[0], 0.01), (MEASURES[2], 1.2)):
        figure = frontier(measure=measure, size=size, baselines=(*BASELINES, constant(0.01, 1.2)))
        (trace,) = traces(figure, name="constant")
        assert trace["y"] == [level, level] and trace["line"]["dash"] == "dot"
        np.testing.assert_allclose(np.log10(trace["x"]), figure["layout"]["xaxis"]["range"])
        assert figure["layout"]["xaxis"] == frontier(measure=measure, size=size)["layout"]["xaxis"]


OF_CLASSES = [Measure(part, what, scoring=CLASSIFICATION) for part in ("train", "test") for what in ("score", "loss")]
CLASSES = grid_of_classes()
CLASSES_PLAN = plan_sweep(CLASSES, ROOM)
NO_LOSS = Scores(loss=math.nan, score=0.93)
CLASSIFIERS = (
    Baseline(kind="full", parameters=39, train=Scores(loss=0.1, score=0.98), test=Scores(loss=0.2, score=0.96)),
    Baseline(kind="ridge", parameters=39, penalty=0.5, train=NO_LOSS, test=NO_LOSS),
    *(
        Baseline(kind="low_rank", rank=k, parameters=16 * k, penalty=1.0, train=scores, test=scores)
        for k, scores in ((1, Scores(loss=0.5, score=0.8)), (2, Scores(loss=0.2, score=0.95)))
    ),
    constant(0.4, 1.1),
)


def accurate(lowest: float) -> dict[int, RunResult]:
    """Results with accuracies from `lowest` to 1."""
    scores = np.linspace(lowest, 1, len(CLASSES_PLAN.runs)).tolist()
    return {
        place: made_up(run, train=score, test=score)
        for place, (run, score) in enumerate(zip(CLASSES_PLAN.runs, scores, strict=True))
    }


@pytest.mark.parametrize("measure", OF_CLASSES, ids=lambda measure: measure.title)
def test_a_sweep_over_classes_has_its_own_words_and_no_loss_that_is_none(measure):
    results = accurate(0.5)
    points = summarize(results, measure)
    figure = frontier(results, measure, config=CLASSES, plan=CLASSES_PLAN, baselines=CLASSIFIERS)
    others = [heat_figure(CLASSES, points, measure), parallel_figure(points, measure)]
    for drawn in (figure, *others):
        assert "R²" not in (text := json.dumps(drawn, allow_nan=False, ensure_ascii=False)) and "MSE" not in text
    assert figure["layout"]["yaxis"]["title"]["text"] == measure.title
    assert "accuracy" in dots(figure)[0]["hovertemplate"]
    assert len(traces(figure, name="ridge")) == (measure.what == "score")
    assert "logistic regression" in traces(figure, name="full model")[0]["text"][0]
    assert traces(figure, name="low-rank logistic")[0]["x"] == [16, 32]
    title = others[0]["data"][0]["colorbar"]["title"]["text"]
    assert title == ("log₁₀ cross-entropy" if measure.what == "loss" else "")


@pytest.mark.parametrize("lowest", [0.0, 0.3, 0.9, 1.0])
def test_accuracies_fill_their_picture(lowest):
    figure = frontier(accurate(lowest), OF_CLASSES[2], config=CLASSES, plan=CLASSES_PLAN, baselines=())
    low, high = figure["layout"]["yaxis"]["range"]
    assert lowest - 0.1 * (1 - lowest) - 0.02 < low < lowest
    assert 1 < high < 1.05
    for trace in to_come(frontier({}, OF_CLASSES[2], config=CLASSES, plan=CLASSES_PLAN, baselines=())):
        assert -0.1 < min(trace["y"]) <= 0


# ---- the other figures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.title)
def test_the_heat_map_has_every_median_in_its_cell(measure):
    points = summarize(RESULTS, measure)
    (heat,) = heat_figure(CONFIG, points, measure)["data"]
    assert heat["x"] == ["1", "2", "3", "9"]
    assert len(set(heat["y"])) == len(heat["y"]) == len(heat["z"]) == 9
    cells = {(row, rank): value for row, line in zip(heat["y"], heat["z"], strict=True)
             for rank, value in zip(heat["x"], line, strict=True) if value is not None}  # fmt: skip
    # A layer stands at every rank that was asked for and means it: all of them, for a single core.
    for group in Style(CONFIG).groups(points):
        for point in group.points:
            value = point.median if measure.what == "score" else math.log10(point.median)
            for rank in map(int, heat["x"]):
                if replace_ranks(point.shape, rank).clipped() == point.shape:
                    assert cells.pop((group.name, str(rank))) == pytest.approx(value, rel=1e-4, abs=1e-9)
    assert not cells, "nothing else is in the picture"
    values = [value for line in heat["z"] for value in line if value is not None]
    assert heat["zmin"] <= min(values) + 1e-4 and heat["zmax"] >= max(values) - 1e-4


def test_many_cells_have_no_numbers_written_in_them():
    config = grid(ranks=tuple(range(1, 7)), factorizations=("3,4->2,2", "12,1->1,4"))
    assert "texttemplate" in _heat(config)
    big = grid(teacher_in_modes=(64, 64), teacher_out_modes=(64, 64), in_modes=(64, 64), out_modes=(64, 64),
               ranks=tuple(range(1, 200)))  # fmt: skip
    assert "texttemplate" not in _heat(big)


def _heat(config: SweepConfig) -> dict[str, Any]:
    return heat_figure(config, summarize(results_of(plan_sweep(config, 2**40)), MEASURES[0]), MEASURES[0])["data"][0]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.title)
def test_parallel_coordinates_pass_through_what_varies(measure):
    points = summarize(RESULTS, measure)
    (lines,) = parallel_figure(points, measure)["data"]
    axes = {axis["label"]: axis for axis in lines["dimensions"]}
    title = measure.title if measure.what == "score" else f"log₁₀ {measure.title}"
    assert list(axes) == ["factorization", "optimizer", "rate", "rank", "parameters", title]
    assert all(len(axis["values"]) == len(points) for axis in axes.values())
    named = axes["factorization"]
    assert [named["ticktext"][value] for value in named["values"]] == [point.factorization.label for point in points]
    assert axes["rank"]["values"] == [point.config.ranks for point in points]
    np.testing.assert_allclose(10 ** np.array(axes["parameters"]["values"]), [p.parameters for p in points], rtol=1e-3)
    scores = [point.median if measure.what == "score" else math.log10(point.median) for point in points]
    np.testing.assert_allclose(axes[title]["values"], scores, rtol=1e-4, atol=1e-9)
    alone = parallel_figure(points[:1], measure)["data"][0]["dimensions"]
    assert [axis["label"] for axis in alone] == ["rank", "parameters", title]


def test_singular_values_that_are_kept_are_filled():
    spectra = [np.array([3.0, 1.0, 0.0]), np.array([2.0]), np.zeros(2), np.zeros(0)]
    figure = spectrum_figure(spectra, (2, 1, 0, 0))
    json.dumps(figure, allow_nan=False)
    for trace, values, kept in zip(figure["data"], spectra, (2, 1, 0, 0), strict=True):
        assert trace["x"] == list(range(1, len(values) + 1))
        assert all(value > 0 for value in trace["y"])
        filled = [colour == trace["line"]["color"] for colour in trace["marker"]["color"]]
        assert filled == [number <= kept for number in trace["x"]]
    assert figure["data"][0]["y"][:2] == [3.0, 1.0]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.title)
def test_rounded_and_trained_layers_stand_beside_each_other(measure):
    table = [
        RoundedScores(
            ranks=(rank,),
            parameters=14 * rank,
            parameter_ratio=14 * rank / 48,
            relative_error=1 / rank,
            train=Scores(loss=0.1 / rank, score=1 - 0.1 / rank),
            test=Scores(loss=0.2 / rank, score=1 - 0.2 / rank),
        )
        for rank in (1, 2, 3)
    ]
    points = [point for point in summarize(RESULTS, measure) if point.factorization.in_modes == (3, 4)]
    figure = rounding_figure(table, points, table[1], measure)
    json.dumps(figure, allow_nan=False)
    rounded, trained, chosen = figure["data"]
    assert rounded["x"] == [14, 28, 42] and chosen["x"] == [28]
    assert chosen["y"] == rounded["y"][1:2]
    assert trained["x"] == [point.parameters for point in points]
    scores = [getattr(row.train if measure.part == "train" else row.test, measure.what) for row in table]
    np.testing.assert_allclose(rounded["y"], scores, rtol=1e-4)
    assert len(rounding_figure(table, [], table[0], measure)["data"]) == 2
    assert figure["layout"]["yaxis"]["title"]["text"] == measure.name


# ---- whatever the results -------------------------------------------------------------------------------------------

GRIDS = [
    CONFIG,
    grid(),
    grid(ranks=(3,)),
    grid(factorizations=("12->4",), ranks=(1,), optimizers=("als", "lbfgs", "sgd"), rates=(1e-3, 1.0)),
]
_wild = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 1e300, -1e300, 1e-300, 5e-324]) | st.floats(
    -2, 1
)


@given(st.sampled_from(GRIDS), st.data(), st.sampled_from(MEASURES))
@settings(deadline=None)
def test_whatever_the_results_figures_are_plain_json(config, data, measure):
    plan = plan_sweep(config, 2**40)
    some = data.draw(st.lists(st.integers(0, len(plan.runs) - 1), max_size=6, unique=True))
    results = {}
    for place in some:
        scores = [Scores(loss=abs(data.draw(_wild)), score=data.draw(_wild)) for _ in range(3)]
        best = Best(loss=abs(data.draw(_wild)), score=data.draw(_wild), step=1)
        results[place] = made_up(
            plan.runs[place], train=scores[0], test=scores[1], best_test=scores[2], best=best, losses=np.zeros(0)
        )
    for figure in all_figures(config, plan, results, measure):
        json.dumps(figure, allow_nan=False)
        assert all(math.isfinite(number) for number in numbers(figure))
    shown = [
        told[0] for trace in dots(frontier(results, measure, config=config, plan=plan)) for told in trace["customdata"]
    ]
    assert sorted(shown) == sorted(place for place in some if math.isfinite(measure.of_run(results[place])))


@pytest.mark.parametrize("measure", MEASURES[:2], ids=lambda measure: measure.title)
def test_of_nothing_and_of_one_point(measure):
    for figure in all_figures(CONFIG, PLAN, {}, measure):
        json.dumps(figure, allow_nan=False)
    assert dots(frontier({}, measure)) == [] and traces(frontier({}, measure), name="Pareto front") == []
    config = grid(ranks=(2,))
    plan = plan_sweep(config, ROOM)
    for figure in all_figures(config, plan, results_of(plan), measure):
        json.dumps(figure, allow_nan=False)
    (front,) = traces(frontier(results_of(plan), measure, config=config, plan=plan), name="Pareto front")
    assert front["x"][0] == front["x"][1]


@pytest.mark.timeout(30)
def test_five_thousand_runs():
    config = grid(
        teacher_in_modes=(8, 8), teacher_out_modes=(8, 8), in_modes=(8, 8), out_modes=(8, 8),
        factorizations=("8,8->8,8", "64,1->1,64"), ranks=tuple(range(1, 51)), seeds=range(50),
    )  # fmt: skip
    plan = plan_sweep(config, ROOM)
    assert len(plan.runs) == 5000
    results = results_of(plan)
    figures = all_figures(config, plan, results, MEASURES[0])
    assert sum(len(trace["x"]) for trace in dots(figures[0])) == 5000
    assert all(len(json.dumps(figure, allow_nan=False)) < 2_000_000 for figure in figures)
    points: list[Point] = summarize(results, MEASURES[0])
    assert len(points) == 100
