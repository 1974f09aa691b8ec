"""python -m ttcore sweep, end to end: in this process, and as a program that is stopped in every way."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shlex import split
from typing import Any

import pytest

import ttcore
from ttcore import command_sweep, tasks
from ttcore.__main__ import _parser, main
from ttcore.command_screen import show_seconds
from ttcore.command_sweep import _sweep_config
from ttcore.sweep_config import Factorization, SweepConfig
from ttcore.sweep_export import read_sweep
from ttcore.sweep_presets import SWEEPS

ROOT = Path(ttcore.__file__).parent.parent
SMALL = split(
    "--preset planted --teacher-in-modes 3,4 --teacher-out-modes 2,2 --teacher-ranks 2 --train-samples 20 "
    "--test-samples 16 --seeds 0 --threads 1 --device cpu --dtype float64"
)
QUICK = [*SMALL, *split("--steps 30 --ranks 1-3 --seeds 0,1")]
# Long enough to be stopped in the middle: a small chunk and three of a few tenths of a second.
LONGER = [*SMALL, *split("--steps 2000 --ranks 1-6 --seeds 0-7")]
ENDLESS = [*SMALL, *split("--steps 10000000 --ranks 1-3")]
PATIENCE = 60.0


def asked(*arguments: str) -> SweepConfig:
    return _sweep_config(_parser().parse_args(["sweep", *arguments]))


def rows(text: str) -> list[dict[str, str]]:
    """The rows of a CSV without what time alone decides."""
    return [
        {name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(io.StringIO(text))
    ]


def runs(path: Path) -> list[dict[str, Any]]:
    """The runs of a JSON file without what time alone decides."""
    found = json.loads(path.read_text())["runs"]
    return [{name: value for name, value in run.items() if "second" not in name} for run in found]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ttcore", "sweep", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not what() and time.monotonic() < end:
        time.sleep(0.01)
    assert what()


# ---- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SWEEPS)
def test_without_options_it_is_the_presets_own_sweep(name):
    assert asked("--preset", name) == SWEEPS[name]
    assert asked() == SWEEPS["reference"]


def test_every_list_of_the_grid():
    config = asked(
        *split("--preset planted --cores 2,3 --ranks 2-6/2 --seeds 3-4,9 --rates 0.01,0.05 --optimizers adam,lbfgs"),
        *("--modes", "8,8,8,8->2,2,2,2; 64x64 → 4x4;", "--low-rank"),
    )
    assert {str(one) for one in config.factorizations} == {
        "64,64->4,4",
        "16,16,16->4,2,2",
        "8,8,8,8->2,2,2,2",
        "4096,1->1,16",
    }
    assert (config.ranks, config.seeds) == ((2, 4, 6), (3, 4, 9))
    assert (config.rates, config.optimizers) == ((0.01, 0.05), ("adam", "lbfgs"))


def test_settings_of_every_run():
    config = asked(
        *split("--preset planted --steps 1e3 --momentum 0.5 --schedule constant --init he --dtype float64 --threads 2"),
        *split("--device cpu --target 0.9 --ridge 1e-6 --decay-fraction 0.25 --tf32 true --noise 0.5 --data-seed 5"),
        *split("--train-samples 100 --test-samples 50 --teacher-in-modes 3,4 --teacher-out-modes 2,2"),
    )
    train = config.train.to_json()
    assert (train["steps"], train["momentum"], train["schedule"], train["init"]) == (1000, 0.5, "constant", "he")
    assert (train["dtype"], train["threads"], train["device"], train["target"]) == ("float64", 2, "cpu", 0.9)
    assert (train["ridge"], train["decay_fraction"], train["tf32"]) == (1e-6, 0.25, True)
    data = config.data
    assert (data.noise, data.seed, data.train_samples, data.test_samples) == (0.5, 5, 100, 50)
    # Data of another size have a layer of their own.
    assert config.factorizations == (Factorization((3, 4), (2, 2)),)


def test_one_optimizer_and_one_rate_in_either_form():
    assert asked(*split("--optimizer lbfgs --lr 0.3")) == asked(*split("--optimizers lbfgs --rates 0.3"))
    assert asked("--optimizers", "lbfgs").train.steps == 1000
    assert asked("--optimizers", "als", "--steps", "7").train.steps == 7


# ---- bad input ------------------------------------------------------------------------------------------------------

BAD = {
    "--ranks 0": "ranks must be",
    "--ranks 8-1": "counts nothing",
    "--ranks many": "'many'",
    "--ranks ''": "ranks is empty",
    "--seeds -1": "'-1'",
    "--seeds 99999999999": "99999999999",
    "--cores 0": "cores",
    "--cores two": "'two'",
    "--modes 8,8,8,8": "input->output",
    "--modes ;": "modes is empty",
    "--modes '8,8->2,2'": "do not fit",
    "--rates 0": "rates",
    "--rates fast": "'fast'",
    "--optimizers newton": "adam, sgd, lbfgs, als",
    "--optimizers ,": "optimizers is empty",
    "--optimizer adam --optimizers adam": "give one of them",
    "--lr 0.1 --rates 0.1": "give one of them",
    "--ranks 1-1000 --seeds 0-9": "at most 5,000",
    "--steps 0": "steps",
    "--in-modes 8,8": "sweep --help",
    "--seed": "sweep --help",
    "--preset mnist": "reference, reference-fast, planted",
    "--noise 0.5": "planted",
    "--preset planted --train-samples 10000000": "fewer samples",
    "--json /nowhere/x.json": "/nowhere/x.json",
    "--csv /": "a folder",
    "--json /dev/null": "no plain file",
    "--json - --csv -": "standard output",
    "--json x.json --csv ./x.json": "x.json",
    "--resume nowhere.json": "nowhere.json",
    "--resume x.json --ranks 3": "--ranks",
    "--resume x.json --low-rank": "--low-rank",
    "--resume x.json --threads 2": "--threads",
    "--resume x.json --preset planted": "--preset",
    "--scheduler nonsense": "tcp://127.0.0.1:8786",
    "rest": "sweep --help",
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_is_one_clear_line_and_exit_code_2(arguments, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tasks, "train_chunk", None)  # nothing may be trained
    assert main(["sweep", *split(arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert BAD[arguments] in printed.err
    assert list(tmp_path.iterdir()) == []
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


CONTENTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "not JSON": (b"{sweep: 8}", "not JSON"),
    "cut short": (b'{"sweep": {}, "runs": [', "not JSON"),
    "binary": (bytes(range(256)), "not a text file"),
    "a list": (b"[1, 2]", "saved sweep"),
    "a run": (b'{"config": {}, "stop_reason": "steps_done"}', "saved sweep"),
    "no runs": (b'{"sweep": {}, "runs": 3}', "saved sweep"),
    "unknown key": (b'{"sweep": {"rank": 8}, "runs": []}', "'rank'"),
    "broken run": (b'{"sweep": {}, "runs": [{"steps": 8}]}', "saved run"),
    "a run of no object": (b'{"sweep": {}, "runs": [8]}', "saved run"),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_is_no_sweep_is_refused_by_name_and_left_alone(kind, capsys, tmp_path):
    content, words = CONTENTS[kind]
    file = tmp_path / "sweep.json"
    file.write_bytes(content)
    assert main(["sweep", "--resume", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert str(file) in printed.err and words in printed.err
    assert file.read_bytes() == content


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_folder_without_permission_is_refused(capsys, tmp_path):
    tmp_path.chmod(0o500)
    assert main(["sweep", *QUICK, "--json", str(tmp_path / "x.json")]) == 2
    assert "Permission denied" in capsys.readouterr().err


# ---- results --------------------------------------------------------------------------------------------------------


def test_the_table_says_what_is_worth_its_parameters(capsys):
    assert main(["sweep", *QUICK]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split() == split("parameters of full layer seeds train R² test R² from to")
    for rank, parameters in ((1, 14), (2, 28), (3, 42)):
        [line] = [line for line in lines[1:4] if f"rank {rank} of 3·4 → 2·2" in line]
        assert str(parameters) in line.split()
    starred = [line for line in lines[1:4] if line.startswith("*")]
    assert starred and starred[0] == lines[1], "the smallest is always on the front"
    assert "48" in next(line for line in lines if "full model, least squares" in line).split()
    assert any(line.startswith("Cheapest within 1 % of the best test R²: rank ") for line in lines)
    assert "**" not in printed.out
    assert printed.err.splitlines()[0] == "6 runs, in 2 chunks"
    assert re.fullmatch(r"about 1 s in this process", printed.err.splitlines()[1])
    assert printed.err.splitlines()[-1] == "All 6 runs are done."


def test_what_is_asked_for_twice_is_said_and_done_once(capsys):
    assert main(["sweep", *SMALL, *split("--steps 5 --ranks 5-8 --rates 0.01,0.02 --optimizers adam,als")]) == 0
    opening = capsys.readouterr().err.splitlines()
    assert opening[0] == "6 runs, 10 of 16 being the same as another, in 3 chunks"
    assert "ranks 6-8 are the same layer" in opening[1] and "learning rate" in opening[2]


def test_files_and_standard_output_say_the_same(capsys, tmp_path):
    json_file, csv_file = tmp_path / "s.json", tmp_path / "s.csv"
    link = tmp_path / "link.csv"
    link.symlink_to(csv_file)
    assert main(["sweep", *QUICK, "--json", str(json_file), "--csv", str(link)]) == 0
    assert "rank 2 of" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.csv", "s.csv", "s.json"]
    assert link.is_symlink()

    assert main(["sweep", *QUICK, "--csv", "-"]) == 0
    assert rows(capsys.readouterr().out) == rows(csv_file.read_text())
    assert main(["sweep", *QUICK, "--json", "-"]) == 0
    printed = json.loads(capsys.readouterr().out)
    saved = json.loads(json_file.read_text())
    assert printed["baselines"] == saved["baselines"] and printed["sweep"] == saved["sweep"]
    config, results = read_sweep(json_file.read_text())
    assert config.train.threads == 1 and len(results) == 6
    [row] = [row for row in rows(csv_file.read_text()) if row["rank"] == "2" and row["seed"] == "1"]
    [run] = [run for run in printed["runs"] if run["config"]["ranks"] == 2 and run["config"]["train"]["seed"] == 1]
    assert float(row["test_r2"]) == run["test"]["r2"]


def test_threads_are_decided_and_recorded(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(command_sweep.machine, "processors", lambda: 3)
    without = SMALL[: SMALL.index("--threads")]
    assert main(["sweep", *without, *split("--ranks 1 --steps 3 --device cpu --json -")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["sweep"]["train"]["threads"] == 3
    assert [run["threads"] for run in printed["runs"]] == [3]


def test_runs_that_are_not_finite_are_kept_and_exit_code_3(capsys, tmp_path):
    file = tmp_path / "s.json"
    options = split("--steps 40 --ranks 1-2 --optimizer sgd --rates 0.01,1000 --momentum 0")
    assert main(["sweep", *SMALL, *options, "--json", str(file)]) == 3
    reasons = [run["stop_reason"] for run in runs(file)]
    assert sorted(set(reasons)) == ["not_finite", "steps_done"]


def test_runs_that_cannot_be_done_are_exit_code_3(capsys, monkeypatch, tmp_path):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the floor is wet")

    monkeypatch.setattr("ttcore.chunks.train_in_steps", fail)
    file = tmp_path / "s.json"
    assert main(["sweep", *QUICK, "--json", str(file)]) == 3
    printed = capsys.readouterr()
    assert "the floor is wet" in printed.err and "No run has a finite result" in printed.out
    assert len(json.loads(file.read_text())["failed"]) == 6
    assert printed.err.splitlines()[-1] == f"To finish the rest: python -m ttcore sweep --resume {file}"


def test_a_file_that_can_no_longer_be_written_is_said_and_exit_code_3(capsys, monkeypatch, tmp_path):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command_sweep, "_replace", full)
    assert main(["sweep", *QUICK, "--json", str(tmp_path / "s.json")]) == 3
    printed = capsys.readouterr()
    assert printed.err.count("No space left on device") == 1
    assert "rank 2 of" in printed.out


# ---- interrupted and resumed ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The longer sweep, not interrupted."""
    file = tmp_path_factory.mktemp("whole") / "whole.json"
    assert main(["sweep", *LONGER, "--json", str(file)]) == 0
    return file


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_sweep_that_was_stopped_and_resumed_is_the_same_sweep(how, whole, capsys, tmp_path):
    file = tmp_path / "s.json"
    with start(*LONGER, "--json", str(file)) as process:
        until(lambda: file.exists() or process.poll() is not None)
        began = time.monotonic()
        process.send_signal(getattr(signal, how))
        out, err = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 2
    assert "Traceback" not in err
    kept = runs(file)
    assert 0 < len(kept) < len(runs(whole))
    if how != "SIGKILL":
        assert process.returncode == 130
        assert err.splitlines()[-1] == f"To finish the rest: python -m ttcore sweep --resume {file}"
        assert "rank 1 of" in out
    times = {str(run["config"]): run["seconds"] for run in json.loads(file.read_text())["runs"]}

    assert main(["sweep", "--resume", str(file)]) == 0
    assert f"{len(kept)} of them are done already" in capsys.readouterr().err
    assert runs(file) == runs(whole)
    again = {str(run["config"]): run["seconds"] for run in json.loads(file.read_text())["runs"]}
    assert all(again[run] == seconds for run, seconds in times.items()), "what was done is not done again"


def test_ctrl_c_deep_in_a_chunk():
    with start(*ENDLESS) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "3 runs, in 1 chunk\n"
        # A first line of progress comes after five seconds; long before, the chunk is in its steps.
        time.sleep(2.5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - began < 2
    assert (process.returncode, out) == (130, "No run has a finite result.\n")
    assert "Stopped: 0 of 3 runs" in err and "--json FILE" in err and "Traceback" not in err


def test_a_resumed_sweep_can_go_elsewhere(capsys, tmp_path):
    file, other, table = tmp_path / "s.json", tmp_path / "other.json", tmp_path / "s.csv"
    assert main(["sweep", *QUICK, "--json", str(file)]) == 0
    value = json.loads(file.read_text())
    everything = runs(file)
    # Half of the only chunk is done: it is done again as a whole.
    value["runs"] = value["runs"][:3]
    file.write_text(json.dumps(value))
    before = file.read_bytes()
    assert main(["sweep", "--resume", str(file), "--json", str(other), "--csv", str(table)]) == 0
    assert file.read_bytes() == before
    assert runs(other) == everything
    assert len([row for row in rows(table.read_text()) if row["model"] == "tt"]) == 6
    # And one that is done is only said again.
    capsys.readouterr()
    assert main(["sweep", "--resume", str(other)]) == 0
    assert runs(other) == everything
    assert "6 of them are done already" in capsys.readouterr().err


def test_spans_of_time():
    spans = (0.1, 40.4, 99.4, 100, 5_000, 5_970, 7_800)
    assert [show_seconds(span) for span in spans] == [
        "1 s",
        "40 s",
        "99 s",
        "2 min",
        "83 min",
        "1 h 40 min",
        "2 h 10 min",
    ]
