from __future__ import annotations

import warnings

import pytest
import torch

from tests.tables import tiny
from ttcore import training
from ttcore.cuda_graph import captured
from ttcore.events import Finished


def counting() -> tuple[torch.Tensor, list[int]]:
    return torch.zeros(1), []


def test_on_the_cpu_the_step_is_itself():
    count, _ = counting()

    def step() -> None:
        count.add_(1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert captured(step, [count], torch.device("cpu")) is step
    assert count.item() == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU here")
def test_a_recording_that_fails_warns_and_leaves_the_plain_step_and_its_tensors():
    count, called = counting()

    def step() -> None:
        called.append(1)
        count.add_(1)

    with pytest.warns(RuntimeWarning, match="without a CUDA graph"):
        replay = captured(step, [count], torch.device("cuda"))
    assert count.item() == 0, "the recording changes nothing"
    replay()
    replay()
    assert count.item() == 2


def test_a_step_that_fails_while_it_warms_up_leaves_no_trace(monkeypatch):
    count, _ = counting()

    class Nothing:
        def __init__(self, *_) -> None: ...
        def __enter__(self) -> None: ...
        def __exit__(self, *_) -> None: ...
        def wait_stream(self, _) -> None: ...

    for name in ("CUDAGraph", "Stream", "stream", "graph"):
        monkeypatch.setattr(torch.cuda, name, Nothing)
    monkeypatch.setattr(torch.cuda, "current_stream", Nothing)
    calls = []

    def step() -> None:
        count.add_(1)
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.warns(RuntimeWarning, match="not permitted"):
        replay = captured(step, [count], torch.device("cuda"))
    assert replay is step and count.item() == 0


def test_a_step_is_the_same_from_any_point_so_that_it_can_be_replayed(monkeypatch):
    """What would be recorded is run by itself here: nothing in it may depend on the host."""
    recorded = []

    def once(step, changed, device):
        before = [tensor.clone() for tensor in changed]
        step()
        for tensor, old in zip(changed, before, strict=True):
            tensor.copy_(old)
        recorded.append(step)
        return step

    monkeypatch.setattr(training, "look_every", lambda device: 7)
    plain = [event for event in training.train(tiny(steps=40)) if isinstance(event, Finished)]
    monkeypatch.setattr("ttcore.trainer.captured", once)
    played = [event for event in training.train(tiny(steps=40)) if isinstance(event, Finished)]
    assert len(recorded) == 1
    assert played[0].train == plain[0].train and played[0].best == plain[0].best


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_graph_equals_the_eager_step(optimizer, monkeypatch):
    config = tiny(device="cuda", optimizer=optimizer, steps=60, schedule="decay")
    graph = [event for event in training.train(config) if isinstance(event, Finished)]
    monkeypatch.setattr("ttcore.trainer.captured", lambda step, changed, device: step)
    eager = [event for event in training.train(config) if isinstance(event, Finished)]
    assert graph[0].train.loss == pytest.approx(eager[0].train.loss, rel=1e-9)
