"""A stack of runs that train as one, step by step, and what has happened to each. Knows nothing of events' listeners.

Loss t is the training loss after t updates, before the next one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ttcore import ttmatrix
from ttcore.alternating import AlternatingLeastSquares
from ttcore.batches import Batches
from ttcore.config import RunConfig
from ttcore.cuda_graph import captured
from ttcore.downsample import MOST_CONFUSED, WEIGHT_COLUMNS, WEIGHT_ROWS, pool
from ttcore.events import Best, Finished, Progress, Scores, StopReason, TrainingState
from ttcore.first_order import STEPS_AHEAD, FirstOrder
from ttcore.lbfgs import LBFGS
from ttcore.planning import fixed_samples, plan_contraction
from ttcore.samples import Part, Runtime, Samples
from ttcore.shapes import TTShape
from ttcore.squared_loss import TrainingData
from ttcore.stack import Stack

Method = FirstOrder | LBFGS | AlternatingLeastSquares

# Steps between two looks at a score that the loss tells nothing of.
LOOK_AT_SCORES_EVERY = 25


def looks_at_scores(config: RunConfig) -> bool:
    """Whether a run's target is a score that its losses tell nothing of."""
    return config.train.target is not None and config.data.task_kind == "classification"


@dataclass
class RunRecord:
    """What is known of one run on the host."""

    number: int
    config: RunConfig
    step: int = 0
    # Training time before this process took it up.
    seconds_before: float = 0.0
    best: Best = field(default_factory=lambda: Best(loss=math.inf, score=-math.inf, step=0))
    # The last of these whose score is known.
    scored_best: Best = field(default_factory=lambda: Best(loss=math.inf, score=-math.inf, step=0))
    # Losses that no report has told yet, and the step of the first of them.
    losses: list[float] = field(default_factory=list)
    first: int = 0
    # Why it ended, once it has; then also its training time, and its last, last good and best parameters.
    reason: StopReason | None = None
    seconds: float = 0.0
    vectors: dict[str, Tensor] = field(default_factory=dict)

    @property
    def shape(self) -> TTShape:
        return self.config.shape

    @property
    def looks_at_scores(self) -> bool:
        """Whether it takes a look at the predictions to see that the target is met."""
        return looks_at_scores(self.config)

    def meets_target(self, score: float) -> bool:
        target = self.config.train.target
        return target is not None and score >= target


class Trainer:
    """Runs of the same data, modes and method that take every step together, until each ends by itself.

    numbers: what each run is called by. states: where each goes on from, None at its start.
    `runs` are those that still train; `take_ended` hands out the others.
    """

    @torch.inference_mode()
    def __init__(
        self,
        numbers: Sequence[int],
        configs: Sequence[RunConfig],
        runtime: Runtime,
        samples: Samples,
        states: Sequence[TrainingState | None],
    ) -> None:
        self._runtime = runtime
        self._samples = samples
        self._blind = runtime.look_every > 1
        self._seconds = 0.0
        self._ended: list[RunRecord] = []
        self.runs = [RunRecord(number, config) for number, config in zip(numbers, configs, strict=True)]
        for run, state in zip(self.runs, states, strict=True):
            if state is not None:
                run.step = run.first = state.step
                run.seconds_before, run.best, run.scored_best = state.seconds, state.best, state.best

        starts = [self._start(config, state) for config, state in zip(configs, states, strict=True)]
        best = [
            self._tensor(state.arrays["best_cores"]) if state else start
            for state, start in zip(states, starts, strict=True)
        ]
        stack = Stack([config.shape for config in configs])
        first = configs[0]
        self._batches = Batches(samples, first.shape, first.batch, first.train.seed) if first.is_batched else None
        self._method = self._new_method(stack, starts)
        if any(states):
            self._method.load([self._optimizer_state(state) for state in states])
        self._keep_track(stack.pack(best), stack.pack(starts))
        self._end_those_that_are_done()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, device=self._runtime.device)

    def _start(self, config: RunConfig, state: TrainingState | None) -> Tensor:
        if state is not None:
            return self._tensor(state.arrays["cores"])
        generator = torch.Generator().manual_seed(config.train.seed)
        cores = ttmatrix.initialize(config.shape, config.train.init, generator=generator, dtype=self._runtime.dtype)
        return torch.cat([core.reshape(-1) for core in cores]).to(self._runtime.device)

    def _optimizer_state(self, state: TrainingState | None) -> dict[str, Tensor]:
        arrays = state.arrays if state is not None else {}
        return {
            name.removeprefix(_OPTIMIZER): self._tensor(array)
            for name, array in arrays.items()
            if name.startswith(_OPTIMIZER)
        }

    def _new_method(self, stack: Stack, starts: Sequence[Tensor]) -> Method:
        trains = [run.config.train for run in self.runs]
        data, plan = self._training_data, self._runtime.plan
        match trains[0].optimizer:
            case "lbfgs":
                return LBFGS(stack, starts, data, plan)
            case "als":
                return AlternatingLeastSquares(stack, starts, data, trains[0].ridge)
            case _:
                return FirstOrder(trains, stack, starts, data, plan, on_device=self._blind)

    @property
    def _training_data(self) -> TrainingData:
        """What a step sees."""
        return self._batches.data if self._batches is not None else self._samples.training

    def _keep_track(self, best: Tensor, good: Tensor) -> None:
        """Where the best and the last good parameters are kept, and losses that the host has not read yet."""
        device, runs = good.device, len(self.runs)
        self._best_flat, self._good_flat = best, good
        self._best_loss = good.new_tensor([run.best.loss for run in self.runs])
        self._finite = torch.ones(runs, dtype=torch.bool, device=device)
        self._unread = good.new_zeros(self._runtime.look_every, runs)
        self._unread_next = torch.zeros(1, dtype=torch.int64, device=device)
        self._unread_count = 0
        self._replay: Callable[[], None] | None = None

    # ---- one step ---------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def advance(self) -> None:
        """One step of all runs. One that its loss ends takes no update, and keeps the parameters of that loss."""
        began = time.perf_counter()
        if self._blind:
            self._advance_blindly()
        else:
            self._advance_looking()
        self._end_those_that_are_done()
        self._seconds += time.perf_counter() - began

    def _advance_looking(self) -> None:
        if self._batches is None:
            losses = self._method.losses()
            self._note_values(losses.tolist())
            self._look_at_scores()
        else:
            losses = self._batch_losses(self._batches)
            self._note_batch_values(losses.tolist())
        self._set_ended_aside()
        if not self.runs:
            return
        self._method.prepare([run.step for run in self.runs])
        self._method.update()
        for run in self.runs:
            run.step += 1
            if self._method.converged:
                run.reason = StopReason.CONVERGED

    def _advance_blindly(self) -> None:
        if self._unread_count == 0:
            self._unread_next.zero_()
        if self._unread_count % STEPS_AHEAD == 0:
            self._method.prepare([run.step for run in self.runs])
        if self._replay is None:
            self._replay = captured(self._blind_step, self._changed(), self._runtime.device)
        self._replay()
        self._unread_count += 1
        for run in self.runs:
            run.step += 1
        if self._unread_count == self._runtime.look_every:
            self._read_back()

    def _blind_step(self) -> None:
        """Losses, what is kept with them, and update, all left on the device."""
        losses = self._method.losses()
        self._unread.index_copy_(0, self._unread_next, losses[None])
        self._unread_next.add_(1)
        self._finite.logical_and_(losses.isfinite())
        better = self._finite & (losses < self._best_loss)
        flat = self._method.flat
        self._best_loss.copy_(torch.where(better, losses, self._best_loss))
        self._best_flat.copy_(torch.where(better[:, None], flat, self._best_flat))
        self._good_flat.copy_(torch.where(self._finite[:, None], flat, self._good_flat))
        self._method.update()

    def _changed(self) -> list[Tensor]:
        kept = [self._unread, self._unread_next, self._finite, self._best_loss, self._best_flat, self._good_flat]
        return [*kept, *self._method.changed()]

    def _note_values(self, values: Sequence[float]) -> None:
        """Remember the losses and the parameters that they belong to; say of each run whether it ends with its loss."""
        flat, rows = self._method.flat, range(len(values))
        good = [row for row in rows if math.isfinite(values[row])]
        best = [row for row in good if self._note_value(self.runs[row], values[row], self.runs[row].step)]
        for row in set(rows).difference(good):
            self._revert(row, self.runs[row].step)
        for kept, chosen in ((self._good_flat, good), (self._best_flat, best)):
            if len(chosen) == len(values):
                kept.copy_(flat)
            else:
                for row in chosen:
                    kept[row].copy_(flat[row])

    def _note_value(self, run: RunRecord, value: float, step: int) -> bool:
        """Whether it is the best so far."""
        run.losses.append(value)
        score = self._samples.score_of_loss(value)
        run.reason = StopReason.TARGET_REACHED if run.meets_target(score) else None
        if value >= run.best.loss:
            return False
        run.best = Best(loss=value, score=score, step=step)
        if not math.isnan(score):
            run.scored_best = run.best
        return True

    def _batch_losses(self, batches: Batches) -> Tensor:
        """The losses on the samples of this step."""
        assert isinstance(self._method, FirstOrder), "other methods need all samples"
        batches.take(self.runs[0].step)
        self._method.samples_changed()
        return self._method.losses()

    def _note_batch_values(self, values: Sequence[float]) -> None:
        """Remember losses on a part of the samples; which cores are best is judged on all, at the end of each epoch."""
        assert self._batches is not None
        judged = self.runs[0].step % self._batches.per_epoch == 0
        for row, run in enumerate(self.runs):
            if not math.isfinite(values[row]):
                # The cores before were good on their own samples; that they are on all is known of the best alone.
                self._method.flat[row] = self._best_flat[row]
                run.step, run.reason = run.best.step, StopReason.NOT_FINITE
                continue
            run.losses.append(values[row])
            self._good_flat[row].copy_(self._method.flat[row])
            if judged:
                scores = self._samples.scores(self._own_cores(row), run.shape, "train")
                run.reason = StopReason.TARGET_REACHED if run.meets_target(scores.score) else None
                if scores.loss < run.best.loss:
                    run.best = run.scored_best = Best(loss=scores.loss, score=scores.score, step=run.step)
                    self._best_flat[row].copy_(self._method.flat[row])

    def _own_cores(self, row: int) -> list[Tensor]:
        """A run's present cores, at its own ranks."""
        return _cores(self._method.stack.own_parameters(self._method.flat, row), self.runs[row].shape)

    def _look_at_scores(self) -> None:
        """Now and then, whether a run has met a target that its loss tells nothing of."""
        for row, run in enumerate(self.runs):
            if run.looks_at_scores and run.step % LOOK_AT_SCORES_EVERY == 0 and run.reason is None:
                score = self._samples.scores(self._own_cores(row), run.shape, "train").score
                run.reason = StopReason.TARGET_REACHED if run.meets_target(score) else None

    def _score_best(self, run: RunRecord, vector: Tensor) -> None:
        """Measure the best score where the loss tells nothing of it; vector: the best parameters."""
        if math.isnan(run.best.score):
            score = self._samples.scores(_cores(vector, run.shape), run.shape, "train").score
            run.best = replace(run.best, score=score)
        run.scored_best = run.best

    def _read_back(self) -> None:
        """Take the losses that still lie on the device; the parameters kept there are right for each of them."""
        count, self._unread_count = self._unread_count, 0
        if not count:
            return
        for row, (run, values) in enumerate(zip(self.runs, self._unread[:count].T.tolist(), strict=True)):
            for step, value in enumerate(values, run.step - count):
                if not math.isfinite(value):
                    self._revert(row, step)
                    break
                self._note_value(run, value, step)
            if run.reason is StopReason.TARGET_REACHED:
                # The last update came after the loss that met the target.
                self._method.flat[row] = self._good_flat[row]
                run.step -= 1
        self._set_ended_aside()

    def _revert(self, row: int, step: int) -> None:
        """The loss after `step` updates is not finite: undo the last of them, which made it so."""
        run = self.runs[row]
        self._method.flat[row] = self._good_flat[row]
        run.step = max(0, step - 1)
        run.reason = StopReason.NOT_FINITE

    # ---- ends -------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def stop(self) -> None:
        """End all runs where they are."""
        self._read_back()
        for run in self.runs:
            run.reason = StopReason.STOPPED
        self._set_ended_aside()

    def take_ended(self) -> list[RunRecord]:
        """Runs that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def _end_those_that_are_done(self) -> None:
        if all(run.step < run.config.train.steps and run.reason is None for run in self.runs):
            return
        self._read_back()
        for run in self.runs:
            if run.reason is None and run.step >= run.config.train.steps:
                run.reason = StopReason.STEPS_DONE
        self._set_ended_aside()

    def _set_ended_aside(self) -> None:
        """Take the runs that have ended out of the stack, so that the others are neither disturbed nor slowed."""
        rows = [row for row, run in enumerate(self.runs) if run.reason is None]
        if len(rows) == len(self.runs):
            return
        stack = self._method.stack
        flats = {"last": self._method.flat, "good": self._good_flat, "best": self._best_flat}
        for row, run in enumerate(self.runs):
            if run.reason is not None:
                run.seconds = run.seconds_before + self._seconds
                run.vectors = {name: stack.own_parameters(flat, row).clone() for name, flat in flats.items()}
                self._ended.append(run)
        self.runs = [self.runs[row] for row in rows]
        if not rows:
            return
        best, good = ([stack.own_parameters(flat, row) for row in rows] for flat in (self._best_flat, self._good_flat))
        smaller = Stack([run.shape for run in self.runs])
        plan = plan_contraction(
            smaller.shape,
            self.runs[0].config.batch,
            training=True,
            fixed_samples=fixed_samples(self.runs[0].config),
            runs=len(smaller),
            device=ttmatrix.device_class(self._runtime.device),
            peak_elements=self._runtime.room,
        )
        assert isinstance(self._method, FirstOrder), "other methods train one run at a time"
        self._method = self._method.kept(rows, smaller, self._training_data, plan)
        self._keep_track(smaller.pack(best), smaller.pack(good))

    # ---- what there is to tell --------------------------------------------------------------------------------------

    @torch.inference_mode()
    def report(self, run: RunRecord, measure: bool = True) -> Progress:
        """Everything since the run's last report; with `measure` also its scores on train and test."""
        began = time.perf_counter()
        self._read_back()
        self._seconds += time.perf_counter() - began
        train = test = None
        if measure:
            train, test = self._measure(run)
            if not math.isfinite(train.loss):
                self._undo_last_update(run)
                train, test = self._measure(run)
            self._score_best(run, self._best_vector(run))
        event = Progress(
            run=run.number,
            first=run.first,
            step=run.step,
            losses=np.array(run.losses, dtype=np.float64),
            seconds=self._seconds_of(run),
            best=run.scored_best if math.isfinite(run.scored_best.loss) else run.best,
            train=train,
            test=test,
        )
        run.first += len(run.losses)
        run.losses = []
        return event

    @torch.inference_mode()
    def state(self, run: RunRecord, full_model_done: bool) -> TrainingState:
        """Everything that the next step depends on; to be taken after a report that has found the cores good."""
        row, stack = self.runs.index(run), self._method.stack
        arrays = {
            "cores": stack.own_parameters(self._method.flat, row),
            "best_cores": stack.own_parameters(self._best_flat, row),
        }
        arrays |= {_OPTIMIZER + name: value for name, value in self._method.state(row).items()}
        return TrainingState(
            step=run.step,
            seconds=self._seconds_of(run),
            best=run.best,
            arrays={name: _array(value) for name, value in arrays.items()},
            full_model_done=full_model_done,
        )

    @torch.inference_mode()
    def finish(self, run: RunRecord, pictures: bool = True) -> Finished:
        """The last word of a run that has ended, after its last report.

        pictures: with what only a picture needs.
        """
        assert run.reason is not None
        samples, shape = self._samples, run.shape
        train, test = self._measure(run)
        if train.loss < run.best.loss:
            run.best = Best(loss=train.loss, score=train.score, step=run.step)
            run.vectors["best"] = run.vectors["last"]
        self._score_best(run, run.vectors["best"])
        if run.reason in (StopReason.STEPS_DONE, StopReason.CONVERGED) and run.meets_target(train.score):
            run.reason = StopReason.TARGET_REACHED
        cores, best_cores = (_cores(run.vectors[name], shape) for name in ("last", "best"))
        best_test = test if run.best.step == run.step else samples.scores(best_cores, shape, "test")
        pictured: tuple[Part, ...] = ("train", "test") if pictures else ()
        classes = samples.offset is not None
        confused = pictured if shape.out_features <= MOST_CONFUSED else ()
        weight = np.zeros((0, 0))
        if pictures and self._weight_is_small(shape):
            weight = pool(_array(ttmatrix.to_dense(cores, shape)), WEIGHT_ROWS, WEIGHT_COLUMNS)
        return Finished(
            run=run.number,
            stop_reason=run.reason,
            step=run.step,
            seconds=run.seconds,
            train=train,
            test=test,
            best=run.best,
            best_test=best_test,
            cores=tuple(map(_array, cores)),
            best_cores=tuple(map(_array, best_cores)),
            weight=weight,
            predictions={} if classes else {part: samples.points(cores, shape, part) for part in pictured},
            confusion={part: samples.confusion(cores, shape, part) for part in confused} if classes else {},
        )

    def _seconds_of(self, run: RunRecord) -> float:
        return run.seconds if run.reason is not None else run.seconds_before + self._seconds

    def _undo_last_update(self, run: RunRecord) -> None:
        """After its last loss, which was finite, an update has spoilt the run: it ends with the cores before that."""
        if self._batches is not None:
            if run.reason is None:
                row = self.runs.index(run)
                self._method.flat[row] = self._best_flat[row]
                run.reason = StopReason.NOT_FINITE
                self._set_ended_aside()
            run.vectors["last"], run.step, run.reason = run.vectors["best"], run.best.step, StopReason.NOT_FINITE
        elif run.reason is None:
            self._revert(self.runs.index(run), run.step)
            self._set_ended_aside()
        else:
            run.vectors["last"] = run.vectors["good"]
            run.step = max(0, run.step - 1)
            run.reason = StopReason.NOT_FINITE

    def _measure(self, run: RunRecord) -> tuple[Scores, Scores]:
        """Scores of a run's present cores on train and test."""
        samples, shape = self._samples, run.shape
        if run.reason is not None:
            vector = run.vectors["last"]
        else:
            vector = self._method.stack.own_parameters(self._method.flat, self.runs.index(run))
        cores = _cores(vector, shape)
        return samples.scores(cores, shape, "train"), samples.scores(cores, shape, "test")

    def _best_vector(self, run: RunRecord) -> Tensor:
        if run.reason is not None:
            return run.vectors["best"]
        return self._method.stack.own_parameters(self._best_flat, self.runs.index(run))

    def _weight_is_small(self, shape: TTShape) -> bool:
        """Whether the dense weight takes no more room than the training inputs do."""
        size = shape.padded_in_features * shape.padded_out_features
        return size <= max(2**22, self._samples.train_inputs)


# What an optimizer keeps is told apart from the cores by this prefix in a state's arrays.
_OPTIMIZER = "optimizer."


def _cores(vector: Tensor, shape: TTShape) -> list[Tensor]:
    """The cores as views of one run's parameters."""
    return [core[0] for core in Stack([shape]).cores(vector[None])]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()
