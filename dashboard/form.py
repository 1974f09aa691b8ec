"""The controls that several pages have: the task, how is trained, the device. Every refusal stands beside its control.

Numbers are typed as text on purpose: a number widget would drop what it does not like without a word, and a person
should read why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard.address import MAX_LENGTH, Address
from ttcore.config import DataConfig, TrainConfig
from ttcore.errors import InputError
from ttcore.parse import parse_modes, parse_ranks, parse_real, parse_whole
from ttcore.presets import PRESETS

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
    "optimizers": "opts",
    "factorizations": "cores",
}
# Optimizers that have a learning rate.
BY_RATE = ("adam", "sgd")


def label(name: str) -> str:
    """What a choice is called on a page."""
    return _LABELS.get(name, name)


class Form:
    """The controls of one page: their values, what is wrong with them, and where to say it."""

    def __init__(self, address: Address[Any]) -> None:
        self.address = address
        self._errors: dict[str, str] = {}
        self._slots: dict[str, Any] = {}

    # ---- drawing ----------------------------------------------------------------------------------------------------

    def problems(self) -> None:
        """What the address asked for and could not have."""
        if problems := self.address.problems():
            with st.container(key=self.key("address_problems")):
                st.warning("In the address: " + " ".join(problems), icon=":material/link_off:")
                st.button("OK", key=self.key("address_problems_read"), on_click=self.address.forget_problems)

    def slot(self, name: str) -> None:
        """Here is the place for what is wrong with this control."""
        self._slots[name] = st.empty()

    def field(self, name: str, label: str, explained: str | None = None, placeholder: str | None = None) -> None:
        st.text_input(
            label,
            key=self.key(name),
            help=explained,
            max_chars=MAX_LENGTH,
            persist_state="session",
            placeholder=placeholder,
        )
        self.slot(name)

    def choice(
        self, name: str, title: str, explained: str | None = None, on_change: Callable[[], None] | None = None
    ) -> None:
        st.selectbox(
            title,
            self.address.choices[name],
            format_func=lambda option: PRESETS[option].title if name == "preset" else label(option),
            key=self.key(name),
            help=explained,
            persist_state="session",
            on_change=on_change,
        )

    def show_refusals(self) -> None:
        for name, message in self._errors.items():
            self._slots.get(name, st).error(f"{message}.", icon=":material/error:")

    # ---- reading ----------------------------------------------------------------------------------------------------

    def key(self, name: str) -> str:
        return self.address.prefix + name

    def value(self, name: str) -> Any:
        return st.session_state[self.key(name)]

    def typed(self, name: str) -> str:
        return str(self.value(name)).strip()

    def read(self, name: str, parse: Callable[[str, str], Any], field: str) -> Any:
        """The value of a text control; a refusal is noted, and None returned."""
        try:
            return parse(self.typed(name), field)
        except InputError as error:
            self.refuse(error, name)
            return None

    def refuse(self, error: InputError, name: str = "") -> None:
        self._errors.setdefault(name or _CONTROL_OF.get(error.field, error.field), str(error))

    @property
    def refused(self) -> bool:
        return bool(self._errors)


def draw_task(form: Form, explained: str) -> None:
    """The preset, and of the planted data what can be changed."""

    def load_preset() -> None:
        form.address.put(form.address.preset_values(form.value("preset")))

    form.choice("preset", "Task", explained, load_preset)
    chosen = PRESETS[form.value("preset")]
    st.caption(chosen.description)
    if chosen.config.data.source == "planted":
        with st.expander("The planted data"):
            form.field("tin", "Teacher's input modes", "They also decide the number of features.")
            form.field("tout", "Teacher's output modes")
            form.field("trank", "Teacher's rank", "One number, or one a bond: 4,8,4.")
            left, right = st.columns(2)
            with left:
                form.field("ntrain", "Training samples")
                form.field("noise", "Noise", "Standard deviation; the targets' own is 1.")
            with right:
                form.field("ntest", "Test samples")
                form.field("dseed", "Data seed", "Draws the teacher and the samples.")


def draw_schedule(form: Form, optimizers: tuple[str, ...]) -> None:
    """What belongs to some of the optimizers alone, and the start."""
    if "als" in optimizers:
        form.field("ridge", "Ridge", "How strongly a core is held where the data do not determine it.")
    if "sgd" in optimizers:
        form.field("momentum", "Momentum")
    if set(optimizers) & set(BY_RATE):
        form.choice("sched", "Schedule", "How the learning rate changes over the run.")
        if form.value("sched") == "decay":
            form.field("decay", "Last fraction", "The part of the steps, at the end, over which the rate falls.")
    form.choice("init", "Start", "How the cores are drawn.")


def draw_device(form: Form, gpu: str | None) -> None:
    with st.expander("Device and precision"):
        form.choice("device", "Device")
        form.slot("device")
        form.choice("dtype", "Number format")
        if gpu:
            form.choice("tf32", "Products on the GPU")
        form.field("threads", "CPU threads", "Empty: one fewer than there are processors, for the page itself.")


def read_data(form: Form) -> DataConfig | None:
    data = PRESETS[form.value("preset")].config.data
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


def read_train(form: Form, optimizers: tuple[str, ...], own: dict[str, Any]) -> TrainConfig | None:
    """own: what the page has read by itself; None stands for what it has refused."""
    values: dict[str, Any] = {
        **own,
        "init": form.value("init"),
        "dtype": form.value("dtype"),
        "device": form.value("device"),
        "tf32": form.value("tf32") == "true",
        "steps": form.read("steps", parse_whole, "steps"),
    }
    if set(optimizers) & set(BY_RATE):
        values["schedule"] = form.value("sched")
        if form.value("sched") == "decay":
            values["decay_fraction"] = form.read("decay", parse_real, "decay_fraction")
    if "als" in optimizers:
        values["ridge"] = form.read("ridge", parse_real, "ridge")
    if "sgd" in optimizers:
        values["momentum"] = form.read("momentum", parse_real, "momentum")
    if form.typed("target"):
        values["target_r2"] = form.read("target", parse_real, "target_r2")
    if form.typed("threads"):
        values["threads"] = form.read("threads", parse_whole, "threads")
    return _built(form, TrainConfig, values, ())


def refuse_missing_gpu(form: Form, train: TrainConfig, gpu: str | None) -> None:
    """gpu: its name, empty where there is none, None while that is not known."""
    if train.device == "cuda" and gpu == "":
        form.refuse(InputError("device cuda was chosen, and this machine has no CUDA GPU; use auto or cpu", "device"))


def _built(form: Form, make: Callable[..., Any], values: dict[str, Any], together: tuple[str, ...]) -> Any:
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


def _tried(form: Form, make: Callable[..., Any], values: dict[str, Any]) -> Any:
    try:
        return make(**values)
    except InputError as error:
        form.refuse(error)
        return None
