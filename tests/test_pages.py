"""The pages as Streamlit runs them, without a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import session
from dashboard.address import TABLE
from dashboard.run_settings import RUN, foreign_fields
from tests.tables import tiny
from ttcore.config import RunConfig
from ttcore.engine import Engine
from ttcore.presets import PRESETS

APP = Path(__file__).resolve().parent.parent / "dashboard" / "router.py"
TINY = RUN.deviations(RUN.values_of(tiny(steps=40)))
Open = Callable[..., AppTest]


def forget_server() -> None:
    """End what is left of the engine and of the sweeps on it; the next page has new ones."""
    session.sweeps.clear()
    session.engine.clear()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The engine behind the pages of one module; a new one for the next."""
    forget_server()
    shared = session.engine()
    assert shared.wait_until_ready(60)
    yield shared
    shared.close()
    forget_server()


@pytest.fixture
def open_app(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the app for a new visitor at an address with these settings."""
    cookies: dict[str, str] = {}
    monkeypatch.setattr(type(st.context), "cookies", property(lambda self: cookies))

    def opened(cookie: str = "", **settings: str | list[str]) -> AppTest:
        cookies.clear()
        if cookie:
            cookies["tensor_train_owner"] = cookie
        app = AppTest.from_file(str(APP), default_timeout=60)
        for key, value in settings.items():
            app.query_params[key] = value
        return drawn(app.run())

    return opened


def drawn(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def typed(app: AppTest, **texts: str) -> AppTest:
    for key, text in texts.items():
        app.text_input(key=key).set_value(text)
    return drawn(app.run())


def settings_of(app: AppTest) -> dict[str, Any]:
    """What the address of the page says."""
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
    at = next((index for index, element in enumerate(elements) if getattr(element, "key", None) == key), len(elements))
    after = elements[at + 1] if at + 1 < len(elements) else None
    return after.value if after is not None and after.type == "error" else ""


def figures_of(app: AppTest) -> dict[str, Any]:
    """What each live figure was given to draw."""
    given = [json.loads(component.proto.json) for component in app.get("bidi_component") if component.proto.json]
    return {data["name"]: json.loads(data["figure"]) for data in given if "figure" in data}


def preset_with(key: str) -> str:
    """A task that has this setting; for a table of one's own, which there is none of, a task without it."""
    return "planted" if key not in foreign_fields("planted") or key == TABLE else "regression"


def run_of(app: AppTest) -> Any:
    (run,) = session.engine().runs(app.session_state["owner"])
    return run


def ended(app: AppTest, run_id: str) -> AppTest:
    """The page once its run has ended."""
    session.engine().wait(run_id, lambda run: not run.active, 60)
    return drawn(app.run())


# ---- before anything runs -------------------------------------------------------------------------------------------


def test_the_page_opens_ready_to_train(open_app):
    app = open_app()
    assert not app.error and not app.warning
    assert not app.button(key="train").disabled
    assert not app.button(key="step").disabled
    assert all(app.button(key=key).disabled for key in ("pause", "stop", "reset", "keep"))
    assert settings_of(app) == {}


def test_a_click_on_a_preset_sets_every_control(open_app):
    app = open_app(steps="77", rank="3", opt="sgd")
    app.selectbox(key="preset").select("planted")
    drawn(app.run())
    for key, value in RUN.preset_values("planted").items():
        if key in app.session_state:
            assert app.session_state[key] == value
    assert settings_of(app) == {"preset": "planted"}
    app.selectbox(key="preset").select("reference")
    drawn(app.run())
    assert settings_of(app) == {}


@pytest.mark.parametrize(
    ("cores", "in_modes", "out_modes"),
    [(1, "4096", "16"), (2, "64,64", "4,4"), (3, "16,16,16", "4,2,2"), (6, "4,4,4,4,4,4", ""), (8, "", "")],
)
def test_the_number_of_cores_suggests_modes(open_app, cores, in_modes, out_modes):
    app = open_app(ranks="4,8,4")
    app.slider(key="cores").set_value(cores)
    drawn(app.run())
    assert not app.error
    assert not app.button(key="train").disabled
    for key, expected in (("in", in_modes), ("out", out_modes)):
        assert len(app.text_input(key=key).value.split(",")) == cores
        assert app.text_input(key=key).value == (expected or app.text_input(key=key).value)
    assert app.text_input(key="ranks").value == ""


def test_typed_modes_move_the_number_of_cores(open_app):
    app = typed(open_app(), **{"in": "64x64", "out": "4 4"})
    assert app.slider(key="cores").value == 2
    assert not app.error


def notes(app: AppTest) -> list[str]:
    """What stands below the pictures of the layer, beside the plan and the code."""
    beside = ("Planned: ", "The same in a file of its own")
    return [caption.value for caption in app.main.caption if not caption.value.startswith(beside)]


def test_the_plan_is_told_and_follows_the_settings(open_app):
    app = open_app()
    (plan,) = [caption.value for caption in app.main.caption if caption.value.startswith("Planned: ")]
    assert "FLOP a step" in plan and "the dense layer's" in plan
    app = typed(app, **{"in": "4096,1", "out": "1,16"})
    (other,) = [caption.value for caption in app.main.caption if caption.value.startswith("Planned: ")]
    assert other != plan


@pytest.mark.parametrize("method", ["lbfgs", "als"])
def test_a_method_without_a_rate_shows_none_and_has_its_own_steps(open_app, method):
    app = open_app()
    app.selectbox(key="opt").select(method)
    drawn(app.run())
    keys = {getattr(element, "key", None) for element in leaves(app.sidebar)}
    assert not keys & {"lr", "sched", "decay", "momentum"}
    assert ("ridge" in keys) == (method == "als")
    steps = {"lbfgs": "1000", "als": "240"}[method]
    assert app.text_input(key="steps").value == steps
    assert settings_of(app) == {"opt": method, "steps": steps}
    assert not app.button(key="train").disabled
    app.selectbox(key="opt").select("adam")
    drawn(app.run())
    assert app.text_input(key="steps").value == "10000"
    assert app.text_input(key="lr").value == "0.05"


def test_tf32_is_offered_where_there_is_a_gpu(open_app, engine, monkeypatch):
    app = open_app(tf32="true")
    assert "tf32" not in {getattr(element, "key", None) for element in leaves(app.sidebar)}
    monkeypatch.setattr(engine, "machine", {"gpu": "A GPU", "torch": ""})
    drawn(app.run())
    assert app.selectbox(key="tf32").value == "true"


def test_padding_is_shown(open_app):
    app = typed(open_app(), **{"in": "9,8,8,8", "out": "3,2,2,2"})
    (note,) = notes(app)
    assert "Padding: inputs are padded with 512 zeros to 4608 and 8 surplus of 24 outputs are dropped." in note
    assert not app.button(key="train").disabled


@pytest.mark.parametrize("how", ["typed", "in the address"])
def test_a_rank_of_a_million_is_clipped_and_says_so(open_app, how):
    app = open_app(rank="1000000") if how == "in the address" else typed(open_app(), ranks="1000000")
    assert app.text_input(key="ranks").value == "1000000"
    (note,) = notes(app)
    assert "1000000" in note
    assert "trained with (16, 256, 16)" in note
    assert not app.error
    assert settings_of(app) == {"ranks": "1000000"}


def test_a_layer_that_is_not_smaller_says_so(open_app):
    app = open_app(rank="32", **{"in": "4096", "out": "16"})
    assert any("not smaller than the full one" in caption.value for caption in app.main.caption)


# ---- settings in the address ----------------------------------------------------------------------------------------


def test_only_what_differs_from_the_preset_stands_in_the_address(open_app):
    app = typed(open_app(), lr="0.1", seed="3")
    app.selectbox(key="init").select("glorot")
    app.slider(key="rank").set_value(5)
    drawn(app.run())
    assert settings_of(app) == {"lr": "0.1", "seed": "3", "init": "glorot", "rank": "5"}
    assert settings_of(typed(app, lr="0.05")) == {"seed": "3", "init": "glorot", "rank": "5"}


def test_an_address_sets_the_controls(open_app):
    wanted = {
        "preset": "planted", "in": "16,16,16", "out": "4,2,2", "rank": "5", "opt": "sgd", "lr": "0.3",
        "momentum": "0.5", "sched": "decay", "decay": "0.25", "steps": "123", "target": "0.9", "init": "he",
        "seed": "9", "dtype": "float64", "device": "cpu", "threads": "1", "trank": "3", "ntrain": "100", "ntest": "200",
        "noise": "0.1", "dseed": "8",
    }  # fmt: skip
    app = open_app(**wanted)
    assert not app.error and not app.warning
    for key, value in wanted.items():
        assert str(app.session_state[key]) == value
    usual = RUN.preset_values("planted") | {"preset": "reference"}
    assert settings_of(app) == {key: value for key, value in wanted.items() if value != str(usual[key])}


def test_settings_survive_a_look_at_another_page(open_app):
    app = typed(open_app(), lr="0.1", ranks="4,8,4")
    drawn(app.switch_page("../pages/runs.py").run())
    drawn(app.switch_page("../pages/train.py").run())
    assert app.text_input(key="lr").value == "0.1"
    assert app.text_input(key="ranks").value == "4,8,4"


GARBAGE = ["\u0000☃ '\"<script>", "x" * 5000, "-1e999"]


# Each setting gets one of them: what they are read by is shared, and has its own laws in test_address.
@pytest.mark.parametrize(
    ("key", "garbage"),
    [(key, GARBAGE[n % 3]) for n, key in enumerate(["preset", *RUN.fields])],
    ids=lambda part: part[:9],
)
def test_garbage_in_any_setting_of_the_address_gets_a_sentence(open_app, engine, monkeypatch, key, garbage):
    monkeypatch.setattr(engine, "machine", {"gpu": "A GPU", "torch": ""})
    app = open_app(**{"preset": preset_with(key), "sched": "decay"} | {key: garbage})
    if key in ("momentum", "ridge"):
        app.selectbox(key="opt").select("sgd" if key == "momentum" else "als")
        drawn(app.run())
    said = [warning.value for warning in app.sidebar.warning if f"`{key}" in warning.value]
    refused = beside(app, key)
    assert len(said) + bool(refused) == 1
    assert len(" ".join([*said, refused])) < 400
    assert app.button(key="train").disabled == bool(refused)


def test_garbage_in_every_setting_at_once(open_app):
    app = open_app(**dict.fromkeys(("preset", *RUN.fields, "nonsense", "run"), "garbage"))
    (warning,) = app.sidebar.warning
    for key in (*RUN.choices, "rank", "nonsense"):
        assert f"`{key}" in warning.value
    for key in ("in", "out", "ranks", "lr", "steps", "target", "seed", "threads"):
        assert "garbage" in beside(app, key)
    assert app.button(key="train").disabled
    app.button(key="address_problems_read").click()
    assert len(drawn(app.run()).sidebar.warning) == 0


def test_a_setting_given_twice_is_named(open_app):
    app = open_app(lr=["0.1", "0.2"])
    assert "`lr` is given 2 times" in app.sidebar.warning[0].value
    assert app.text_input(key="lr").value == "0.2"


def test_a_run_in_the_address_that_is_not_known(open_app):
    app = open_app(run="no-such-run")
    assert "not known here" in app.toast[0].value
    assert settings_of(app) == {}


# ---- bad input ------------------------------------------------------------------------------------------------------

BAD = [
    ("in", "8,8,8,7", "3584"),
    ("in", "0,8,8,8", "at least 1"),
    ("in", "-8,8,8,8", "-8"),
    ("in", "8,8,8,8.5", "whole numbers"),
    ("in", "eight", "'eight'"),
    ("in", "", "8,8,8,8"),
    ("in", "9" * 199, "entries up to"),
    ("in", ",".join("1" * 99), "at most 64"),
    ("out", "2,2,2,1", "8"),
    ("out", "0,2,2,2", "at least 1"),
    ("out", "2,2,2", "3"),
    ("out", "2,2,2,two", "whole numbers"),
    ("ranks", "0", "ank 0 is below 1"),
    ("ranks", "-4", "-4"),
    ("ranks", "2.5", "whole numbers"),
    ("ranks", "4,8", "3"),
    ("ranks", "4,8,4,8", "3"),
    ("ranks", "4,0,4", "at least 1"),
    ("steps", "0", "from 1"),
    ("steps", "-5", "from 1"),
    ("steps", "2.5", "whole number"),
    ("steps", "many", "'many'"),
    ("steps", "1e99", "whole number"),
    ("lr", "0", "above 0"),
    ("lr", "-1", "above 0"),
    ("lr", "inf", "inf"),
    ("lr", "nan", "nan"),
    ("lr", "fast", "'fast'"),
    ("lr", "1e999", "inf"),
    ("seed", "-1", "from 0"),
    ("seed", "x", "whole number"),
    ("target", "1.5", "at most 1"),
    ("target", "nan", "nan"),
    ("threads", "0", "from 1"),
    ("threads", "many", "whole number"),
]
BAD_PLANTED = [
    ("tin", "0,8", "at least 1"),
    ("tout", "2,2,2", "3"),
    ("trank", "0", "below 1"),
    ("trank", "1,2", "3"),
    ("ntrain", "1", "from 2"),
    ("ntest", "0", "from 2"),
    ("noise", "-1", "from 0"),
    ("noise", "nan", "nan"),
    ("dseed", "-1", "from 0"),
]


@pytest.mark.parametrize(
    ("preset", "key", "text", "expected"),
    [("reference", *row) for row in BAD] + [("planted", *row) for row in BAD_PLANTED],
)
def test_bad_input_gets_one_sentence_beside_its_control(open_app, preset, key, text, expected):
    app = typed(open_app(preset=preset), **{key: text})
    (error,) = app.error
    assert beside(app, key) == error.value
    assert expected in error.value
    assert error.value.endswith(".") and not error.value.endswith("..")
    assert len(error.value) < 300
    assert app.button(key="train").disabled and app.button(key="step").disabled
    usual = RUN.preset_values(preset)[key]
    assert not typed(app, **{key: str(usual)}).error
    assert not app.button(key="train").disabled


@pytest.mark.parametrize(("preset", "key"), [("reference", "in"), ("planted", "tin")])
def test_too_few_modes_on_one_side_are_named_where_the_other_side_stands(open_app, preset, key):
    app = typed(open_app(preset=preset), **{key: "64,64"})
    (error,) = app.error
    assert "has 2 entries" in error.value
    assert beside(app, {"in": "out", "tin": "tout"}[key]) == error.value
    assert app.button(key="train").disabled


@pytest.mark.parametrize(("key", "text"), [("momentum", "1"), ("momentum", "-0.1"), ("decay", "0"), ("decay", "2")])
def test_bad_input_of_controls_that_come_and_go(open_app, key, text):
    app = typed(open_app(opt="sgd", sched="decay"), **{key: text})
    (error,) = app.error
    assert beside(app, key) == error.value
    assert app.button(key="train").disabled
    app.selectbox(key="opt").select("adam")
    app.selectbox(key="sched").select("constant")
    assert not drawn(app.run()).error


def test_two_bad_values_are_both_named(open_app):
    app = typed(open_app(), lr="0", steps="0", **{"in": "8,8"})
    assert len(app.error) >= 2
    assert "lr" in beside(app, "lr").lower()
    assert "steps" in beside(app, "steps").lower()


@pytest.mark.parametrize(
    ("settings", "at"),
    [
        ({"in": "4096,1", "out": "1,1000000", "ranks": "4096"}, "ranks"),
        ({"preset": "planted", "ntrain": "10000000"}, "ntrain"),
        ({"preset": "planted", "tin": "256,256,256", "tout": "4,4,4", "in": "256,256,256", "out": "4,4,4"}, "ntrain"),
    ],
    ids=["layer", "samples", "features"],
)
def test_what_does_not_fit_in_memory_is_refused_with_sizes(open_app, monkeypatch, settings, at):
    from ttcore import machine

    monkeypatch.setattr(machine, "free_memory", lambda: 2 * 2**30)
    app = open_app(**settings)
    (error,) = app.error
    assert beside(app, at) == error.value
    assert "iB" in error.value
    assert app.button(key="train").disabled


def test_cuda_without_a_gpu_is_refused(open_app, engine, monkeypatch):
    monkeypatch.setattr(engine, "machine", {"gpu": "", "torch": ""})
    app = open_app(device="cuda")
    assert "no CUDA GPU; use auto or cpu" in beside(app, "device")
    assert app.button(key="train").disabled
    monkeypatch.setattr(engine, "machine", {"gpu": "A GPU", "torch": ""})
    assert not drawn(app.run()).error


def test_bad_input_disturbs_nothing_that_runs(open_app, engine):
    app = open_app(**TINY | {"steps": "10000000"})
    app.button(key="train").click()
    run = run_of(drawn(app.run()))
    typed(app, lr="nan")
    assert engine.snapshot(run.id).active
    assert not app.button(key="pause").disabled
    assert not app.button(key="stop").disabled
    engine.stop(run.id)


# ---- a run ----------------------------------------------------------------------------------------------------------


def test_a_run_ends_with_a_sentence_and_files(open_app):
    app = open_app(**TINY)
    app.button(key="train").click()
    run = run_of(drawn(app.run()))
    assert settings_of(app)["run"] == run.id
    app = ended(app, run.id)
    config: RunConfig = run_of(app).config
    assert config == tiny(steps=40)
    sentence = next(text.value for text in app.markdown if text.value.startswith(f"**Run {run.number}.**"))
    assert f"{config.shape.num_parameters:,} parameters" in sentence
    assert "after 40 steps" in sentence
    assert "The full model has" in sentence
    assert any("All steps are done." in caption.value for caption in app.caption)
    labels = {getattr(button, "label", "") for button in app.get("download_button")}
    assert {"Curve (CSV)", "Settings and result (JSON)", "Cores (NPZ)"} <= labels
    assert app.button(key="pause").disabled and app.button(key="stop").disabled
    assert not app.button(key="train").disabled and not app.button(key="keep").disabled


def test_a_run_on_classes_ends_with_an_accuracy_and_two_confusion_matrices(open_app):
    app = open_app(preset="wine", steps="50", threads="1", device="cpu")
    app.button(key="train").click()
    app = ended(app, run_of(drawn(app.run())).id)
    finished = run_of(app).finished
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Train accuracy"] == f"{finished.train.score:.4f}"
    assert metrics["Test accuracy"] == f"{finished.test.score:.4f}"
    assert metrics["Best train accuracy"] == f"{finished.best.score:.4f}"
    figures = figures_of(app)
    assert not {"predicted_train", "r2_curve"} & set(figures)
    for part in ("train", "test"):
        right, mistaken = figures[f"confusion_{part}"]["data"]
        cells = [(one or 0) + (other or 0) for a, b in zip(right["z"], mistaken["z"], strict=True)
                 for one, other in zip(a, b, strict=True)]  # fmt: skip
        assert cells == finished.confusion[part].reshape(-1).tolist()
        assert figures[f"confusion_{part}"]["layout"]["xaxis"]["ticktext"] == ["class_0", "class_1", "class_2"]
    assert figures["score_curve"]["layout"]["yaxis"]["title"]["text"] == "accuracy"
    assert figures["weight_full"]["layout"]["title"]["text"] == "Full model (logistic regression)"
    assert not any("R²" in caption.value for caption in app.main.caption)
    drawn(app.switch_page("../pages/runs.py").run())
    assert list(app.dataframe[0].value["test accuracy"]) == [finished.test.score]


def test_a_layer_that_cannot_compress_its_data_says_so(open_app):
    app = open_app(preset="diabetes", steps="20", threads="1", device="cpu")
    app.button(key="train").click()
    app = ended(app, run_of(drawn(app.run())).id)
    said = [caption.value for caption in app.main.caption if "All steps are done." in caption.value]
    assert "This layer is not smaller than the full one. 10 inputs and 1 output: a TT layer cannot compress" in said[0]
    assert "unstructured" not in said[0]


def test_a_kept_run_on_other_data_is_not_drawn_on_an_axis_that_is_not_its_own(open_app):
    app = open_app(**TINY)
    app.button(key="train").click()
    first = run_of(drawn(app.run()))
    app = ended(app, first.id)
    app.button(key="keep").click()
    drawn(app.run())
    assert not any("scored otherwise" in caption.value for caption in app.main.caption)
    second = session.engine().submit(PRESETS["wine"].config, "somebody", steps=1)
    app.query_params["run"] = second
    app = drawn(app.run())
    assert any("scored otherwise" in caption.value for caption in app.main.caption)
    assert not any(trace["name"].startswith("run ") for trace in figures_of(app)["score_curve"]["data"])
    session.engine().stop(second)


def test_one_step_at_a_time(open_app, engine):
    app = open_app(**TINY)
    app.button(key="step").click()
    run = run_of(drawn(app.run()))
    for done in (1, 2, 3):
        paused = engine.wait(run.id, lambda now, done=done: now.state == "paused" and now.step == done, 30)
        assert (paused.state, paused.step) == ("paused", done)
        drawn(app.run())
        app.button(key="step").click()
        drawn(app.run())
    drawn(app.run())
    app.button(key="stop").click()
    drawn(app.run())
    assert "Stopped on request." in ended(app, run.id).caption[-1].value or run_of(app).finished is not None


def test_reset_leaves_no_run(open_app, engine):
    app = open_app(**TINY | {"steps": "10000000"})
    app.button(key="train").click()
    run = run_of(drawn(app.run()))
    app.button(key="reset").click()
    drawn(app.run())
    assert "run" not in settings_of(app)
    assert app.button(key="reset").disabled
    assert not engine.wait(run.id, lambda now: not now.active, 10).active


def test_training_anew_ends_the_run_before(open_app, engine):
    app = open_app(**TINY | {"steps": "10000000"})
    app.button(key="train").click()
    first = run_of(drawn(app.run()))
    assert app.button(key="train").disabled
    typed(app, seed="5")
    app.button(key="train").click()
    drawn(app.run())
    second, _ = engine.runs(app.session_state["owner"])
    assert second.id != first.id
    assert settings_of(app)["run"] == second.id
    assert not engine.wait(first.id, lambda now: not now.active, 10).active
    engine.stop(second.id)


def test_who_follows_a_link_may_watch_but_not_touch(open_app, engine):
    app = open_app(**TINY | {"steps": "10000000"})
    app.button(key="train").click()
    run = run_of(drawn(app.run()))
    guest = open_app(run=run.id)
    assert any("only they can pause or stop" in info.value for info in guest.info)
    assert guest.button(key="pause").disabled and guest.button(key="stop").disabled
    guest.button(key="reset").click()
    assert "run" not in settings_of(drawn(guest.run()))
    assert engine.snapshot(run.id).active
    engine.stop(run.id)


def test_the_browser_that_started_a_run_finds_it_again_and_may_pause_it(open_app, engine):
    cookie = "an-owner-of-twenty-and-more-letters"
    app = open_app(cookie, **TINY | {"steps": "10000000"})
    app.button(key="train").click()
    run = run_of(drawn(app.run()))
    again = open_app(cookie, **settings_of(app))
    assert not again.button(key="pause").disabled
    again.button(key="stop").click()
    drawn(again.run())
    assert not engine.wait(run.id, lambda now: not now.active, 10).active


def test_a_loss_that_is_not_finite_ends_with_what_to_change(open_app):
    app = open_app(**TINY | {"opt": "sgd", "lr": "1000"})
    app.button(key="train").click()
    app = ended(app, run_of(drawn(app.run())).id)
    assert any("Lower the learning rate" in error.value for error in app.main.error)


# ---- the history ----------------------------------------------------------------------------------------------------


def test_no_runs_yet(open_app):
    app = drawn(open_app().switch_page("../pages/runs.py").run())
    assert "No runs yet" in app.info[0].value
    assert not app.dataframe


def test_each_visitor_has_a_history_of_its_own(open_app):
    app = open_app(**TINY)
    app.button(key="train").click()
    run = run_of(drawn(app.run()))
    ended(app, run.id)
    drawn(app.switch_page("../pages/runs.py").run())
    (shown,) = app.dataframe
    assert list(shown.value["run"]) == [run.number]
    assert list(shown.value["state"]) == ["steps done"]
    assert app.button(key="open").disabled
    assert drawn(open_app().switch_page("../pages/runs.py").run()).info


def test_every_preset_opens_by_name(open_app):
    for name in PRESETS:
        app = open_app(preset=name.upper())
        assert app.selectbox(key="preset").value == name
        assert not app.error and not app.warning
