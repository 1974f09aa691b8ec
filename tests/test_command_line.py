from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from shlex import split
from typing import Any

import pytest

import ttcore
from tests.tables import tiny
from ttcore import RunConfig, preset
from ttcore.__main__ import _config, _parser, main

ROOT = Path(ttcore.__file__).parent.parent
SMALL = split("--preset planted --teacher-in-modes 3,4 --teacher-out-modes 2,2 --teacher-ranks 2 --ranks 2 --threads 1")


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ttcore", "train", *arguments]


def asked(*arguments: str) -> RunConfig:
    return _config(_parser().parse_args(["train", *arguments]))


def result(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main(["train", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out.splitlines()[-1])


# ---- options --------------------------------------------------------------------------------------------------------


def test_without_options_it_is_the_preset():
    assert asked() == asked("--preset", "reference") == preset("reference")
    assert asked("--preset", "planted") == preset("planted")


def test_every_option_reaches_its_setting():
    config = asked(
        *split("--preset planted --in-modes 64,64 --out-modes 4,4 --ranks 3 --optimizer sgd --lr 0,1 --momentum 0.5"),
        *split("--schedule constant --decay-fraction 0.25 --steps 1e3 --target 0.9 --init he --seed 7"),
        *split("--ridge 1e-6 --tf32 True --weight-decay 0.25 --batch-size 32"),
        *split("--dtype float64 --device cpu --threads 2 --data-seed 5 --train-samples 100 --test-samples 50"),
        *split("--noise 0.5 --teacher-ranks 2,3,2 --teacher-in-modes 8x8x8x8 --teacher-out-modes 2,2,2,2"),
    )
    plain = config.to_json()
    assert (plain["in_modes"], plain["out_modes"], plain["ranks"]) == ([64, 64], [4, 4], 3)
    assert plain["train"] == {
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.5,
        "weight_decay": 0.25,
        "ridge": 1e-6,
        "schedule": "constant",
        "decay_fraction": 0.25,
        "steps": 1000,
        "batch_size": 32,
        "target": 0.9,
        "init": "he",
        "seed": 7,
        "dtype": "float64",
        "device": "cpu",
        "tf32": True,
        "threads": 2,
    }
    data = plain["data"]
    assert (data["seed"], data["train_samples"], data["test_samples"], data["noise"]) == (5, 100, 50, 0.5)
    assert data["teacher_ranks"] == [2, 3, 2]


def test_a_method_of_few_steps_has_its_own_number_of_them():
    assert asked("--optimizer", "lbfgs").train.steps == 1000
    assert asked("--optimizer", "als").train.steps == 240
    assert asked("--optimizer", "als", "--steps", "7").train.steps == 7
    assert asked("--optimizer", "sgd").train.steps == 10_000
    assert asked("--preset", "reference-fast", "--lr", "0.2").train.steps == 2400


def test_a_rank_for_each_bond():
    assert asked("--ranks", "4,8,4").ranks == (4, 8, 4)


def test_the_other_side_of_given_modes_is_made_to_fit():
    assert asked("--in-modes", "16,16,16").out_modes == (4, 2, 2)
    assert asked("--preset", "planted", "--teacher-in-modes", "5,6", "--teacher-out-modes", "2,2").in_modes == (5, 6)


def test_other_data_of_the_same_size_keep_the_layer(tmp_path):
    file = tmp_path / "run.json"
    config = tiny(in_modes=(12, 1), out_modes=(1, 4))
    file.write_text(json.dumps(config.to_json()))
    assert asked("--config", str(file)) == config
    assert asked("--config", str(file), "--data-seed", "4").in_modes == (12, 1)
    assert asked("--config", str(file), "--train-samples", "9").in_modes == (12, 1)


# ---- bad input ------------------------------------------------------------------------------------------------------

BAD = {
    "--in-modes 8,8,8": "4096",
    "--in-modes 8,8,8,0": "at least 1",
    "--in-modes 8,8,8,-8": "at least 1",
    "--in-modes 8,8,8,8.5": "8,8,8,8.5",
    "--in-modes abc": "'abc'",
    "--in-modes 8,8 --out-modes 2": "fill",
    "--out-modes 2,2,2,1": "16",
    "--in-modes 99999999999,1,1,1": "99999999999",
    "--ranks 0": "at least 1",
    "--ranks -8": "at least 1",
    "--ranks 8,8": "2 entries",
    "--ranks many": "'many'",
    "--steps 0": "steps",
    "--steps 1.5": "1.5",
    "--steps nan": "nan",
    "--lr 0": "lr",
    "--lr -1": "-1",
    "--lr inf": "inf",
    "--lr nan": "nan",
    "--lr fast": "'fast'",
    "--momentum 1": "momentum",
    "--decay-fraction 0": "decay_fraction",
    "--target 2": "target",
    "--optimizer newton": "adam, sgd, lbfgs, als",
    "--optimizer als --ridge 0": "ridge",
    "--ridge nan": "ridge",
    "--tf32 perhaps": "true or false",
    "--schedule cosine": "constant, decay",
    "--init zeros": "unit, glorot, he",
    "--dtype float16": "float32, float64",
    "--device tpu": "auto, cpu, cuda",
    "--threads 0": "threads",
    "--seed -1": "seed",
    "--preset mnist": "reference, reference-fast, planted",
    "--data-seed 5": "planted",
    "--noise 0.5": "planted",
    "--preset planted --noise -1": "noise",
    "--preset planted --teacher-ranks 0": "teacher",
    "--preset planted --train-samples 10000000": "fewer samples",
    "--in-modes 65536,65536 --out-modes 65536,65536 --ranks 1000000": "lower the ranks",
    "--config nowhere.json": "nowhere.json",
    "--config nowhere.json --preset planted": "one of them",
    "--frobnicate 3": "--help",
    "--steps": "--help",
    "rest": "--help",
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_is_one_clear_line_and_exit_code_2(arguments, capsys):
    assert main(["train", *arguments.split(), "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert BAD[arguments] in printed.err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["train", "--"], ["--json"]])
def test_no_command_or_another(arguments, capsys):
    if arguments == ["train", "--"]:
        arguments = ["train", "--", "x"]
    assert main(arguments) == 2
    assert "--help" in capsys.readouterr().err


CONTENTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank": (b" \n", "is empty"),
    "not JSON": (b"{in_modes: 8}", "is not JSON"),
    "cut short": (b'{"ranks": 8', "is not JSON"),
    "binary": (bytes(range(256)), "not a text file"),
    "a list": (b"[1, 2]", "JSON object"),
    "a number": (b"3", "JSON object"),
    "null": (b"null", "JSON object"),
    "deep": (b"[" * 100_000, "is not JSON"),
    "a huge number": (b'{"ranks": ' + b"9" * 5000 + b"}", "is not JSON"),
    "a huge rate": (b'{"train": {"lr": 1' + b"0" * 400 + b"}}", "lr"),
    "NaN": (b'{"train": {"lr": NaN}}', "lr"),
    "unknown key": (b'{"rank": 8}', "'rank'"),
    "unknown inner key": (b'{"train": {"learning_rate": 8}}', "'learning_rate'"),
    "wrong type": (b'{"train": {"steps": "many"}}', "'many'"),
    "wrong type of part": (b'{"train": 5}', "JSON object"),
    "modes as text": (b'{"in_modes": "8,8"}', "'8,8'"),
    "null ranks": (b'{"ranks": null}', "None"),
    "changed reference": (b'{"data": {"noise": 1}}', "planted"),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_bad_config_file_is_refused_by_name(kind, capsys, tmp_path):
    content, words = CONTENTS[kind]
    file = tmp_path / "run.json"
    file.write_bytes(content)
    assert main(["train", "--config", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert str(file) in printed.err and words in printed.err
    assert len(printed.err) < 400 + len(str(file))


def test_a_config_file_that_is_a_directory(capsys, tmp_path):
    assert main(["train", "--config", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_the_object_of_a_run(capsys):
    report = result(capsys, *SMALL, "--steps", "40", "--seed", "3", "--dtype", "float64")
    assert report["stop_reason"] == "steps_done" and report["steps"] == 40
    assert report["seconds"] > 0 and report["steps_per_second"] == pytest.approx(40 / report["seconds"])
    assert set(report["train"]) == set(report["test"]) == {"mse", "r2"}
    assert set(report["best"]) == {"mse", "r2", "step"}
    assert report["full_model"]["parameters"] == 48 and report["full_model"]["train"]["r2"] > 0.999999
    assert report["parameters"] == 3 * 2 * 2 + 2 * 4 * 2
    assert report["parameter_ratio"] == 28 / 48 and report["compression"] == 48 / 28
    assert (report["device"], report["threads"]) == ("cpu", 1)
    assert RunConfig.from_json(report["config"]) == asked(*SMALL, "--steps", "40", "--seed", "3", "--dtype", "float64")


def test_a_result_can_be_run_again_from_its_file(capsys, tmp_path):
    first = result(capsys, *SMALL, "--steps", "30")
    file = tmp_path / "result.json"
    file.write_text(json.dumps(first))
    again = result(capsys, "--config", str(file))
    for key in ("train", "test", "best", "full_model", "config"):
        assert again[key] == first[key]


def test_the_reference_layer_and_its_full_model(capsys):
    report = result(capsys, "--steps", "2", "--threads", "1", "--device", "cpu")
    assert report["parameter_ratio"] == 0.03515625
    assert report["full_model"]["train"]["r2"] >= 0.999999
    assert report["full_model"]["test"]["r2"] <= 0.10


def test_without_json_it_is_a_sentence(capsys):
    assert main(["train", *SMALL, "--steps", "5", "--ranks", "1000000"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1 and "test R²" in printed.out
    assert "(1000000)" in printed.err, "clipping is said"


def test_a_loss_that_is_not_finite_is_exit_code_3(capsys):
    report = result(capsys, *SMALL, *split("--optimizer sgd --lr 1000 --momentum 0"), code=3)
    assert report["stop_reason"] == "not_finite"
    assert report["train"]["mse"] is not None and report["best"]["mse"] is not None


def test_a_target_is_exit_code_0(capsys):
    assert result(capsys, *SMALL, "--target", "0.2")["stop_reason"] == "target_reached"


def test_as_a_program():
    bad = subprocess.run(program("--ranks", "0"), cwd=ROOT, capture_output=True, text=True)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "Traceback" not in bad.stderr and bad.stderr.startswith("error: rank 0")


def test_ctrl_c_prints_what_was_reached():
    command = program(*SMALL, "--steps", "10000000", "--json")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stderr.readline()
        while line and not line.startswith("step"):
            line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    report = json.loads(out.splitlines()[-1])
    assert report["stop_reason"] == "stopped" and report["steps"] > 0
