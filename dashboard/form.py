"""The controls that several pages have: the task, how is trained, the device. Every refusal stands beside its control.

Numbers are typed as text on purpose: a number widget would drop what it does not like without a word, and a person
should read why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from dashboard.address import MAX_LENGTH, OWN, TABLE, Address
from dashboard.data_tables import data_of, known_tables, remember_table
from dashboard.run_settings import DATA_SETTINGS, settings_of, source_of
from ttcore.config import DataConfig, TrainConfig
from ttcore.errors import InputError
from ttcore.parse import parse_modes, parse_ranks, parse_real, parse_whole
from ttcore.presets import PRESETS
from ttcore.scoring import SCORINGS, Task
from ttcore.sources import SOURCES, Source
from ttcore.table_store import Stored

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
    "weight_decay": "wd",
    "batch_size": "batch",
    "optimizer": "opt",
    "optimizers": "opts",
    "factorizations": "cores",
    "data": TABLE,
    "data_seed": "dseed",
    **{setting: name for name, setting in DATA_SETTINGS.items() if setting not in ("noise", "seed")},
}
# Where a control is said to be at fault that this page or this data do not have.
_INSTEAD = {"opt": "opts", "ntrain": "n", "ntest": "n", "n": TABLE}
# Optimizers that have a learning rate.
BY_RATE = ("adam", "sgd")


def label(name: str) -> str:
    """What a choice is called on a page."""
    return _LABELS.get(name, name)


# Where the first refusal of the page is found.
REFUSAL = "first_refusal"


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
            format_func=_task_title if name == "preset" else label,
            key=self.key(name),
            help=explained,
            persist_state="session",
            on_change=on_change,
        )

    def show_refusals(self) -> None:
        # For the page's main part: a control may stand in a part that is folded away.
        st.session_state[REFUSAL] = next(iter(self._errors.values()), "")
        for name, message in self._errors.items():
            while name not in self._slots and name in _INSTEAD:
                name = _INSTEAD[name]
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


@dataclass(frozen=True, kw_only=True)
class _DataField:
    """How a setting of the data is typed."""

    title: str
    parse: Callable[[str, str], Any]
    explained: str | None = None
    # Has the whole width, for a list of numbers.
    is_wide: bool = False


_DATA_FIELDS = {
    "tin": _DataField(
        title="Teacher's input modes",
        parse=parse_modes,
        explained="They also decide the number of features.",
        is_wide=True,
    ),
    "tout": _DataField(title="Teacher's output modes", parse=parse_modes, is_wide=True),
    "trank": _DataField(
        title="Teacher's rank", parse=parse_ranks, explained="One number, or one a bond: 4,8,4.", is_wide=True
    ),
    "ntrain": _DataField(title="Training samples", parse=parse_whole),
    "ntest": _DataField(title="Test samples", parse=parse_whole),
    "n": _DataField(title="Samples", parse=parse_whole, explained="Train and test together."),
    "p": _DataField(title="Features", parse=parse_whole),
    "inf": _DataField(title="Informative features", parse=parse_whole, explained="So many matter to the targets."),
    "q": _DataField(title="Targets", parse=parse_whole),
    "eff": _DataField(
        title="Effective rank", parse=parse_whole, explained="Of the inputs, about; 0 for inputs of full rank."
    ),
    "noise": _DataField(title="Noise", parse=parse_real, explained="Standard deviation; the targets' own is 1."),
    "dseed": _DataField(title="Data seed", parse=parse_whole, explained="Draws all that is random in the data."),
    "frac": _DataField(
        title="Held-out part", parse=parse_real, explained="The part of all samples that is kept for the test: 0.2."
    ),
    "split": _DataField(title="Split seed", parse=parse_whole, explained="Draws which samples are held out."),
}
_DATA_TITLES: dict[Source, str] = {
    "reference": "The published data",
    "planted": "The planted data",
    "regression": "The drawn data and their hold-out",
}


def _task_title(preset: str) -> str:
    return SOURCES["table"].title if preset == OWN else PRESETS[preset].title


def unusable() -> str:
    """What the main part says while a setting is refused."""
    refusal = st.session_state.get(REFUSAL, "")
    return "A setting at the left cannot be used; beside it stands why." + (f" {refusal}." if refusal else "")


def draw_task(form: Form, explained: str) -> bool:
    """The preset, and of its data what can be changed; whether there are any data."""

    def load_preset() -> None:
        newest = next(iter(known_tables()), "")
        form.address.put(form.address.preset_values(form.value("preset"), newest))

    form.choice("preset", "Task", explained, load_preset)
    if form.value("preset") == OWN:
        if not _draw_table(form):
            return False
    else:
        st.caption(PRESETS[form.value("preset")].description)
    source = source_of(form.value("preset"))
    with st.expander(_DATA_TITLES.get(source, "The data and their hold-out")):
        _draw_data(form, source)
    return True


def _draw_table(form: Form) -> bool:
    """Which of the prepared tables; False where none is chosen."""

    def load_table() -> None:
        form.address.put(form.address.preset_values(OWN, form.value(TABLE) or ""))

    chosen = form.value(TABLE) or ""
    tables = known_tables()
    if chosen not in tables and data_of(chosen) is not None:
        # One that the address has named.
        remember_table(chosen)
        tables = known_tables()
    if chosen not in tables:
        st.session_state[form.key(TABLE)] = None
    if tables:
        st.selectbox(
            "Table",
            list(tables),
            format_func=lambda key: _table_title(tables[key]),
            key=form.key(TABLE),
            placeholder="Choose a table",
            persist_state="session",
            on_change=load_table,
        )
        form.slot(TABLE)
    if chosen in tables:
        return True
    st.info(
        "Choose a table, or prepare another on the Data page." if tables else "Prepare a file on the Data page first.",
        icon=":material/table_view:",
    )
    # Pages can be made only while a script runs, and this module is loaded without one too.
    from dashboard.navigation import DATA

    st.page_link(DATA, label="To the Data page")
    return False


def _table_title(table: Stored) -> str:
    return f"{table.title} · {', '.join(table.targets[:3])}{', …' * (len(table.targets) > 3)}"


def _draw_data(form: Form, source: Source) -> None:
    """Every setting of this source, and what the data are."""
    spec, data = SOURCES[source], read_data(Form(form.address))
    about = "" if source == "table" else f"{spec.about} "
    st.caption(f"{about}{f'{sizes(data)}. ' if data is not None else ''}{spec.origin}")
    fields = {name: _DATA_FIELDS[name] for name in settings_of(source) if name != TABLE}
    for name, field in fields.items():
        if field.is_wide:
            form.field(name, field.title, field.explained)
    narrow = [name for name, field in fields.items() if not field.is_wide]
    if narrow:
        for column, names in zip(st.columns(2), (narrow[::2], narrow[1::2]), strict=True):
            with column:
                for name in names:
                    form.field(name, fields[name].title, fields[name].explained)


def sizes(data: DataConfig) -> str:
    """ "1,797 samples · 64 inputs · 10 classes"."""
    outputs = "class" if data.task_kind == "classification" else "target"
    return " · ".join(
        (
            f"{data.all_samples:,} samples",
            counted(data.in_features, "input"),
            counted(data.out_features, outputs),
        )
    )


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def draw_target(form: Form, explained: str) -> None:
    """At which training score to stop."""
    score = SCORINGS[task_of(form)].score_title
    form.field("target", f"Target {score}", explained.format(score))


def task_of(form: Form) -> Task:
    if form.value("preset") == OWN:
        data = data_of(form.value(TABLE) or "")
        return data.task_kind if data is not None else "regression"
    return PRESETS[form.value("preset")].config.data.task_kind


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
        left, right = st.columns(2)
        with left:
            form.field(
                "wd", "Weight decay", "Each step shrinks the cores by this times the learning rate. 0: not at all."
            )
        with right:
            form.field("batch", "Batch size", "Training samples in a step. Empty: all of them.")
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
    """The data that the controls describe; None where one is refused, or no table is chosen."""
    source = source_of(form.value("preset"))
    given: dict[str, Any] = {"source": source}
    if source == "table":
        table = data_of(form.value(TABLE) or "")
        if table is None:
            return None
        names = ("key", "title", "task", "samples", "features", "outputs")
        given |= {name: getattr(table, name) for name in names}
    values = {
        setting: form.read(name, _DATA_FIELDS[name].parse, "data_seed" if setting == "seed" else setting)
        for name, setting in settings_of(source).items()
        if name != TABLE
    }
    return _built(form, partial(DataConfig, **given), values, _TOGETHER.get(source, ()))


# Settings of which one alone says nothing.
_TOGETHER: dict[Source, tuple[str, ...]] = {
    "planted": ("teacher_in_modes", "teacher_out_modes", "teacher_ranks"),
    "regression": ("samples", "features", "informative", "effective_rank", "test_fraction"),
    # The usual hold-out may be too small for a table.
    "table": ("test_fraction", "split_seed"),
}


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
        values["weight_decay"] = form.read("wd", parse_real, "weight_decay")
        if form.typed("batch"):
            values["batch_size"] = form.read("batch", parse_whole, "batch_size")
    if "als" in optimizers:
        values["ridge"] = form.read("ridge", parse_real, "ridge")
    if "sgd" in optimizers:
        values["momentum"] = form.read("momentum", parse_real, "momentum")
    if form.typed("target"):
        values["target"] = form.read("target", parse_real, "target")
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
    for names in [*((name,) for name in values if name not in together), together]:
        part = {name: values[name] for name in names}
        good = None not in part.values() and _tried(form, make, part) is not None
        complete = complete and good
    return _tried(form, make, values) if complete else None


def _tried(form: Form, make: Callable[..., Any], values: dict[str, Any]) -> Any:
    try:
        return make(**values)
    except InputError as error:
        form.refuse(error)
        return None
