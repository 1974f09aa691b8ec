"""A generated script is run as a user runs it, and gives the numbers of the run that it stands for."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from streamlit.testing.v1 import AppTest

from tests.sweeps import grid, grid_of_classes, sweep_configs
from tests.tables import NAMES, SHAPES, dense_by_einsum, random_cores, tiny
from ttcore import PRESETS, DataConfig, InputError, RunConfig, TrainConfig, TTShape, run_sweep, train
from ttcore.events import Finished, FullModel, Progress
from ttcore.own_data import config_of
from ttcore.preparing import Prepared
from ttcore.results import RunResult
from ttcore.script import einsum_of, script_of
from ttcore.script_data import TABLE_FILE, table_npz
from ttcore.script_sweep import sweep_script_of
from ttcore.sweep_config import SweepConfig
from ttcore.sweep_presets import SWEEPS
from ttcore.table_store import TableStore

LINE = re.compile(r"^(train|test): loss (\S+), \S+ (\S+); full model \S+ (\S+)$", re.MULTILINE)


def trained(config: RunConfig) -> tuple[np.ndarray, Finished, FullModel]:
    """The losses of the engine's run, what it ended with, and its full model."""
    events = list(train(config))
    (full,) = (event for event in events if isinstance(event, FullModel))
    losses = np.concatenate([event.losses for event in events if isinstance(event, Progress)])
    assert isinstance(events[-1], Finished)
    return losses, events[-1], full


def executed(script: str) -> dict[str, Any]:
    """The names that a script leaves."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(script, "train_tt.py", "exec"), names)
    return names


def reached(printed: str) -> dict[str, tuple[float, ...]]:
    """(loss, score, score of the full model) as it is printed, of "train" and "test"."""
    return {part: tuple(map(float, numbers)) for part, *numbers in LINE.findall(printed)}


def agree(printed: str, config: RunConfig, finished: Finished, full: FullModel, tolerance: float = 1e-6) -> None:
    said = reached(printed)
    assert set(said) == {"train", "test"}
    for part in ("train", "test"):
        loss, score, full_score = said[part]
        scores, full_scores = getattr(finished, part), getattr(full, part)
        # Seven digits are printed, and six of scores.
        assert loss == pytest.approx(scores.loss, rel=tolerance, abs=tolerance)
        assert score == pytest.approx(scores.score, abs=tolerance + 5e-7)
        if config.data.task_kind == "regression":
            assert full_score == pytest.approx(full_scores.score, abs=1e-6)
        else:  # of another penalty
            assert full_score == pytest.approx(full_scores.score, abs=0.1)
    assert f"{config.shape.num_parameters:,} parameters for {config.shape.dense_parameters:,}: compression" in printed


def real(source: Any, in_modes: tuple[int, ...], out_modes: tuple[int, ...], ranks: Any = 2, **changes: Any):
    """A short run on data that are split and scaled; `changes` are settings of the data or of the training."""
    names = {name for name in changes if name in DataConfig.__dataclass_fields__ and name != "seed"}
    data = DataConfig(source=source, **{name: changes.pop(name) for name in names})
    usual: dict[str, Any] = {"lr": 0.02, "steps": 60, "threads": 1, "device": "cpu", "dtype": "float64"}
    return RunConfig(
        data=data, in_modes=in_modes, out_modes=out_modes, ranks=ranks, train=TrainConfig(**usual | changes)
    )


RUNS = {
    "adam": tiny(steps=200, device="auto"),
    "adam, one core, decaying": tiny(
        steps=200, in_modes=(12,), out_modes=(4,), ranks=(), schedule="decay", decay_fraction=0.3, lr=0.05
    ),
    "adam, three cores, weight decay": tiny(
        steps=200, in_modes=(3, 2, 2), out_modes=(2, 1, 2), ranks=(2, 3), weight_decay=0.5, noise=0.1
    ),
    "adam, four unequal cores, he": tiny(
        steps=200, in_modes=(2, 1, 3, 2), out_modes=(1, 2, 1, 2), ranks=(2, 2, 3), init="he", seed=3
    ),
    "adam, five cores, padded, glorot": tiny(
        steps=200, in_modes=(2, 2, 2, 1, 2), out_modes=(2, 1, 3, 1, 1), ranks=2, init="glorot"
    ),
    "adam, six cores": tiny(
        steps=200, in_modes=(3, 1, 2, 1, 2, 1), out_modes=(1, 2, 1, 1, 1, 2), ranks=2, schedule="decay"
    ),
    "adam, low rank": tiny(steps=200, in_modes=(12, 1), out_modes=(1, 4)),
    "adam, mini-batches": tiny(steps=200, batch_size=6, seed=2),
    "adam, a target": tiny(steps=500, target=0.8),
    "adam, mini-batches, a target": tiny(steps=500, target=0.8, batch_size=6),
    "sgd": tiny(steps=200, optimizer="sgd", lr=0.05, momentum=0.5),
    "sgd, weight decay, decaying, mini-batches": tiny(
        steps=200, optimizer="sgd", lr=0.05, weight_decay=0.3, schedule="decay", batch_size=7
    ),
    "sgd, weight decay": tiny(steps=200, optimizer="sgd", lr=0.1, weight_decay=0.3),
    "lbfgs": tiny(steps=35, optimizer="lbfgs", noise=0.5),
    "lbfgs, padded": tiny(steps=30, optimizer="lbfgs", in_modes=(4, 4), out_modes=(3, 2), ranks=3),
    "lbfgs, a target": tiny(steps=30, optimizer="lbfgs", target=0.9),
    "als": tiny(steps=30, optimizer="als", noise=0.5),
    "als, one core": tiny(steps=10, optimizer="als", in_modes=(12,), out_modes=(4,), ranks=(), noise=0.5),
    "als, padded": tiny(steps=60, optimizer="als", in_modes=(4, 2, 2), out_modes=(3, 2, 1), ranks=2, noise=0.5),
    "als, a mode of surplus outputs": tiny(
        steps=20, optimizer="als", in_modes=(3, 4), out_modes=(4, 4), ranks=2, noise=0.5, target=0.7
    ),
    "regression": real("regression", (4, 4), (1, 1), samples=60, features=16, outputs=1, informative=5),
    "regression, effective rank": real(
        "regression", (4, 4), (3, 1), samples=60, features=16, outputs=3, informative=5, effective_rank=4, noise=0.0
    ),
    "diabetes": real("diabetes", (5, 2), (1, 1), test_fraction=0.3, split_seed=4),
    "linnerud": real("linnerud", (2, 2), (3, 1)),
    "wine": real("wine", (7, 2), (3, 1), weight_decay=1.0),
    "wine, sgd, mini-batches, a target": real(
        "wine", (5, 3), (2, 2), optimizer="sgd", batch_size=32, target=0.9, weight_decay=0.1
    ),
    "wine, lbfgs, a target": real("wine", (7, 2), (1, 3), optimizer="lbfgs", target=0.99),
    "breast cancer, a target": real("breast_cancer", (6, 5), (1, 2), steps=100, target=0.9, test_fraction=0.5),
    "digits": real("digits", (8, 8), (5, 2), ranks=3, steps=20),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_script_gives_the_numbers_of_its_run(name, capsys):
    config = RUNS[name]
    losses, finished, full = trained(config)
    script = script_of(config)
    assert "ttcore" not in script
    names = executed(script)
    assert len(names["losses"]) == len(losses)
    np.testing.assert_allclose(names["losses"], losses, rtol=0, atol=1e-6)
    agree(capsys.readouterr().out, config, finished, full)
    if config.train.target is not None:
        assert len(losses) < config.train.steps, "it is the target that ends it"


def test_the_search_of_lbfgs_ends_where_nothing_is_to_be_gained(capsys):
    config = tiny(steps=500, optimizer="lbfgs", noise=0.5)
    losses, finished, full = trained(config)
    assert len(losses) < 500
    names = executed(script_of(config))
    # On the plateau rounding decides when that is.
    assert abs(len(names["losses"]) - len(losses)) < 20
    agree(capsys.readouterr().out, config, finished, full)


def test_the_published_fit_in_single_precision(capsys):
    fast = PRESETS["reference-fast"].config
    config = replace(fast, train=replace(fast.train, steps=400, threads=1, device="cpu"))
    _, finished, full = trained(config)
    executed(script_of(config))
    printed = capsys.readouterr().out
    agree(printed, config, finished, full, tolerance=5e-3)
    assert reached(printed)["train"][1] > 0.8


# ---- as a user runs it ----------------------------------------------------------------------------------------------


def run_by_a_user(script: str, folder: Any) -> str:
    """In a folder of its own, where this project is not to be found."""
    file = folder / "train_tt.py"
    file.write_text(script, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "error", file.name],
        cwd=folder, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_script_needs_nothing_of_this_project(tmp_path):
    config = RUNS["adam, five cores, padded, glorot"]
    _, finished, full = trained(config)
    agree(run_by_a_user(script_of(config), tmp_path), config, finished, full)


@pytest.fixture
def tables(tmp_path, monkeypatch):
    monkeypatch.setenv("TTCORE_TABLES", str(tmp_path / "tables"))
    return TableStore()


def table(store: TableStore, task: Any) -> RunConfig:
    """60 samples of 6 features, one of them constant, and two targets, one of them constant, or three classes."""
    draw = np.random.default_rng(5)
    x = np.hstack([draw.normal(3, 2, (60, 5)), np.full((60, 1), 0.1)])
    names: tuple[str, ...]
    if task == "classification":
        # One of them is so rare that training sees none of it.
        labels = np.r_[np.zeros(2, int), np.arange(58) % 2 + 1]
        y, names = np.eye(3)[labels], ("a", "b", "c")
    else:
        y, names = np.column_stack([x[:, 0] - x[:, 1], np.full(60, 0.3)]), ("s", "t")
    prepared = Prepared(x, y, tuple("uvwxyz"), names, task, 0, ())
    stored = store.add_arrays(f"made up, {task}", 'a""" \'title\'\rimport ttcore', prepared)
    data = config_of(stored, test_fraction=0.9 if task == "classification" else 0.25)
    train = TrainConfig(lr=0.02, steps=100, threads=1, device="cpu", dtype="float64")
    return RunConfig(data=data, in_modes=(3, 2), out_modes=(2, 2), ranks=2, train=train)


def test_a_table_is_read_from_the_file_beside_the_script(tables, tmp_path):
    config = table(tables, "regression")
    _, finished, full = trained(config)
    (tmp_path / TABLE_FILE).write_bytes(table_npz(config.data))
    script = script_of(config)
    assert "ttcore" not in script
    agree(run_by_a_user(script, tmp_path), config, finished, full)


def test_a_table_of_classes(tables, tmp_path, monkeypatch, capsys):
    config = table(tables, "classification")
    losses, finished, _ = trained(config)
    monkeypatch.chdir(tmp_path)
    (tmp_path / TABLE_FILE).write_bytes(table_npz(config.data))
    names = executed(script_of(config))
    np.testing.assert_allclose(names["losses"], losses, rtol=0, atol=1e-6)
    assert np.bincount(names["y_train"], minlength=3)[0] == 0
    for part, (loss, score, _) in reached(capsys.readouterr().out).items():
        assert loss == pytest.approx(getattr(finished, part).loss, abs=2e-6)
        assert score == pytest.approx(getattr(finished, part).score, abs=2e-6)
    with np.load(io.BytesIO(table_npz(config.data)), allow_pickle=False) as file:
        assert file["classes"].tolist() == ["a", "b", "c"]
        assert (file["x"].shape, file["y"].shape, file["y"].dtype.kind) == ((60, 6), (60,), "i")


def test_a_table_that_is_gone_is_refused(tables):
    data = DataConfig(source="table", key="0" * 32, task="regression", samples=60, features=6, outputs=2)
    with pytest.raises(InputError, match="not held"):
        table_npz(data)


# ---- the layer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 10**6])
@pytest.mark.parametrize("name", NAMES)
def test_the_einsum_is_the_layer(name, samples):
    shape = replace_features(SHAPES[name])
    cores, subscripts = random_cores(shape), einsum_of(shape, samples)
    x = torch.eye(shape.in_features, dtype=torch.float64).reshape(-1, *shape.in_modes)
    operands = [x, *cores] if subscripts.startswith("b") else [*cores, x]
    y = torch.einsum(subscripts, *operands).reshape(shape.in_features, shape.out_features)
    torch.testing.assert_close(y, dense_by_einsum(cores, shape).T)


def replace_features(shape: TTShape) -> TTShape:
    """The same without padding."""
    return TTShape(shape.in_modes, shape.out_modes, shape.ranks)


def test_both_orders_of_the_einsum_are_taken():
    assert einsum_of(TTShape((8, 8), (2, 2), 3), 1) == "bij,kiIl,ljJm->bIJ".translate(str.maketrans("klm", "qrs"))
    assert einsum_of(TTShape((8, 8), (2, 2), 3), 1000) == "qiIr,rjJs,bij->bIJ"


@pytest.mark.parametrize("name", NAMES)
def test_the_layer_of_a_script_is_the_dense_weight(name):
    shape = SHAPES[name]
    data = DataConfig(
        source="planted", teacher_in_modes=(shape.in_features,), teacher_out_modes=(shape.out_features,),
        teacher_ranks=(), train_samples=4, test_samples=4,
    )  # fmt: skip
    config = RunConfig(
        data=data, in_modes=shape.in_modes, out_modes=shape.out_modes, ranks=shape.ranks,
        train=TrainConfig(steps=1, dtype="float64", threads=1, device="cpu"),
    )  # fmt: skip
    script = script_of(config)
    assert script.count("torch.einsum(") == 1
    names = executed(script)
    with torch.no_grad():
        weight = names["layer"](torch.eye(shape.in_features, dtype=torch.float64)).T
        torch.testing.assert_close(weight, dense_by_einsum(names["cores"], config.shape))


def test_letters_last_for_sixteen_cores():
    shape = TTShape((1,) * 15 + (2,), (1,) * 14 + (2, 1), 1)
    cores = random_cores(shape)
    x = torch.eye(2, dtype=torch.float64).reshape(-1, *shape.in_modes)
    y = torch.einsum(einsum_of(shape, 1000), *cores, x)
    torch.testing.assert_close(y.reshape(2, 2), dense_by_einsum(cores, shape).T)
    longer = RunConfig(data=tiny().data, in_modes=(1,) * 15 + (3, 4), out_modes=(1,) * 15 + (2, 2), ranks=1)
    with pytest.raises(InputError, match="16 cores"):
        script_of(longer)
    teacher = DataConfig(source="planted", teacher_in_modes=longer.in_modes, teacher_out_modes=longer.out_modes)
    with pytest.raises(InputError, match="16 cores"):
        script_of(RunConfig(data=teacher, in_modes=(12,), out_modes=(4,)))
    with pytest.raises(InputError, match="16 cores"):
        sweep_script_of(SweepConfig(data=longer.data, factorizations=(f"{'1,' * 15}3,4->{'1,' * 15}2,2",)))  # type: ignore[arg-type]


# ---- the text -------------------------------------------------------------------------------------------------------


def test_the_scripts_of_all_presets_are_short_and_formatted(tmp_path):
    scripts = {name: script_of(preset.config) for name, preset in PRESETS.items()}
    assert max(len(script.splitlines()) for script in scripts.values()) <= 85
    sweeps = {f"sweep-{name}": sweep_script_of(config) for name, config in SWEEPS.items()}
    assert max(len(script.splitlines()) for script in sweeps.values()) <= 150
    scripts |= sweeps | {f"run-{number}": script_of(config) for number, config in enumerate(RUNS.values())}
    scripts["sweep of all"] = sweep_script_of(EVERYTHING)
    for name, script in scripts.items():
        compile(script, name, "exec")
        assert "ttcore" not in script
        (tmp_path / f"{name}.py").write_text(script, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", str(tmp_path)]
    done = subprocess.run(ruff, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_what_is_asked_for_is_all_that_is_there():
    plain = script_of(replace(tiny(), train=TrainConfig(steps=5)))
    for part in (
        "scheduler",
        "pad(",
        "target =",
        "rows",
        "set_num_threads",
        "offset",
        "tf32",
        "sklearn.",
        "place",
        "noise",
    ):
        assert part not in plain
    assert 'device = "cuda" if torch.cuda.is_available() else "cpu"' in plain
    assert "allow_tf32 = True" in script_of(tiny(tf32=True, device="auto"))
    assert 'device = "cuda"' in script_of(tiny(device="cuda")).splitlines()


def test_many_samples_are_predicted_in_pieces_and_large_data_are_announced():
    many = script_of(tiny(test_samples=40_000))
    assert "np.array_split(inputs, 3)" in many
    assert "GB of memory" not in many
    large = DataConfig(source="planted", teacher_ranks=1, train_samples=40_000)
    assert "GB of memory" in script_of(RunConfig(data=large, train=TrainConfig(batch_size=100)))


@settings(deadline=None, max_examples=40)
@given(sweep_configs())
def test_any_script_is_python(config):
    run = config.run(config.factorizations[0], config.ranks[0], config.seeds[0], config.rates[0], config.optimizers[-1])
    compile(script_of(run), "train_tt.py", "exec")
    if config.optimizers == ("als",):
        with pytest.raises(InputError, match="no short script"):
            sweep_script_of(config)
    else:
        compile(sweep_script_of(config), "sweep_tt.py", "exec")


def test_scripts_are_written_without_torch():
    program = "import sys, ttcore.script_sweep; print(sorted({'torch', 'streamlit', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- sweeps ---------------------------------------------------------------------------------------------------------

EVERYTHING = grid(
    factorizations=("12,1->1,4", "2,2,4->2,1,3"),
    ranks=(2, 4, 30),
    seeds=(0, 1),
    rates=(0.02, 0.05),
    optimizers=("adam", "sgd", "lbfgs", "als"),
    steps=15,
    schedule="decay",
    weight_decay=0.1,
    init="glorot",
    target=0.7,
)


@pytest.mark.parametrize("config", [EVERYTHING, grid_of_classes(), grid(ranks=(1, 2), optimizers=("lbfgs",), steps=10)])
def test_a_sweep_prints_the_medians_of_its_runs(config, capsys):
    executed(sweep_script_of(config))
    printed = re.findall(r"^ *([\d,]+) +(\S+) +(\S+)  (.*)$", capsys.readouterr().out, re.MULTILINE)
    rows = {layer: (int(count.replace(",", "")), float(train), float(test)) for count, train, test, layer in printed}
    assert len(rows) == len(printed)
    several = len(config.optimizers) > 1
    results: dict[str, list[RunResult]] = {}
    for result in run_sweep(config):
        shape, how = result.config.shape, result.config.train
        way = f"{how.optimizer}, {how.lr}" if several else {"adam": f"Adam, {how.lr}", "lbfgs": "L-BFGS"}[how.optimizer]
        if how.optimizer != "als":
            layer = f"{shape.in_modes} -> {shape.out_modes}, {shape.ranks}, {way}"
            results.setdefault(layer, []).append(result)
    assert set(rows) == set(results)
    for layer, runs in results.items():
        assert len(runs) == len(config.seeds)
        train, test = (median(getattr(run, part).score for run in runs) for part in ("train", "test"))
        expected = (runs[0].config.shape.num_parameters, train, test)
        assert rows[layer] == pytest.approx(expected, abs=1e-4 if runs[0].config.train.optimizer == "lbfgs" else 2e-6)


# ---- the page -------------------------------------------------------------------------------------------------------


def _page(config):
    from dashboard.code_view import code_view

    code_view(config, "here")


def test_the_page_shows_the_script():
    app = AppTest.from_function(_page, args=(tiny(),), default_timeout=20).run()
    assert not app.exception
    assert app.code[0].value == script_of(tiny()).strip()
    app = AppTest.from_function(_page, args=(grid(optimizers=("als",)),), default_timeout=20).run()
    assert not app.exception
    assert len(app.code) == 0 and "no short script" in app.caption[0].value


def test_the_page_of_a_table_names_its_file(tables):
    app = AppTest.from_function(_page, args=(table(tables, "regression"),), default_timeout=20).run()
    assert not app.exception
    assert TABLE_FILE in app.caption[0].value and len(app.code) == 1
