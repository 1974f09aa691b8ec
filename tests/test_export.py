from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tables import NAMES, SHAPES, dense_by_einsum, random_cores, tiny
from ttcore import DataConfig, InputError, RunConfig, TTLinear, load, load_cores, train
from ttcore.bundled import bundled
from ttcore.cores import apply, dense_weight
from ttcore.curves import Curve
from ttcore.events import Finished, Progress
from ttcore.export import cores_npz, curve_csv
from ttcore.splitting import places


@pytest.mark.parametrize("name", NAMES)
def test_saved_cores_are_loaded_with_the_layer_and_with_numpy_alone(name):
    shape = SHAPES[name]
    cores = random_cores(shape)
    saved = cores_npz([core.numpy() for core in cores], shape)

    loaded = load_cores(io.BytesIO(saved))
    assert loaded[1:] == (shape.in_features, shape.out_features)
    expected = dense_by_einsum(cores, shape)
    assert TTLinear.from_cores(*loaded).shape == shape
    torch.testing.assert_close(TTLinear.from_cores(*loaded).to_dense(), expected)
    np.testing.assert_allclose(dense_weight(*loaded), expected.numpy(), rtol=1e-10, atol=1e-12)

    with np.load(io.BytesIO(saved), allow_pickle=False) as archive:
        assert [archive[f"core_{k}"].shape for k in range(1, shape.num_cores + 1)] == list(shape.core_shapes)


def test_a_file_by_its_path(tmp_path):
    shape = SHAPES["two cores"]
    path = tmp_path / "cores.npz"
    path.write_bytes(cores_npz([core.numpy() for core in random_cores(shape)], shape))
    assert load_cores(path)[1:] == load_cores(str(path))[1:] == (12, 6)


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"PK\x03\x04" + b"\0" * 40,
        npy(np.zeros(3)),
        npz(core_1=np.zeros((1, 1, 1, 1))),
        npz(a=np.zeros(1), b=np.zeros(1), c=np.zeros(1)),
        npz(core_1=np.zeros((1, 1, 1, 1)), in_features=np.zeros(3), out_features=np.array(1)),
        npz(core_1=np.array([{"pickled": 1}], dtype=object), in_features=np.array(1), out_features=np.array(1)),
    ],
    ids=["empty", "text", "zip head", "one array", "no sizes", "other names", "sizes of the wrong shape", "objects"],
)
def test_other_files_are_refused(content):
    with pytest.raises(InputError, match="core_1"):
        load_cores(io.BytesIO(content))


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.npz"):
        load_cores(tmp_path / "nothing.npz")


WHOLE = cores_npz([core.numpy() for core in random_cores(SHAPES["two cores"])], SHAPES["two cores"])


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.booleans())
def test_a_damaged_file_is_refused_or_harmless(at, byte, cut):
    damaged = WHOLE[:at] if cut else WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :]
    try:
        cores, *_ = load_cores(io.BytesIO(damaged))
    except InputError:
        return
    assert all(isinstance(core, np.ndarray) and core.dtype != object for core in cores)


# ---- the curve ------------------------------------------------------------------------------------------------------


def test_the_curve_as_csv_is_the_curve():
    curve, finished = Curve(), None
    for event in train(tiny(steps=25)):
        if isinstance(event, Progress):
            curve.add(event)
        if isinstance(event, Finished):
            finished = event
    view = curve.view()
    rows = list(csv.DictReader(io.StringIO(curve_csv(view))))
    assert [int(row["step"]) for row in rows] == list(range(26))
    assert [float(row["train_mse"]) for row in rows[:25]] == view.losses.tolist()
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds) and seconds[0] == 0
    assert finished is not None
    last = rows[-1]
    assert float(last["train_mse"]) == finished.train.loss and float(last["test_r2"]) == finished.test.score
    measured = {int(row[0]): row for row in view.measured}
    for row in rows:
        expected = measured.get(int(row["step"]))
        assert row["test_mse"] == ("" if expected is None else repr(float(expected[4])))


def test_an_empty_curve_is_a_header():
    assert curve_csv(Curve().view()) == "step,seconds,train_mse,train_r2,test_mse,test_r2\n"


def test_a_core_file_tells_how_to_use_the_layer_on_raw_data(tmp_path):
    config = RunConfig(data=DataConfig(source="wine"), in_modes=(7, 2), out_modes=(1, 3), ranks=2)
    dataset, shape = load(config.data), config.shape
    cores = [np.random.default_rng(0).standard_normal(core) for core in shape.core_shapes]
    path = tmp_path / "cores.npz"
    path.write_bytes(cores_npz(cores, shape, dataset))
    assert all(np.array_equal(a, b) for a, b in zip(load_cores(path)[0], cores, strict=True))
    file = np.load(path, allow_pickle=False)
    raw = bundled("wine").x[places(bundled("wine"), config.data)[1]]
    logits = apply(cores, (raw - file["x_mean"]) / file["x_std"], 13, 3) + file["offset"]
    np.testing.assert_allclose(logits, apply(cores, dataset.x_test, 13, 3) + dataset.offset, rtol=1e-9)
    assert tuple(file["classes"]) == dataset.classes
