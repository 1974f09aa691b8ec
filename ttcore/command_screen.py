"""What a command says on standard error while it works."""

from __future__ import annotations

import sys
import time


class Screen:
    """Sentences, and progress: one line that changes on a terminal, a line every few seconds elsewhere.

    width: of the line that changes.
    """

    def __init__(self, width: int = 78) -> None:
        self._width = width
        self._live = sys.stderr.isatty()
        self._interval = 0.2 if self._live else 5.0
        self._shown_at = time.monotonic() if not self._live else 0.0
        self._open_line = False

    def progress(self, line: str) -> None:
        """Show this line, if it is time for one."""
        now = time.monotonic()
        if now - self._shown_at < self._interval:
            return
        self._shown_at = now
        if self._live:
            print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)
            self._open_line = True
        else:
            print(line, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        if self._open_line:
            print(file=sys.stderr)
            self._open_line = False
        print(text, file=sys.stderr, flush=True)


def show_seconds(seconds: float) -> str:
    """A span of time as a person says it: 40 s, 3 min, 2 h 10 min."""
    if seconds < 99.5:
        return f"{max(1.0, seconds):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
