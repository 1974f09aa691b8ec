"""A chunk of a sweep: runs that train as one, from their first step to their results."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ttcore.config import RunConfig
from ttcore.control import Control
from ttcore.curves import Curve
from ttcore.events import Event, Finished, Paused, Progress, Started, TrainingState
from ttcore.results import RunResult, run_result
from ttcore.training import train_many


def train_in_steps(
    configs: Sequence[Any],
    threads: int | None = None,
    *,
    control: Control | None = None,
    state: dict[str, Any] | None = None,
    default_threads: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Train a chunk and say how far it is: {"fraction": done}, {"state": ...} at a pause, last {"value": results}.

    configs, threads: as tasks.train_chunk takes them. default_threads: where `threads` is None.
    control: looked at between steps; a chunk that it stops has no value.
    state: of an earlier pause; the chunk goes on as if it had not been interrupted.
    """
    runs = [_Run(RunConfig.from_json(config)) for config in configs]
    if state is not None:
        for run, saved in zip(runs, state["runs"], strict=True):
            run.restore(saved)
    going_on = [run for run in runs if run.result is None]
    events = train_many(
        [run.config for run in going_on],
        control,
        resume_from=[run.state for run in going_on],
        default_threads=threads or default_threads,
        watched=False,
    )
    told, told_at = -1.0, 0.0
    for event in events:
        run = going_on[event.run]
        run.note(event)
        training = [run for run in going_on if run.training]
        if isinstance(event, Paused) and all(run.state is not None for run in training):
            yield {"state": {"runs": [run.saved() for run in runs]}}
            for run in training:
                run.state = None
        fraction = sum(run.fraction for run in runs) / len(runs)
        if fraction - told >= _TOLD_EVERY or time.monotonic() - told_at >= _TOLD_SECONDS:
            told, told_at = fraction, time.monotonic()
            yield {"fraction": fraction}
    if not any(run.stopped for run in runs):
        yield {"value": [run.result for run in runs]}


# It is told again when so much more is done, and after so long in any case: on hearing it, an engine lets others have
# their turn.
_TOLD_EVERY = 0.01
_TOLD_SECONDS = 0.2


class _Run:
    """One run of the chunk, as its events come in."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.training = False
        self.stopped = False
        self.result: RunResult | None = None
        self.state: TrainingState | None = None
        self.step = 0
        self._started: Started | None = None
        self._curve = Curve()

    @property
    def fraction(self) -> float:
        return 1.0 if self.result is not None else self.step / self.config.train.steps

    def note(self, event: Event) -> None:
        match event:
            case Started():
                self._started, self.training, self.state = event, True, None
            case Progress():
                self.step = event.step
                self._curve.add(event)
            case Paused():
                self.state = event.state
            case Finished():
                self.training = False
                self.stopped = event.stop_reason.name == "STOPPED"
                self.result = self._result(event)

    def _result(self, finished: Finished) -> RunResult:
        assert self._started is not None, "a run says that it has started before it says that it has finished"
        curve = self._curve.view()
        return replace(
            run_result(self.config, self._started, finished),
            cores=finished.cores,
            losses=curve.losses.astype(self.config.train.dtype),
            measured=curve.measured.copy(),
        )

    def saved(self) -> dict[str, Any]:
        """Everything of it that has to outlast a pause."""
        curve = self._curve.view()
        return {
            "result": self.result,
            "state": self.state,
            "step": self.step,
            "losses": curve.losses,
            "marks": curve.marks,
            "measured": curve.measured,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self.result, self.state, self.step = saved["result"], saved["state"], saved["step"]
        self._curve = Curve.of(np.array(saved["losses"]), np.array(saved["marks"]), np.array(saved["measured"]))
