from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from tests.tables import dense_by_einsum, same_arrays, tiny
from ttcore import Control, InputError, RunConfig, load, planning, preset, train, train_many, training, ttmatrix, wire
from ttcore.events import Best, Finished, FullModel, Paused, Progress, Scores, Started, StopReason, TrainingState


class Outcome:
    """All events of a run, and what they say together."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events
        self.progress = [event for event in events if isinstance(event, Progress)]
        self.losses = np.concatenate([event.losses for event in self.progress] or [np.zeros(0)])
        self.finished: Finished = next((event for event in events if isinstance(event, Finished)), None)  # type: ignore[assignment]


def run(config: RunConfig, control: Control | None = None, state: TrainingState | None = None) -> Outcome:
    """To the end, or to the first pause."""
    events = []
    for event in train(config, control, resume_from=state):
        events.append(event)
        if isinstance(event, Paused):
            break
    return Outcome(events)


def oracle(config: RunConfig) -> tuple[list[float], list[torch.Tensor]]:
    """The same training the plain way: a dense weight by einsum, autograd, torch's own optimizer on separate cores."""
    dataset, shape = load(config.data), config.shape
    dtype = getattr(torch, config.train.dtype)
    x, y = torch.tensor(dataset.x_train, dtype=dtype), torch.tensor(dataset.y_train, dtype=dtype)
    generator = torch.Generator().manual_seed(config.train.seed)
    cores = [
        core.requires_grad_()
        for core in ttmatrix.initialize(shape, config.train.init, generator=generator, dtype=dtype)
    ]
    optimizer: torch.optim.Optimizer
    if config.train.optimizer == "adam":
        optimizer = torch.optim.Adam(cores, lr=config.train.lr)
    else:
        optimizer = torch.optim.SGD(cores, lr=config.train.lr, momentum=config.train.momentum)
    losses = []
    for step in range(config.train.steps):
        optimizer.zero_grad()
        loss = ((x @ dense_by_einsum(cores, shape).T - y) ** 2).mean()
        loss.backward()
        losses.append(loss.item())
        for group in optimizer.param_groups:
            group["lr"] = config.train.rate(step)
        optimizer.step()
    return losses, [core.detach() for core in cores]


# Held against the plain loop.
RUNS = {
    "adam": tiny(steps=50),
    "adam, decaying": tiny(steps=50, schedule="decay", decay_fraction=0.6, lr=0.1),
    "sgd": tiny(steps=50, optimizer="sgd", lr=0.05),
    "sgd without momentum": tiny(steps=50, optimizer="sgd", momentum=0, lr=0.2),
    "sgd, decaying": tiny(steps=50, optimizer="sgd", schedule="decay", decay_fraction=1, lr=0.05),
    "he": tiny(steps=50, init="he"),
    "glorot": tiny(steps=50, init="glorot", seed=4),
    "padded": tiny(steps=50, in_modes=(4, 4), out_modes=(3, 2), ranks=3),
    "one core": tiny(steps=50, in_modes=(12,), out_modes=(4,), ranks=()),
    "low rank": tiny(steps=50, in_modes=(12, 1), out_modes=(1, 4), ranks=2),
    "three cores": tiny(steps=50, in_modes=(3, 2, 2), out_modes=(2, 1, 2), ranks=(2, 3)),
    "clipped ranks": tiny(steps=50, ranks=1_000_000),
    "gram": tiny(steps=50, train_samples=400),
}
# Methods without such a loop beside them; the laws of a run hold for them all the same.
OTHERS = {
    "lbfgs": tiny(steps=20, optimizer="lbfgs"),
    "lbfgs in float32": tiny(steps=20, optimizer="lbfgs", dtype="float32"),
    "lbfgs, padded": tiny(steps=20, optimizer="lbfgs", in_modes=(4, 4), out_modes=(3, 2), ranks=3),
    "als": tiny(steps=6, optimizer="als", ranks=1),
    "als, padded": tiny(steps=6, optimizer="als", in_modes=(4, 4), out_modes=(3, 2), ranks=2, noise=0.5),
    "als, three cores": tiny(steps=10, optimizer="als", in_modes=(3, 2, 2), out_modes=(2, 1, 2), ranks=2, noise=0.5),
}


@pytest.mark.parametrize("name", RUNS)
def test_it_trains_as_a_plain_loop_does(name):
    outcome = run(RUNS[name])
    losses, cores = oracle(RUNS[name])
    np.testing.assert_allclose(outcome.losses, losses, rtol=1e-9)
    for core, expected in zip(outcome.finished.cores, cores, strict=True):
        np.testing.assert_allclose(core, expected.numpy(), rtol=1e-7, atol=1e-10)
    assert outcome.losses[-1] < outcome.losses[0]


def test_it_trains_in_single_precision():
    outcome = run(tiny(dtype="float32", steps=20))
    losses, _ = oracle(tiny(dtype="float32", steps=20))
    np.testing.assert_allclose(outcome.losses, losses, rtol=1e-4)
    assert all(core.dtype == np.float32 for core in outcome.finished.cores)


@pytest.mark.parametrize("name", RUNS | OTHERS)
def test_the_laws_of_a_run(name):
    config = (RUNS | OTHERS)[name]
    rough = config.train.dtype == "float32"
    outcome = run(config)
    events, finished = outcome.events, outcome.finished

    assert isinstance(events[0], Started) and isinstance(events[-1], Finished)
    assert (events[0].device, events[0].threads, events[0].step) == ("cpu", 1, 0)
    kinds = [type(event) for event in events]
    assert kinds.count(FullModel) == 1
    assert kinds.index(Progress) < kinds.index(FullModel), "the first point comes before the full model"
    assert finished.stop_reason is StopReason.STEPS_DONE and finished.step == config.train.steps

    done = 0
    for event in outcome.progress:
        assert event.first == done
        done += len(event.losses)
        assert event.best.loss <= outcome.losses[:done].min()
    assert done == config.train.steps
    assert all(a.seconds <= b.seconds for a, b in pairwise(outcome.progress))

    # The last and the best cores give the numbers that are said of them.
    dataset = load(config.data)
    for cores, mse in [(finished.cores, finished.train.loss), (finished.best_cores, finished.best.loss)]:
        weight = dense_by_einsum([torch.from_numpy(core) for core in cores], config.shape).numpy()
        expected = np.mean((dataset.x_train @ weight.T - dataset.y_train) ** 2)
        assert mse == pytest.approx(expected, rel=1e-4 if rough else 1e-9, abs=1e-7 if rough else 1e-20)
    assert finished.best.loss == min(outcome.losses.min(), finished.train.loss)
    assert finished.best.loss == [*outcome.losses, finished.train.loss][finished.best.step]

    weight = dense_by_einsum([torch.from_numpy(core) for core in finished.cores], config.shape).numpy()
    np.testing.assert_allclose(finished.weight, weight, rtol=1e-4 if rough else 1e-10, atol=1e-6 if rough else 1e-12)
    for x, y, scores in [
        (dataset.x_train, dataset.y_train, finished.train),
        (dataset.x_test, dataset.y_test, finished.test),
    ]:
        slack = 1e-6 if rough else 1e-9
        assert scores.score == pytest.approx(r2_score(y.reshape(-1), (x @ weight.T).reshape(-1)), abs=slack)
        assert scores.loss == pytest.approx(np.mean((x @ weight.T - y) ** 2), rel=100 * slack, abs=slack**2)
    actual, predicted = finished.predictions["test"]
    np.testing.assert_allclose(actual, dataset.y_test.reshape(-1), rtol=1e-6)
    np.testing.assert_allclose(predicted, (dataset.x_test @ weight.T).reshape(-1), rtol=1e-4, atol=1e-5)


def test_the_same_run_gives_the_same_numbers():
    first, second, other = (run(tiny(seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.losses, second.losses)
    assert same_arrays(first.finished.cores, second.finished.cores)
    assert not np.isclose(first.losses, other.losses).any()


# ---- pausing --------------------------------------------------------------------------------------------------------


def over_the_wire(event: Paused) -> TrainingState:
    return wire.loads(wire.dumps({"event": event}))["event"].state


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pauses", [(0,), (1,), (7,), (3, 1, 9), (30,)], ids=str)
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "lbfgs", "als"])
def test_a_run_resumed_equals_a_run_not_interrupted_bit_by_bit(optimizer, pauses, dtype):
    # Noise, so that no method is done before its last step.
    config = tiny(optimizer=optimizer, dtype=dtype, schedule="decay", lr=0.05, noise=0.5)
    whole = run(config)
    events: list[Any] = []
    state = None
    for steps in pauses:
        part = run(config, Control(steps=steps), state)
        if not isinstance(part.events[-1], Paused):
            break  # all steps were done before it came to that
        assert part.events[0].step == (state.step if state else 0)
        state = over_the_wire(part.events[-1])
        events += part.events
    rest = run(config, None, state)
    pieces = Outcome(events + rest.events)
    assert np.array_equal(pieces.losses, whole.losses)
    assert rest.finished.best == whole.finished.best
    assert rest.finished.train == whole.finished.train
    assert same_arrays(rest.finished.cores, whole.finished.cores)
    assert same_arrays(rest.finished.best_cores, whole.finished.best_cores)
    firsts = [event.first for event in pieces.progress if len(event.losses)]
    assert firsts == sorted(set(firsts))


def test_a_paused_generator_goes_on_when_told():
    control = Control(steps=4)
    events = []
    for event in train(tiny(), control):
        events.append(event)
        if isinstance(event, Paused):
            paused_at = event.state.step
            if paused_at == 4:
                control.step()
            else:
                control.resume()
    assert [event.state.step for event in events if isinstance(event, Paused)] == [4, 5]
    assert np.array_equal(Outcome(events).losses, run(tiny()).losses)


def test_a_full_model_is_told_once_over_pauses(monkeypatch):
    monkeypatch.setattr(training, "FULL_MODEL_DELAY", 0.0)
    monkeypatch.setattr(training, "EVENT_INTERVAL", 0.0)
    first = run(tiny(), Control(steps=3))
    assert any(isinstance(event, FullModel) for event in first.events)
    rest = run(tiny(), None, over_the_wire(first.events[-1]))
    assert not any(isinstance(event, FullModel) for event in rest.events)


# ---- ends -----------------------------------------------------------------------------------------------------------


def test_stop_before_and_in_mid_run():
    control = Control()
    control.stop()
    at_once = run(tiny(), control)
    assert at_once.finished.stop_reason is StopReason.STOPPED
    assert at_once.finished.step == 0 and len(at_once.losses) == 0
    assert at_once.finished.best == Best(
        loss=at_once.finished.train.loss, score=at_once.finished.train.score, step=0
    ), "the start is scored"

    control = Control()
    losses = 0
    for event in train(tiny(steps=10_000_000), control):
        if isinstance(event, Progress):
            control.stop()
            losses += len(event.losses)
        assert not isinstance(event, FullModel), "nobody waits for it any more"
    assert isinstance(event, Finished) and event.stop_reason is StopReason.STOPPED
    assert event.step == losses < 10_000_000


def test_a_target_ends_the_run_with_the_cores_that_reach_it():
    whole = run(tiny(steps=300))
    spread = np.var(load(tiny().data).y_train)
    target = 1 - whole.losses[120] / spread
    outcome = run(tiny(steps=300, target=float(target)))
    assert outcome.finished.stop_reason is StopReason.TARGET_REACHED
    assert outcome.finished.train.score >= target
    first = int(np.argmax(1 - whole.losses / spread >= target))
    assert outcome.finished.step == first
    assert np.array_equal(outcome.losses, whole.losses[: first + 1])


def test_a_target_out_of_reach_changes_nothing():
    assert run(tiny(target=1.0)).finished.stop_reason is StopReason.STEPS_DONE


DIVERGING: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "sgd", "lr": 1000, "momentum": 0, "dtype": "float32", "steps": 40},
    "momentum": {"optimizer": "sgd", "lr": 3, "dtype": "float64", "steps": 500},
    # The loss overflows and would come back: whether the run ends must not depend on when it is looked at.
    "coming back": {
        "optimizer": "sgd",
        "lr": 1000,
        "momentum": 0,
        "dtype": "float32",
        "steps": 60,
        "schedule": "decay",
        "decay_fraction": 1,
        "in_modes": (12,),
        "out_modes": (4,),
        "ranks": (),
    },
}


@pytest.mark.parametrize("name", DIVERGING)
def test_a_loss_that_is_not_finite_ends_the_run_with_the_last_good_cores(name):
    config = tiny(**DIVERGING[name])
    outcome = run(config)
    finished = outcome.finished
    assert finished.stop_reason is StopReason.NOT_FINITE
    assert "learning rate" in finished.stop_reason.sentence
    assert np.isfinite(outcome.losses).all() and len(outcome.losses) == finished.step + 1
    assert all(np.isfinite(core).all() for core in (*finished.cores, *finished.best_cores))
    assert finished.train.loss == pytest.approx(outcome.losses[-1], rel=1e-6)
    assert finished.best.loss == outcome.losses.min()
    assert all(np.isfinite(event.train.loss) for event in outcome.progress if event.train)


@pytest.mark.parametrize("name", ["sgd", "momentum"])
def test_the_last_update_may_be_the_bad_one(name):
    """After the last step no further loss is taken, so the cores that it leaves are looked at by themselves."""
    breaks_at = run(tiny(**DIVERGING[name])).finished.step + 1
    for steps in (breaks_at, breaks_at + 1):
        finished = run(tiny(**{**DIVERGING[name], "steps": steps})).finished
        assert finished.stop_reason is StopReason.NOT_FINITE
        assert finished.step == breaks_at - 1
        assert np.isfinite(finished.train.loss)
    shorter = run(tiny(**{**DIVERGING[name], "steps": breaks_at - 1})).finished
    assert shorter.stop_reason is StopReason.STEPS_DONE


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_pause_before_the_loss_fails_loses_nothing(before):
    config = tiny(**DIVERGING["sgd"])
    whole = run(config)
    paused = run(config, Control(steps=whole.finished.step + 1 - before))
    if before == 0:
        # The pause came after the update that broke it: there is nothing good to wait with.
        assert paused.finished.stop_reason is StopReason.NOT_FINITE
        rest = paused
    else:
        rest = run(config, None, over_the_wire(paused.events[-1]))
    assert rest.finished.stop_reason is StopReason.NOT_FINITE
    assert rest.finished.step == whole.finished.step
    assert same_arrays(rest.finished.cores, whole.finished.cores)


# ---- looking at the loss only now and then, as on a GPU --------------------------------------------------------------


@pytest.fixture(params=[2, 7, 25, 1000])
def rarely(request, monkeypatch):
    """Losses stay unread for this many steps, as they do where each look waits for the device."""
    return lambda: monkeypatch.setattr(training, "look_every", lambda device: request.param)


@pytest.mark.parametrize("name", ["adam", "sgd, decaying", "padded", "one core"])
def test_rare_looks_change_no_number(name, rarely):
    often = run(RUNS[name])
    rarely()
    rare = run(RUNS[name])
    assert np.array_equal(rare.losses, often.losses)
    assert rare.finished.best == often.finished.best
    assert rare.finished.train == often.finished.train
    assert same_arrays(rare.finished.cores, often.finished.cores)
    assert same_arrays(rare.finished.best_cores, often.finished.best_cores)


@pytest.mark.parametrize("name", DIVERGING)
def test_rare_looks_find_the_same_last_good_cores(name, rarely):
    often = run(tiny(**DIVERGING[name]))
    rarely()
    rare = run(tiny(**DIVERGING[name]))
    assert rare.finished.stop_reason is StopReason.NOT_FINITE
    assert rare.finished.step == often.finished.step
    assert np.array_equal(rare.losses, often.losses)
    assert rare.finished.best == often.finished.best
    assert same_arrays(rare.finished.cores, often.finished.cores)
    assert same_arrays(rare.finished.best_cores, often.finished.best_cores)


def test_rare_looks_pause_and_resume_alike(rarely):
    whole = run(tiny())
    rarely()
    paused = run(tiny(), Control(steps=11))
    rest = run(tiny(), None, over_the_wire(paused.events[-1]))
    assert np.array_equal(Outcome(paused.events + rest.events).losses, whole.losses)
    assert same_arrays(rest.finished.cores, whole.finished.cores)


def test_a_target_is_noticed_however_often_events_come(rarely, monkeypatch):
    monkeypatch.setattr(training, "EVENT_INTERVAL", 0.0)
    rarely()
    outcome = run(tiny(steps=1001, target=0.5, lr=0.05))
    assert outcome.finished.stop_reason is StopReason.TARGET_REACHED
    assert outcome.finished.train.score >= 0.5


# ---- events ---------------------------------------------------------------------------------------------------------


def test_events_come_twenty_times_in_the_first_second_and_then_about_ten_a_second():
    began = time.monotonic()
    control = Control()
    times = []
    for event in train(tiny(steps=10_000_000), control):
        if isinstance(event, Progress):
            times.append(time.monotonic() - began)
        if time.monotonic() - began > training.FIRST_SECONDS + 0.6:
            control.stop()
    # The first, one for each interval that has begun, and the last.
    most = training.FIRST_SECONDS / training.FIRST_EVENT_INTERVAL + (times[-1] - training.FIRST_SECONDS) / 0.1 + 3
    assert 2 <= len(times) <= most
    late = [time for time in times if time > training.FIRST_SECONDS + 0.1]
    assert len(late) <= 9


def test_scores_come_with_most_events_where_they_are_cheap_and_seldom_where_they_are_not(monkeypatch):
    monkeypatch.setattr(training, "LONGEST_UNMEASURED", 100.0)
    counts = {}
    for share in (training.FIRST_MEASURING_SHARE, 1e-9):
        monkeypatch.setattr(training, "FIRST_MEASURING_SHARE", share)
        control = Control()
        began = time.monotonic()
        progress = []
        for event in train(tiny(steps=10_000_000), control):
            if isinstance(event, Progress):
                progress.append(event)
            measured = sum(event.train is not None for event in progress)
            # Where scores are to be seldom a while shows it; where they are to come often it is enough to see some.
            if time.monotonic() - began > 0.5 and (share == 1e-9 or measured > 4):
                control.stop()
        assert progress[0].train is not None and progress[0].test is not None, "the first event has its scores"
        assert progress[-1].train is not None, "and so has the last"
        counts[share] = sum(event.train is not None for event in progress)
    # The first is slow for reasons of its own, so that there is always a second; and one at the end.
    assert counts[1e-9] == 3 < counts[max(counts)]


def test_slow_motion_shows_every_step():
    control = Control(steps_per_second=8)
    began = time.monotonic()
    outcome = run(tiny(steps=6), control)
    assert time.monotonic() - began >= 5 / 8 - 0.01
    assert [len(event.losses) for event in outcome.progress if len(event.losses)] == [1] * 6
    assert np.array_equal(outcome.losses, run(tiny(steps=6)).losses)


def test_threads_are_resolved_once_and_told():
    config = tiny(threads=None)
    for default, expected in [(1, 1), (2, 2)]:
        started = next(iter(train(config, default_threads=default)))
        assert isinstance(started, Started) and started.threads == expected
    torch.set_num_threads(1)
    started = next(iter(train(tiny(threads=1), default_threads=2)))
    assert isinstance(started, Started) and started.threads == 1


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU here")
def test_cuda_without_a_gpu_is_refused():
    with pytest.raises(InputError, match="no CUDA GPU") as refused:
        next(iter(train(tiny(device="cuda"))))
    assert refused.value.field == "device"
    assert training.resolve_device("auto").type == "cpu"


def test_what_does_not_fit_is_refused_before_anything_is_allocated(monkeypatch):
    monkeypatch.setattr(training.machine, "free_memory", lambda: 10_000)
    monkeypatch.setattr(training, "load", lambda config: pytest.fail("data were drawn"))
    with pytest.raises(InputError, match="free"):
        next(iter(train(tiny())))


def test_little_memory_chooses_another_plan(monkeypatch):
    # The quickest way here needs xᵀx, which is larger than all else.
    config = tiny(teacher_in_modes=(16, 16), in_modes=(16, 16), train_samples=2000, test_samples=2, steps=5)
    monkeypatch.setattr(training.machine, "free_memory", lambda: 2**40)
    cheapest = training.resolve([config], None).plan
    assert cheapest.order == "gram"
    monkeypatch.setattr(planning, "_SHARE_OF_FREE", 50)
    monkeypatch.setattr(training.machine, "free_memory", lambda: 50 * 8 * (cheapest.peak_elements - 1))
    smaller = training.resolve([config], None).plan
    assert smaller.peak_elements < cheapest.peak_elements
    started, *_, finished = run(config).events
    assert started.plan == str(smaller)
    np.testing.assert_allclose(run(config).losses, oracle(config)[0], rtol=1e-9)
    assert finished.step == config.train.steps


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
@pytest.mark.parametrize("name", RUNS)
def test_cuda_trains_as_the_cpu_does(name):
    config = RUNS[name]
    outcome = run(RunConfig.from_json({**config.to_json(), "train": {**config.train.to_json(), "device": "cuda"}}))
    np.testing.assert_allclose(outcome.losses, oracle(config)[0], rtol=1e-6)
    assert outcome.events[0].device.startswith("cuda")


# ---- the presets ----------------------------------------------------------------------------------------------------


def test_planted_at_the_teachers_rank_generalizes():
    plain = preset("planted").to_json()
    config = RunConfig.from_json({**plain, "ranks": 4, "train": {**plain["train"], "threads": 1, "device": "cpu"}})
    finished = run(config).finished
    assert finished.test.score >= 0.999
    assert isinstance(finished.train, Scores) and finished.step == 1500


def test_the_reference_run_learns():
    plain = preset("reference").to_json()
    assert plain["train"] | {"optimizer": "adam", "lr": 0.05, "schedule": "constant", "steps": 10_000} == plain["train"]
    train_settings = {**plain["train"], "steps": 120, "threads": 1, "device": "cpu"}
    outcome = run(RunConfig.from_json({**plain, "train": train_settings}))
    assert outcome.finished.best.score > 0.5


def test_a_run_of_single_steps_has_its_full_model_from_the_second_on() -> None:
    config = tiny(steps=5)
    kinds: list[str] = []
    state = None
    for _ in range(2):
        for event in train(config, Control(steps=1), resume_from=state):
            kinds.append(type(event).__name__)
            if isinstance(event, Paused):
                state = event.state
                break
    assert kinds.count("FullModel") == 1
    assert kinds.index("FullModel") > kinds.index("Paused")


def test_a_full_model_that_cannot_be_fitted_takes_nothing_from_the_run(monkeypatch):
    monkeypatch.setattr("ttcore.full_model_thread.full_model", lambda data: 1 / 0)
    outcome = run(tiny())
    assert not [event for event in outcome.events if isinstance(event, FullModel)]
    assert outcome.finished.stop_reason is StopReason.STEPS_DONE


def test_who_is_not_watched_has_no_full_model_and_waits_for_none(monkeypatch):
    monkeypatch.setattr("ttcore.full_model_thread.full_model", lambda data: time.sleep(60))
    began = time.perf_counter()
    events = list(train_many([tiny(), tiny(ranks=1)], watched=False))
    assert sum(isinstance(event, Finished) for event in events) == 2
    assert time.perf_counter() - began < 5
