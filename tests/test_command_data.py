"""Your own data on the command line: a file or a data set of OpenML is trained on as a preset is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from shlex import split
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from tests.tables import same_arrays
from tests.test_openml import Server, closed_port, use
from ttcore import RunConfig, preset
from ttcore.__main__ import _config, _parser, main
from ttcore.command_sweep import _sweep_config
from ttcore.events import Event, Finished, Progress
from ttcore.presets import OWN_TRAIN
from ttcore.training import train

FAST = split("--steps 3 --threads 1 --device cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture(autouse=True)
def _own_store(folder, monkeypatch):
    # The same for all, so that most tests find the table prepared.
    monkeypatch.setenv("TTCORE_TABLES", str(folder / "store"))


@pytest.fixture(scope="module")
def table(folder) -> str:
    """Of 40 rows with a missing value: numbers a, b and y, a text c."""
    path = folder / "own table.csv"
    rows = [f"{n / 7!r},{'' if n == 3 else n},{'uvw'[n % 3]},{n % 11 / 3!r}" for n in range(40)]
    path.write_text("a,b,c,y\n" + "\n".join(rows))
    return str(path)


def asked(*arguments: str) -> RunConfig:
    return _config(_parser().parse_args(["train", *arguments]))


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["train", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    return printed.err


# ---- the same as a preset -------------------------------------------------------------------------------------------


def test_a_file_gives_exactly_what_the_preset_of_its_data_gives(tmp_path):
    bunch = load_breast_cancer()
    path = tmp_path / "cancer.csv"
    lines = [",".join(map(repr, [*row, target])) for row, target in zip(bunch.data.tolist(), bunch.target, strict=True)]
    path.write_text("\n".join([",".join([*bunch.feature_names, "target"]), *lines]))
    settings = split("--ranks 2 --steps 30 --threads 1 --device cpu --test-fraction 0.3 --split-seed 5")
    own = asked("--data", str(path), "--targets", "target", *settings)
    usual = asked("--preset", "breast-cancer", *settings)
    assert own.data.source == "table" and own.data.task == "classification"
    # Neither is a coincidence of an unchanged default.
    assert (own.data.test_fraction, own.data.split_seed, own.train) == (0.3, 5, usual.train)
    left, right = list(train(own)), list(train(usual))
    np.testing.assert_array_equal(losses(left), losses(right))
    assert len(losses(left)) == 30
    mine, its = left[-1], right[-1]
    assert isinstance(mine, Finished) and isinstance(its, Finished)
    assert (mine.train, mine.test, mine.best, mine.best_test) == (its.train, its.test, its.best, its.best_test)
    assert same_arrays(mine.cores, its.cores) and same_arrays(mine.best_cores, its.best_cores)


def losses(events: list[Event]) -> np.ndarray:
    return np.concatenate([event.losses for event in events if isinstance(event, Progress)])


# ---- a run ----------------------------------------------------------------------------------------------------------


def test_settings_of_a_file(table):
    config = asked("--data", table, "--drop-missing", *split("--targets y,a --test-fraction 0.25 --split-seed 9"))
    data = config.data
    assert (data.title, data.task, data.samples, data.features, data.outputs) == (
        "own table.csv",
        "regression",
        39,
        4,
        2,
    )
    assert (data.test_fraction, data.split_seed, data.test_samples) == (0.25, 9, 10)
    assert config.train == OWN_TRAIN
    assert (config.in_modes, config.out_modes) == data.usual_modes
    # The column that looks like a target; modes as usual, or those given.
    other = asked("--data", table, "--drop-missing", *split("--in-modes 3,2 --ranks 1 --optimizer lbfgs"))
    assert (other.data.features, other.data.outputs) == (5, 1)
    assert (other.in_modes, other.out_modes, other.ranks) == ((3, 2), (1, 1), 1)
    assert (other.train.optimizer, other.train.steps) == ("lbfgs", 1000)


def test_what_was_done_to_it_is_said_before_it_is_trained_on(table, capsys):
    assert main(["train", "--data", table, "--drop-missing", "--targets", "c", *FAST]) == 0
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert lines[:2] == [
        "own table.csv: 39 samples; c (3 classes) from 3 features",
        "1 row is left out for a missing or infinite value; 39 remain.",
    ]
    assert "parameters on cpu" in lines[2]
    assert "test accuracy" in printed.out


def test_a_result_can_be_run_again_while_its_table_is_held(table, folder, capsys, tmp_path):
    own = ["--data", table, "--drop-missing"]
    first = result(
        capsys, *own, *split("--targets y --test-fraction 0.3 --split-seed 4 --in-modes 6,1 --out-modes 1,1"), *FAST
    )
    file = tmp_path / "result.json"
    file.write_text(json.dumps(first))

    def same(again: dict[str, Any]) -> bool:
        return all(again[key] == first[key] for key in ("train", "test", "best", "full_model", "config"))

    assert same(result(capsys, "--config", str(file)))
    other = result(capsys, "--config", str(file), "--split-seed", "5")
    assert other["config"]["data"]["split_seed"] == 5 and not same(other)
    shutil.rmtree(folder / "store")
    refused = refusal(capsys, "train", "--config", str(file))
    assert "the table 'own table.csv' is not held here any more; give it again with --data FILE" in refused
    # The file's hold-out, layer and training are meant for it.
    assert same(result(capsys, "--config", str(file), *own, "--targets", "y"))
    assert same(result(capsys, "--config", str(file)))


def test_other_data_take_the_training_of_a_file_of_settings(table, tmp_path):
    file = tmp_path / "run.json"
    file.write_text(json.dumps(preset("planted").to_json()))
    config = asked("--config", str(file), "--data", table, "--drop-missing", "--targets", "y")
    assert (config.train, config.ranks) == (preset("planted").train, preset("planted").ranks)
    assert (config.in_modes, config.out_modes) == config.data.usual_modes
    assert config.data.test_fraction == 0.2


def test_settings_that_are_not_the_tables(table, capsys, tmp_path):
    plain = asked("--data", table, "--drop-missing", "--targets", "y").to_json()
    plain["data"] |= {"samples": 50, "train_samples": None, "test_samples": None}
    file = tmp_path / "run.json"
    file.write_text(json.dumps(plain))
    assert "has 39 samples, 5 features and 1 outputs, and the settings say 50, 5 and 1" in refusal(
        capsys, "train", "--config", str(file)
    )


# ---- a sweep --------------------------------------------------------------------------------------------------------


def test_a_sweep(table, folder, capsys, tmp_path):
    file = tmp_path / "sweep.json"
    own = ["--data", table, "--drop-missing", "--targets", "c"]
    grid = [*split("--cores 2 --ranks 1 --seeds 0 --test-fraction 0.3 --json"), str(file)]
    assert main(["sweep", *own, *grid, *FAST]) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines()[0] == "own table.csv: 39 samples; c (3 classes) from 3 features"
    assert "test accuracy" in printed.out
    assert json.loads(file.read_text())["sweep"]["data"]["test_fraction"] == 0.3
    assert main(["sweep", "--resume", str(file)]) == 0
    assert "of them are done already" in capsys.readouterr().err
    saved = file.read_text()
    shutil.rmtree(folder / "store")
    assert "give it again with --data FILE" in refusal(capsys, "sweep", "--resume", str(file))
    assert file.read_text() == saved


def test_the_sweep_of_a_table_is_that_of_a_run_on_it(table):
    arguments = ["--data", table, "--drop-missing", "--targets", "y"]
    sweep = _sweep_config(_parser().parse_args(["sweep", *arguments]))
    run = asked(*arguments)
    assert (sweep.data, sweep.train) == (run.data, run.train)
    assert all(sweep.data.in_features <= np.prod(each.in_modes) for each in sweep.factorizations)


# ---- bad input ------------------------------------------------------------------------------------------------------

BAD = {
    "--data nowhere.csv": "'nowhere.csv' cannot be read (No such file or directory); give the path of a file",
    "--data .": "'.' is a folder; give a file",
    "--data /dev/null": "'/dev/null' is no plain file",
    "--data nul\0.csv": "cannot be read",
    "--data {folder}/notes.txt": "is of no known kind; tables are read from .csv, .tsv, .parquet",
    "--data {folder}/empty.csv": "'empty.csv' is empty",
    "--data {folder}/ragged.csv": "line 3",
    "--data {table} --targets y": "missing values, 1 in 'b'; ask for rows with such values to be left out, "
    "or fill them in (--drop-missing leaves them out)",
    "--data {table} --targets ,": "targets is empty",
    "--data {table} --drop-missing --targets c --task regression": "holds categories",
    "--data {table} --task clustering": "auto, regression, classification",
    "--data {table} --drop-missing --targets y --test-fraction 1": "test_fraction",
    "--data {table} --drop-missing --targets y --test-fraction 0.99": "test_fraction",
    "--data {table} --drop-missing --targets y --noise 0.1": "noise 0.1 cannot be set",
    "--data {table} --drop-missing --targets y --features 3": "features cannot be set for your own data",
    "--data {table} --preset digits": "--preset and your own data",
    "--data {table} --openml iris": "--data and --openml both",
    "--openml iris --preset digits": "--preset and your own data",
    "--targets y": "name it with --data",
    "--task auto": "name it with --data",
    "--drop-missing": "name it with --data",
}


@pytest.fixture(scope="module")
def files(folder) -> Path:
    contents = {
        "notes.txt": b"a,y\n1,2\n",
        "empty.csv": b"",
        "ragged.csv": b"a,y\n1,2\n1,2,3\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_is_one_clear_line_and_exit_code_2(arguments, table, files, capsys):
    for command in ("train", "sweep"):
        given = [part.format(folder=files, table=table) for part in split(arguments)]
        assert BAD[arguments] in refusal(capsys, command, *given)
        if "{" in arguments:
            break  # that takes a child each, and is the same for both


# ---- OpenML ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def test_a_data_set_of_openml(server, capsys, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path, server.address)
    arguments = ["--openml", "10", "--targets", "n,x", "--drop-missing", *FAST]
    assert main(["train", *arguments]) == 0
    assert capsys.readouterr().err.splitlines()[:2] == [
        "OpenML 10: unnamed: 23 samples; n, x (regression) from 3 features",
        "OpenML marks this data set as deactivated.",
    ]
    server.close()
    assert result(capsys, *arguments)["config"]["data"]["title"] == "OpenML 10: unnamed"


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_without_a_network(command, capsys, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path, f"http://127.0.0.1:{closed_port()}")
    assert "OpenML cannot be reached" in refusal(capsys, command, "--openml", "61")
