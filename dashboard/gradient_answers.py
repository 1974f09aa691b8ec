"""What the Gradients page asks of the worker: small tasks, each asked for once, for all visitors."""

from __future__ import annotations

import json
import threading
from concurrent.futures import wait
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.session import engine
from ttcore.jobs import TaskFuture

# Answers that are kept.
_MOST = 128
# The script waits this long for an answer: an idle worker needs a few hundredths of it.
PATIENCE = 0.4
# Seconds between two looks for one that takes longer.
_LOOK_EVERY = 0.5


class Answers:
    """Tasks by their name and arguments."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: dict[str, TaskFuture] = {}

    def ask(self, task: str, arguments: dict[str, Any]) -> TaskFuture:
        """The answer to come; one that failed is asked for anew."""
        key = json.dumps([task, arguments], sort_keys=True)
        with self._lock:
            future = self._asked.pop(key, None)
            if future is None or (future.done() and (future.cancelled() or future.exception() is not None)):
                _, future = engine().submit_task(task, arguments)
            # The one asked for last stands last.
            self._asked[key] = future
            while len(self._asked) > _MOST:
                del self._asked[next(iter(self._asked))]
            return future


@st.cache_resource(show_spinner=False)
def answers() -> Answers:
    """The answers of this server."""
    return Answers()


@dataclass(frozen=True)
class Answer:
    """The value, or a sentence on why there is none."""

    value: Any = None
    note: str = ""


def answer(task: str, arguments: dict[str, Any], *, at_once: bool = False) -> Answer:
    """What the worker says; while it is busy the page looks again by itself.

    at_once: do not wait at all, where something else is moving.
    Call it where a container of its own stands: it holds what looks again.
    """
    future = answers().ask(task, arguments)
    wait([future], 0 if at_once else PATIENCE)
    if not future.done():
        st.fragment(_look_again, run_every=_LOOK_EVERY)(future)
        return Answer(note="The training process is busy with something else; this comes as soon as it is free.")
    if future.cancelled():
        return Answer(note="This was interrupted; reload the page to ask again.")
    if (error := future.exception()) is not None:
        return Answer(note=f"{str(error).rstrip('.')}.")
    return Answer(future.result())


def _look_again(future: TaskFuture) -> None:
    if future.done():
        st.rerun()
