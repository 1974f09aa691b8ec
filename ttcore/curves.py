"""What a run has shown so far: the loss of every step, and what was measured now and then. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ttcore.downsample import envelope
from ttcore.events import Progress

# Beyond the first losses, which a logarithmic axis shows one by one, the extremes of each block are noted as it fills,
# so that a picture of a long run need not look at every loss again.
_ONE_BY_ONE = 4096
_BLOCK = 64
_MEASURED = ("step", "seconds", "train_loss", "train_score", "test_loss", "test_score")


class GrowingArray:
    """Rows that are only ever appended; a view of them stays valid while more arrive."""

    def __init__(self, *columns: int) -> None:
        self._columns = columns
        self._data = np.empty((256, *columns))
        self._count = 0

    def append(self, rows: np.ndarray) -> None:
        """Add rows of shape (n, *columns)."""
        needed = self._count + len(rows)
        if needed > len(self._data):
            grown = np.empty((max(needed, 2 * len(self._data)), *self._columns))
            grown[: self._count] = self._data[: self._count]
            self._data = grown
        self._data[self._count : needed] = rows
        self._count = needed

    def view(self) -> np.ndarray:
        """All rows so far, read-only, without a copy."""
        view = self._data[: self._count]
        view.flags.writeable = False
        return view


@dataclass(frozen=True)
class CurveView:
    """A run's curve at one moment; the arrays are read-only."""

    # Loss t, after t updates: (losses,).
    losses: np.ndarray
    # (blocks, 2): losses done, and seconds of training by then.
    marks: np.ndarray
    # (points, 6): step, seconds, train loss, train score, test loss, test score.
    measured: np.ndarray
    # Steps of the lowest and the highest loss of each full block after the first losses.
    extremes: np.ndarray

    def drawn(self, max_points: int, *, logarithmic: bool = False) -> np.ndarray:
        """At most `max_points` steps that draw the curve, extremes among them (see downsample.envelope)."""
        count = len(self.losses)
        if count <= _ONE_BY_ONE:
            return envelope(self.losses, max_points, logarithmic=logarithmic)
        blocks = (count - _ONE_BY_ONE) // _BLOCK
        rest = np.arange(_ONE_BY_ONE + blocks * _BLOCK, count)
        steps = np.concatenate([np.arange(_ONE_BY_ONE), self.extremes[: 2 * blocks], rest]).astype(np.int64)
        # They come in order; a block of equal losses has one step as both its extremes.
        steps = steps[np.diff(steps, prepend=-1) > 0]
        return steps[envelope(self.losses[steps], max_points, positions=steps, logarithmic=logarithmic)]

    def seconds_at(self, steps: np.ndarray) -> np.ndarray:
        """Training seconds after so many updates, evenly spread within each reported block."""
        if not len(self.marks):
            return np.zeros(len(steps))
        done = np.concatenate([[0.0], self.marks[:, 0]])
        seconds = np.concatenate([[0.0], self.marks[:, 1]])
        return np.interp(steps, done, seconds)

    @property
    def nbytes(self) -> int:
        return self.losses.nbytes + self.marks.nbytes + self.measured.nbytes + self.extremes.nbytes


class Curve:
    """Collects the Progress events of one run."""

    def __init__(self) -> None:
        self._losses = GrowingArray()
        self._extremes = GrowingArray()
        self._marks = GrowingArray(2)
        self._measured = GrowingArray(len(_MEASURED))

    @classmethod
    def of(cls, losses: np.ndarray, marks: np.ndarray, measured: np.ndarray) -> Curve:
        """A curve with these arrays of a CurveView, to be added to."""
        curve = cls()
        curve._losses.append(losses)
        curve._note_extremes()
        curve._marks.append(marks)
        curve._measured.append(measured)
        return curve

    def add(self, event: Progress) -> None:
        """Append an event's losses and measurements; they continue where the last event ended."""
        if len(event.losses):
            self._losses.append(event.losses)
            self._note_extremes()
            self._marks.append(np.array([[event.first + len(event.losses), event.seconds]]))
        if event.train is not None and event.test is not None:
            last = self._measured.view()
            if not len(last) or last[-1, 0] < event.step:
                train, test = event.train, event.test
                row = [event.step, event.seconds, train.loss, train.score, test.loss, test.score]
                self._measured.append(np.array([row]))

    def view(self) -> CurveView:
        return CurveView(self._losses.view(), self._marks.view(), self._measured.view(), self._extremes.view())

    def _note_extremes(self) -> None:
        losses = self._losses.view()
        done = _ONE_BY_ONE + len(self._extremes.view()) // 2 * _BLOCK
        full = (len(losses) - done) // _BLOCK
        if full > 0:
            blocks = losses[done : done + full * _BLOCK].reshape(full, _BLOCK)
            first = done + _BLOCK * np.arange(full)
            ends = np.stack([first + blocks.argmin(1), first + blocks.argmax(1)], axis=1)
            self._extremes.append(np.sort(ends, axis=1).reshape(-1))
