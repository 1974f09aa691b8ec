"""python -m ttcore.worker: trains what it is told on standard input, and tells on standard output.

Messages are lines of JSON (see wire). In: {"do": "run", "run": id, "config": ..., "state": ..., "speed": ...,
"steps": ..., "stop": ...}, or {"do": "task", "run": id, "task": name, "arguments": ...} with the same rest (see tasks),
and for the job in progress "pause", "resume", "step", "speed", "stop". Out: {"ready": ...} once; then for a run
{"run": id, "event": ...}; for a task {"run": id, ...} with its "fraction" done and perhaps what is "told" of it so far,
the "state" in which it leaves the device, or its "value"; {"run": id, "error": sentence, "mend": whether a person can
mend it}; and last {"run": id, "ended": heard}: how many requests for it were heard. A later one came too late; whoever
sent it can tell by counting.

The process ends when its standard input does, so a server that is killed leaves none behind.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any, BinaryIO

from ttcore import wire


class Worker:
    """One run at a time, in the order in which they arrive."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO, threads: int | None) -> None:
        self._commands = commands
        self._answers = answers
        self._threads = threads
        self._jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        # The control of each run from its arrival on, so that a request can never come too early.
        self._controls: dict[str, Any] = {}
        self._heard = 0

    def serve(self) -> None:
        """Read commands in a thread of their own; train in this one, for ever."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._tell({"ready": _warm_up(self._threads)})
        while True:
            self._run(self._jobs.get())

    def _listen(self) -> None:
        try:
            self._obey_until_the_end()
        except Exception:
            traceback.print_exc()
        # The server is gone or not to be understood, whatever the training is doing.
        os._exit(0)

    def _obey_until_the_end(self) -> None:
        from ttcore.control import Control

        for line in self._commands:
            message = wire.loads(line)
            do, run = message["do"], message["run"]
            with self._lock:
                if do in ("run", "task"):
                    control = Control(steps_per_second=message["speed"], steps=message["steps"])
                    if message["stop"]:
                        control.stop()
                    self._controls[run] = control
                    self._jobs.put(message)
                elif run in self._controls:
                    _obey(self._controls[run], message)
                    self._heard += 1

    def _run(self, job: dict[str, Any]) -> None:
        from ttcore.errors import InputError

        run = job["run"]
        work = _train if job["do"] == "run" else _work
        try:
            for message in work(job, self._controls[run], self._threads):
                self._tell({"run": run, **message})
                # Whoever holds the state may send it again, unless the job has been told to go on meanwhile.
                held = type(message.get("event")).__name__ == "Paused" or "state" in message
                if held and self._leaves(run, only_if_paused=True):
                    break
        except InputError as error:
            self._tell({"run": run, "error": str(error), "mend": True})
        except Exception as error:
            traceback.print_exc()
            self._tell({"run": run, "error": _plain_sentence(error), "mend": False})
        self._leaves(run)
        with self._lock:
            heard, self._heard = self._heard, 0
        self._tell({"run": run, "ended": heard})

    def _leaves(self, run: str, only_if_paused: bool = False) -> bool:
        """From now on no request for the run is heard."""
        with self._lock:
            if only_if_paused and not self._controls[run].paused:
                return False
            self._controls.pop(run, None)
            return True

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._answers.write(wire.dumps(message))
            self._answers.flush()
        except BrokenPipeError:
            os._exit(0)  # the server is gone; its end of the commands says so too


def _train(job: dict[str, Any], control: Any, threads: int | None) -> Iterator[dict[str, Any]]:
    """What there is to tell of a run."""
    from ttcore.config import RunConfig
    from ttcore.training import train

    config = RunConfig.from_json(job["config"])
    for event in train(config, control, resume_from=job["state"], default_threads=threads):
        yield {"event": event}


def _work(job: dict[str, Any], control: Any, threads: int | None) -> Iterator[dict[str, Any]]:
    """What there is to tell of a task."""
    from ttcore import chunks, tasks

    if job["task"] == tasks.train_chunk.__name__:
        yield from chunks.train_in_steps(
            control=control, state=job["state"], default_threads=threads, **job["arguments"]
        )
    elif job["task"] == tasks.compare_with.__name__:
        from ttcore.comparison import compare_in_steps

        yield from compare_in_steps(control=control, state=job["state"], **job["arguments"])
    elif job["task"] == tasks.race.__name__:
        from ttcore.race import race_in_steps

        yield from race_in_steps(control=control, state=job["state"], **job["arguments"])
    else:
        yield {"value": tasks.TASKS[job["task"]](**job["arguments"])}


def _obey(control: Any, message: dict[str, Any]) -> None:
    match message["do"]:
        case "pause":
            control.pause()
        case "resume":
            control.resume()
        case "step":
            control.step()
        case "stop":
            control.stop()
        case "speed":
            control.set_speed(message["speed"])


def _plain_sentence(error: Exception) -> str:
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "The device ran out of memory while training; lower the ranks or use fewer samples."
    return f"Training failed unexpectedly ({type(error).__name__}: {error}). The server's log has the details."


def _warm_up(threads: int | None) -> dict[str, Any]:
    """Load what a first run needs, and take a few steps, so that the first press of Train starts at once.

    They also tell how this machine's pace is to what plans estimate: "pace", about 1 where those were measured.
    """
    import torch

    from ttcore.control import Control
    from ttcore.datasets import load
    from ttcore.events import Paused
    from ttcore.presets import PRESETS
    from ttcore.sweep_plan import step_seconds
    from ttcore.training import train

    config = PRESETS["reference"].config
    load(config.data)
    seconds = 0.0
    for steps in (3, _PACE_STEPS):
        for event in train(config, Control(steps=steps), default_threads=threads):
            if isinstance(event, Paused):
                seconds = event.state.seconds
                break
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    pace = seconds / (_PACE_STEPS * step_seconds(config.shape, config.data.train_samples))
    return {"gpu": gpu, "torch": torch.__version__, "pace": pace}


# So many steps are a few hundredths of a second, and long enough to tell how quick they are.
_PACE_STEPS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads where a run leaves them open")
    arguments = parser.parse_args()
    # Standard output carries messages alone: whatever else is printed goes to the log.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    Worker(sys.stdin.buffer, answers, arguments.threads).serve()


if __name__ == "__main__":
    main()
