"""A started worker, and the thread that listens to it. Knows nothing of what is asked of it; no torch."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ttcore import wire


class WorkerProcess:
    """A started worker and the thread that listens to it."""

    def __init__(
        self,
        command: Sequence[str],
        on_message: Callable[[WorkerProcess, dict[str, Any]], None],
        on_death: Callable[[WorkerProcess, int], None],
    ) -> None:
        folder = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH", "")]))
        # It has loaded torch and listens.
        self.ready = False
        # A session of its own, so that Ctrl-C in the server's terminal does not reach it: it ends with its input.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._on_message = on_message
        self._on_death = on_death
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(wire.dumps(message))
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it has died; the listener says so

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = wire.loads(line)
            except ValueError:
                continue  # cut short by its death, or printed by something else
            self._on_message(self, message)
        self._process.stdout.close()
        self._on_death(self, self._process.wait())
