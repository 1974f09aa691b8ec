"""The Trade-off page as Streamlit runs it, without a browser."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from dashboard import session
from dashboard.address import text
from dashboard.run_settings import RUN
from dashboard.sweep_settings import SWEEP
from tests.sweeps import ROOM, grid_of_classes
from tests.test_pages import forget_server, preset_with
from tests.test_sweep_settings import config_of
from ttcore import machine
from ttcore.engine import Engine
from ttcore.frontier import Measure, budget_sentence, cheapest_sentence, summarize
from ttcore.scoring import CLASSIFICATION
from ttcore.sweep import SweepSnapshot, SweepState
from ttcore.sweep_export import places_of, read_sweep, sweep_object
from ttcore.sweep_plan import plan_sweep
from ttcore.sweep_presets import SWEEPS
from ttcore.sweeps import HeldSweep

APP = Path(__file__).resolve().parent.parent / "dashboard" / "router.py"
PAGE = "../pages/tradeoff.py"
PATIENCE = 60.0
# Twelve runs: the ranks 1 to 3, of the low-rank layer and of two cores, with two seeds each.
TINY = {
    "preset": "planted", "tin": "3,4", "tout": "2,2", "trank": "2", "ntrain": "20", "ntest": "16", "cores": "low,2",
    "ranks": "1-3", "seeds": "0-1", "steps": "40", "threads": "1",
}  # fmt: skip
ENDLESS = TINY | {"steps": "10000000"}
COOKIE = "an-owner-of-twenty-and-more-letters"
# A port on which nobody listens.
NOWHERE = "tcp://127.0.0.1:1"
Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The engine behind the pages of this module."""
    forget_server()
    shared = session.engine()
    assert shared.wait_until_ready(PATIENCE)
    yield shared
    shared.close()
    forget_server()


@pytest.fixture
def open_page(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens the page for a new visitor at an address with these settings; what was started ends with the test."""
    cookies: dict[str, str] = {}
    monkeypatch.setattr(type(st.context), "cookies", property(lambda self: cookies))

    def opened(cookie: str = "", **settings: str) -> AppTest:
        cookies.clear()
        if cookie:
            cookies["tensor_train_owner"] = cookie
        app = AppTest.from_file(str(APP), default_timeout=PATIENCE)
        app._page_hash = calc_hash("trade-off")
        for key, value in settings.items():
            app.query_params[key] = value
        return drawn(app.run())

    yield opened
    session.sweeps().close()


@pytest.fixture(scope="module")
def done(engine: Engine) -> HeldSweep:
    """A small sweep that has ended."""
    values, wrong = SWEEP.interpret(TINY)
    assert not wrong
    config = config_of(values)
    held = session.sweeps().get(session.sweeps().start(config, "somebody"))
    assert held is not None and held.sweep.wait(PATIENCE)
    return held


def drawn(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def press(app: AppTest, name: str) -> AppTest:
    app.button(key=f"sweep_{name}").click()
    return drawn(app.run())


def typed(app: AppTest, **texts: str) -> AppTest:
    for key, value in texts.items():
        app.text_input(key=f"sweep_{key}").set_value(value)
    return drawn(app.run())


def group(app: AppTest, key: str) -> Any:
    (found,) = [element for element in app.get("button_group") if element.key == key]
    return found


def pick(app: AppTest, key: str, *values: str) -> AppTest:
    """Set pills or a segmented control."""
    control = group(app, key)
    control.set_value(list(values) if key in ("sweep_cores", "sweep_opts") else values[0])
    return drawn(app.run())


def enabled(app: AppTest) -> set[str]:
    """The buttons that can be pressed."""
    names = ("start", "pause", "resume", "stop", "reset")
    return {name for button in app.button if (name := str(button.key)[6:]) in names and not button.disabled}


def settings_of(app: AppTest) -> dict[str, Any]:
    return {key: value[0] if isinstance(value, list) else value for key, value in app.query_params.items()}


def leaves(block: Any) -> Iterator[Any]:
    for child in block.children.values():
        if hasattr(child, "children"):
            yield from leaves(child)
        else:
            yield child


def beside(app: AppTest, key: str) -> str:
    """The error that stands right below a control, or nothing; so where the task has no such control."""
    elements = list(leaves(app.sidebar))
    keys = [getattr(element, "key", None) for element in elements]
    at = keys.index(f"sweep_{key}") if f"sweep_{key}" in keys else len(keys)
    after = elements[at + 1] if at + 1 < len(elements) else None
    return after.value if after is not None and after.type == "error" else ""


def grid_told(app: AppTest) -> str:
    """How many runs, as the page says it."""
    (told,) = [markdown.value for markdown in app.main.markdown if re.match(r"\*\*[\d,]+ runs?\*\*", markdown.value)]
    return told


def progress(app: AppTest) -> str:
    (bar,) = app.get("progress")
    return bar.proto.text


def figure(app: AppTest, key: str) -> dict[str, Any]:
    """What a live figure was given to draw."""
    for component in app.get("bidi_component"):
        data = json.loads(component.proto.json) if component.proto.json else {}
        if data.get("name") == key:
            return json.loads(data["figure"])
    raise KeyError(key)


def held_of(app: AppTest) -> HeldSweep:
    held = session.sweeps().get(settings_of(app)["sweep"])
    assert held is not None
    return held


def ended(app: AppTest) -> tuple[AppTest, SweepSnapshot]:
    """The page once its sweep has ended."""
    held = held_of(app)
    assert held.sweep.wait(PATIENCE)
    return drawn(app.run()), held.sweep.snapshot()


def until(held: HeldSweep, results: int) -> None:
    held.sweep.wait_for_more(results - 1, PATIENCE)
    assert len(held.sweep.snapshot().results) >= results


# ---- before anything runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", SWEEPS)
def test_the_page_opens_ready_for_every_preset(open_page, preset):
    app = open_page(preset=preset)
    assert not app.error and not app.warning
    assert enabled(app) == {"start"}
    config = SWEEPS[preset]
    assert settings_of(app) == ({} if preset == SWEEP.first else {"preset": preset})
    assert f"**{len(plan_sweep(config, ROOM).runs):,} runs**" in grid_told(app)
    assert "Ready" in progress(app)
    drawn_figure = figure(app, "frontier")
    assert [trace["name"].endswith("(to come)") for trace in drawn_figure["data"]] == [True] * len(
        config.factorizations
    ) * len(config.optimizers)


def test_a_click_on_a_preset_sets_every_control(open_page):
    app = open_page(**TINY)
    app.selectbox(key="sweep_preset").select("reference-fast")
    drawn(app.run())
    for key, value in SWEEP.preset_values("reference-fast").items():
        if "sweep_" + key in app.session_state:
            assert app.session_state["sweep_" + key] == value
    assert settings_of(app) == {"preset": "reference-fast"}


def test_what_the_grid_amounts_to_is_told_before_it_starts(open_page):
    app = open_page(**TINY)
    assert grid_told(app).startswith("**12 runs** (2 factorizations × 3 ranks × 2 seeds), about ")
    app = typed(app, ranks="1-6")
    # Low rank has four useful ranks, and the train of two cores has six.
    assert grid_told(app).startswith(
        "**20 runs** (2 factorizations × 6 ranks × 2 seeds, 4 of them redundant and merged), about "
    )
    assert any("low rank: ranks 4-6 are the same layer" in caption.value for caption in app.main.caption)
    app = pick(typed(app, seeds="7", ranks="2", rates="0.1, 0.2"), "sweep_opts", "adam", "lbfgs")
    assert grid_told(app).startswith("**6 runs** (2 factorizations × 2 optimizers × 2 rates, 2 of them redundant")
    assert any("lbfgs has no learning rate" in caption.value for caption in app.main.caption)
    app = typed(pick(pick(app, "sweep_opts", "als"), "sweep_cores", "2"))
    assert grid_told(app).startswith("**1 run**, about ")


def test_runs_to_come_stand_in_the_picture_where_they_will_be(open_page):
    app = open_page(**TINY)
    low, two = figure(app, "frontier")["data"]
    assert (low["x"], two["x"]) == ([16, 32, 48], [14, 28, 42])
    app.selectbox(key="sweep_size").select("compression")
    low, two = figure(drawn(app.run()), "frontier")["data"]
    assert low["x"] == [3.0, 1.5, 1.0]


def test_only_what_differs_from_the_preset_stands_in_the_address(open_page):
    app = pick(pick(typed(open_page(), ranks="2-4", rates="0.1"), "sweep_cores", "3"), "sweep_opts", "sgd", "adam")
    assert settings_of(app) == {"ranks": "2-4", "rates": "0.1", "cores": "3", "opts": "adam,sgd"}
    usual = SWEEP.preset_values("reference")
    app = pick(
        pick(typed(app, ranks=usual["ranks"], rates=usual["rates"]), "sweep_cores", "4", "2"), "sweep_opts", "adam"
    )
    assert settings_of(app) == {}


def test_an_address_sets_the_controls(open_page):
    wanted = TINY | {
        "modes": "3,4->2,2", "rates": "0.1,0.2", "opts": "adam,sgd,als", "momentum": "0.5", "decay": "0.25",
        "target": "0.9", "init": "he", "dtype": "float64", "device": "cpu", "ridge": "1e-06", "noise": "0.1",
        "dseed": "8",
    }  # fmt: skip
    app = open_page(**wanted)
    assert not app.error and not app.warning
    assert {key: text(app.session_state["sweep_" + key]) for key in wanted} == wanted
    assert settings_of(app) == wanted


# ---- what cannot be used --------------------------------------------------------------------------------------------


def test_garbage_in_every_setting_of_the_address_gets_a_sentence(open_page, engine, monkeypatch):
    garbage = "\u0000☃ '\"<script>"
    monkeypatch.setattr(engine, "machine", {"gpu": "A GPU", "torch": ""})
    base = {"sched": "decay", "opts": "adam,sgd,als"}
    for key in SWEEP.fields:
        app = open_page(**base | {"preset": preset_with(key), key: garbage})
        said = [warning.value for warning in app.sidebar.warning if f"`{key}" in warning.value]
        refused = beside(app, key)
        nothing_left = key in SWEEP.several and bool(refused)
        assert len(said) + bool(refused) == 1 + (nothing_left and bool(said)), key
        assert len(" ".join([*said, refused])) < 500
        assert (enabled(app) == {"start"}) == (not refused)


def test_garbage_in_every_setting_at_once(open_page):
    app = open_page(**dict.fromkeys(("preset", *SWEEP.fields, "nonsense", "sweep"), "garbage"))
    (warning,) = app.sidebar.warning
    for key in (*SWEEP.choices, *SWEEP.several, "nonsense"):
        assert f"`{key}" in warning.value
    for key in ("modes", "ranks", "seeds", "steps", "target", "threads"):
        assert "garbage" in beside(app, key)
    assert "choose at least one" in beside(app, "opts")
    assert "not known here" in app.toast[0].value
    assert enabled(app) == set()
    app.button(key="sweep_address_problems_read").click()
    assert len(drawn(app.run()).sidebar.warning) == 0


def test_a_sweep_in_the_address_that_is_not_known(open_page):
    app = open_page(sweep="no-such-sweep", **TINY)
    assert "not known here" in app.toast[0].value
    assert settings_of(app) == TINY
    assert enabled(app) == {"start"}


BAD = [
    ("ranks", "8-1", "counts nothing"),
    ("ranks", "", "is empty"),
    ("ranks", "1-99999", "more than 10,000"),
    ("ranks", "1-9999", "at most 5,000"),
    ("ranks", "0", "from 1"),
    ("ranks", "-4", "'-4'"),
    ("ranks", "2.5", "whole numbers"),
    ("ranks", "many", "'many'"),
    ("seeds", "-1", "'-1'"),
    ("seeds", "", "is empty"),
    ("seeds", "9" * 18, "from 0 to 4294967295"),
    ("rates", "0", "above 0"),
    ("rates", "0.1, nan", "nan"),
    ("rates", "1e999", "inf"),
    ("rates", "fast", "'fast'"),
    ("rates", "", "is empty"),
    ("modes", "8,8->2", "do not fit"),
    ("modes", "8,8->2,2", "64"),
    ("modes", "8,8,8,8", "input->output"),
    ("modes", "8,8,8,8->2,2,2,2; x->y", "whole numbers"),
    ("modes", "8->2->2", "input->output"),
    ("modes", "0,4096->4,4", "at least 1"),
    ("steps", "0", "from 1"),
    ("steps", "many", "'many'"),
    ("target", "1.5", "at most 1"),
    ("threads", "0", "from 1"),
]
BAD_PLANTED = [
    ("tin", "0,8", "at least 1"),
    ("trank", "0", "below 1"),
    ("ntrain", "1", "from 2"),
    ("noise", "x", "'x'"),
]


@pytest.mark.parametrize(("rows", "preset"), [(BAD, "reference"), (BAD_PLANTED, "planted")], ids=["grid", "data"])
def test_bad_input_gets_one_sentence_beside_its_control(open_page, rows, preset):
    app = open_page(preset=preset)
    for key, bad, expected in rows:
        app = typed(app, **{key: bad})
        (error,) = app.error
        assert beside(app, key) == error.value, (key, bad)
        assert expected in error.value
        assert error.value.endswith(".") and not error.value.endswith("..")
        assert len(error.value) < 300
        assert enabled(app) == set()
        assert "cannot be used" in app.main.warning[0].value
        app = typed(app, **{key: str(SWEEP.preset_values(preset)[key])})
        assert not app.error and enabled(app) == {"start"}


def test_at_least_one_optimizer_and_one_factorization(open_page):
    app = pick(pick(open_page(**TINY), "sweep_opts"), "sweep_cores")
    assert beside(app, "opts") == "no optimizer is chosen; choose at least one."
    assert beside(app, "cores") == "no factorization is chosen; pick a number of cores, or type modes."
    assert len(app.error) == 2 and enabled(app) == set()
    app = pick(typed(app, modes="3,4->2,2"), "sweep_opts", "lbfgs")
    assert not app.error and enabled(app) == {"start"}
    assert "sweep_rates" not in {getattr(element, "key", None) for element in leaves(app.sidebar)}


def test_what_does_not_fit_in_memory_is_refused(open_page, monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 2 * 2**30)
    app = open_page(preset="planted", ntrain="10000000")
    (error,) = app.error
    assert beside(app, "ntrain") == error.value
    assert "iB" in error.value and enabled(app) == set()


def test_cuda_without_a_gpu_is_refused(open_page, engine, monkeypatch):
    monkeypatch.setattr(engine, "machine", {"gpu": "", "torch": ""})
    app = open_page(device="cuda")
    assert "no CUDA GPU; use auto or cpu" in beside(app, "device")
    assert enabled(app) == set()


# ---- what has ended -------------------------------------------------------------------------------------------------


def test_the_answers_have_the_right_numbers(open_page, done):
    app = open_page(sweep=done.id, **TINY)
    now = done.sweep.snapshot()
    assert progress(app).startswith("All 12 runs are done.")
    said = [markdown.value for markdown in app.main.markdown]
    points = summarize(now.results, Measure())
    assert cheapest_sentence(points, Measure()) in said
    # Half of 48 parameters: of so few a twentieth would be none.
    assert budget_sentence(points, Measure(), 24) in said
    app.text_input(key="sweep_budget").set_value("30")
    app = pick(pick(drawn(app.run()), "sweep_score", "train loss"), "sweep_moment", "best")
    measure = Measure("train", "loss", "best")
    points = summarize(now.results, measure)
    said = [markdown.value for markdown in app.main.markdown]
    assert cheapest_sentence(points, measure) in said
    assert budget_sentence(points, measure, 30) in said
    assert figure(app, "frontier")["layout"]["yaxis"]["title"]["text"] == measure.title


@pytest.mark.parametrize("budget", ["", "x", "0", "-5 %", "0.001 %", "nan", "1e99"])
def test_a_budget_that_is_none_gets_a_sentence(open_page, done, budget):
    app = open_page(sweep=done.id, **TINY)
    app.text_input(key="sweep_budget").set_value(budget)
    (error,) = drawn(app.run()).main.error
    assert "the budget must be at least 1 parameter" in error.value
    assert enabled(app) == {"start", "reset"}


def test_every_view_is_drawn(open_page, done):
    app = open_page(sweep=done.id, **TINY)
    from dashboard.sweep_view import MEASURES

    assert group(app, "sweep_score").options == ["test R²", "train R²", "test MSE", "train MSE"]
    for key, score in zip(MEASURES, group(app, "sweep_score").options, strict=True):
        app = pick(app, "sweep_score", key)
        assert figure(app, "heat")["data"][0]["y"] == ["low rank", "4·3 → 2·2"]
        app = pick(app, "sweep_view", "Parallel coordinates")
        assert figure(app, "parallel")["data"][0]["dimensions"][-1]["label"].endswith(score)
        app = pick(app, "sweep_view", "Rank along the train")
        assert figure(app, "spectrum")["data"] and figure(app, "rounding")["data"]
        app = pick(app, "sweep_view", "Heat map")
    app = pick(app, "sweep_view", "Table")
    assert len(app.dataframe[0].value) == 6
    app = pick(app, "sweep_rows", "every run")
    assert len(app.dataframe[0].value) == 12
    app = pick(app, "sweep_rows", "models to compare with")
    assert len(app.dataframe[0].value) == len(done.sweep.snapshot().baselines)


def test_a_sweep_over_classes_speaks_of_accuracy(open_page):
    config = grid_of_classes()
    held = session.sweeps().get(session.sweeps().start(config, "somebody"))
    assert held is not None and held.sweep.wait(PATIENCE)
    app = open_page(sweep=held.id)
    assert group(app, "sweep_score").options == [
        "test accuracy",
        "train accuracy",
        "test cross-entropy",
        "train cross-entropy",
    ]
    measure = Measure(scoring=CLASSIFICATION)
    sentence = cheapest_sentence(summarize(held.sweep.snapshot().results, measure), measure)
    assert "test accuracy" in sentence and sentence in [markdown.value for markdown in app.main.markdown]
    names = {trace["name"] for trace in figure(app, "frontier")["data"]}
    assert {"constant", "full model", "ridge", "low-rank logistic", "low rank"} <= names
    app = pick(app, "sweep_score", "train loss")
    assert "ridge" not in {trace["name"] for trace in figure(app, "frontier")["data"]}
    for view in ("Heat map", "Parallel coordinates", "Table", "Rank along the train"):
        app = pick(app, "sweep_view", view)
        assert not app.main.error
    assert {"Train accuracy", "Test accuracy"} <= {metric.label for metric in app.metric}
    app.session_state["sweep_chosen"] = (held.id, [0])
    app = pick(drawn(app.run()), "sweep_view", "Loss curves")
    assert figure(app, "sweep_losses")["layout"]["yaxis"]["title"]["text"] == "cross-entropy"
    assert figure(app, "sweep_scores")["layout"]["yaxis"]["title"]["text"] == "accuracy"
    # The choice outlives a look at a sweep of another kind.
    app.query_params["sweep"] = "none"
    assert group(drawn(app.run()), "sweep_score").value == "train loss"


def test_rounding_by_rank_and_by_tolerance(open_page, done):
    app = pick(open_page(sweep=done.id, **TINY), "sweep_view", "Rank along the train")
    app.session_state["sweep_chosen"] = (done.id, [10])
    app = pick(app, "round_by", "a tolerance")
    for tolerance in (0.0, 0.9):
        app.select_slider(key="round_tolerance").set_value(tolerance)
        drawn(app.run())
    app = pick(app, "round_by", "a rank")
    app.slider(key="round_rank_3").set_value(1)
    drawn(app.run())
    assert {metric.label: metric.value for metric in app.metric}["Ranks"] == "1"
    app.session_state["sweep_chosen"] = (done.id, [0])
    assert any("rank is 1 already" in caption.value for caption in drawn(app.run()).caption)


def test_curves_that_were_clicked_lie_beside_each_other(open_page, done):
    app = pick(open_page(sweep=done.id, **TINY), "sweep_view", "Loss curves")
    assert any("Click points" in info.value for info in app.info)
    app.session_state["sweep_chosen"] = (done.id, [1, 11, 999])
    app = drawn(app.run())
    lines = [trace["name"] for trace in figure(app, "sweep_losses")["data"]]
    first, second = lines[:2]
    assert "seed 1" not in first and "ranks 1" in first and "ranks 3" in second
    assert [trace["name"] for trace in figure(app, "sweep_scores")["data"]][:2] == [first, second]
    app.button(key="sweep_clear").click()
    assert any("Click points" in info.value for info in drawn(app.run()).info)


def test_a_click_lays_a_curve_beside_the_others_or_opens_the_run(open_page, monkeypatch):
    open_page()
    # Its links to pages are made by the first page of a process.
    from dashboard import sweep_view

    state: dict[str, Any] = _State()
    monkeypatch.setattr(st, "session_state", state)
    for place in (3, 1, 3, "no place", None):
        sweep_view._clicked("a", place)
    assert sweep_view._chosen("a") == [1, 3]
    assert sweep_view._chosen("b") == []
    assert state["sweep_view"] == "Loss curves"
    state["sweep_view"] = sweep_view.VIEWS[-1]
    for place in range(20):
        sweep_view._clicked("a", place)
    assert sweep_view._chosen("a") == list(range(20 - sweep_view.MOST_CURVES, 20))
    assert state["sweep_view"] == sweep_view.VIEWS[-1]
    state["sweep_click"] = sweep_view.OPEN
    sweep_view._clicked("a", 5)
    assert state["sweep_opening"] == 5


class _State(dict):
    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


@pytest.mark.parametrize("cold", [False, True], ids=["after the Train page", "as the first page"])
def test_a_run_that_is_opened_stands_on_the_train_page_and_in_the_history(open_page, done, engine, cold):
    app = open_page(sweep=done.id, **TINY)
    if not cold:
        drawn(app.switch_page("../pages/train.py").run())
        drawn(app.switch_page(PAGE).run())
    app.session_state["sweep_opening"] = 10
    app = drawn(app.run())
    result = done.sweep.snapshot().results[10]
    (run,) = engine.runs(app.session_state["owner"])
    assert run.config == result.config
    expected = RUN.values_of(result.config)
    assert {key: app.session_state[key] for key in ("preset", "in", "out", "rank", "seed", "steps", "lr")} == {
        key: expected[key] for key in ("preset", "in", "out", "rank", "seed", "steps", "lr")
    }
    assert settings_of(app) == RUN.deviations(expected) | {"run": run.id}
    train = next(trace for trace in figure(app, "loss_curve")["data"] if trace["name"] == "train")
    assert len(train["y"]) == len(result.losses)
    assert any(markdown.value.startswith(f"**Run {run.number}.**") for markdown in app.markdown)
    assert {metric.label: metric.value for metric in app.metric}["Steps per second"] != "–"
    app = drawn(app.switch_page("../pages/runs.py").run())
    (shown,) = app.dataframe
    assert list(shown.value["run"]) == [run.number]
    assert list(shown.value["train R²"]) == [result.train.score]
    assert list(shown.value["seconds"]) == [result.seconds]


def test_a_run_without_cores_opens_its_settings(open_page, engine, monkeypatch):
    app = press(open_page(**TINY | {"ranks": "2", "seeds": "3", "cores": "2"}), "start")
    app, _ = ended(app)
    sweep = held_of(app).sweep
    sweep._results = {0: replace(sweep._results[0], cores=(), losses=np.zeros(0))}
    app = pick(app, "sweep_view", "Rank along the train")
    assert any("too large" in info.value for info in app.info)
    app.session_state["sweep_opening"] = 0
    app = drawn(app.run())
    assert engine.runs(app.session_state["owner"]) == []
    assert (app.session_state["in"], app.session_state["seed"], app.session_state["rank"]) == ("4,3", "3", 2)
    assert "run" not in settings_of(app)


# ---- while it goes on -----------------------------------------------------------------------------------------------


def test_from_the_start_to_the_end(open_page):
    app = press(open_page(**TINY), "start")
    assert settings_of(app) == TINY | {"sweep": held_of(app).id}
    app, now = ended(app)
    assert now.config == config_of(SWEEP.interpret(TINY)[0])
    assert len(now.results) == 12 and not now.failures
    assert progress(app).startswith("All 12 runs are done.")
    assert enabled(app) == {"start", "reset"}
    names = [trace["name"] for trace in figure(app, "frontier")["data"]]
    assert not any("to come" in name for name in names)
    assert {"Pareto front", "low rank", "4·3 → 2·2", "full model", "ridge"} <= set(names)
    files = {getattr(button, "label", "") for button in app.get("download_button")}
    assert files >= {"CSV", "JSON", "Figures (HTML)", "Script with ttcore"}
    app = press(app, "reset")
    assert "sweep" not in settings_of(app)
    assert enabled(app) == {"start"} and "Ready" in progress(app)


def test_pause_resume_and_stop(open_page):
    app = press(open_page(**ENDLESS), "start")
    held = held_of(app)
    assert enabled(app) == {"pause", "stop", "reset"} and progress(app).startswith("Sweeping · 0 of 12")
    app = press(app, "pause")
    assert enabled(app) == {"resume", "stop", "reset"} and progress(app).startswith("Paused · 0 of 12 runs")
    assert held.sweep.snapshot().state is SweepState.PAUSED
    app = press(app, "resume")
    assert enabled(app) == {"pause", "stop", "reset"} and held.sweep.snapshot().state is SweepState.RUNNING
    app = press(app, "stop")
    assert progress(app).startswith("Stopped: 0 of 12 runs are done and kept.")
    assert enabled(app) == {"start", "reset"}


def test_a_sweep_that_was_paused_comes_to_its_end(open_page):
    app = press(open_page(**TINY | {"steps": "3000", "ranks": "2-3", "cores": "2"}), "start")
    for _ in range(2):
        app = press(press(app, "pause"), "resume")
    app, now = ended(app)
    assert len(now.results) == 4 and not now.failures
    assert all(run.steps == 3000 for run in now.results.values())


def test_reset_ends_it(open_page):
    app = press(open_page(**ENDLESS), "start")
    held = held_of(app)
    app = press(app, "reset")
    assert not held.sweep.snapshot().active
    assert "sweep" not in settings_of(app) and enabled(app) == {"start"}


def test_starting_anew_ends_the_one_before_with_what_it_has(open_page):
    app = press(open_page(**TINY | {"steps": "20000", "cores": "2,low"}), "start")
    first = held_of(app)
    assert "start" not in enabled(app)
    until(first, 1)
    app = typed(app, steps="10000000")
    assert "start" in enabled(app)
    app = press(app, "start")
    second = held_of(app)
    assert second.id != first.id
    before = first.sweep.snapshot()
    assert not before.active and len(before.results) > 0
    assert second.sweep.snapshot().active


def test_bad_input_disturbs_nothing_that_runs(open_page):
    app = typed(press(open_page(**ENDLESS), "start"), rates="nan")
    assert held_of(app).sweep.snapshot().active
    assert enabled(app) == {"pause", "stop", "reset"}


def test_who_follows_a_link_may_watch_but_not_touch(open_page):
    app = press(open_page(**ENDLESS), "start")
    held = held_of(app)
    guest = open_page(**settings_of(app))
    assert any("only they can pause or stop" in info.value for info in guest.info)
    assert enabled(guest) == {"start", "reset"}
    guest = press(guest, "reset")
    assert "sweep" not in settings_of(guest)
    assert held.sweep.snapshot().active
    guest = open_page(**settings_of(app))
    guest = press(guest, "start")
    assert held_of(guest).id != held.id
    assert held.sweep.snapshot().active


def test_the_browser_that_started_it_may_pause_it(open_page):
    app = press(open_page(COOKIE, **ENDLESS), "start")
    again = open_page(COOKIE, **settings_of(app))
    assert enabled(again) == {"pause", "stop", "reset"}
    assert not again.info
    press(again, "stop")
    assert not held_of(app).sweep.snapshot().active


def test_it_survives_a_look_at_another_page(open_page):
    app = press(open_page(**ENDLESS), "start")
    held = held_of(app)
    drawn(app.switch_page("../pages/runs.py").run())
    app = drawn(app.switch_page(PAGE).run())
    assert held_of(app).id == held.id and held.sweep.snapshot().active
    assert enabled(app) == {"pause", "stop", "reset"}
    assert app.text_input(key="sweep_ranks").value == "1-3"
    assert settings_of(drawn(app.run())) == ENDLESS | {"sweep": held.id}


def test_a_worker_that_is_killed_in_mid_sweep_loses_nothing(open_page, engine):
    app = press(open_page(**TINY | {"steps": "1500"}), "start")
    until(held_of(app), 1)
    pid = engine.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    app, now = ended(app)
    assert engine.worker_pid != pid
    assert sorted(now.results) == list(range(12)) and not now.failures
    assert all(run.steps == 1500 for run in now.results.values())
    assert not app.main.error


def test_a_cluster_that_cannot_be_reached_gets_a_sentence(open_page, monkeypatch):
    monkeypatch.setattr(session.sweeps(), "scheduler", NOWHERE)
    app = open_page(**TINY)
    assert group(app, "sweep_where").value == "the Dask cluster"
    app = press(app, "start")
    (error,) = app.main.error
    assert NOWHERE in error.value and error.value.endswith(".") and not error.value.endswith("..")
    assert "sweep" not in settings_of(app) and enabled(app) == {"start"}
    assert not drawn(app.run()).main.error
    app = press(pick(app, "sweep_where", "this machine"), "start")
    assert held_of(app).where == "this machine"


def test_a_cluster_that_cannot_be_reached_ends_nothing(open_page, monkeypatch):
    app = press(open_page(**ENDLESS), "start")
    first = held_of(app)
    monkeypatch.setattr(session.sweeps(), "scheduler", NOWHERE)
    app = press(typed(drawn(app.run()), seeds="4"), "start")
    assert NOWHERE in app.main.error[0].value
    assert first.sweep.snapshot().active and held_of(app).id == first.id


def test_what_is_saved_is_gone_on_with(open_page):
    """The file that the page gives holds runs that the command line recognizes as done."""
    _, now = ended(press(open_page(**{k: v for k, v in TINY.items() if k != "threads"}), "start"))
    config, results = read_sweep(json.dumps(sweep_object(now)))
    assert sorted(places_of(results, plan_sweep(config, ROOM))) == list(range(12))
