from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dashboard.figures import (
    MAX_POINTS,
    MOST_WRITTEN_CLASSES,
    Axes,
    Line,
    confusion_figure,
    digits,
    loss_figure,
    prediction_figure,
    score_figure,
    weight_figure,
    weight_limit,
)
from dashboard.live_run import legend_names
from tests.pictures import classes_run, curve_of, finished_run, run_snapshot
from tests.tables import tiny
from ttcore.config import TrainConfig
from ttcore.curves import CurveView
from ttcore.events import FullModel, Scores
from ttcore.scoring import CLASSIFICATION

BOTH = (False, True)
ALL_AXES = [
    Axes(x=x, log_x=log_x, log_loss=log_loss) for x in ("steps", "seconds") for log_x in BOTH for log_loss in BOTH
]
FULL_MODEL = FullModel(
    parameters=48, train=Scores(loss=1e-29, score=1.0), test=Scores(loss=0.9, score=0.1), weight=np.ones((4, 12))
)
EMPTY = curve_of(np.empty(0))


def both(curve: CurveView | None, axes: Axes, *, kept: tuple[Line, ...] = (), full: FullModel | None = FULL_MODEL):
    shown = None if curve is None else Line("train", curve)
    return loss_figure(shown, kept, full, axes, "r"), score_figure(shown, kept, full, axes, "r")


def of_classes(curve: CurveView, axes: Axes, *, kept: tuple[Line, ...] = (), full: FullModel | None = FULL_MODEL):
    return [
        figure(Line("train", curve), kept, full, axes, "r", CLASSIFICATION) for figure in (loss_figure, score_figure)
    ]


def line(figure: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [trace for trace in figure["data"] if trace["name"] == name]
    return found


def losses(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.geomspace(1, 1e-3, count) * rng.uniform(0.9, 1.1, count)


def test_digits_between_the_powers_of_ten_are_few():
    axes = Axes(x="steps", log_x=False, log_loss=True)
    narrow, _ = both(curve_of(np.geomspace(1, 0.05, 50)), axes)
    wide, _ = both(curve_of(np.geomspace(1, 1e-9, 50)), axes)
    assert narrow["layout"]["yaxis"]["dtick"] == "D2"
    assert "dtick" not in wide["layout"]["yaxis"]
    # Between 0.8 and 0.4 there would be the 5 alone; there plotly finds numbers by itself.
    flat, _ = both(curve_of(np.geomspace(0.8, 0.4, 50)), axes, full=None)
    assert "dtick" not in flat["layout"]["yaxis"] and flat["layout"]["yaxis"]["nticks"] == 5
    linear, _ = both(curve_of(np.geomspace(1, 0.05, 50)), Axes(x="steps", log_x=False, log_loss=False))
    assert "dtick" not in linear["layout"]["yaxis"]


@pytest.mark.parametrize("axes", ALL_AXES, ids=str)
@pytest.mark.parametrize("count", [0, 1, 2, 30, 999, 1000, 1001, 20_000])
def test_every_curve_has_few_points_and_plain_numbers(count, axes):
    for figure in both(curve_of(losses(count)), axes):
        json.dumps(figure, allow_nan=False)
        for trace in figure["data"]:
            assert len(trace["x"]) == len(trace["y"]) <= MAX_POINTS
            assert all(x is not None and math.isfinite(x) for x in trace["x"])
            assert trace["x"] == sorted(trace["x"])


@pytest.mark.parametrize("axes", ALL_AXES, ids=str)
@pytest.mark.parametrize("at", [1, 7, 4_999, 12_345, 19_998])
def test_a_spike_of_one_step_is_never_thinned_away(at, axes):
    values = losses(20_000)
    values[at] = 50
    loss, r2 = both(curve_of(values), axes)
    assert max(line(loss, "train")["y"]) == 50
    assert min(line(r2, "train")["y"]) == pytest.approx(1 - 50, rel=1e-3)


@pytest.mark.parametrize("axes", ALL_AXES, ids=str)
@pytest.mark.parametrize("count", [1, 2, 3_000])
def test_on_a_logarithmic_axis_everything_has_a_place(count, axes):
    for figure in both(curve_of(losses(count)), axes):
        assert figure["layout"]["xaxis"]["type"] == ("log" if axes.log_x else "linear")
        for trace in figure["data"]:
            if axes.log_x:
                assert min(trace["x"], default=1) > 0
            if trace["name"].startswith("full model"):
                assert trace["x"][0] < trace["x"][1]
                assert trace["x"][1] >= 0.999 * max(line(figure, "train")["x"])
    assert both(None, axes)[0]["layout"]["yaxis"]["type"] == ("log" if axes.log_loss else "linear")


def test_the_first_and_the_last_step_are_drawn():
    values = losses(20_000)
    loss, _ = both(curve_of(values), Axes())
    drawn = line(loss, "train")
    assert (drawn["x"][0], drawn["x"][-1]) == (0, 19_999)
    assert (drawn["y"][0], drawn["y"][-1]) == (float(f"{values[0]:.5g}"), float(f"{values[-1]:.5g}"))


def test_seconds_are_those_of_training():
    curve = curve_of(losses(100), seconds=5.0)
    loss, _ = both(curve, Axes(x="seconds"))
    assert loss["layout"]["xaxis"]["title"]["text"] == "seconds of training"
    assert 4.9 < line(loss, "train")["x"][-1] <= 5.0


def test_losses_that_are_not_finite_leave_a_gap():
    values = losses(50)
    values[-3:] = [math.inf, math.nan, math.inf]
    for axes in ALL_AXES:
        for figure in both(curve_of(values), axes):
            json.dumps(figure, allow_nan=False)
            assert line(figure, "train")["y"][-3:] == [None, None, None]


def test_scores_that_are_not_finite_are_plain_numbers_all_the_same():
    nothing = Scores(loss=math.nan, score=-math.inf)
    broken = FullModel(parameters=1, train=nothing, test=nothing, weight=np.ones((1, 1)))
    curve = curve_of(losses(5))
    curve.measured.flags.writeable = True
    curve.measured[:, 4], curve.measured[:, 5] = math.inf, -math.inf
    for figure in both(curve, Axes(), full=broken):
        json.dumps(figure, allow_nan=False)


def test_r2_follows_from_each_loss():
    values = losses(40)
    _, figure = both(curve_of(values, spread=2.0), Axes())
    np.testing.assert_allclose(line(figure, "train")["y"], 1 - values / 2.0, rtol=1e-4, atol=1e-4)


def test_before_anything_was_measured_there_is_no_r2_but_a_loss():
    curve = curve_of(losses(5))
    unmeasured = CurveView(curve.losses, curve.marks, curve.measured[:0], curve.extremes)
    loss, r2 = both(unmeasured, Axes(), full=None)
    assert len(line(loss, "train")["y"]) == 5
    assert line(r2, "train")["y"] == line(r2, "train")["x"] == []


def test_without_a_run_there_are_axes():
    for figure in both(None, Axes(), full=None):
        assert figure["data"] == []
        assert figure["layout"]["xaxis"]["title"]["text"] == "steps"


def test_an_empty_run_beside_a_kept_one():
    for axes in ALL_AXES:
        for figure in both(EMPTY, axes, kept=(Line("run 1", curve_of(losses(50))),)):
            json.dumps(figure, allow_nan=False)
            assert len(line(figure, "run 1")["x"]) == 50


def test_kept_lines_have_colours_of_their_own():
    kept = tuple(Line(f"run {number}", curve_of(losses(10))) for number in range(5))
    for figure in both(curve_of(losses(10)), Axes(), kept=kept):
        colours = [trace["line"]["color"] for trace in figure["data"] if not trace["name"].startswith("full model")]
        assert len(set(colours)) == len(colours) == 7


def test_more_kept_lines_than_colours():
    kept = tuple(Line(f"run {number}", curve_of(losses(10))) for number in range(20))
    assert len(both(None, Axes(), kept=kept, full=None)[0]["data"]) == 20


def test_lines_are_named_by_the_settings_in_which_the_runs_differ():
    runs = [
        run_snapshot(tiny(lr=0.1, ranks=(2,)), number=1),
        run_snapshot(tiny(lr=0.02, ranks=(2,)), number=2),
        run_snapshot(tiny(lr=0.02, ranks=(4,), target=0.5), number=4),
    ]
    assert legend_names(runs) == [
        "run 1: ranks 2, lr 0.1, target none",
        "run 2: ranks 2, lr 0.02, target none",
        "run 4: ranks 4, lr 0.02, target 0.5",
    ]
    assert legend_names(runs[:1]) == ["run 1"]
    assert legend_names([runs[0], runs[0]]) == ["run 1", "run 1"]
    assert legend_names([]) == []


def test_runs_on_other_data_are_named_by_their_data():
    runs = [
        run_snapshot(classes_run(), number=1),
        run_snapshot(classes_run(train=TrainConfig(seed=4)), number=2),
        run_snapshot(tiny(), number=3),
    ]
    first, second, third = legend_names(runs)
    assert first.startswith("run 1: Wine, in modes 5·3, lr 0.02, ") and "seed 0" in first
    assert second.startswith("run 2: Wine, ") and third.startswith("run 3: Planted, ")
    assert not any("teacher" in name or "fraction" in name for name in (first, second, third))


def test_the_zoom_belongs_to_a_revision():
    assert [figure["layout"]["uirevision"] for figure in both(EMPTY, Axes())] == ["r", "r"]


def test_r2_below_zero_is_seen_but_does_not_squeeze_the_rest():
    def lowest(test_r2: float) -> float:
        curve = curve_of(losses(5))
        curve.measured.flags.writeable = True
        curve.measured[:, 5] = test_r2
        return both(curve, Axes())[1]["layout"]["yaxis"]["range"][0]

    assert lowest(0.5) == pytest.approx(-0.08)
    assert -1.2 < lowest(-1.0) < -1.0
    assert -3.2 < lowest(-1e9) < -3.0


# ---- classes --------------------------------------------------------------------------------------------------------


@st.composite
def class_curves(draw: st.DrawFn) -> CurveView:
    """The curve of any run on classes, and whatever was measured on its way."""
    rates = draw(st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=60))
    entropy = st.floats(0, 10) | st.sampled_from([math.nan, math.inf])
    values = draw(st.lists(entropy, min_size=len(rates), max_size=len(rates)))
    return curve_of(np.array(values), seconds=draw(st.floats(0, 100)), accuracies=np.array(rates))


@given(class_curves(), st.sampled_from(ALL_AXES), st.booleans())
@settings(deadline=None, max_examples=60)
def test_accuracy_is_drawn_where_it_was_measured_and_nowhere_else(curve, axes, keep):
    kept = (Line("run 1", curve),) if keep else ()
    loss, accuracy = of_classes(curve, axes, kept=kept)
    for figure in (loss, accuracy):
        json.dumps(figure, allow_nan=False)
    assert loss["layout"]["yaxis"]["title"]["text"] == "cross-entropy"
    assert accuracy["layout"]["yaxis"]["title"]["text"] == "accuracy"
    assert accuracy["layout"]["yaxis"]["range"] == [0.0, 1.05]
    assert len(line(loss, "train")["y"]) == len(curve.losses)
    for name, column in [("train", 3), ("test", 5), *([("run 1", 3)] if keep else [])]:
        drawn = [math.nan if value is None else value for value in line(accuracy, name)["y"]]
        np.testing.assert_allclose(drawn, curve.measured[:, column], rtol=1e-4)
    if axes.x == "steps":
        assert line(accuracy, "train")["x"] == np.maximum(curve.measured[:, 0], 0.5 * axes.log_x).tolist()
    assert {"full model, train", "full model, test"} <= {trace["name"] for trace in accuracy["data"]}


def test_many_measured_accuracies_are_few_points_with_every_extreme():
    measured = np.zeros((5_000, 6))
    measured[:, 0] = np.arange(5_000)
    measured[:, 3] = 0.5
    measured[1234, 3] = 0.01
    curve = curve_of(losses(50))
    _, accuracy = of_classes(CurveView(curve.losses, curve.marks, measured, curve.extremes), Axes())
    assert len(line(accuracy, "train")["y"]) <= MAX_POINTS
    assert min(line(accuracy, "train")["y"]) == 0.01


# ---- pictures of the result -----------------------------------------------------------------------------------------


def test_predictions_beside_the_line_of_agreement():
    finished = finished_run()
    for part, title in (("train", "Training samples: R² 0.9000"), ("test", "Unseen samples: R² 0.5000")):
        figure = prediction_figure(finished, part)  # type: ignore[arg-type]
        json.dumps(figure, allow_nan=False)
        assert figure["layout"]["title"]["text"] == title
        points = line(figure, part)
        np.testing.assert_allclose(points["x"], finished.predictions[part][0], rtol=1e-4)
        perfect = line(figure, "perfect")
        assert perfect["x"] == perfect["y"] == [min(finished.predictions[part][0]), max(finished.predictions[part][0])]


@pytest.mark.parametrize("points", [np.empty((2, 0)), np.full((2, 3), np.nan), np.full((2, 3), np.inf)])
def test_predictions_of_nothing_and_of_no_numbers(points):
    json.dumps(prediction_figure(finished_run(predictions={"train": points, "test": points}), "train"), allow_nan=False)


@given(
    st.integers(1, 40).flatmap(lambda size: arrays(np.int64, (size, size), elements=st.integers(0, 10**6))),
    st.sampled_from(["train", "test"]),
)
@settings(deadline=None, max_examples=40)
def test_the_cells_of_a_confusion_matrix_have_its_counts(counts, part):
    names = [f"class {number}" for number in range(len(counts))]
    figure = confusion_figure(finished_run(confusion={part: counts}), part, names)
    json.dumps(figure, allow_nan=False)
    right, mistaken = figure["data"]
    for row, column in np.ndindex(*counts.shape):
        here = right if row == column else mistaken
        other = mistaken if row == column else right
        assert here["z"][row][column] == (counts[row, column] or (0 if row == column else None))
        assert other["z"][row][column] is None
    # The first class is at the top, as in a table.
    assert figure["layout"]["yaxis"]["range"] == figure["layout"]["xaxis"]["range"][::-1]
    assert figure["layout"]["xaxis"]["ticktext"] == figure["layout"]["yaxis"]["ticktext"] == names
    few = len(counts) <= MOST_WRITTEN_CLASSES
    assert ("texttemplate" in right) == ("texttemplate" in mistaken) == few
    assert figure["layout"]["xaxis"]["showticklabels"] == few


def test_a_confusion_matrix_says_whose_it_is_and_names_the_classes():
    run = finished_run(confusion={"train": np.eye(3, dtype=int), "test": np.eye(3, dtype=int)})
    figure = confusion_figure(run, "test", ["<b>red</b>", "a very long name indeed", "x"])
    assert figure["layout"]["title"]["text"] == "Unseen samples: accuracy 0.5000"
    assert figure["layout"]["xaxis"]["ticktext"] == ["&lt;b&gt;red&lt;/b&gt;", "a very long nam…", "x"]
    assert confusion_figure(run, "train", [])["layout"]["xaxis"]["ticktext"] == ["0", "1", "2"]
    assert confusion_figure(run, "train", [])["layout"]["title"]["text"] == "Training samples: accuracy 0.9000"


def test_a_score_that_is_not_there_is_a_dash():
    assert [digits(value) for value in (None, math.nan, -math.inf, 0.96944)] == ["–", "–", "–", "0.9694"]


def test_weights_share_one_scale_that_one_spike_does_not_pale():
    plain = np.linspace(-1, 1, 10_000).reshape(10, -1)
    spiked = plain.copy()
    spiked[3, 4] = 1e6
    limit = weight_limit(plain, spiked)
    assert 0.9 < limit <= 1.1
    figure = weight_figure(spiked, "title", limit)
    json.dumps(figure, allow_nan=False)
    (heat,) = figure["data"]
    assert (heat["zmin"], heat["zmax"]) == (-limit, limit)
    assert (len(heat["z"]), len(heat["z"][0])) == (10, 1000)


@pytest.mark.parametrize(
    "weights", [(), (np.zeros((0, 0)),), (np.zeros((3, 4)),), (np.array([[1.0, np.nan], [np.inf, -2.0]]),)], ids=str
)
def test_a_scale_is_always_a_positive_number(weights):
    limit = weight_limit(*weights)
    assert 0 < limit < math.inf
    for weight in weights:
        json.dumps(weight_figure(weight, "", limit), allow_nan=False)
