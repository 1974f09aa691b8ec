"""What stands beside a run's layer at its size: the table, and how the page comes by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import session
from dashboard.comparison_view import PENDING, comparison_table
from tests.pictures import classes_run, finished_run
from tests.sweeps import full
from tests.tables import tiny
from tests.test_pages import APP, drawn, forget_server
from ttcore.comparison import at_equal_size
from ttcore.config import DataConfig, RunConfig
from ttcore.engine import Engine
from ttcore.errors import InputError
from ttcore.events import FullModel, Scores
from ttcore.jobs import TaskFuture, WorkerLostError
from ttcore.presets import PRESETS
from ttcore.results import Baseline

PATIENCE = 60.0
WINE = replace(PRESETS["wine"].config, train=replace(PRESETS["wine"].config.train, steps=50, threads=1, device="cpu"))
FULL = full(train=1.0, test=0.25)
FULL_MODEL = FullModel(parameters=48, train=FULL.train, test=FULL.test, weight=finished_run().weight)


# ---- the table ------------------------------------------------------------------------------------------------------


def made(kind: Any, score: float, parameters: int, rank: int | None = None) -> Baseline:
    scores = Scores(loss=1 - score, score=score)
    return Baseline(kind=kind, rank=rank, parameters=parameters, train=scores, test=scores)


MODELS = [
    made("constant", 0.0, 0),
    made("low_rank_ridge", 0.4, 32, 2),
    made("ridge", 0.6, 48),
    made("low_rank", 0.5, 16, 1),
    FULL,
]
NO_LOSS = Scores(loss=math.nan, score=0.95)
CLASSIFIERS = [
    made("full", 0.97, 39),
    Baseline(kind="ridge", parameters=39, train=NO_LOSS, test=NO_LOSS),
    made("low_rank", 0.9, 16, 1),
    made("low_rank", 0.96, 32, 2),
    made("constant", 0.4, 0),
]


def test_every_kind_has_its_row_in_one_order_whatever_order_they_come_in():
    table = comparison_table(tiny(), finished_run(), None, MODELS)
    assert table["model"] == [
        "TT layer (this run)",
        "full model (least squares)",
        "ridge",
        "low rank (rank 1)",
        "low rank with ridge (rank 2)",
        "constant (the mean)",
    ]
    assert list(table)[1:] == ["weights", "share of full", "train R²", "test R²", "test MSE"]
    assert table["weights"] == [28, 48, 48, 16, 32, 0]
    assert table["share of full"] == [weights / 48 for weights in table["weights"]]
    assert table["train R²"] == [0.9, 1.0, 0.6, 0.5, 0.4, 0.0]
    assert table["test R²"] == [0.5, 0.25, 0.6, 0.5, 0.4, 0.0]
    assert table["test MSE"] == pytest.approx([0.5, 0.75, 0.4, 0.5, 0.6, 1.0])


@pytest.mark.parametrize(
    ("config", "models"), [(tiny(), MODELS), (classes_run(), CLASSIFIERS)], ids=["regression", "classes"]
)
def test_until_the_models_have_come_the_table_has_the_rows_that_it_will_have(config, models):
    waiting = comparison_table(config, finished_run(), None, ())
    done = comparison_table(config, finished_run(), None, at_equal_size(models, 28).models)
    assert list(waiting) == list(done)
    assert [name.split(" (")[0] for name in waiting["model"]] == [name.split(" (")[0] for name in done["model"]]
    for name, column in waiting.items():
        assert name == "model" or (column[0] is not None and set(column[1:]) == {None})
    known = comparison_table(config, finished_run(), FULL_MODEL, ())
    assert known["model"][1].startswith("full model")
    assert known["weights"][:3] == [config.shape.num_parameters, 48, None]


def test_classes_have_an_accuracy_and_what_has_no_loss_shows_none():
    table = comparison_table(classes_run(), finished_run(), None, at_equal_size(CLASSIFIERS, 32).models)
    assert list(table)[3:] == ["train accuracy", "test accuracy", "test cross-entropy"]
    assert table["model"][1:] == [
        "full model (logistic regression)",
        "ridge on the classes",
        "low rank (rank 2)",
        "constant (class shares)",
    ]
    ridge = table["model"].index("ridge on the classes")
    assert table["test cross-entropy"][ridge] is None
    assert table["test accuracy"][ridge] == 0.95


def test_a_run_that_broke_has_no_numbers():
    nothing = Scores(loss=math.inf, score=-math.inf)
    table = comparison_table(tiny(), finished_run(train=nothing, test=nothing), None, [FULL])
    assert (table["train R²"][0], table["test R²"][0], table["test MSE"][0]) == (None, None, None)


# ---- asking for it --------------------------------------------------------------------------------------------------


class Asked:
    """Stands for an engine: notes what it is asked for."""

    def __init__(self) -> None:
        self.tasks: list[tuple[dict[str, Any], TaskFuture]] = []

    def submit_task(self, name: str, arguments: dict[str, Any]) -> tuple[str, TaskFuture]:
        assert name == "compare_with"
        self.tasks.append((arguments, TaskFuture()))
        return "id", self.tasks[-1][1]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    stand_in = Asked()
    monkeypatch.setattr(session, "engine", lambda: stand_in)
    return stand_in


def test_of_each_data_set_it_is_asked_for_once(asked):
    comparisons = session.Comparisons()
    first = comparisons.ask(tiny().data)
    assert comparisons.ask(tiny(ranks=3, lr=0.5).data) is first
    assert comparisons.ask(tiny(data_seed=4).data) is not first
    assert [DataConfig.from_json(arguments["data"]).seed for arguments, _ in asked.tasks] == [0, 4]


def test_only_so_many_are_kept_those_asked_for_last(asked):
    comparisons = session.Comparisons()
    first = comparisons.ask(tiny(data_seed=0).data)
    for seed in range(1, 40):
        comparisons.ask(tiny(data_seed=seed).data)
        assert comparisons.ask(tiny(data_seed=0).data) is first
    assert len(asked.tasks) == 40
    comparisons.ask(tiny(data_seed=39).data)
    assert len(asked.tasks) == 40
    comparisons.ask(tiny(data_seed=1).data)
    assert len(asked.tasks) == 41


def test_what_failed_is_asked_for_again_and_what_did_not_is_not_forgotten(asked):
    comparisons = session.Comparisons()
    failed = comparisons.ask(tiny().data)
    comparisons.forget(tiny().data, failed)
    again = comparisons.ask(tiny().data)
    assert again is not failed
    comparisons.forget(tiny().data, failed)
    assert comparisons.ask(tiny().data) is again


# ---- on the page ----------------------------------------------------------------------------------------------------

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
def open_run(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens the Train page on a run of this configuration that has ended."""
    monkeypatch.setattr(type(st.context), "cookies", property(lambda self: {}))
    session.comparisons.clear()

    def opened(config: RunConfig = WINE) -> AppTest:
        run_id = engine.submit(config, "somebody")
        run = engine.wait(run_id, lambda now: not now.active, PATIENCE)
        assert run is not None and run.finished is not None
        app = AppTest.from_file(str(APP), default_timeout=PATIENCE)
        app.query_params["run"] = run_id
        return drawn(app.run())

    yield opened
    session.comparisons.clear()


def captions(app: AppTest) -> str:
    return " ".join(caption.value for caption in app.main.caption)


def answered(app: AppTest, config: RunConfig = WINE) -> AppTest:
    """The page once the models have been fitted."""
    session.comparisons().ask(config.data).exception(PATIENCE)
    return drawn(app.run())


def test_the_models_come_to_a_run_on_classes(open_run):
    app = answered(open_run())
    (table,) = app.main.dataframe
    models = session.comparisons().ask(WINE.data).result()
    expected = at_equal_size(models, WINE.shape.num_parameters).models
    assert sorted(table.value["weights"]) == sorted([WINE.shape.num_parameters, *(m.parameters for m in expected)])
    rows = table.value.set_index("model")
    constant = next(model for model in expected if model.kind == "constant")
    assert rows.loc["constant (class shares)", "test accuracy"] == pytest.approx(constant.test.score)
    assert PENDING not in captions(app) and "chosen by cross-validation" in captions(app)
    metrics = {metric.label: metric for metric in app.metric}
    assert float(metrics["Test accuracy"].value) == pytest.approx(rows["test accuracy"].iloc[0], abs=1e-4)
    assert metrics["Train accuracy"].delta.startswith("logistic regression ")
    headings = [heading.value for heading in app.subheader]
    assert headings[headings.index("At equal size") :][:2] == ["At equal size", "Predicted against actual"]
    assert not app.exception and "R²" not in captions(app)


def test_while_they_are_fitted_a_line_says_so_and_nothing_moves(open_run, engine, monkeypatch):
    pending: Future[Any] = TaskFuture()
    monkeypatch.setattr(engine, "submit_task", lambda name, arguments: ("id", pending))
    app = open_run()
    assert PENDING in captions(app)
    (table,) = app.main.dataframe
    names = [name.split(" (")[0] for name in table.value["model"]]
    pending.set_result(CLASSIFIERS)
    app = drawn(app.run())
    assert PENDING not in captions(app)
    assert [name.split(" (")[0] for name in app.main.dataframe[0].value["model"]] == names


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InputError("the table is not held here"), "could not be fitted: the table is not held here."),
        (WorkerLostError("The process ended."), "could not be fitted: The process ended."),
    ],
    ids=["refused", "lost"],
)
def test_a_failure_is_a_sentence_and_the_next_look_tries_again(open_run, engine, monkeypatch, error, said):
    asked = [TaskFuture(), TaskFuture()]
    left = list(asked)
    monkeypatch.setattr(engine, "submit_task", lambda name, arguments: ("id", left.pop(0)))
    app = open_run()
    asked[0].set_exception(error)
    app = drawn(app.run())
    assert said in captions(app) and "The next click here tries again." in captions(app)
    assert not app.main.error
    app = drawn(app.run())
    assert PENDING in captions(app) and said not in captions(app)
    asked[1].set_result(CLASSIFIERS)
    app = drawn(app.run())
    assert "cross-validation" in captions(app) and not left
