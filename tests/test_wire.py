from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.sweeps import made_up
from tests.tables import tiny
from ttcore import wire
from ttcore.events import Best, Finished, FullModel, Paused, Progress, Scores, Started, StopReason, TrainingState
from ttcore.results import Baseline


def alike(left: object, right: object) -> bool:
    """Equality that looks into arrays bit by bit and takes NaN for equal to itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        same = left.dtype == right.dtype and left.shape == right.shape
        return same and left.tobytes() == right.tobytes()
    if is_dataclass(left) and not isinstance(left, type):
        return all(alike(getattr(left, field.name), getattr(right, field.name)) for field in fields(left))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(alike(value, right[key]) for key, value in left.items())
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(alike(a, b) for a, b in zip(left, right, strict=True))
    return left == right or (left != left and right != right)


some = np.random.default_rng(0)
best = Best(loss=0.5, score=0.5, step=3)
scores = Scores(loss=0.1 + 0.2, score=-1e300)
state = TrainingState(
    step=7,
    seconds=0.25,
    best=Best(loss=inf, score=-inf, step=0),
    arrays={"cores": some.random(9, dtype=np.float32), "optimizer.step": np.array(7.0, dtype=np.float32)},
    full_model_done=True,
)
EVENTS = [
    Started(device="cpu", device_name="CPU", threads=2, plan="weight (G1 · G2)", step=4),
    Progress(
        first=3, step=5, losses=some.random(2), seconds=1.5, best=best, train=scores, test=Scores(loss=nan, score=inf)
    ),
    Progress(first=0, step=0, losses=np.zeros(0), seconds=0.0, best=Best(loss=inf, score=-inf, step=0)),
    FullModel(parameters=6, train=scores, test=scores, weight=some.random((2, 3), dtype=np.float32)),
    Paused(state=state),
    Finished(
        stop_reason=StopReason.TARGET_REACHED,
        step=9,
        seconds=2.0,
        train=scores,
        test=scores,
        best=best,
        best_test=scores,
        cores=(some.random((1, 2, 3, 2)), some.random((2, 2, 1, 1))),
        best_cores=(),
        weight=np.zeros((0, 0)),
        predictions={"train": some.random((2, 4), dtype=np.float32)},
    ),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_there_and_back(event):
    line = wire.dumps({"run": "a", "event": event})
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    json.loads(line)
    assert alike(wire.loads(line), {"run": "a", "event": event})


RESULTS = [
    Baseline(kind="full", parameters=48, train=scores, test=Scores(loss=nan, score=-inf)),
    Baseline(kind="low_rank_ridge", rank=2, penalty=0.1 + 0.2, parameters=32, train=scores, test=scores),
    made_up(tiny(target=0.5, ranks=(2,)), stop_reason=StopReason.TARGET_REACHED, test=Scores(loss=inf, score=nan)),
    made_up(
        tiny(dtype="float32", in_modes=(12,), out_modes=(4,)),
        cores=(some.random((1, 12, 4, 1), dtype=np.float32),),
        losses=some.random(30, dtype=np.float32),
        measured=np.zeros((0, 6)),
    ),
    made_up(cores=(), losses=np.zeros(0, np.float32)),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_results_there_and_back(result):
    # As the value of a task, and deep in the state that a task leaves behind.
    message = {"run": "a", "value": [result, result], "state": {"runs": [{"result": result, "state": state}, None]}}
    assert alike(wire.loads(wire.dumps(message)), message)


def test_the_comparison_sees_a_difference():
    other = Progress(first=0, step=0, losses=np.zeros(1), seconds=0.0, best=Best(loss=inf, score=-inf, step=0))
    assert not alike(other, EVENTS[2])
    assert not alike(np.zeros(2), np.zeros(2, dtype=np.float32))


numbers = st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_])


@settings(deadline=None)
@given(numbers.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, min_side=0, max_dims=4))))
def test_arrays_keep_every_bit(array):
    assert alike(wire.loads(wire.dumps({"a": [array]})), {"a": [array]})
    assert alike(wire.loads(wire.dumps({"a": array.T}))["a"], np.ascontiguousarray(array.T).reshape(array.T.shape))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: key != "type"), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text().filter(lambda key: key != "type"), plain))
def test_plain_values_there_and_back(message):
    line = wire.dumps(message)
    assert line.count(b"\n") == 1
    assert alike(wire.loads(line), message)


def test_what_has_no_place_in_a_message_is_refused():
    for value in (object(), {1, 2}, b"bytes", Scores):
        with pytest.raises(TypeError):
            wire.dumps({"value": value})
