"""The Data page as Streamlit runs it, and runs on what is chosen there, without a browser."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from dashboard import data_intake, session
from dashboard.address import OWN, TABLE
from dashboard.run_settings import DATA_SETTINGS, RUN, preset_of, settings_of
from dashboard.sweep_settings import SWEEP
from tests.test_pages import beside, drawn, forget_server, leaves, open_app, typed  # noqa: F401
from tests.test_pages import settings_of as address_of
from ttcore import intake, own_data
from ttcore.config import DataConfig
from ttcore.engine import Engine
from ttcore.errors import InputError
from ttcore.intake import ColumnInfo, Inspection
from ttcore.own_data import config_of
from ttcore.preparing import Prepared
from ttcore.presets import OWN_TRAIN, PRESETS
from ttcore.sources import SOURCES
from ttcore.table_store import TableStore

APP = Path(__file__).resolve().parent.parent / "dashboard" / "router.py"
FLOWERS = "length,width,colour,kind\n" + "\n".join(
    f"{n % 7},{n * n % 11 / 2},{'red' if n % 2 else 'blue'},{'abc'[n % 3]}" for n in range(30)
)
Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The engine behind the pages of one module; that it is warm is not waited for, since nothing is trained."""
    forget_server()
    yield session.engine()
    forget_server()


@pytest.fixture
def quick(monkeypatch) -> None:
    """Files are looked into in this process: a child for each takes a while, and has tests of its own."""
    do = {"inspect": intake._inspect, "prepare": intake._prepare}
    monkeypatch.setattr(intake, "_ask", lambda name, request: do[request["do"]](request))


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch) -> TableStore:
    monkeypatch.setenv("TTCORE_TABLES", str(tmp_path / "tables"))
    return TableStore()


@pytest.fixture
def open_page(open_app, monkeypatch) -> Open:  # noqa: F811 - the fixture
    """Opens the Data page for a new visitor."""

    def opened() -> AppTest:
        # That of the other fixture has made the cookies ready.
        app = AppTest.from_file(str(APP), default_timeout=60)
        app._page_hash = calc_hash("data-sets")
        return drawn(app.run())

    return opened


def upload(app: AppTest, name: str, content: bytes | str) -> AppTest:
    content = content if isinstance(content, bytes) else content.encode()
    app.file_uploader[0].set_value((name, content, "application/octet-stream"))
    return drawn(app.run())


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click()
    return drawn(app.run())


def prepared_key(app: AppTest) -> str:
    """The key of the newest table on the page."""
    return next(str(button.key)[9:] for button in app.button if len(str(button.key)) == 41)


def main_texts(app: AppTest) -> str:
    return "\n".join(str(element.value) for element in leaves(app.main) if hasattr(element, "value"))


# ---- the data that the program knows --------------------------------------------------------------------------------


def test_every_source_is_listed_with_what_it_is(open_page):
    texts = main_texts(open_page())
    for source, spec in SOURCES.items():
        if source != "table":
            assert f"**{spec.title}** · {spec.task}" in texts
            assert spec.about in texts and spec.origin in texts
    assert "1,797 samples · 64 inputs · 10 classes" in texts
    assert "442 samples · 10 inputs · 1 target\n" in texts


@pytest.mark.parametrize("source", ["reference", "breast_cancer"])
def test_a_source_is_trained_on_or_swept_over(open_page, source):
    preset = preset_of(DataConfig(source=source))
    app = press(open_page(), f"to_train_{source}")
    assert app.selectbox(key="preset").value == preset
    assert address_of(app) == ({} if preset == RUN.first else {"preset": preset})
    assert not app.button(key="train").disabled
    app = press(open_page(), f"to_sweep_{source}")
    assert app.selectbox(key="sweep_preset").value == preset
    assert not app.button(key="sweep_start").disabled


# ---- the forms of every task ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_the_form_of_a_preset_has_the_fields_of_its_source_and_gives_its_run(open_app, monkeypatch, name):  # noqa: F811
    asked: list[Any] = []
    monkeypatch.setattr("dashboard.controls.check_memory", lambda configs, free: asked.extend(configs))
    app = open_app(preset=name)
    assert not app.error and not app.warning
    assert asked == [PRESETS[name].config]
    drawn_fields = {element.key for element in app.sidebar.text_input} & set(DATA_SETTINGS)
    assert drawn_fields == set(settings_of(PRESETS[name].config.data.source))
    labels = {element.label for element in app.sidebar.text_input}
    assert ("Target accuracy" in labels) == (PRESETS[name].config.data.task_kind == "classification")
    assert address_of(app) == ({} if name == RUN.first else {"preset": name})


@pytest.mark.parametrize(
    ("preset", "refused"),
    [
        (
            "regression",
            [
                ("n", "3", "from 4"),
                ("p", "0", "from 1"),
                ("inf", "257", "above 256"),
                ("q", "many", "whole number"),
                ("eff", "500", "above 256"),
                ("frac", "1", "below 1"),
                ("frac", "0.0001", "each part needs"),
            ],
        ),
        (
            "digits",
            [
                ("frac", "half", "a number"),
                ("split", "-1", "from 0"),
                ("wd", "-1", "at least 0"),
                ("batch", "0", "from 1"),
                ("target", "2", "at most 1"),
            ],
        ),
    ],
)
def test_a_refusal_stands_beside_its_control(open_app, preset, refused):  # noqa: F811
    app = open_app(preset=preset)
    for key, text, expected in refused:
        usual = app.text_input(key=key).value
        (error,) = typed(app, **{key: text}).error
        assert beside(app, key) == error.value
        assert expected in error.value
        assert app.button(key="train").disabled
        app.text_input(key=key).set_value(usual)


def test_several_refusals_are_all_shown(open_app):  # noqa: F811
    app = typed(open_app(preset="regression"), inf="999", noise="-1", split="x")
    assert all(beside(app, key) for key in ("inf", "noise", "split"))


def test_alternating_least_squares_is_refused_for_classes_beside_the_optimizer(open_app):  # noqa: F811
    app = open_app(preset="digits", opt="als")
    assert "these are classes" in beside(app, "opt")


# ---- a file of one's own --------------------------------------------------------------------------------------------


def test_a_file_is_shown_prepared_and_trained_on(open_page, store):
    app = upload(open_page(), "flowers.csv", FLOWERS)
    assert not app.error
    assert "30 rows · 4 columns" in main_texts(app)
    preview = app.dataframe[0].value
    assert list(preview["kind"])[:3] == ["a", "b", "c"]
    assert list(app.dataframe[1].value["kind"]) == ["number", "number", "category", "category"]
    assert app.multiselect[0].value == ["kind"]
    assert not [box for box in app.checkbox if box.key == "data_drop"]

    app = press(app, "prepare")
    assert not app.error
    assert "30 samples · 3 inputs · 3 classes · classification" in main_texts(app)
    assert "became 1 column of zeros and ones" in main_texts(app)
    key = prepared_key(app)
    assert store.get(key).title == "flowers.csv"

    press(app, f"to_train_{key}")
    app = drawn(app.switch_page("../pages/train.py").run())
    assert address_of(app) == {"preset": OWN, TABLE: key}
    assert app.selectbox(key=TABLE).value == key
    assert not app.button(key="train").disabled
    app = typed(app, frac="0.5", split="3")
    assert address_of(app) == {"preset": OWN, TABLE: key, "frac": "0.5", "split": "3"}

    app = press(drawn(app.switch_page("../pages/data.py").run()), f"to_sweep_{key}")
    assert app.selectbox(key="sweep_data").value == key
    assert not app.button(key="sweep_start").disabled


@pytest.mark.usefixtures("quick")
def test_a_file_is_looked_into_once(open_page, monkeypatch):
    looked = []
    inspect = data_intake.inspect

    def look(path: Path, name: str) -> Inspection:
        looked.append(name)
        return inspect(path, name)

    monkeypatch.setattr(data_intake, "inspect", look)
    app = upload(open_page(), "flowers.csv", FLOWERS)
    app.multiselect[0].set_value(["length"])
    drawn(app.run())
    assert looked == ["flowers.csv"]
    upload(app, "flowers.csv", FLOWERS + "\n1,2,red,a")
    assert len(looked) == 2


@pytest.mark.usefixtures("quick")
def test_missing_values_are_left_out_when_asked(open_page):
    app = press(upload(open_page(), "gaps.csv", FLOWERS + "\n,1,red,a"), "prepare")
    (error,) = app.error
    assert "missing values, 1 in 'length'" in error.value
    app.checkbox(key="data_drop").check()
    app = press(drawn(app.run()), "prepare")
    assert not app.error
    assert "30 samples" in main_texts(app)


def array_file(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.csv", b"", "is empty"),
        ("ragged.csv", b"a,b\n1,2\n3\n", "columns"),
        ("bad.parquet", b"PAR1 no", "bad.parquet"),
        ("objects.npy", array_file(np.zeros((3, 3, 3))), "3 dimensions"),
    ],
)
@pytest.mark.usefixtures("quick")
def test_what_cannot_be_read_gets_a_sentence(open_page, name, content, expected):
    app = upload(open_page(), name, content)
    (error,) = app.error
    assert expected in error.value
    assert error.value.endswith(".") and "\n" not in error.value
    assert not [button for button in app.button if button.key == "prepare"]


@pytest.mark.usefixtures("quick")
def test_what_cannot_be_prepared_gets_a_sentence_at_its_place(open_page):
    app = upload(open_page(), "flowers.csv", FLOWERS)
    for targets, task, expected in (
        ([], "auto", "no target is chosen"),
        (["length", "width", "colour", "kind"], "auto", "every column is a target"),
        (["colour"], "regression", "regression needs numbers"),
        (["length", "width"], "classification", "one target"),
    ):
        app.multiselect[0].set_value(targets)
        app.selectbox(key="data_task").select(task)
        app = press(app, "prepare")
        elements = list(leaves(app.main))
        at = next(place for place, element in enumerate(elements) if element.type == "multiselect")
        assert elements[at + 1].type == "error"
        assert expected in elements[at + 1].value
        assert not [button for button in app.button if len(str(button.key)) == 41]


@pytest.mark.usefixtures("quick")
def test_a_full_disk_gets_a_sentence(open_page, monkeypatch):
    def add(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    app = upload(open_page(), "flowers.csv", FLOWERS)
    monkeypatch.setattr(TableStore, "add", add)
    app = press(app, "prepare")
    assert app.error[0].value == "the file cannot be kept on this server (No space left on device)."


@pytest.mark.usefixtures("quick")
def test_many_columns_are_not_all_shown(open_page):
    names = [f"x{n}" for n in range(120)]
    app = upload(open_page(), "wide.csv", "\n".join([",".join(names), *[",".join(["1"] * 119 + ["2"])] * 5]))
    assert "120 columns; the first 50 are shown" in main_texts(app)
    assert app.dataframe[0].value.shape == (5, 50)
    assert len(app.dataframe[1].value) == 120


def test_infinite_cells_count_as_missing():
    table = data_intake.column_table([ColumnInfo("x", "number", 2, 1, 7)])
    assert table == {"column": ["x"], "kind": ["number"], "missing": [3], "distinct": [7]}


@pytest.mark.parametrize("text", ["a*b*", "$x$", ":red[x]", "`", "[a](b)", "<b>", "~~", "#", "\\"])
def test_text_from_outside_is_no_markdown(text):
    escaped = data_intake.escaped(text)
    assert escaped.replace("\\\\", "\0").replace("\\", "").replace("\0", "\\") == text
    assert len(escaped) > len(text)


# ---- OpenML ---------------------------------------------------------------------------------------------------------


def held(store: TableStore) -> DataConfig:
    """A prepared table of 12 inputs and 2 targets."""
    x = np.random.default_rng(0).normal(size=(40, 12))
    names = tuple(f"x{n}" for n in range(12))
    return config_of(store.add_arrays("made", "made up", Prepared(x, x[:, :2], names, ("t", "u"), "regression")))


def test_a_data_set_of_openml_is_fetched(open_page, store, monkeypatch):
    asked: list[Any] = []

    def from_openml(*given: Any) -> DataConfig:
        asked.append(given)
        return held(store)

    monkeypatch.setattr(own_data, "from_openml", from_openml)
    app = open_page()
    assert app.button(key="fetch").disabled
    app.text_input(key="data_openml").set_value(" iris ")
    app.text_input(key="data_openml_targets").set_value("t, u")
    app = press(drawn(app.run()), "fetch")
    assert asked == [("iris", ("t", "u"), "auto", False)]
    assert "40 samples · 12 inputs · 2 targets · regression" in main_texts(app)


def test_what_openml_does_not_have_gets_a_sentence(open_page, monkeypatch):
    def from_openml(*given: Any) -> DataConfig:
        raise InputError("OpenML has no data set 'x*'; look for its name there", "file")

    monkeypatch.setattr(own_data, "from_openml", from_openml)
    app = open_page()
    app.text_input(key="data_openml").set_value("x*")
    app = press(drawn(app.run()), "fetch")
    assert app.error[0].value == r"OpenML has no data set 'x\*'; look for its name there."


# ---- own data on the other pages ------------------------------------------------------------------------------------


def test_without_a_table_there_is_a_hint_and_nothing_to_train(open_app):  # noqa: F811
    app = open_app(preset=OWN)
    assert "Prepare a file on the Data page" in app.sidebar.info[0].value
    assert app.button(key="train").disabled
    assert not app.sidebar.text_input
    assert address_of(app) == {"preset": OWN}
    app.selectbox(key="preset").select("digits")
    assert not drawn(app.run()).button(key="train").disabled


def test_a_table_of_the_address_sets_every_control(open_app, store):  # noqa: F811
    data = held(store)
    app = open_app(preset=OWN, data=data.key, lr="0.5")
    assert not app.error and not app.warning
    assert app.selectbox(key=TABLE).value == data.key
    assert (app.text_input(key="in").value, app.text_input(key="out").value) == ("4,3", "2,1")
    assert app.text_input(key="steps").value == str(OWN_TRAIN.steps)
    assert address_of(app) == {"preset": OWN, TABLE: data.key, "lr": "0.5"}
    # It is known from now on, and is what the task starts with.
    app.selectbox(key="preset").select("digits")
    drawn(app.run())
    app.selectbox(key="preset").select(OWN)
    assert address_of(drawn(app.run())) == {"preset": OWN, TABLE: data.key}


def test_half_of_a_small_table_is_held_out(open_app, store):  # noqa: F811
    x = np.arange(8.0).reshape(4, 2)
    stored = store.add_arrays("small", "small", Prepared(x, x[:, :1], ("a", "b"), ("t",), "regression"))
    app = open_app(preset=OWN, data=stored.key)
    assert app.text_input(key="frac").value == "0.5"
    assert not app.error
    app = typed(app, frac="0.2")
    assert "each part needs at least 2" in beside(app, "frac")


def test_a_table_that_is_gone_leaves_a_hint(open_app, store):  # noqa: F811
    data = held(store)
    app = open_app(preset=OWN, data=data.key)
    store._remove(store.folder / data.key)
    drawn(app.run())
    assert app.button(key="train").disabled
    assert app.sidebar.info
    app = open_app(preset=OWN, data=data.key)
    assert "no table that is held here" in app.sidebar.warning[0].value
    assert SWEEP.start(OWN, data.key) is None
