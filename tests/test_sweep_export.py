"""What a person takes away from a sweep: it is read back with every bit, and the script repeats it as a user would."""

from __future__ import annotations

import ast
import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from math import inf, nan
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import ttcore
from tests.sweeps import ROOM, full, grid, json_values, made_up, sweep_configs
from tests.tables import tiny
from ttcore import InputError, StopReason
from ttcore.events import Best, Scores
from ttcore.parse import parse_modes
from ttcore.results import Baseline, RunResult
from ttcore.sweep import SweepSnapshot, SweepState, run_sweep
from ttcore.sweep_config import SweepConfig
from ttcore.sweep_export import places_of, read_sweep, run_row, sweep_csv, sweep_object, sweep_script
from ttcore.sweep_plan import plan_sweep
from ttcore.tasks import compare_with, train_chunk

ROOT = Path(ttcore.__file__).parent.parent
CONFIG = grid(ranks=(1, 2, 3), seeds=(0, 1), optimizers=("adam", "lbfgs"), steps=15)
_floats = st.floats() | st.sampled_from([0.1 + 0.2, 1e-300, -0.0, nan, inf, -inf])


PLANS = {CONFIG: plan_sweep(CONFIG, ROOM)}


def snapshot(config: SweepConfig = CONFIG, **changes: Any) -> SweepSnapshot:
    """A sweep that has ended, with made-up results; `changes` are fields of the snapshot."""
    plan = PLANS.get(config) or plan_sweep(config, ROOM)
    values: dict[str, Any] = {
        "config": config,
        "plan": plan,
        "state": SweepState.ENDED,
        "results": {place: made_up(run) for place, run in enumerate(plan.runs)},
        "baselines": (full(),),
        "failures": {},
        "chunks_in_progress": 0,
        "fraction": 1.0,
        "seconds": 1.5,
        "eta": None,
        "message": "All runs are done.",
    }
    return SweepSnapshot(**values | changes)


@st.composite
def some_results(draw: st.DrawFn) -> dict[int, RunResult]:
    runs = PLANS[CONFIG].runs
    made = {}
    for place in draw(st.lists(st.integers(0, len(runs) - 1), unique=True)):
        scores = [Scores(loss=draw(_floats), score=draw(_floats)) for _ in range(3)]
        made[place] = made_up(
            runs[place],
            train=scores[0],
            test=scores[1],
            best_test=scores[2],
            best=Best(loss=draw(_floats), score=draw(_floats), step=draw(st.integers(0, 99))),
            seconds=draw(st.just(0.0) | st.floats(1e-6, 1e9)),
            steps=draw(st.integers(0, 10**7)),
            stop_reason=draw(st.sampled_from(StopReason)),
            device_name=draw(st.text(max_size=5)),
            plan=draw(st.text(max_size=5)),
            stacked=draw(st.integers(1, 8)),
        )
    return made


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def alike(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


# ---- CSV ------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(some_results())
def test_csv_holds_every_bit_in_the_order_of_the_grid(made):
    rows = rows_of(sweep_csv(snapshot(results=made)))
    assert len(rows) == len(made) + 1
    for row, (_, result) in zip(rows, sorted(made.items()), strict=False):
        expected = run_row(result)
        assert row.keys() >= expected.keys()
        for name, value in expected.items():
            if isinstance(value, float):
                assert alike(float(row[name]), value), name
            else:
                assert row[name] == str(value), name
        assert parse_modes(row["in_modes"], "in_modes") == result.config.in_modes
        assert parse_modes(row["ranks"], "ranks") == result.config.shape.ranks
        assert StopReason(row["stop_reason"]) is result.stop_reason
        parts = {"train": result.train, "test": result.test, "best_train": result.best, "best_test": result.best_test}
        for part, scores in parts.items():
            assert alike(float(row[f"{part}_mse"]), scores.loss)
            assert alike(float(row[f"{part}_r2"]), scores.score)


def test_models_to_compare_with_stand_in_the_same_columns():
    low = Baseline(
        kind="low_rank_ridge",
        rank=2,
        parameters=32,
        penalty=0.1 + 0.2,
        train=Scores(loss=0.5, score=0.25),
        test=Scores(loss=nan, score=-inf),
    )
    now = snapshot(baselines=(full(), low))
    *runs, dense, last = rows_of(sweep_csv(now))
    assert {row["model"] for row in runs} == {"tt"}
    assert (dense["model"], dense["rank"], dense["penalty"], dense["parameter_ratio"]) == ("full", "", "", "1.0")
    assert (last["model"], last["rank"], float(last["penalty"])) == ("low_rank_ridge", "2", 0.1 + 0.2)
    assert float(last["parameter_ratio"]) == 32 / 48
    assert (last["train_r2"], last["test_mse"], last["test_r2"]) == ("0.25", "nan", "-inf")
    assert (last["seed"], last["best_train_r2"]) == ("", "")
    assert {row["penalty"] for row in runs} == {""}


def test_results_that_were_trained_are_plain_numbers():
    results = train_chunk([run.to_json() for run in plan_sweep(CONFIG, ROOM).runs[:3]])
    models = tuple(compare_with(CONFIG.data.to_json()))
    now = snapshot(results=dict(enumerate(results)), baselines=models)
    text = sweep_csv(now)
    assert "np." not in text
    assert "array" not in text
    for row, result in zip(rows_of(text), results, strict=False):  # the models come after them
        assert float(row["train_r2"]) == result.train.score
    json.dumps(sweep_object(now), allow_nan=False)


def test_a_sweep_without_results_is_a_table_too():
    assert rows_of(sweep_csv(snapshot(results={}, baselines=()))) == []
    assert read_sweep(json.dumps(sweep_object(snapshot(results={}, baselines=())))) == (CONFIG, [])


# ---- JSON -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(some_results())
def test_a_saved_sweep_is_read_back(made):
    now = snapshot(results=made)
    text = json.dumps(sweep_object(now), allow_nan=False)
    config, results = read_sweep(text)
    assert config == CONFIG
    assert len(results) == len(made)
    for result, (_, original) in zip(results, sorted(made.items()), strict=True):
        for part in ("train", "test", "best", "best_test"):
            for what in ("loss", "score"):
                value = getattr(getattr(original, part), what)
                assert alike(getattr(getattr(result, part), what), value if math.isfinite(value) else nan)
        assert result.best.step == original.best.step
        compared = {"train", "test", "best", "best_test", "cores", "losses", "measured"}
        for field in fields(RunResult):
            assert field.name in compared or getattr(result, field.name) == getattr(original, field.name)
        assert (len(result.cores), len(result.losses), len(result.measured)) == (0, 0, 0)
    assert places_of(results, now.plan).keys() == made.keys()
    assert all(result.config == now.plan.runs[place] for place, result in places_of(results, now.plan).items())


def test_results_find_their_places_in_another_plan():
    results = list(snapshot().results.values())
    wider = plan_sweep(grid(ranks=(3, 4, 2), seeds=(1, 2), optimizers=("adam", "lbfgs"), steps=15), ROOM)
    found = places_of(results, wider)
    assert len(found) == 4
    assert all(wider.runs[place] == result.config for place, result in found.items())
    assert places_of(results, plan_sweep(grid(steps=14), ROOM)) == {}


def test_what_failed_and_what_was_merged_is_told():
    config = grid(ranks=(1, 6, 7))
    now = snapshot(config, results={}, failures={1: "too large"})
    saved = sweep_object(now)
    assert saved["failed"] == [{"config": now.plan.runs[1].to_json(), "why": "too large"}]
    assert (saved["asked"], saved["distinct"]) == (3, 2)
    assert saved["notes"] == list(now.plan.notes)
    assert len(saved["notes"]) == 1
    broken = replace(full(train=0.75, test=0.5), test=Scores(loss=inf, score=-inf))
    saved = sweep_object(snapshot(config, baselines=(full(train=0.75, test=0.5), broken)))
    expected = {
        "kind": "full",
        "rank": None,
        "penalty": None,
        "parameters": 48,
        "train": {"mse": 0.25, "r2": 0.75},
        "test": {"mse": 0.5, "r2": 0.5},
    }
    assert saved["baselines"] == [expected, expected | {"test": {"mse": None, "r2": None}}]


SAVED = sweep_object(snapshot(grid(ranks=(1,))))
RUN: dict[str, Any] = SAVED["runs"][0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "not a saved sweep"),
        ("null", "not a saved sweep"),
        ("{}", "not a saved sweep"),
        ('{"sweep": {}}', "not a saved sweep"),
        ('{"sweep": {}, "runs": {}}', "not a saved sweep"),
        ('{"sweep": 1, "runs": []}', "JSON object"),
        ('{"sweep": {}, "runs": [1]}', "a saved run"),
        ('{"sweep": {}, "runs": [{}]}', "a saved run lacks"),
        ("[" * 100_000, "not JSON"),
        ('{"sweep": {}, "runs": [' + "9" * 5000 + "]}", "not JSON"),
    ],
    ids=lambda text: text[:30],
)
def test_what_is_no_saved_sweep_is_refused(text, words):
    with pytest.raises(InputError, match=words) as refused:
        read_sweep(text)
    assert len(str(refused.value)) < 300


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(sorted(RUN)), json_values, st.booleans())
@example("threads", inf, False)
@example("steps", 10**400, False)
@example("seconds", 10**400, False)
@example("train", {"mse": 10**400, "r2": 0}, False)
@example("best", {"mse": 1, "r2": 1, "step": inf}, False)
@example("stop_reason", [], False)
@example("stop_reason", {}, False)
@example("config", {"ranks": [10**400]}, False)
def test_a_run_with_anything_in_it_is_read_or_refused(name, value, missing):
    run = {key: item for key, item in RUN.items() if key != name} if missing else {**RUN, name: value}
    text = json.dumps({"sweep": SAVED["sweep"], "runs": [run]})
    try:
        _, [result] = read_sweep(text)
    except InputError as error:
        assert 0 < len(str(error)) < 1000
    else:
        assert isinstance(result, RunResult)


@settings(deadline=None)
@given(
    st.text() | json_values.map(json.dumps) | st.lists(json_values).map(lambda v: json.dumps({"sweep": v, "runs": v}))
)
def test_any_text_is_a_saved_sweep_or_a_refusal(text):
    try:
        read_sweep(text)
    except InputError as error:
        assert 0 < len(str(error)) < 1000


@pytest.mark.parametrize("name", sorted(RUN))
@pytest.mark.parametrize("depth", [50, 300, 450, 700, 900, 3000])
def test_what_is_nested_deeply_is_read_or_refused(name, depth):
    nested = "[" * depth + "]" * depth
    text = json.dumps({"sweep": SAVED["sweep"], "runs": [{**RUN, name: "HERE"}]}).replace('"HERE"', nested)
    try:
        _, [result] = read_sweep(text)
    except InputError as error:
        assert 0 < len(str(error)) < 1000
    else:
        assert isinstance(result, RunResult)


# ---- the script -----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(sweep_configs())
def test_any_script_holds_its_sweep(config):
    text = sweep_script(config)
    settings = re.search(r"CONFIG = SweepConfig.from_json\(\n(.*?)\n\)\n", text, re.DOTALL)
    assert settings
    assert SweepConfig.from_json(ast.literal_eval(settings[1].strip())) == config
    compile(text, "sweep.py", "exec")
    assert f"a sweep of {config.asked:,} " in text
    assert max(len(line) for line in text.splitlines()) <= 120


def test_the_script_repeats_the_sweep(tmp_path):
    config = grid(ranks=(1, 2, 3), seeds=(0, 1), optimizers=("adam", "sgd"), rates=(0.02, 0.05), steps=15)
    file = tmp_path / "sweep.py"
    file.write_text(sweep_script(config), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, file], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    runs, _, medians = done.stdout.partition("\nmedians over seeds\n")
    groups: dict[tuple[Any, ...], list[RunResult]] = {}
    count = 0
    for result in run_sweep(config):
        count += 1
        how = result.config.train
        key = (result.config.shape.num_parameters, result.config.shape.ranks, how.optimizer, how.lr)
        groups.setdefault(key, []).append(result)
        assert f"seed {how.seed}: train R² {result.train.score:.4f}, test R² {result.test.score:.4f}\n" in runs
    assert len(runs.splitlines()) == count == 24
    expected = [
        f"{parameters:>9,} parameters  train R² {median(r.train.score for r in results):.4f}  "
        f"test R² {median(r.test.score for r in results):.4f}  (3, 4) -> (2, 2) ranks {ranks} {optimizer} {rate:g}"
        for (parameters, ranks, optimizer, rate), results in sorted(groups.items())
    ]
    assert medians.splitlines() == expected


def test_rows_name_their_layer():
    row = run_row(made_up(tiny(ranks=99, in_modes=(3, 2, 2), out_modes=(2, 2, 1))))
    assert (row["factorization"], row["cores"], row["rank"], row["ranks"]) == ("3·2·2 → 2·2·1", 3, "99", "6,2")
