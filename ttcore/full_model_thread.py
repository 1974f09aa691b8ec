"""The full model fitted beside a run, so that it never holds the run up, nor takes its result with it."""

from __future__ import annotations

import threading
import time
import traceback

from ttcore.baselines import full_model
from ttcore.config import DataConfig
from ttcore.control import Control
from ttcore.events import FullModel

# Seconds between two looks at whether the run has been asked to stop meanwhile.
_LOOK_EVERY = 0.1


class FullModelThread:
    """Fits the full model of some data from `start` on. Its thread never keeps the process from ending."""

    def __init__(self, data: DataConfig) -> None:
        self._data = data
        self._thread = threading.Thread(target=self._fit, name="full model", daemon=True)
        self._started = False
        self._found: FullModel | None = None
        # Until when somebody waits for it, once somebody does.
        self._deadline: float | None = None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if not self._started:
            self._started = True
            self._thread.start()

    def result(self) -> FullModel | None:
        """The full model, once it is there. Where it cannot be fitted it never is: its log says why."""
        return self._found

    def wait(self, patience: float, control: Control) -> FullModel | None:
        """The full model, at the latest `patience` seconds after the first call, or as soon as a stop is asked for."""
        self._deadline = self._deadline or time.monotonic() + patience
        while self._thread.is_alive() and time.monotonic() < self._deadline and not control.stopped:
            self._thread.join(_LOOK_EVERY)
        return self._found

    def _fit(self) -> None:
        try:
            self._found = full_model(self._data)
        except Exception:
            traceback.print_exc()
