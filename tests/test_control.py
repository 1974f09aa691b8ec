from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from ttcore import Control, InputError
from ttcore.control import Turn


def test_without_requests_it_always_goes():
    control = Control()
    assert {control.turn() for _ in range(10)} == {Turn.GO}
    assert not control.paused


def test_pause_and_resume():
    control = Control()
    control.pause()
    assert control.turn() is control.turn() is Turn.PAUSE
    assert control.paused
    control.resume()
    assert control.turn() is Turn.GO
    assert not control.paused


def test_single_steps_add_up():
    control = Control(steps=2)
    assert [control.turn() for _ in range(3)] == [Turn.GO, Turn.GO, Turn.PAUSE]
    control.step()
    control.step(2)
    assert [control.turn() for _ in range(4)] == [Turn.GO, Turn.GO, Turn.GO, Turn.PAUSE]


def test_a_step_in_mid_run_takes_one_and_pauses():
    control = Control()
    control.turn()
    control.step()
    assert [control.turn() for _ in range(2)] == [Turn.GO, Turn.PAUSE]


def test_stop_comes_before_everything():
    control = Control(steps=0)
    control.stop()
    control.resume()
    assert control.turn() is Turn.STOP
    assert not control.paused


def test_slow_motion_lets_steps_through_at_its_rate():
    control = Control(steps_per_second=50)
    began = time.monotonic()
    for _ in range(6):
        assert control.turn() is Turn.GO
    assert time.monotonic() - began >= 5 / 50 - 0.001, "the first step is due at once, five follow"
    control.set_speed(None)
    assert control.turn() is Turn.GO


@pytest.mark.parametrize(
    ("request_it", "answer"),
    [(Control.stop, Turn.STOP), (Control.pause, Turn.PAUSE), (lambda c: c.set_speed(None), Turn.GO)],
)
def test_a_request_ends_the_wait_for_a_slow_step(request_it: Callable[[Control], None], answer):
    control = Control(steps_per_second=0.001)
    control.turn()
    threading.Timer(0.05, request_it, [control]).start()
    began = time.monotonic()
    assert control.turn() is answer
    assert time.monotonic() - began < 30, "far less than the thousand seconds until the step is due"


@pytest.mark.parametrize("request_it", [Control.stop, Control.resume, Control.step])
def test_a_paused_run_waits_until_it_is_told(request_it: Callable[[Control], None]):
    control = Control(steps=0)
    told = threading.Event()

    def tell():
        told.set()
        request_it(control)

    threading.Timer(0.05, tell).start()
    control.wait_while_paused()
    assert told.is_set()


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf"), "fast"])
def test_a_speed_is_a_number_above_0(speed):
    with pytest.raises(InputError, match="speed"):
        Control(steps_per_second=speed)
    with pytest.raises(InputError, match="speed"):
        Control().set_speed(speed)
