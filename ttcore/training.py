"""train(RunConfig, control=None) -> Iterator[Event]: the one path of a run, whoever asks; train_many for several.

It knows nothing of threads, processes or screens. Loss t is the training loss after t updates, before the next one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from ttcore import machine
from ttcore.config import BY_GRADIENT, RunConfig
from ttcore.control import Control, Turn
from ttcore.datasets import load
from ttcore.errors import InputError
from ttcore.events import Event, Paused, Started, StopReason, TrainingState
from ttcore.full_model_thread import FullModelThread
from ttcore.planning import check_memory
from ttcore.samples import Runtime, Samples
from ttcore.trainer import Trainer, looks_at_scores
from ttcore.ttmatrix import device_class

# Seconds between events of a run. Each costs the listener a message.
EVENT_INTERVAL = 0.1
# Scores on train and test, beside the losses, come with an event as long as they take about this share of the time.
MEASURING_SHARE = 0.01
# One that was slow by chance must not leave a gap that a person sees: the longest time without, unless they are slow.
LONGEST_UNMEASURED = 0.5
# For a quick method the first second is all there is, so that it is looked at more closely.
FIRST_SECONDS, FIRST_EVENT_INTERVAL, FIRST_MEASURING_SHARE = 1.0, 0.05, 0.03
# The full model waits this long after the first event, so that it never delays the first picture.
FULL_MODEL_DELAY = 0.5
# Seconds that the end of a run waits for it. What takes longer is found by whoever compares models afterwards.
FULL_MODEL_PATIENCE = 10.0
# Steps between two looks at the losses on a device where each look waits for the device.
LOOK_EVERY_ON_CUDA = 25


def train(
    config: RunConfig,
    control: Control | None = None,
    *,
    resume_from: TrainingState | None = None,
    default_threads: int | None = None,
) -> Iterator[Event]:
    """Train one TT layer on the full batch and say what happens.

    control: looked at between steps; without one the run goes on to its end.
    resume_from: the state of an earlier Paused event of the same configuration; the run goes on exactly as if it had
        never been interrupted.
    default_threads: CPU threads where the configuration leaves them open; default all that this process may use.

    Yields Started, Progress (about ten a second, twice that in the first second), FullModel, Paused (the generator
    then waits for the control, unless it is closed), and last Finished.
    Raises InputError for `cuda` without a GPU and for what does not fit in memory, before anything is allocated.
    """
    return train_many([config], control, resume_from=[resume_from], default_threads=default_threads)


def train_many(
    configs: Sequence[RunConfig],
    control: Control | None = None,
    *,
    resume_from: Sequence[TrainingState | None] | None = None,
    default_threads: int | None = None,
    watched: bool = True,
) -> Iterator[Event]:
    """Train several layers; runs with the same data, modes, optimizer (Adam or SGD), dtype and device train as one.

    These may differ in ranks, seed, start, rate, schedule, steps and target. Their losses are those that each has
    alone. Runs that have nothing in common, or would be slower or too large together, train one after another.

    configs: their places are what `run` in the events means.
    control: one for all of them.
    resume_from: a state or None for each.
    watched: whether somebody looks on; else scores are measured as rarely as their share of the time allows, the full
        model is not fitted, and nothing is made that only a picture needs (Finished.predictions and .weight).
    Yields each run's events as `train` does. A run that ends early leaves the others as quick as without it.
    """
    control = control or Control()
    states = list(resume_from) if resume_from is not None else [None] * len(configs)
    groups = [part for group in _alike(configs, states) for part in _divided(group, configs, default_threads)]
    for numbers, runtime in groups:
        together, saved = [configs[n] for n in numbers], [states[n] for n in numbers]
        yield from _train_stack(numbers, together, control, runtime, saved, watched)


def _alike(configs: Sequence[RunConfig], states: Sequence[TrainingState | None]) -> list[list[int]]:
    """Places of runs that may train as one."""
    groups: dict[object, list[int]] = {}
    for number, config in enumerate(configs):
        train = config.train
        layer = (config.data, config.in_modes, config.out_modes)
        how = (train.optimizer, train.dtype, train.device, train.tf32, train.threads)
        # Mini-batches are the same samples at the same step.
        state = states[number]
        batches = (train.batch_size, train.seed, state.step if state else 0) if config.is_batched else ()
        key: object = (layer, how, batches) if train.optimizer in BY_GRADIENT else number
        groups.setdefault(key, []).append(number)
    return list(groups.values())


def _divided(
    numbers: list[int], configs: Sequence[RunConfig], default_threads: int | None
) -> list[tuple[list[int], Runtime]]:
    """The group as one, or in parts where it is too large for the memory or would be slower than its parts."""
    together = [configs[number] for number in numbers]
    if len(numbers) == 1:
        return [(numbers, resolve(together, default_threads))]
    middle = len(numbers) // 2
    try:
        runtime = resolve(together, default_threads)
    except InputError:
        runtime = None
    if runtime is not None and _quicker_together(runtime, together, default_threads):
        return [(numbers, runtime)]
    return _divided(numbers[:middle], configs, default_threads) + _divided(numbers[middle:], configs, default_threads)


def _quicker_together(runtime: Runtime, configs: Sequence[RunConfig], default_threads: int | None) -> bool:
    """Whether a step of all is estimated to take no longer than a step of each."""
    return runtime.plan.seconds <= sum(resolve([config], default_threads).plan.seconds for config in configs)


def _train_stack(
    numbers: Sequence[int],
    configs: Sequence[RunConfig],
    control: Control,
    runtime: Runtime,
    states: Sequence[TrainingState | None],
    watched: bool,
) -> Iterator[Event]:
    torch.set_num_threads(runtime.threads)
    torch.backends.cuda.matmul.allow_tf32 = configs[0].train.tf32
    for number, state in zip(numbers, states, strict=True):
        yield Started(
            run=number,
            device=str(runtime.device),
            device_name=_device_name(runtime.device),
            threads=runtime.threads,
            plan=str(runtime.plan),
            step=state.step if state else 0,
            stacked=len(numbers),
        )
    data = configs[0].data
    trainer = Trainer(numbers, configs, runtime, Samples(load(data), configs[0].shape, runtime), states)
    full = FullModelThread(data)
    # Runs whose full model has been told.
    told = {number for number, state in zip(numbers, states, strict=True) if state and state.full_model_done}
    # Runs that go on had their first picture long ago.
    first_event_at = None if all(state is None for state in states) else -math.inf
    last_event_at = -math.inf
    began, measured_at, measuring = time.perf_counter(), -math.inf, 0.0
    while True:
        for run in trainer.take_ended():
            yield trainer.report(run)
            if watched and run.number not in told and run.reason is not StopReason.STOPPED:
                full.start()
                if (model := full.wait(FULL_MODEL_PATIENCE, control)) is not None:
                    yield replace(model, run=run.number)
            yield trainer.finish(run, pictures=watched)
        if not trainer.runs:
            return
        turn = control.turn()
        if turn is Turn.STOP:
            trainer.stop()
        elif turn is Turn.PAUSE:
            asked = list(trainer.runs)
            for run in asked:
                yield trainer.report(run)
            # A last look may have found that a run is broken; then its end comes first.
            if trainer.runs == asked:
                for run in asked:
                    yield Paused(run=run.number, state=trainer.state(run, run.number in told))
                control.wait_while_paused()
        else:
            trainer.advance()
            now = time.perf_counter()
            interval, share = EVENT_INTERVAL, MEASURING_SHARE
            longest = LONGEST_UNMEASURED if watched else math.inf
            if watched and now - began < FIRST_SECONDS:
                interval, share = min(interval, FIRST_EVENT_INTERVAL), FIRST_MEASURING_SHARE
            if now - last_event_at < interval or not trainer.runs:
                continue
            measure = now - measured_at >= min(measuring / share, max(longest, 10 * measuring))
            events = [trainer.report(run, measure) for run in list(trainer.runs)]
            last_event_at = time.perf_counter()
            if measure:
                # The first time is slow for reasons of its own.
                measuring = last_event_at - now if math.isfinite(measured_at) else 0.0
                measured_at = now
            yield from events
            if first_event_at is None:
                first_event_at = last_event_at
            if watched and now - first_event_at >= FULL_MODEL_DELAY and len(told) < len(numbers):
                full.start()
                if (model := full.result()) is not None:
                    for run in trainer.runs:
                        if run.number not in told:
                            told.add(run.number)
                            yield replace(model, run=run.number)


def resolve(configs: Sequence[RunConfig], default_threads: int | None) -> Runtime:
    """What the runs leave open, decided for all of them together.

    Raises InputError for `cuda` without a GPU and for what does not fit in memory.
    """
    train = configs[0].train
    device = resolve_device(train.device)
    plans = check_memory(configs, machine.free_memory())
    if device.type == "cuda":
        plans = check_memory(configs, torch.cuda.mem_get_info(device)[0], device_class(device))
    blind = train.optimizer in BY_GRADIENT and not any(run.is_batched or looks_at_scores(run) for run in configs)
    return Runtime(
        device=device,
        dtype=getattr(torch, train.dtype),
        threads=train.threads or default_threads or machine.processors(),
        plan=plans.training,
        room=plans.room,
        look_every=look_every(device) if blind else 1,
    )


def look_every(device: torch.device) -> int:
    """Steps between two looks at the losses."""
    return LOOK_EVERY_ON_CUDA if device.type == "cuda" else 1


def resolve_device(name: str) -> torch.device:
    """ "auto" is CUDA where there is a GPU; raises InputError for "cuda" where there is none."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError(
            "device 'cuda' was asked for, and torch finds no CUDA GPU here; use auto or cpu, or install the CUDA build "
            "of torch on a machine with an NVIDIA GPU",
            "device",
        )
    return torch.device("cuda" if name != "cpu" and available else "cpu")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
