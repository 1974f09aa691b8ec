"""A viewer that costs next to nothing: it speaks Streamlit's websocket protocol and draws nothing.

It does what Streamlit 1.67's page does with a live fragment: an `auto_rerun` message starts a timer, each firing asks
for that fragment, a run of the whole script clears all timers, and the address follows what the script makes of it.
With every request it sends the values of the widgets, as the page does; it only ever touches buttons.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect

_SHOWN_STEP = re.compile(r"step ([\d,]+) of [\d,]+")
_LARGEST_MESSAGE = 64 * 2**20


class BareViewer:
    """One browser session without a browser."""

    def __init__(self, port: int, query: str = "") -> None:
        self._socket = connect(
            f"ws://127.0.0.1:{port}/_stcore/stream",
            subprotocols=["streamlit"],  # type: ignore[list-item]
            max_size=_LARGEST_MESSAGE,
            compression=None,
            proxy=None,
        )
        self._query = query
        self._page = ""
        # Button key -> its widget id and the fragment that it stands in.
        self._buttons: dict[str, tuple[str, str]] = {}
        # Widget id -> its value.
        self._values: dict[str, WidgetState] = {}
        # Fragment -> seconds between two ticks, and when the next one is due.
        self._timers: dict[str, tuple[float, float]] = {}
        self._running = False
        self.ticks = 0
        self.bytes_received = 0
        # When each tick showed which step.
        self.sightings: list[tuple[float, int]] = []
        self._ask_for_a_run()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    @property
    def live(self) -> bool:
        """Whether something on the page moves by itself."""
        return bool(self._timers)

    @property
    def shown_step(self) -> int:
        """The step that was shown last; 0 before anything was."""
        return self.sightings[-1][1] if self.sightings else 0

    def click(self, key: str) -> None:
        """Press the button of this key."""
        widget, fragment = self._buttons[key]
        self._ask_for_a_run(fragment, clicked=widget)

    def watch(self, until: Callable[[], bool], seconds: float, *, ticking: bool = True) -> bool:
        """Live on until the condition holds, or the time is up; whether it holds.

        ticking: False looks away: messages are read, timers do not fire.
        """
        deadline = time.monotonic() + seconds
        while not until():
            now = time.monotonic()
            if now >= deadline:
                return False
            wake = deadline
            if ticking:
                self._fire_timers(now)
                wake = min([deadline, *(due for _, due in self._timers.values())])
            try:
                message = self._socket.recv(timeout=max(0.0, wake - time.monotonic()))
            except TimeoutError:
                continue
            if isinstance(message, bytes):
                self._hear(message)
        return True

    def settle(self, seconds: float = 30.0) -> None:
        """Wait for the end of the run of the script that was asked for last."""
        if not self.watch(lambda: not self._running, seconds):
            raise RuntimeError(f"the page was not complete after {seconds:.0f} s")

    def _fire_timers(self, now: float) -> None:
        for fragment, (interval, due) in self._timers.items():
            if now >= due:
                self._timers[fragment] = (interval, max(due + interval, now))
                self.ticks += 1
                self._ask_for_a_run(fragment, automatic=True)

    def _ask_for_a_run(self, fragment: str = "", *, clicked: str | None = None, automatic: bool = False) -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string = self._query
        state.page_script_hash = self._page
        state.fragment_id = fragment
        state.is_auto_rerun = automatic
        state.context_info.url = "http://127.0.0.1/"
        state.context_info.color_scheme = "light"
        state.widget_states.widgets.extend(self._values.values())
        if clicked is not None:
            state.widget_states.widgets.add(id=clicked, trigger_value=True)
        self._running = True
        self._socket.send(message.SerializeToString())

    def _hear(self, payload: bytes) -> None:
        self.bytes_received += len(payload)
        message = ForwardMsg.FromString(payload)
        match message.WhichOneof("type"):
            case "new_session":
                if not message.metadata.run.fragment_ids:
                    self._timers.clear()
                self._page = message.new_session.page_script_hash
            case "auto_rerun":
                fragment, interval = message.auto_rerun.fragment_id, message.auto_rerun.interval
                if self._timers.get(fragment, (0.0,))[0] != interval:
                    self._timers[fragment] = (interval, time.monotonic() + interval)
            case "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._timers.pop(fragment, None)
            case "page_info_changed":
                self._query = message.page_info_changed.query_string
            case "script_finished":
                self._running = message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN
            case "delta":
                self._look_at(message)

    def _look_at(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        match element.WhichOneof("type"):
            case "button":
                key = element.button.id.rpartition("-")[2]
                self._buttons[key] = (element.button.id, message.delta.fragment_id)
            case "progress":
                if shown := _SHOWN_STEP.search(element.progress.text):
                    self.sightings.append((time.perf_counter(), int(shown[1].replace(",", ""))))
            case "selectbox" | "slider" | "text_input" | "checkbox" | "button_group":
                value = _value(element)
                self._values[value.id] = value
            case "exception":
                raise RuntimeError(f"the page shows an exception: {element.exception.message}")


def _value(element: Element) -> WidgetState:
    """The value that a page would have for a widget: what the script has set, else its default."""
    match element.WhichOneof("type"):
        case "selectbox":
            box = element.selectbox
            chosen = box.raw_value if box.set_value else box.options[box.default]
            return WidgetState(id=box.id, string_value=chosen)
        case "text_input":
            text = element.text_input
            return WidgetState(id=text.id, string_value=text.value if text.set_value else text.default)
        case "checkbox":
            check = element.checkbox
            return WidgetState(id=check.id, bool_value=check.value if check.set_value else check.default)
        case "slider":
            state = WidgetState(id=element.slider.id)
            state.double_array_value.data.extend(
                element.slider.value if element.slider.set_value else element.slider.default
            )
            return state
        case "button_group":
            group = element.button_group
            state = WidgetState(id=group.id)
            defaults = [group.options[index].content for index in group.default]
            state.string_array_value.data.extend(group.raw_values if group.set_value else defaults)
            return state
    raise RuntimeError(f"no value is known for a widget of type {element.WhichOneof('type')}")
