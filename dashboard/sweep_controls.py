"""The Trade-off page's widgets -> a SweepConfig and what it amounts to."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import streamlit as st

from dashboard import session
from dashboard.controls import words
from dashboard.form import (
    BY_RATE,
    Form,
    draw_device,
    draw_schedule,
    draw_target,
    draw_task,
    label,
    read_data,
    read_train,
    refuse_missing_gpu,
)
from dashboard.sweep_settings import LOW_RANK, PICKED, SWEEP, picked_factorizations
from ttcore import machine
from ttcore.config import DataConfig
from ttcore.errors import InputError
from ttcore.parse import parse_numbers, parse_reals
from ttcore.sweep import with_threads
from ttcore.sweep_config import Factorization, SweepConfig
from ttcore.sweep_plan import SweepPlan, plan_sweep
from ttcore.wording import duration


class Asked(NamedTuple):
    """What the controls describe."""

    config: SweepConfig
    plan: SweepPlan


def sweep_controls(gpu: str | None) -> Asked | None:
    """Draw all settings; the sweep that they describe, or None while one of them is refused.

    gpu: the name of the GPU, empty where there is none, None while that is not known yet.
    """
    SWEEP.read()
    form = Form(SWEEP)
    form.problems()
    if not draw_task(form, "What is to be learnt; picking one sets all controls to a sweep that shows its point."):
        SWEEP.write()
        return None
    _grid(form)
    _training(form)
    draw_device(form, gpu)
    SWEEP.write()
    asked = _asked(form, gpu)
    form.show_refusals()
    return asked


def _grid(form: Form) -> None:
    st.subheader("Grid")
    words()
    st.pills(
        "Factorizations: number of cores",
        PICKED,
        selection_mode="multi",
        format_func=lambda pick: "low rank" if pick == LOW_RANK else pick,
        key=form.key("cores"),
        persist_state="session",
        help="Balanced modes for each number of cores. 1 core is the dense layer itself; low rank is the train of two "
        "cores with a mode of 1 each.",
    )
    form.slot("cores")
    form.field(
        "modes",
        "Modes of your own (optional)",
        "Input->output, several with a semicolon between: 8,8,8,8->2,2,2,2; 16,16,16->4,2,2.",
        "16,16,16->4,2,2; …",
    )
    form.field("ranks", "Ranks", "A range or a list: 1-16, or 1,2,4,8, or 2-16/2 for every second.")
    form.field("seeds", "Seeds", "Starts of every configuration: 0-3 are four. Their spread tells what chance does.")


def _training(form: Form) -> None:
    st.subheader("Training")
    options = form.address.several["opts"]
    st.pills(
        "Optimizers",
        options,
        selection_mode="multi",
        format_func=_short_label,
        key=form.key("opts"),
        persist_state="session",
        help="With several, L-BFGS and alternating least squares take their usual 1,000 and 240 steps.",
    )
    form.slot("opts")
    chosen = tuple(form.value("opts"))
    left, right = st.columns(2)
    with left:
        if set(chosen) & set(BY_RATE):
            form.field("rates", "Learning rates", "One, or several with commas between: 0.02, 0.05, 0.1.")
        draw_target(form, "A run stops as soon as its training {} reaches this. Empty: it goes on.")
    with right:
        form.field("steps", "Steps")
    draw_schedule(form, chosen)


def _short_label(optimizer: str) -> str:
    return {"sgd": "SGD", "als": "ALS"}.get(optimizer, label(optimizer))


def _asked(form: Form, gpu: str | None) -> Asked | None:
    data = read_data(form)
    optimizers = tuple(form.value("opts"))
    if not optimizers:
        form.refuse(InputError("no optimizer is chosen; choose at least one", "opts"))
    rates = form.read("rates", parse_reals, "rates") if set(optimizers) & set(BY_RATE) else ()
    ranks = form.read("ranks", parse_numbers, "ranks")
    seeds = form.read("seeds", parse_numbers, "seeds")
    train = read_train(form, optimizers, {})
    factorizations = _factorizations(form, data) if data is not None else None
    if data is None or train is None or factorizations is None or form.refused:
        return None
    refuse_missing_gpu(form, train, gpu)
    try:
        config = SweepConfig(
            data=data,
            train=train,
            factorizations=factorizations,
            ranks=ranks,
            seeds=seeds,
            rates=rates,
            optimizers=optimizers,
        )
        # As the server will start it: its threads are decided.
        config = with_threads(config, session.default_threads())
        plan = _plan(config, machine.free_memory() >> 28, (session.engine().machine or {}).get("pace", 1.0))
    except InputError as error:
        form.refuse(error)
    return None if form.refused else Asked(config, plan)


def _factorizations(form: Form, data: DataConfig) -> tuple[Factorization, ...] | None:
    picks = picked_factorizations(data)
    chosen = [picks[pick] for pick in form.value("cores")]
    for part in form.typed("modes").split(";"):
        if part.strip():
            try:
                chosen.append(Factorization.parse(part))
            except InputError as error:
                form.refuse(error, "modes")
                return None
    if not chosen:
        form.refuse(InputError("no factorization is chosen; pick a number of cores, or type modes", "cores"))
    return tuple(chosen)


@lru_cache(maxsize=16)
def _plan(config: SweepConfig, free_quarters: int, pace: float) -> SweepPlan:
    """Made anew only when the sweep or the memory that is free (in quarters of a GiB) has changed."""
    return plan_sweep(config, free_quarters << 28, pace)


def grid_sentence(asked: Asked) -> str:
    """How many runs, how many of them redundant, and about how long."""
    config, plan = asked
    sizes: list[tuple[Any, str]] = [
        (config.factorizations, "factorization"),
        (config.optimizers, "optimizer"),
        (config.rates, "rate"),
        (config.ranks, "rank"),
        (config.seeds, "seed"),
    ]
    parts = [f"{len(entries)} {name}{'s' * (len(entries) > 1)}" for entries, name in sizes if len(entries) > 1]
    text = f"**{len(plan.runs):,} run{'s' * (len(plan.runs) != 1)}**"
    if parts:
        text += (
            f" ({' × '.join(parts)}{f', {plan.redundant:,} of them redundant and merged' if plan.redundant else ''})"
        )
    return f"{text}, about {duration(max(1.0, sum(plan.seconds)))} on this machine."
