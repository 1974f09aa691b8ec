"""What the Gradients page says, from its numbers: plain values -> text. Imports no streamlit."""

from __future__ import annotations

from ast import FunctionDef, parse, unparse
from collections.abc import Callable, Sequence
from inspect import getsource
from math import floor, log10
from typing import Any

import numpy as np

from ttcore.gradient_differences import STEPS, StepErrors
from ttcore.gradient_race import Lane, Method

NAMES: dict[Method, str] = {"descent": "gradient descent", "momentum": "momentum", "adam": "Adam"}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# As many digits as float64 can tell.
_MOST_DIGITS = 16
# Errors within such a factor of the best are as good.
_AS_GOOD = 100
# A relative error that nobody would accept of a gradient.
_TOO_FAR_OFF = 1e-4


def number(value: float) -> str:
    """Two digits or three, and powers of ten where zeros would have to be counted."""
    if value == 0:
        return "0"
    power = floor(log10(abs(value)))
    if -4 < power < 5:
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    digits = f"{value / 10.0**power:.1f}" if power > -300 else "0"
    if digits.lstrip("-") == "10.0":
        digits, power = digits.replace("10.0", "1.0"), power + 1
    return f"{digits}·{ten(power)}"


def ten(power: int) -> str:
    """10⁻⁵ for −5."""
    return "10" + str(power).translate(_SUPERSCRIPT)


def step_name(h: float) -> str:
    """A step of the slider, a whole power of ten."""
    return ten(round(log10(h)))


def differences_sentence(autograd: np.ndarray | None, closed: np.ndarray, central: np.ndarray, h: float) -> str:
    """How far the three gradients are from each other."""
    by_central = f"central differences from the closed form by at most **{number(_apart(central, closed))}**"
    largest = f"in gradients of up to {number(float(np.abs(closed).max()))}"
    if autograd is None:
        return f"At h = {step_name(h)} {by_central.replace('form by', 'form differ by')}, {largest}."
    return (
        f"Autograd and the closed form differ by at most **{number(_apart(autograd, closed))}**, and at "
        f"h = {step_name(h)} {by_central}, {largest}."
    )


def _apart(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left - right).max())


def step_sentence(errors: StepErrors, h: float) -> str:
    """What this step does to central differences, and to one-sided ones."""
    place = min(range(len(STEPS)), key=lambda at: abs(log10(STEPS[at] / h)))
    best = max(min(errors.central), 10.0**-_MOST_DIGITS)
    central, one_sided = errors.central[place], errors.one_sided[place]
    where = f"At h = {step_name(h)} central differences are right to {_digits(central)}"
    if central <= _AS_GOOD * best:
        why = "about as good as it gets"
    elif h < STEPS[errors.central.index(min(errors.central))]:
        much = "too small" if central > _TOO_FAR_OFF else "smaller than it need be"
        why = f"**{much}**: the two losses agree in most of their digits, and what is left is mostly rounding"
    else:
        much = "too large" if central > _TOO_FAR_OFF else "larger than it need be"
        why = f"**{much}**: the losses are so large that the last digits of what they differ by are lost"
    return f"{where} ({why}), one-sided ones to {_digits(one_sided)}."


def _digits(error: float) -> str:
    digits = _MOST_DIGITS if error == 0 else min(_MOST_DIGITS, max(0, floor(-log10(error))))
    return "no digit" if digits == 0 else f"{digits} digit{'s' * (digits > 1)}"


def race_sentence(lanes: Sequence[Lane]) -> str:
    """What happened in a race that has ended: who reached which loss by when, and who diverged."""
    left = sorted((lane for lane in lanes if lane.diverged is None), key=lambda lane: lane.losses[-1])
    gone = [lane for lane in lanes if lane.diverged is not None]
    parts = []
    if left:
        steps = len(left[0].losses) - 1
        reached = [f"{NAMES[lane.method]} {'is at a loss of ' * (lane is left[0])}{_loss(lane)}" for lane in left]
        parts.append(f"after {steps} step{'s' * (steps != 1)} {_and(reached)}")
    if len(left) > 1:
        slowest = left[-1]
        target = float(slowest.losses[-1])
        others = [f"{NAMES[lane.method]} at step {int(np.argmax(lane.losses <= target))}" for lane in left[:-1]]
        parts.append(f"what {NAMES[slowest.method]} ends with was reached by {_and(others)}")
    parts += [
        f"{NAMES[lane.method]} diverged at its rate of {lane.rate:g}: at step {lane.diverged} its loss was more than a "
        "million times that of the start"
        for lane in gone
    ]
    sentence = "; ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def stopped_sentence(lanes: Sequence[Lane]) -> str:
    """Where a race stands that was stopped."""
    if not lanes:
        return "Stopped before the first step."
    at = max(len(lane.losses) for lane in lanes) - 1
    return f"Stopped at step {at}. {race_sentence(lanes)}" if at else "Stopped before the first step."


def _loss(lane: Lane) -> str:
    return f"**{number(float(lane.losses[-1]))}**"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def plain_code(function: Callable[..., Any]) -> str:
    """A function's own code without its type annotations, which only get in the way of who reads it on a page."""
    (definition,) = parse(getsource(function)).body
    assert isinstance(definition, FunctionDef), "getsource gives the function and nothing else"
    definition.returns = None
    for argument in definition.args.args:
        argument.annotation = None
    return unparse(definition)


def updates_sentence(compared: Sequence[dict[str, Any]], steps: int) -> str:
    """How far updates by hand are from torch's, for each method; see ttcore.gradient_optimizers."""
    told = [
        f"**{number(one['difference'])}** for {NAMES[one['method']]}"
        + (f" (until it diverges at step {one['steps'] + 1})" if one["steps"] < steps else "")
        for one in compared
    ]
    largest = max(one["largest"] for one in compared)
    return (
        f"By hand and by torch.optim, {steps} steps from the same start: the largest difference of any parameter is "
        f"{_and(told)}, in parameters of up to {number(largest)}."
    )
