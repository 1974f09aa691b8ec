"""Mini-batches, and data that are kept on disk: the same numbers as in one piece and in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.tables import same_arrays, tiny
from tests.test_training import run
from ttcore import Control, DataConfig, InputError, RunConfig, TrainConfig, datasets, load, planning
from ttcore.batches import Batches
from ttcore.comparison import compare
from ttcore.datasets import Dataset
from ttcore.events import Paused, StopReason
from ttcore.planning import check_memory
from ttcore.reduced import reduced, reduced_by_blocks
from ttcore.samples import Samples
from ttcore.training import resolve

PLANTED = tiny(steps=45, batch_size=6)
REGRESSION = RunConfig(
    data=DataConfig(source="regression", samples=120, features=12, informative=5, outputs=3),
    in_modes=(4, 3),
    out_modes=(3, 1),
    ranks=2,
    train=TrainConfig(steps=40, threads=1, device="cpu", batch_size=16),
)


def batches_of(config: RunConfig) -> tuple[Batches, Dataset]:
    dataset, runtime = load(config.data), resolve([config], 1)
    samples = Samples(dataset, config.shape, runtime)
    return Batches(samples, config.shape, config.batch, config.train.seed), dataset


def rows_in(batches: Batches, dataset: Dataset, step: int) -> list[int]:
    batches.take(step)
    x = batches.data.x[:, : dataset.x_train.shape[1]].double().numpy()
    return [int(np.abs(dataset.x_train - row).sum(1).argmin()) for row in x]


def test_an_epoch_has_every_sample_once_and_each_epoch_an_order_of_its_own():
    batches, dataset = batches_of(replace(PLANTED, train=replace(PLANTED.train, batch_size=5)))
    assert batches.per_epoch == 4
    epochs = [[rows_in(batches, dataset, 4 * epoch + k) for k in range(4)] for epoch in range(3)]
    for epoch in epochs:
        assert sorted(row for batch in epoch for row in batch) == list(range(20))
    assert epochs[0] != epochs[1] != epochs[2]
    # Whenever a step is taken, it sees the same samples.
    assert [rows_in(batches, dataset, step) for step in (5, 0, 11)] == [epochs[1][1], epochs[0][0], epochs[2][3]]


def test_another_seed_is_another_order():
    other = replace(PLANTED, train=replace(PLANTED.train, seed=1))
    firsts = [rows_in(*batches_of(config), 0) for config in (PLANTED, other)]
    assert firsts[0] != firsts[1]


def test_each_loss_is_that_of_its_samples_and_the_best_is_judged_on_all():
    outcome = run(PLANTED)
    batches, dataset = batches_of(PLANTED)
    start = run(replace(PLANTED, train=replace(PLANTED.train, steps=1)))
    rows = rows_in(batches, dataset, 0)
    # What the start predicts, from the cores before the only update.
    control = Control(steps=0)
    paused = run(PLANTED, control).events[-1]
    assert isinstance(paused, Paused) and paused.state.step == 0
    cores, offset = [], 0
    for shape in PLANTED.shape.core_shapes:
        size = int(np.prod(shape))
        cores.append(torch.tensor(paused.state.arrays["cores"][offset : offset + size]).view(shape))
        offset += size
    from ttcore import ttmatrix

    predicted = ttmatrix.apply(cores, torch.tensor(dataset.x_train[rows]), PLANTED.shape).numpy()
    assert start.losses[0] == pytest.approx(((predicted - dataset.y_train[rows]) ** 2).mean(), rel=1e-9)
    assert outcome.losses[0] == start.losses[0]
    finished = outcome.finished
    x, y = torch.tensor(dataset.x_train), dataset.y_train
    best = ttmatrix.apply([torch.tensor(core) for core in finished.best_cores], x, PLANTED.shape).numpy()
    assert finished.best.loss == pytest.approx(((best - y) ** 2).mean(), rel=1e-9)
    assert finished.best.step % 3 == 0 or finished.best.step == finished.step


def test_a_batch_of_all_samples_is_the_full_batch_bit_for_bit():
    whole, batched = (run(tiny(steps=20, batch_size=size)) for size in (None, 500))
    assert np.array_equal(whole.losses, batched.losses)
    assert same_arrays(whole.finished.cores, batched.finished.cores)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_run_that_was_paused_is_the_run_that_was_not(optimizer):
    config = tiny(steps=45, batch_size=6, optimizer=optimizer, lr=0.005)
    whole = run(config)
    first = run(config, Control(steps=17))
    paused = first.events[-1]
    assert isinstance(paused, Paused)
    rest = run(config, state=paused.state)
    assert np.array_equal([*first.losses, *rest.losses], whole.losses)
    assert same_arrays(rest.finished.cores, whole.finished.cores)
    assert rest.finished.best == whole.finished.best


@pytest.fixture
def on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(planning, "LARGEST_IN_MEMORY", 1)
    monkeypatch.setenv("TTCORE_TABLES", str(tmp_path))
    monkeypatch.setattr("ttcore.planning.ROWS", 7)
    monkeypatch.setattr("ttcore.samples.ROWS", 7)
    yield tmp_path
    datasets._mapped.cache_clear()


@pytest.mark.parametrize("config", [PLANTED, REGRESSION], ids=["planted", "regression"])
def test_data_on_disk_are_those_in_memory_in_float32(config, request):
    config = replace(config, train=replace(config.train, dtype="float32"))
    expected, losses = load(config.data), run(config).losses
    request.getfixturevalue("on_disk")
    found, outcome = load(config.data), run(config)
    assert found.on_disk and not expected.on_disk
    for name in datasets.PARTS:
        array = getattr(found, name)
        assert isinstance(array, np.memmap) and array.dtype == np.float32 and not array.flags.writeable
        np.testing.assert_allclose(array, getattr(expected, name), atol=1e-6)
    np.testing.assert_allclose(outcome.losses, losses, rtol=1e-4)
    assert outcome.finished.train.loss == pytest.approx(run(config).finished.train.loss)


def test_data_on_disk_are_drawn_once(on_disk, monkeypatch):
    first = load(REGRESSION.data)
    datasets._mapped.cache_clear()
    monkeypatch.setattr("ttcore.drawn.regression", None)
    assert np.array_equal(load(REGRESSION.data).x_train, first.x_train)


def test_data_on_disk_need_a_batch_size(on_disk):
    whole = replace(REGRESSION, train=replace(REGRESSION.train, batch_size=None))
    with pytest.raises(InputError, match="kept on disk and trained in mini-batches; set a batch size") as caught:
        check_memory([whole], 2**34)
    assert caught.value.field == "batch_size"
    check_memory([REGRESSION], 2**34)


def test_classes_on_disk_keep_their_names(on_disk):
    dataset = load(DataConfig(source="wine"))
    assert dataset.on_disk and dataset.classes == ("class_0", "class_1", "class_2")
    assert dataset.scaling is not None and dataset.offset is not None


def test_rows_that_stand_for_all_samples_give_the_same_errors():
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((300, 8)), draw.standard_normal((300, 3))
    x[:, 7] = x[:, 0] - x[:, 1]
    rows = draw.permutation(300)[:250]
    few, direct = reduced_by_blocks(x, y, rows), reduced(x[rows], y[rows])
    np.testing.assert_allclose(few.values, direct.values, rtol=1e-8)
    for fit in (few, direct):
        for _ in range(3):
            weight = draw.standard_normal((8, 3))
            error = ((x[rows] @ weight - y[rows]) ** 2).sum()
            assert ((fit.x @ fit.right @ weight - fit.y) ** 2).sum() + fit.outside == pytest.approx(error, rel=1e-9)


def test_models_to_compare_with_are_alike_on_disk_and_in_memory(request):
    expected = compare(REGRESSION.data)
    request.getfixturevalue("on_disk")
    from ttcore import baselines, comparison

    baselines._kept.cache_clear()
    comparison._kept.cache_clear()
    found = compare(REGRESSION.data)
    baselines._kept.cache_clear()
    comparison._kept.cache_clear()
    assert [(model.kind, model.rank) for model in found] == [(model.kind, model.rank) for model in expected]
    for left, right in zip(found, expected, strict=True):
        # The penalty is chosen on one fold instead of five.
        assert left.train.score == pytest.approx(right.train.score, abs=0.02 if left.penalty else 1e-5)
        assert left.test.score == pytest.approx(right.test.score, abs=0.05 if left.penalty else 1e-4)


@pytest.mark.parametrize("optimizer", ["lbfgs", "als"])
def test_methods_that_need_all_samples_refuse_a_batch_size(optimizer):
    with pytest.raises(InputError, match=f"batch_size 8 cannot go with {optimizer}") as caught:
        TrainConfig(optimizer=optimizer, batch_size=8)
    assert caught.value.field == "batch_size"


def test_a_run_that_breaks_on_one_batch_ends_with_the_best_of_its_epochs():
    config = tiny(steps=60, batch_size=6, optimizer="sgd", lr=500.0, init="he")
    finished = run(config).finished
    assert finished.stop_reason is StopReason.NOT_FINITE
    assert np.isfinite(finished.train.loss) and finished.step == finished.best.step
    assert same_arrays(finished.cores, finished.best_cores)


def test_memory_of_a_batch_is_counted_before_it_is_taken():
    huge = tiny(train_samples=1_000_000, teacher_in_modes=(64, 64), in_modes=(64, 64), batch_size=900_000)
    with pytest.raises(InputError, match="free"):
        check_memory([huge], 6 * 2**30)


def test_files_that_are_there_need_no_room_again(on_disk, monkeypatch):
    monkeypatch.setattr(planning, "free_disk", lambda: 10)
    with pytest.raises(InputError, match="on disk, and 10 bytes are free there"):
        check_memory([REGRESSION], 2**34)
    load(REGRESSION.data)
    check_memory([REGRESSION], 2**34)
