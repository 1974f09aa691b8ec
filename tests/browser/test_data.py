"""Own data as a person brings them: a file is uploaded, prepared, trained on, and taken away again."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from sklearn.datasets import load_breast_cancer

from tests.browser.conftest import Visit
from tests.browser.visitor import MILLISECONDS, Visitor
from ttcore import RunConfig, preset, train
from ttcore.events import Finished

pytestmark = pytest.mark.browser


def breast_cancer(path: Path) -> Path:
    """As scikit-learn's frame would be written: every number as it is."""
    bunch = load_breast_cancer()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*bunch.feature_names, "target"])
        writer.writerows([*map(repr, x.tolist()), int(y)] for x, y in zip(bunch.data, bunch.target, strict=True))
    return path


def upload(page: Visitor, path: Path) -> None:
    page.page.get_by_role("tab", name="Your own file").click()
    page.page.locator("[data-testid=stFileUploader] input[type=file]").set_input_files(path)


def downloaded(page: Visitor, label: str) -> bytes:
    with page.page.expect_download() as download:
        page.page.get_by_role("button", name=label).click()
    return Path(download.value.path()).read_bytes()


def test_an_uploaded_table_gives_the_numbers_of_the_bundled_data(visit: Visit, tmp_path: Path):
    page = visit()
    page.go_to("Data")
    upload(page, breast_cancer(tmp_path / "cells.csv"))
    page.shows_text("569 rows · 31 columns")
    page.page.get_by_role("button", name="Prepare").click()
    page.shows_text("cells.csv: target")
    page.page.get_by_role("button", name="Train on it").locator("visible=true").last.click()
    page.button("train", ":enabled").wait_for()
    page.wait_for_query(preset="own")
    settings = {"in": "6,5", "out": "2,1", "ranks": "1", "steps": "60", "threads": "1"}
    for key in ("in", "out", "ranks", "steps"):
        page.type(key, settings[key])
    page.train_and_wait()
    # The page is drawn once more when the models to compare with have come; files are those of the last drawing.
    expect(page.page.get_by_text("are being fitted")).to_have_count(0, timeout=MILLISECONDS)
    saved = json.loads(downloaded(page, "Settings and result"))
    assert saved["config"]["data"]["source"] == "table" and saved["config"]["data"]["title"] == "cells.csv"
    given = saved["config"] | {"data": preset("breast-cancer").data.to_json()}
    given["train"] = given["train"] | {"threads": saved["threads"]}
    bundled = next(event for event in train(RunConfig.from_json(given)) if isinstance(event, Finished))
    for part in ("train", "test"):
        expected = getattr(bundled, part)
        assert saved[part] == {"cross_entropy": expected.loss, "accuracy": expected.score}
    file = np.load(io.BytesIO(downloaded(page, "Cores (NPZ)")), allow_pickle=False)
    assert all(np.array_equal(file[f"core_{k}"], core) for k, core in enumerate(bundled.cores, 1))
    # Beside the layer stand the models of its size, and the mistakes by class.
    expect(page.page.locator(".st-key-at_equal_size")).to_contain_text("At equal size", timeout=MILLISECONDS)
    page.page.locator(".st-key-confusion_test .js-plotly-plot").wait_for()


def test_bad_files_are_one_sentence_each_and_the_page_goes_on(visit: Visit, tmp_path: Path):
    page = visit()
    page.go_to("Data")
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", np.lib.format.magic(1, 0) + bytes(50_000_000))
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1,2\n3\n")
    binary = tmp_path / "picture.csv"
    binary.write_bytes(bytes(range(256)) * 20)
    for path, words in ((ragged, "line 3"), (binary, "picture.csv"), (bomb, "bomb.npz")):
        upload(page, path)
        expect(page.page.get_by_role("alert").filter(has_text=words).first).to_be_visible(timeout=MILLISECONDS)
        page.page.get_by_role("button", name=f"Remove {path.name}").click()
    upload(page, breast_cancer(tmp_path / "good.csv"))
    page.shows_text("569 rows · 31 columns")
