"""What a person may ask of a run between two steps. Knows nothing of what is being run."""

from __future__ import annotations

import threading
import time
from enum import Enum, auto

from ttcore.checks import real


class Turn(Enum):
    GO = auto()
    PAUSE = auto()
    STOP = auto()


def checked_speed(steps_per_second: float | None) -> float | None:
    """Steps per second as given; raises InputError unless it is None or above 0."""
    if steps_per_second is None:
        return None
    return real(steps_per_second, "speed", "a number of steps per second above 0", above=0)


class Control:
    """Run, pause, one step, stop and steps per second; safe to use from any thread.

    steps_per_second: above 0; None for full speed.
    steps: pause after this many further steps; None runs on.
    """

    def __init__(self, *, steps_per_second: float | None = None, steps: int | None = None) -> None:
        self._changed = threading.Condition()
        self._stopped = False
        self._steps = steps
        self._speed = checked_speed(steps_per_second)
        self._due = 0.0

    def pause(self) -> None:
        with self._changed:
            self._steps = 0
            self._changed.notify_all()

    def resume(self) -> None:
        with self._changed:
            self._steps = None
            self._changed.notify_all()

    def step(self, steps: int = 1) -> None:
        """Take this many steps, then pause."""
        with self._changed:
            self._steps = (self._steps or 0) + steps
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def set_speed(self, steps_per_second: float | None) -> None:
        with self._changed:
            self._speed = checked_speed(steps_per_second)
            self._due = 0.0
            self._changed.notify_all()

    @property
    def paused(self) -> bool:
        """Whether the next turn would be a pause."""
        with self._changed:
            return not self._stopped and self._steps is not None and self._steps <= 0

    @property
    def stopped(self) -> bool:
        """Whether a stop has been asked for."""
        return self._stopped

    def turn(self) -> Turn:
        """Called by the run before each step: whether to take it. In slow motion this waits until the step is due."""
        if not self._stopped and self._steps is None and self._speed is None:
            return Turn.GO
        with self._changed:
            while True:
                if self._stopped:
                    return Turn.STOP
                if self._steps is not None and self._steps <= 0:
                    return Turn.PAUSE
                wait = self._due - time.monotonic()
                if self._speed is None or wait <= 0:
                    break
                self._changed.wait(wait)
            if self._steps is not None:
                self._steps -= 1
            if self._speed is not None:
                now, period = time.monotonic(), 1 / self._speed
                # A step that came late does not delay the next, but more than one is not made up for.
                self._due = (max(self._due, now - period) if self._due else now) + period
            return Turn.GO

    def wait_while_paused(self) -> None:
        """Called by a paused run: returns when it may go on or must stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._steps is None or self._steps > 0)
