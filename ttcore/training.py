"""train(RunConfig, control=None) -> Iterator[Event]: the one path of a run, whoever asks for it.

It knows nothing of threads, processes or screens. Loss t is the training loss after t updates, before the next one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from ttcore import machine, metrics, ttmatrix
from ttcore.baselines import WEIGHT_COLUMNS, WEIGHT_ROWS, full_model
from ttcore.config import RunConfig, TrainConfig
from ttcore.control import Control, Turn
from ttcore.datasets import Dataset, load
from ttcore.downsample import pick, pool
from ttcore.errors import InputError
from ttcore.events import Best, Event, Finished, Paused, Progress, Scores, Started, StopReason, TrainingState
from ttcore.planning import Plan, check_memory
from ttcore.shapes import TTShape

# Seconds between events. Each costs the test samples a forward, and the listener a message.
EVENT_INTERVAL = 0.1
# The full model waits this long after the first event, so that it never delays the first picture.
FULL_MODEL_DELAY = 0.5
# Steps between two looks at the loss on a device where each look waits for the device.
CHECK_EVERY_ON_CUDA = 25
# Points of the predicted-against-actual pictures.
PREDICTION_POINTS = 1500


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

    Yields Started, Progress (about ten a second at most), FullModel, Paused (the generator then waits for the
    control, unless it is closed), and last Finished.
    Raises InputError for `cuda` without a GPU and for what does not fit in memory, before anything is allocated.
    """
    control = control or Control()
    runtime = _resolve(config, default_threads)
    torch.set_num_threads(runtime.threads)
    yield Started(
        device=str(runtime.device),
        device_name=_device_name(runtime.device),
        threads=runtime.threads,
        plan=str(runtime.plan),
        step=resume_from.step if resume_from else 0,
    )
    samples = _Samples(load(config.data), runtime)
    trainer = _Trainer(config, runtime, samples, resume_from)
    yield from _run(config, control, trainer, full_model_done=resume_from is not None and resume_from.full_model_done)


def _run(config: RunConfig, control: Control, trainer: _Trainer, full_model_done: bool) -> Iterator[Event]:
    # A run that goes on had its first picture long ago.
    first_event_at: float | None = None if trainer.step == 0 else -math.inf
    last_event_at = -math.inf
    reason = StopReason.STEPS_DONE
    while trainer.step < config.train.steps:
        turn = control.turn()
        if turn is Turn.STOP:
            reason = StopReason.STOPPED
            break
        if turn is Turn.PAUSE:
            yield trainer.report()
            if trainer.broken:
                break
            yield Paused(state=trainer.state(full_model_done))
            control.wait_while_paused()
            continue
        verdict = trainer.advance()
        if verdict is not None:
            reason = verdict
            break
        now = time.perf_counter()
        if now - last_event_at >= EVENT_INTERVAL:
            event = trainer.report()
            last_event_at = time.perf_counter()
            if first_event_at is None:
                first_event_at = last_event_at
            yield event
            if not full_model_done and now - first_event_at >= FULL_MODEL_DELAY:
                full_model_done = True
                yield full_model(config.data)
    yield trainer.report()
    if trainer.broken:
        reason = StopReason.NOT_FINITE
    if not full_model_done and reason is not StopReason.STOPPED:
        yield full_model(config.data)
    yield trainer.finish(reason)


@dataclass(frozen=True)
class _Runtime:
    """What a run leaves open, decided once."""

    device: torch.device
    dtype: torch.dtype
    threads: int
    # For the training batch, and for the test batch.
    plan: Plan
    test_plan: Plan


def _resolve(config: RunConfig, default_threads: int | None) -> _Runtime:
    train = config.train
    device = resolve_device(train.device)
    budget = machine.free_memory()
    plan, test_plan = check_memory(config, budget)
    if device.type == "cuda":
        plan, test_plan = check_memory(config, torch.cuda.mem_get_info(device)[0])
    return _Runtime(
        device=device,
        dtype=getattr(torch, train.dtype),
        threads=train.threads or default_threads or machine.processors(),
        plan=plan,
        test_plan=test_plan,
    )


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


class _Samples:
    """The data set on the device, with what every evaluation needs of it."""

    def __init__(self, dataset: Dataset, runtime: _Runtime) -> None:
        def tensor(array: np.ndarray) -> Tensor:
            return torch.tensor(array, dtype=runtime.dtype, device=runtime.device)

        self.x_train, self.y_train = tensor(dataset.x_train), tensor(dataset.y_train)
        self.x_test, self.y_test = tensor(dataset.x_test), tensor(dataset.y_test)
        self.train_spread = metrics.spread(dataset.y_train)
        self.test_spread = metrics.spread(dataset.y_test)


class _Trainer:
    """Cores, optimizer and what has happened so far.

    All cores are views of one flat vector, and their gradients of another, so that an update is one call.
    """

    def __init__(self, config: RunConfig, runtime: _Runtime, samples: _Samples, state: TrainingState | None) -> None:
        self._config = config.train
        self._shape = config.shape
        self._plan, self._test_plan = runtime.plan, runtime.test_plan
        self._samples = samples
        self._check_every = 1 if runtime.device.type == "cpu" else CHECK_EVERY_ON_CUDA

        generator = torch.Generator().manual_seed(config.train.seed)
        start = ttmatrix.initialize(self._shape, config.train.init, generator=generator, dtype=runtime.dtype)
        self._flat = torch.cat([core.reshape(-1) for core in start]).to(runtime.device)
        self._flat.grad = torch.zeros_like(self._flat)
        self._cores = _views(self._flat, self._shape)
        for core, gradient in zip(self._cores, _views(self._flat.grad, self._shape), strict=True):
            core.requires_grad_()
            core.grad = gradient
        self._optimizer = _optimizer(config.train, self._flat)

        self.step = 0
        self._seconds = 0.0
        self._best = Best(mse=math.inf, r2=-math.inf, step=0)
        self._best_flat = self._flat.clone()
        self._good_flat = self._flat.clone()
        # On a GPU these stay on the device between looks: the best loss, and whether all losses were finite.
        self._best_loss = torch.full((), math.inf, dtype=runtime.dtype, device=runtime.device)
        self._finite = torch.ones((), dtype=torch.bool, device=runtime.device)
        self._unread: list[Tensor] = []
        self._losses: list[float] = []
        self._first = 0
        # A loss was not finite, and the last good cores have been put back.
        self.broken = False
        if state is not None:
            self._load(state)

    def advance(self) -> StopReason | None:
        """One step, unless its loss says that the run ends here: then why, with the cores as that loss found them."""
        if self.broken:
            return StopReason.NOT_FINITE
        began = time.perf_counter()
        loss = self._loss_and_gradient()
        verdict = self._note(loss)
        if verdict is None:
            for group in self._optimizer.param_groups:
                group["lr"] = self._config.rate(self.step)
            self._optimizer.step()
            self.step += 1
        self._seconds += time.perf_counter() - began
        return verdict

    def report(self) -> Progress:
        """Everything since the last report, read back from the device in one go."""
        began = time.perf_counter()
        self._read_back()
        self._seconds += time.perf_counter() - began
        train, test = self._measure()
        if train is not None and not math.isfinite(train.mse) and not self.broken:
            self._give_up(self.step)
            train, test = self._measure()
        event = Progress(
            first=self._first,
            step=self.step,
            losses=np.array(self._losses, dtype=np.float64),
            seconds=self._seconds,
            best=self._best,
            train=train,
            test=test,
        )
        self._first += len(self._losses)
        self._losses = []
        return event

    def state(self, full_model_done: bool) -> TrainingState:
        """Everything that the next step depends on; to be taken after a report that has found the cores good."""
        arrays = {"cores": self._flat, "best_cores": self._best_flat}
        arrays |= {
            f"optimizer.{name}": value
            for name, value in self._optimizer.state[self._flat].items()
            if isinstance(value, Tensor)
        }
        return TrainingState(
            step=self.step,
            seconds=self._seconds,
            best=self._best,
            arrays={name: _array(value) for name, value in arrays.items()},
            full_model_done=full_model_done,
        )

    def finish(self, reason: StopReason) -> Finished:
        samples = self._samples
        train, test = self._measure()
        if train.mse < self._best.mse:
            self._best = Best(mse=train.mse, r2=train.r2, step=self.step)
            self._best_flat.copy_(self._flat.detach())
        with torch.no_grad():
            weight = ttmatrix.to_dense(self._cores, self._shape) if self._weight_is_small() else None
            predictions = {
                "train": _points(self._predict(samples.x_train), samples.y_train),
                "test": _points(self._predict(samples.x_test), samples.y_test),
            }
        return Finished(
            stop_reason=reason,
            step=self.step,
            seconds=self._seconds,
            train=train,
            test=test,
            best=self._best,
            cores=tuple(_array(core) for core in self._cores),
            best_cores=tuple(_array(core) for core in _views(self._best_flat, self._shape)),
            weight=pool(_array(weight), WEIGHT_ROWS, WEIGHT_COLUMNS) if weight is not None else np.zeros((0, 0)),
            predictions=predictions,
        )

    def _weight_is_small(self) -> bool:
        """Whether the dense weight takes no more room than the training inputs do."""
        return self._shape.padded_in_features * self._shape.padded_out_features <= max(
            2**22, self._samples.x_train.numel()
        )

    def _loss_and_gradient(self) -> Tensor:
        assert self._flat.grad is not None
        self._flat.grad.zero_()
        predictions = ttmatrix.apply(self._cores, self._samples.x_train, self._shape, self._plan)
        loss = torch.nn.functional.mse_loss(predictions, self._samples.y_train)
        loss.backward()
        return loss.detach()

    def _note(self, loss: Tensor) -> StopReason | None:
        """Remember a loss and the cores that it belongs to; say whether the run ends with it."""
        if self._check_every == 1:
            return self._note_value(loss.item())
        self._unread.append(loss)
        self._finite = self._finite & loss.isfinite()
        better = self._finite & (loss < self._best_loss)
        self._best_loss = torch.where(better, loss, self._best_loss)
        self._best_flat = torch.where(better, self._flat, self._best_flat)
        self._good_flat = torch.where(self._finite, self._flat, self._good_flat)
        if self.step % self._check_every == 0:
            return self._read_back()
        return None

    def _note_value(self, value: float) -> StopReason | None:
        if not math.isfinite(value):
            return self._give_up(self.step)
        self._losses.append(value)
        self._good_flat.copy_(self._flat)
        if value < self._best.mse:
            self._best = Best(mse=value, r2=self._r2(value), step=self.step)
            self._best_flat.copy_(self._flat)
        return StopReason.TARGET_REACHED if self._meets_target(value) else None

    def _read_back(self) -> StopReason | None:
        """Take the losses that still lie on the device; the state tensors are already right for each of them."""
        if not self._unread:
            return None
        values = torch.stack(self._unread).tolist()
        first = self._first + len(self._losses)
        self._unread = []
        for offset, value in enumerate(values):
            if not math.isfinite(value):
                return self._give_up(first + offset)
            self._losses.append(value)
            if value < self._best.mse:
                self._best = Best(mse=value, r2=self._r2(value), step=first + offset)
        return StopReason.TARGET_REACHED if self._meets_target(values[-1]) else None

    def _give_up(self, step: int) -> StopReason:
        """The loss after `step` updates is not finite: undo the last of them, which made it so."""
        with torch.no_grad():
            self._flat.copy_(self._good_flat)
        self.step = max(0, step - 1)
        self.broken = True
        return StopReason.NOT_FINITE

    def _meets_target(self, mse: float) -> bool:
        return self._config.target_r2 is not None and self._r2(mse) >= self._config.target_r2

    def _r2(self, mse: float) -> float:
        return metrics.r2(mse, self._samples.train_spread)

    def _predict(self, x: Tensor) -> Tensor:
        plan = self._plan if x is self._samples.x_train else self._test_plan
        return ttmatrix.apply(self._cores, x, self._shape, plan)

    def _measure(self) -> tuple[Scores, Scores]:
        """Scores of the present cores on train and test."""
        samples = self._samples
        with torch.no_grad():
            train_mse = torch.nn.functional.mse_loss(self._predict(samples.x_train), samples.y_train).item()
            test_mse = torch.nn.functional.mse_loss(self._predict(samples.x_test), samples.y_test).item()
        return (
            Scores(mse=train_mse, r2=self._r2(train_mse)),
            Scores(mse=test_mse, r2=metrics.r2(test_mse, samples.test_spread)),
        )

    def _load(self, state: TrainingState) -> None:
        def tensor(array: np.ndarray) -> Tensor:
            return torch.tensor(array, device=self._flat.device)

        with torch.no_grad():
            self._flat.copy_(tensor(state.arrays["cores"]))
        self._best_flat = tensor(state.arrays["best_cores"]).to(self._flat.dtype)
        self._good_flat = self._flat.clone()
        for name, array in state.arrays.items():
            kind, _, key = name.partition(".")
            if kind == "optimizer":
                self._optimizer.state[self._flat][key] = tensor(array)
        self.step = self._first = state.step
        self._seconds = state.seconds
        self._best = state.best
        self._best_loss.fill_(state.best.mse)


def _optimizer(config: TrainConfig, flat: Tensor) -> torch.optim.Optimizer:
    if config.optimizer == "adam":
        return torch.optim.Adam([flat], lr=config.lr, fused=True)
    return torch.optim.SGD([flat], lr=config.lr, momentum=config.momentum, fused=True)


def _views(flat: Tensor, shape: TTShape) -> list[Tensor]:
    """The cores as views of a flat vector."""
    sizes = [prod(core) for core in shape.core_shapes]
    return [part.view(core) for part, core in zip(flat.split(sizes), shape.core_shapes, strict=True)]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()


def _points(predictions: Tensor, targets: Tensor) -> np.ndarray:
    """(2, points): actual and predicted entries, evenly picked."""
    chosen = pick(targets.numel(), PREDICTION_POINTS)
    actual, predicted = (_array(values).reshape(-1)[chosen] for values in (targets, predictions))
    with np.errstate(over="ignore"):  # what a diverged run predicts need not fit
        return np.stack([actual, predicted]).astype(np.float32)
