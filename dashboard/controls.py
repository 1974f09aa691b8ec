"""The Train page's widgets -> a RunConfig."""

from __future__ import annotations

import streamlit as st

from dashboard import address
from dashboard.advice import draw_advice, draw_verdict
from dashboard.form import (
    BY_RATE,
    Form,
    draw_device,
    draw_schedule,
    draw_target,
    draw_task,
    read_data,
    read_train,
    refuse_missing_gpu,
)
from dashboard.run_settings import MAX_SLIDER_RANK, RUN
from ttcore import machine
from ttcore.config import RunConfig
from ttcore.errors import InputError
from ttcore.parse import parse_modes, parse_ranks, parse_real, parse_whole
from ttcore.planning import check_memory
from ttcore.presets import usual_steps
from ttcore.shapes import factorize

MAX_SUGGESTED_CORES = 8


def run_controls(gpu: str | None) -> RunConfig | None:
    """Draw all settings; the run that they describe, or None while one of them is refused.

    gpu: the name of the GPU, empty where there is none, None while that is not known yet.
    """
    RUN.read()
    form = Form(RUN)
    form.problems()
    if not draw_task(form, "What is to be learnt; picking one sets all controls to its own start."):
        RUN.write()
        return None
    _layer(form)
    _training(form)
    draw_device(form, gpu)
    RUN.write()
    config = _config(form, gpu)
    form.show_refusals()
    return config


def words() -> None:
    """Modes, cores and ranks, for who hears of them for the first time."""
    with st.popover("What are modes, cores, ranks?", type="tertiary"):
        st.markdown(
            "A full layer **y = W x** stores one number for every pair of input and output. A **tensor-train layer** "
            "stores W as a chain of small **cores** instead:\n\n"
            "- **Modes** split a size into factors: 4096 inputs = 8·8·8·8, 16 outputs = 2·2·2·2. Each core has one "
            "input mode (below it in the drawing) and one output mode (above).\n"
            "- **Cores** are the blue nodes. Core k is an array of shape rank × input mode × output mode × rank.\n"
            "- **Ranks** are the bonds between neighbouring cores: how much they may share. A higher rank fits more "
            "and costs more; below each bond stands the largest rank that can be of use.\n\n"
            "Multiply all cores along the bonds and W comes out. Training changes the cores directly; W is never "
            "stored as a parameter."
        )


def _layer(form: Form) -> None:
    st.subheader("Layer")
    words()
    st.session_state.cores = _typed_cores()
    st.slider(
        "Number of cores",
        1,
        MAX_SUGGESTED_CORES,
        key="cores",
        on_change=_suggest_modes,
        help="Suggests balanced modes for both sides. 1 core is the dense layer itself.",
    )
    form.field(
        "in",
        "Input modes",
        "Whole numbers whose product is at least the number of features; a larger product means zero padding. "
        "Example: 8,8,8,8.",
    )
    form.field("out", "Output modes", "As many as input modes; fill up with 1. Example: 2,2,2,2.")
    data = read_data(Form(RUN))
    if data is not None:
        draw_advice(data)
    st.slider(
        "Rank",
        1,
        MAX_SLIDER_RANK,
        key="rank",
        persist_state="session",
        help="How much neighbouring cores may share. A rank above the useful one is lowered to it.",
    )
    form.field("ranks", "Rank per bond (optional)", "Goes before the slider: 4,8,4, or one number of any size.")
    if data is not None:
        draw_verdict(data)


def _typed_cores() -> int:
    try:
        typed = len(parse_modes(st.session_state["in"], "in_modes"))
    except InputError:
        typed = len(_start().in_modes)
    return min(typed, MAX_SUGGESTED_CORES)


def _start() -> RunConfig:
    """What the chosen task starts with."""
    start = RUN.start(st.session_state.preset, st.session_state[address.TABLE] or "")
    return start or RUN.starts[RUN.first]


def _suggest_modes() -> None:
    """Balanced modes for the number of cores that was picked; a rank per bond would no longer fit."""
    cores = st.session_state.cores
    data = read_data(Form(RUN)) or _start().data
    st.session_state["in"] = address.text(factorize(data.in_features, cores))
    st.session_state["out"] = address.text(factorize(data.out_features, cores))
    st.session_state["ranks"] = ""


def _training(form: Form) -> None:
    st.subheader("Training")
    form.choice(
        "opt",
        "Optimizer",
        "Adam finds good fits at any rank. L-BFGS and alternating least squares have no rate to choose and are far "
        "quicker where the layer can fit the data nearly exactly. Picking one sets the steps to its usual number.",
        _set_usual_steps,
    )
    form.slot("opt")
    optimizer = form.value("opt")
    left, right = st.columns(2)
    with left:
        if optimizer in BY_RATE:
            form.field("lr", "Learning rate")
        form.field("seed", "Seed", "Draws the start: the same seed is the same start.")
    with right:
        form.field("steps", "Steps", _STEPS_HELP.get(optimizer))
        draw_target(form, "Stop as soon as the training {} reaches this. Empty: go on.")
    draw_schedule(form, (optimizer,))


_STEPS_HELP = {
    "lbfgs": "A step is one line search along L-BFGS's direction: one to three times the work of a step of Adam.",
    "als": "A step solves for one core; from left to right and back again are 2 (d - 1) steps.",
}


def _set_usual_steps() -> None:
    st.session_state.steps = address.text(usual_steps(st.session_state.opt, _start().train.steps))


def _config(form: Form, gpu: str | None) -> RunConfig | None:
    """The run that the controls describe, checked against the data and this machine."""
    optimizer = form.value("opt")
    data = read_data(form)
    own = {"optimizer": optimizer, "seed": form.read("seed", parse_whole, "seed")}
    if optimizer in BY_RATE:
        own["lr"] = form.read("lr", parse_real, "lr")
    train = read_train(form, (optimizer,), own)
    in_modes = form.read("in", parse_modes, "in_modes")
    out_modes = form.read("out", parse_modes, "out_modes")
    ranks = form.read("ranks", parse_ranks, "ranks") if form.typed("ranks") else form.value("rank")
    if data is None or train is None or form.refused:
        return None
    refuse_missing_gpu(form, train, gpu)
    try:
        config = RunConfig(data=data, in_modes=in_modes, out_modes=out_modes, ranks=ranks, train=train)
        check_memory([config], machine.free_memory())
    except InputError as error:
        form.refuse(error)
    return None if form.refused else config
