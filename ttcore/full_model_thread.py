"""The full model fitted beside a run, so that it never holds the run up."""

from __future__ import annotations

import threading

from ttcore.baselines import full_model
from ttcore.config import DataConfig
from ttcore.events import FullModel


class FullModelThread:
    """Fits the full model of some data from `start` on. Its thread never keeps the process from ending."""

    def __init__(self, data: DataConfig) -> None:
        self._data = data
        self._thread = threading.Thread(target=self._fit, name="full model", daemon=True)
        self._started = False
        self._found: FullModel | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if not self._started:
            self._started = True
            self._thread.start()

    def result(self, patience: float = 0.0) -> FullModel | None:
        """The full model, once it is there; after `patience` seconds at the latest None. Raises what the fit raised."""
        if not self._started:
            return None
        if self._thread.is_alive():
            self._thread.join(patience)
        if self._error is not None:
            raise self._error
        return self._found

    def _fit(self) -> None:
        try:
            self._found = full_model(self._data)
        except Exception as error:
            self._error = error
