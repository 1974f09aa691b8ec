"""Widgets -> a RunConfig; every refusal stands beside its control.

Numbers are typed as text on purpose: a number widget would drop what it does not like without a word, and a person
should read why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from dashboard import address
from ttcore import machine
from ttcore.config import DataConfig, RunConfig, TrainConfig
from ttcore.errors import InputError
from ttcore.parse import parse_modes, parse_ranks, parse_real, parse_whole
from ttcore.planning import check_memory
from ttcore.presets import PRESETS, usual_steps
from ttcore.shapes import factorize

MAX_SUGGESTED_CORES = 8

_LABELS = {
    "adam": "Adam",
    "sgd": "SGD with momentum",
    "lbfgs": "L-BFGS",
    "als": "alternating least squares",
    "false": "full float32",
    "true": "TF32: quicker and coarser",
    "constant": "constant",
    "decay": "constant, then falling to zero",
    "unit": "unit norm (as published)",
    "glorot": "Glorot variance",
    "he": "He variance",
    "auto": "auto (a GPU where there is one)",
    "cpu": "CPU",
    "cuda": "CUDA GPU",
}
# The field that an error names -> the control beside which it belongs, where the names differ.
_CONTROL_OF = {
    "in_modes": "in",
    "out_modes": "out",
    "decay_fraction": "decay",
    "target_r2": "target",
    "teacher_in_modes": "tin",
    "teacher_out_modes": "tout",
    "teacher_ranks": "trank",
    "train_samples": "ntrain",
    "test_samples": "ntest",
    "data_seed": "dseed",
}


@dataclass
class _Form:
    """The values of the controls, what is wrong with them, and where to say it."""

    errors: dict[str, str] = field(default_factory=dict)
    slots: dict[str, Any] = field(default_factory=dict)

    def typed(self, key: str) -> str:
        return str(st.session_state[key]).strip()

    def read(self, key: str, parse: Callable[[str, str], Any], name: str) -> Any:
        """The value of a text control; a refusal is noted, and None returned."""
        try:
            return parse(self.typed(key), name)
        except InputError as error:
            self.refuse(error, key)
            return None

    def refuse(self, error: InputError, key: str = "") -> None:
        self.errors.setdefault(key or _CONTROL_OF.get(error.field, error.field), str(error))

    def show(self) -> None:
        for key, message in self.errors.items():
            place = self.slots.get(key, st)
            place.error(f"{message}.", icon=":material/error:")


def run_controls(gpu: str | None) -> RunConfig | None:
    """Draw all settings; the run that they describe, or None while one of them is refused.

    gpu: the name of the GPU, empty where there is none, None while that is not known yet.
    """
    address.read()
    _address_problems()
    form = _Form()
    _task(form)
    _layer(form)
    _training(form)
    _device(form, gpu)
    address.write()
    config = _config(form, gpu)
    form.show()
    return config


def _address_problems() -> None:
    if problems := address.problems():
        with st.container(key="address_problems"):
            st.warning("In the address: " + " ".join(problems), icon=":material/link_off:")
            st.button("OK", key="address_problems_read", on_click=address.forget_problems)


def _task(form: _Form) -> None:
    _choice("preset", "Task", "What is to be learnt; picking one sets all controls to its own start.", _load_preset)
    chosen = PRESETS[st.session_state.preset]
    st.caption(chosen.description)
    if chosen.config.data.source == "planted":
        with st.expander("The planted data"):
            _field(form, "tin", "Teacher's input modes", "They also decide the number of features.")
            _field(form, "tout", "Teacher's output modes")
            _field(form, "trank", "Teacher's rank", "One number, or one a bond: 4,8,4.")
            left, right = st.columns(2)
            with left:
                _field(form, "ntrain", "Training samples")
                _field(form, "noise", "Noise", "Standard deviation; the targets' own is 1.")
            with right:
                _field(form, "ntest", "Test samples")
                _field(form, "dseed", "Data seed", "Draws the teacher and the samples.")


def _load_preset() -> None:
    st.session_state.update(address.preset_values(st.session_state.preset))


def _words() -> None:
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


def _layer(form: _Form) -> None:
    st.subheader("Layer")
    _words()
    st.session_state.cores = _typed_cores()
    st.slider(
        "Number of cores",
        1,
        MAX_SUGGESTED_CORES,
        key="cores",
        on_change=_suggest_modes,
        help="Suggests balanced modes for both sides. 1 core is the dense layer itself.",
    )
    _field(
        form,
        "in",
        "Input modes",
        "Whole numbers whose product is at least the number of features; a larger product means zero padding. "
        "Example: 8,8,8,8.",
    )
    _field(form, "out", "Output modes", "As many as input modes; fill up with 1. Example: 2,2,2,2.")
    st.slider(
        "Rank",
        1,
        address.MAX_SLIDER_RANK,
        key="rank",
        persist_state="session",
        help="How much neighbouring cores may share. A rank above the useful one is lowered to it.",
    )
    _field(form, "ranks", "Rank per bond (optional)", "Goes before the slider: 4,8,4, or one number of any size.")


def _typed_cores() -> int:
    try:
        typed = len(parse_modes(st.session_state["in"], "in_modes"))
    except InputError:
        typed = PRESETS[st.session_state.preset].config.shape.num_cores
    return min(typed, MAX_SUGGESTED_CORES)


def _suggest_modes() -> None:
    """Balanced modes for the number of cores that was picked; a rank per bond would no longer fit."""
    cores = st.session_state.cores
    data = _data(_Form()) or PRESETS[st.session_state.preset].config.data
    st.session_state["in"] = address.text(factorize(data.in_features, cores))
    st.session_state["out"] = address.text(factorize(data.out_features, cores))
    st.session_state["ranks"] = ""


def _training(form: _Form) -> None:
    st.subheader("Training")
    _choice(
        "opt",
        "Optimizer",
        "Adam finds good fits at any rank. L-BFGS and alternating least squares have no rate to choose and are far "
        "quicker where the layer can fit the data nearly exactly. Picking one sets the steps to its usual number.",
        _set_usual_steps,
    )
    optimizer = st.session_state.opt
    by_rate = optimizer in _BY_RATE
    left, right = st.columns(2)
    with left:
        if by_rate:
            _field(form, "lr", "Learning rate")
        elif optimizer == "als":
            _field(form, "ridge", "Ridge", "How strongly a core is held where the data do not determine it.")
        _field(form, "seed", "Seed", "Draws the start: the same seed is the same start.")
    with right:
        _field(form, "steps", "Steps", _STEPS_HELP.get(optimizer))
        _field(form, "target", "Target R²", "Stop as soon as the training R² reaches this. Empty: go on.")
    if optimizer == "sgd":
        _field(form, "momentum", "Momentum")
    if by_rate:
        _choice("sched", "Schedule", "How the learning rate changes over the run.")
        if st.session_state.sched == "decay":
            _field(form, "decay", "Last fraction", "The part of the steps, at the end, over which the rate falls.")
    _choice("init", "Start", "How the cores are drawn.")


# Optimizers that have a learning rate.
_BY_RATE = ("adam", "sgd")
_STEPS_HELP = {
    "lbfgs": "A step is one line search along L-BFGS's direction: one to three times the work of a step of Adam.",
    "als": "A step solves for one core; from left to right and back again are 2 (d - 1) steps.",
}


def _set_usual_steps() -> None:
    steps = PRESETS[st.session_state.preset].config.train.steps
    st.session_state.steps = address.text(usual_steps(st.session_state.opt, steps))


def _device(form: _Form, gpu: str | None) -> None:
    with st.expander("Device and precision"):
        _choice("device", "Device")
        form.slots["device"] = st.empty()
        _choice("dtype", "Number format")
        if gpu:
            _choice("tf32", "Products on the GPU")
        _field(form, "threads", "CPU threads", "Empty: one fewer than there are processors, for the page itself.")


def _field(form: _Form, key: str, label: str, explained: str | None = None) -> None:
    st.text_input(label, key=key, help=explained, max_chars=address.MAX_LENGTH, persist_state="session")
    form.slots[key] = st.empty()


def _choice(key: str, label: str, explained: str | None = None, on_change: Callable[[], None] | None = None) -> None:
    st.selectbox(
        label,
        address.CHOICES[key],
        format_func=lambda name: PRESETS[name].title if key == "preset" else _LABELS.get(name, name),
        key=key,
        help=explained,
        persist_state="session",
        on_change=on_change,
    )


def _config(form: _Form, gpu: str | None) -> RunConfig | None:
    """The run that the controls describe, checked against the data and this machine."""
    data = _data(form)
    train = _train(form)
    in_modes = form.read("in", parse_modes, "in_modes")
    out_modes = form.read("out", parse_modes, "out_modes")
    ranks = form.read("ranks", parse_ranks, "ranks") if form.typed("ranks") else st.session_state["rank"]
    if data is None or train is None or form.errors:
        return None
    if train.device == "cuda" and gpu == "":
        form.refuse(InputError("device cuda was chosen, and this machine has no CUDA GPU; use auto or cpu", "device"))
        return None
    try:
        config = RunConfig(data=data, in_modes=in_modes, out_modes=out_modes, ranks=ranks, train=train)
        check_memory([config], machine.free_memory())
    except InputError as error:
        form.refuse(error)
        return None
    return config


def _data(form: _Form) -> DataConfig | None:
    data = PRESETS[st.session_state.preset].config.data
    if data.source != "planted":
        return data
    values = {
        "teacher_in_modes": form.read("tin", parse_modes, "teacher_in_modes"),
        "teacher_out_modes": form.read("tout", parse_modes, "teacher_out_modes"),
        "teacher_ranks": form.read("trank", parse_ranks, "teacher_ranks"),
        "train_samples": form.read("ntrain", parse_whole, "train_samples"),
        "test_samples": form.read("ntest", parse_whole, "test_samples"),
        "noise": form.read("noise", parse_real, "noise"),
        "seed": form.read("dseed", parse_whole, "data_seed"),
    }
    together = ("teacher_in_modes", "teacher_out_modes", "teacher_ranks")
    return _built(form, lambda **given: DataConfig(source="planted", **given), values, together)


def _train(form: _Form) -> TrainConfig | None:
    state = st.session_state
    values: dict[str, Any] = {
        "optimizer": state.opt,
        "init": state.init,
        "dtype": state.dtype,
        "device": state.device,
        "tf32": state.tf32 == "true",
        "steps": form.read("steps", parse_whole, "steps"),
        "seed": form.read("seed", parse_whole, "seed"),
    }
    if state.opt in _BY_RATE:
        values["lr"] = form.read("lr", parse_real, "lr")
        values["schedule"] = state.sched
        if state.sched == "decay":
            values["decay_fraction"] = form.read("decay", parse_real, "decay_fraction")
    if state.opt == "als":
        values["ridge"] = form.read("ridge", parse_real, "ridge")
    if state.opt == "sgd":
        values["momentum"] = form.read("momentum", parse_real, "momentum")
    if form.typed("target"):
        values["target_r2"] = form.read("target", parse_real, "target_r2")
    if form.typed("threads"):
        values["threads"] = form.read("threads", parse_whole, "threads")
    return _built(form, TrainConfig, values, ())


def _built(form: _Form, make: Callable[..., Any], values: dict[str, Any], together: tuple[str, ...]) -> Any:
    """The configuration, or None with every refusal noted, not only the first.

    Each value is tried by itself beside the defaults, but for those that only make sense `together`.
    """
    complete = True
    for name, value in values.items():
        if value is None:
            complete = False
        elif name not in together:
            complete = _tried(form, make, {name: value}) is not None and complete
    return _tried(form, make, values) if complete else None


def _tried(form: _Form, make: Callable[..., Any], values: dict[str, Any]) -> Any:
    try:
        return make(**values)
    except InputError as error:
        form.refuse(error)
        return None
