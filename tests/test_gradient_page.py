"""The Gradients page as Streamlit runs it, its sentences, its pictures, and what it does not load."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import gradient_answers, session
from dashboard.gradient_drawing import hole_svg
from dashboard.gradient_figures import Sides, heat_figure, heat_limit, race_figure, step_figure
from dashboard.gradient_race_view import HeldRace
from dashboard.gradient_words import (
    differences_sentence,
    number,
    plain_code,
    race_sentence,
    step_sentence,
    stopped_sentence,
    updates_sentence,
)
from tests.tables import SHAPES
from tests.test_imports import loaded_by
from tests.test_pages import drawn, forget_server
from ttcore.engine import Engine
from ttcore.gradient_cores import core_letters
from ttcore.gradient_differences import STEPS, StepErrors
from ttcore.gradient_race import Lane
from ttcore.gradient_updates import UPDATES

PAGE = Path(__file__).resolve().parent.parent / "pages" / "gradients.py"
MATRIX, CORES, RACE = "1 · One matrix", "2 · A tensor train", "3 · A race"
Open = Callable[[str], AppTest]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    forget_server()
    shared = session.engine()
    assert shared.wait_until_ready(60)
    yield shared
    shared.close()
    forget_server()
    gradient_answers.answers.clear()


@pytest.fixture
def open_page(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a part of the page for a new visitor; answers are waited for as long as they take."""
    monkeypatch.setattr(type(st.context), "cookies", property(lambda self: {}))
    monkeypatch.setattr(gradient_answers, "PATIENCE", 20)

    def opened(part: str) -> AppTest:
        app = AppTest.from_file(str(PAGE), default_timeout=60)
        app.session_state["gradient_part"] = part
        return quiet(drawn(app.run()))

    return opened


def quiet(app: AppTest) -> AppTest:
    """The page without a number that is none."""
    assert not re.search(r"\bnan\b|\binf\b", words(app), re.IGNORECASE)
    return app


def words(app: AppTest) -> str:
    texts = [*app.markdown, *app.caption, *app.error, *app.warning, *app.latex]
    return "\n".join(str(element.value) for element in texts)


def apart(app: AppTest) -> float:
    """How far autograd and the closed form are from each other, as the page says it."""
    (told,) = re.findall(r"closed form differ by at most \*\*(\S+)\*\*", words(app))
    digits, _, power = told.partition("·10")
    return float(digits) * 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)


# ---- the page -------------------------------------------------------------------------------------------------------


def test_it_opens_with_a_matrix(open_page):
    app = open_page(MATRIX)
    assert not app.error and not app.warning
    assert r"\frac{\partial L}{\partial W}" in words(app)
    assert apart(app) < 1e-12
    assert app.slider(key="gradient_rows").value == 3 and app.slider(key="gradient_columns").value == 5


def test_other_sizes_and_steps(open_page):
    app = open_page(MATRIX)
    for rows, columns, h in ((1, 1, 1e-15), (8, 8, 1.0), (2, 7, 1e3)):
        app.slider(key="gradient_rows").set_value(rows)
        app.slider(key="gradient_columns").set_value(columns)
        app.select_slider(key="gradient_matrix_h").set_value(h)
        quiet(drawn(app.run()))
        assert apart(app) < 1e-12
    assert "larger than it need be" in words(app)


def test_the_cores_of_a_train(open_page):
    app = open_page(CORES)
    assert apart(app) < 1e-11 and '"bopq,bijk,ior,skq->rjps"' in app.code[0].value
    app.segmented_control(key="gradient_core_of_3").set_value("G₃")
    drawn(app.run())
    assert '"bopq,bijk,ior,rjps->skq"' in app.code[0].value and apart(app) < 1e-11
    app.segmented_control(key="gradient_cores").set_value(2)
    app.slider(key="gradient_rank").set_value(3)
    quiet(drawn(app.run()))
    assert '"bop,bij,ior->rjp"' in app.code[0].value and apart(app) < 1e-11


@pytest.mark.parametrize("text", ["2,3", "2,3,5", "0,1,1", "two", "", "9" * 18])
def test_modes_that_cannot_be_used_are_refused_in_a_sentence(open_page, text):
    app = open_page(CORES)
    app.text_input(key="gradient_input_modes_3").set_value(text)
    quiet(drawn(app.run()))
    assert app.error[0].value.startswith("input modes") and not app.code


def start_race(app: AppTest, **rates: float) -> HeldRace:
    app.segmented_control(key="gradient_pace").set_value("full speed")
    for method, rate in rates.items():
        app.select_slider(key=f"gradient_rate_{method}").set_value(rate)
    drawn(app.run())
    app.button(key="gradient_race_start").click()
    quiet(drawn(app.run()))
    return app.session_state["gradient_race"]


def test_a_race_is_started_and_finished(open_page):
    app = open_page(RACE)
    (compared,) = re.findall(r"By hand and by torch.*", words(app))
    assert len(re.findall(r"10⁻¹[⁵-⁹]\*\* for|\*\*0\*\* for", compared)) == 3, compared
    held = start_race(app)
    held.future.result(60)
    quiet(drawn(app.run()))
    (sentence,) = re.findall(r"After 300 steps .*", words(app))
    assert sentence.index("Adam") < sentence.index("momentum") < sentence.index("gradient descent")
    assert app.button(key="gradient_race_stop").disabled
    assert all(f"def {name}" in words_of_code(app) for name in ("gradient_descent", "momentum", "adam"))


def words_of_code(app: AppTest) -> str:
    return "\n".join(code.value for code in app.code)


def test_rates_that_diverge_are_said_in_words(open_page):
    app = open_page(RACE)
    start_race(app, descent=10.0, adam=10.0).future.result(60)
    quiet(drawn(app.run()))
    assert "radient descent diverged at its rate of 10: at step" in words(app)
    assert "until it diverges at step" in words(app)


def test_a_race_can_be_stopped(open_page):
    app = open_page(RACE)
    app.segmented_control(key="gradient_pace").set_value("slowly")
    drawn(app.run())
    app.button(key="gradient_race_start").click()
    drawn(app.run())
    held: HeldRace = app.session_state["gradient_race"]
    deadline = time.monotonic() + 20
    while not held.lanes:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    app.button(key="gradient_race_stop").click()
    drawn(app.run())
    assert held.future.cancelled()
    assert "Stopped at step" in words(app) or "Stopped before the first step" in words(app)


def test_one_runner_is_no_race(open_page):
    app = open_page(RACE)
    app.segmented_control(key="gradient_methods").set_value(["adam"])
    drawn(app.run())
    assert "needs two at least" in app.warning[0].value
    assert app.button(key="gradient_race_start").disabled


def test_the_page_loads_no_torch():
    views = ("matrix", "cores", "race")
    loaded = loaded_by("\n".join(f"import dashboard.gradient_{view}_view" for view in views))
    assert "streamlit" in loaded and not loaded & {"torch", "sklearn"}


# ---- sentences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (1.25, "1.25"),
        (0.0194, "0.0194"),
        (2194.4, "2,194"),
        (9.99e-6, "1.0·10⁻⁵"),
        (-1.3e-15, "-1.3·10⁻¹⁵"),
    ],
)
def test_numbers(value, written):
    assert number(value) == written


def lane(method: Any, losses: list[float], diverged: int | None = None) -> Lane:
    return Lane(method, 0.5, np.array(losses), diverged)


def test_a_race_in_words():
    lanes = [lane("descent", [1, 0.5, 0.4]), lane("momentum", [1.0, 2.0], 2), lane("adam", [1, 0.3, 0.2])]
    assert race_sentence(lanes) == (
        "After 2 steps Adam is at a loss of **0.2** and gradient descent **0.4**; what gradient descent ends with was "
        "reached by Adam at step 1; momentum diverged at its rate of 0.5: at step 2 its loss was more than a million "
        "times that of the start."
    )
    assert race_sentence([lanes[1]]).startswith("Momentum diverged")
    assert stopped_sentence([]) == stopped_sentence([lane("adam", [1.0])]) == "Stopped before the first step."
    assert stopped_sentence(lanes).startswith("Stopped at step 2. After 2 steps Adam")


def test_differences_in_words():
    closed = np.array([2.0, -4.0])
    assert differences_sentence(closed + 1e-15, closed, closed + 1e-9, 1e-5).startswith("Autograd and the closed form")
    assert "differ by at most **1.0·10⁻⁹**" in differences_sentence(None, closed, closed + 1e-9, 1e-5)


def test_steps_in_words():
    errors = StepErrors(*3 * (tuple(max(1e-16 / h, 1e-14, 1e-15 * h**4) for h in STEPS),))
    for h, expected in ((1e-15, "too small"), (1e-7, "smaller than"), (1.0, "as good as"), (10.0, "larger than")):
        assert expected in step_sentence(errors, h)
    assert "too large" in step_sentence(errors, 1e3)


def test_updates_in_words():
    compared = [
        {"method": "adam", "steps": 50, "difference": 1e-16, "largest": 2.0},
        {"method": "descent", "steps": 3, "difference": 0.0, "largest": 1.0},
    ]
    sentence = updates_sentence(compared, 50)
    assert "**1.0·10⁻¹⁶** for Adam and **0** for gradient descent (until it diverges at step 4)" in sentence


@pytest.mark.parametrize("method", UPDATES)
def test_the_code_that_is_shown_is_the_code_that_runs(method):
    shown: dict[str, Any] = {"np": np}
    exec(plain_code(UPDATES[method]), shown)
    by_code, by_hand = np.array([1.0, -2.0]), np.array([1.0, -2.0])
    memories: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for _ in range(5):
        shown[UPDATES[method].__name__](by_code, by_code**3, memories[0], 0.01)
        UPDATES[method](by_hand, by_hand**3, memories[1], 0.01)
    assert by_code.tolist() == by_hand.tolist() != [1.0, -2.0]


# ---- pictures -------------------------------------------------------------------------------------------------------


def test_a_core_is_laid_out_in_blocks():
    core = np.arange(2 * 3 * 4 * 2, dtype=float).reshape(2, 3, 4, 2)
    figure = heat_figure(core, core.shape, heat_limit(core), "title", Sides("out", "in"))
    cells = figure["data"][0]["z"]
    # Two blocks of four rows with a gap between, two of three columns.
    assert (len(cells), len(cells[0])) == (9, 7)
    assert cells[4] == [None] * 7 and all(row[3] is None for row in cells)
    assert cells[1][2] == core[0, 2, 1, 0] and cells[5 + 3][4 + 1] == core[1, 1, 3, 1]
    assert len(figure["data"][0]["x"]) == 8 and len(figure["data"][0]["y"]) == 10
    waiting = heat_figure(None, core.shape, 1.0, "title", Sides("out", "in"))
    assert waiting["layout"]["annotations"] and not any(any(row) for row in waiting["data"][0]["z"])


def test_the_frame_of_a_race_stays():
    frames = [
        race_figure([lane("adam", [1.0, *([low] * steps)])], 300, "id")["layout"]
        for steps, low in ((0, 1.0), (5, 0.3), (50, 2e-4), (60, 1e-6))
    ]
    assert len({str(frame["xaxis"]) for frame in frames}) == 1
    assert len({str(frame["yaxis"]) for frame in frames}) == 2, "it has grown once, for the last"
    assert race_figure([], 300, "")["layout"]["xaxis"] == frames[0]["xaxis"]


def test_steps_that_are_exact_can_be_drawn():
    figure = step_figure(StepErrors(*3 * ((0.0,) * len(STEPS),)), 1e-5)
    assert all(value > 0 for line in figure["data"] for value in line["y"])


@pytest.mark.parametrize("name", ["two cores", "rank 1", "unequal ranks", "seven cores, padded", "one core"])
def test_the_network_has_a_hole_with_open_legs(name):
    shape = SHAPES[name]
    for k in range(shape.num_cores):
        root = ElementTree.fromstring(hole_svg(shape, 4, k))
        circles = [element for element in root.iter() if element.tag.endswith("circle")]
        assert sum(circle.get("stroke-dasharray") is not None for circle in circles) == 1
        dots = [circle for circle in circles if circle.get("r") == "4.5"]
        # As many as its gradient has axes, outer ranks of 1 aside.
        assert len(dots) == len(core_letters(shape.num_cores, k))
        assert len(circles) == shape.num_cores + len(dots)
        shown = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
        bold = [text for text in shown if text.split(" · ")[0] in set(core_letters(shape.num_cores, k))]
        assert len(bold) == len(dots)
