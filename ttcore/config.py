"""What a run is: its data, its layer and how it is trained. Validated at birth, trusted afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from math import ceil
from typing import Any, Literal, Self, get_args

from ttcore.advisor import advise
from ttcore.checks import as_integer, boolean, choice, matching, positive_integers, real, show, shown, whole
from ttcore.errors import InputError
from ttcore.scoring import SCORINGS, Scoring, Task
from ttcore.shapes import TTShape, factorize
from ttcore.sources import SOURCES, Source, SourceSpec

Optimizer = Literal["adam", "sgd", "lbfgs", "als"]
Schedule = Literal["constant", "decay"]
Init = Literal["unit", "glorot", "he"]
DType = Literal["float32", "float64"]
Device = Literal["auto", "cpu", "cuda"]

# Optimizers that take a step by the gradient alone.
BY_GRADIENT = ("adam", "sgd")

MAX_STEPS = 10_000_000
MAX_SEED = 2**32 - 1
MAX_SAMPLES = 10_000_000
MAX_FEATURES = 16_384
TABLE_KEY = r"[0-9a-f]{32}"
REFERENCE_SEED = 123


def _ranks(ranks: object, field: str) -> int | tuple[int, ...]:
    single = as_integer(ranks)
    if single is not None:
        if single < 1:
            what = "rank" if field == "ranks" else field
            raise InputError(f"{what} {single} is below 1; a rank is a whole number of at least 1", field)
        return single
    if isinstance(ranks, Iterable) and not isinstance(ranks, str | bytes):
        ranks = tuple(ranks)
        if not ranks:
            return ()
    return positive_integers(ranks, field)


def checked_mapping(value: object, what: str, known: set[str] | None) -> Mapping[str, Any]:
    """`value` if it is a mapping with no keys but the known ones; any keys for None."""
    if not isinstance(value, Mapping):
        such = f" with keys such as {sorted(known)[0]!r}" if known else ""
        raise InputError(f"{what} must be a JSON object{such}, and {shown(value)} is not")
    if known is None:
        return value
    unknown = sorted(str(key) for key in value if key not in known)
    if unknown:
        raise InputError(f"unknown key {shown(unknown[0])} in {what}; the known ones are {', '.join(sorted(known))}")
    return value


class _JSON:
    """JSON there and back for a frozen dataclass of plain values."""

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for json.dumps."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The inverse of to_json; a key that is left out takes its default.

        Raises InputError for anything but a mapping, an unknown key or a value that breaks a rule.
        """
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        return cls(**checked_mapping(value, cls.__name__, known))


# What a source does not have, or has its usual value of.
_UNSET: Any = None


@dataclass(frozen=True, kw_only=True)
class DataConfig(_JSON):
    """Which samples to learn from, and where the truth behind them comes from: a source of `sources.SOURCES`.

    Each source has settings of its own. What is left out takes the source's usual value; what it does not have is
    None, and giving it is refused.
    """

    source: Source = "reference"
    # The planted teacher's modes and ranks.
    teacher_in_modes: tuple[int, ...] = _UNSET
    teacher_out_modes: tuple[int, ...] = _UNSET
    teacher_ranks: int | tuple[int, ...] = _UNSET
    # How many there are; where a part of all samples is held out, these follow from it.
    train_samples: int = _UNSET
    test_samples: int = _UNSET
    # Sizes of what is drawn by make_regression, or of a prepared table.
    samples: int = _UNSET
    features: int = _UNSET
    outputs: int = _UNSET
    # Features that the targets depend on, and the effective rank of the inputs; 0 for inputs of full rank.
    informative: int = _UNSET
    effective_rank: int = _UNSET
    # Standard deviation of the noise on targets whose own standard deviation is 1.
    noise: float = _UNSET
    # Draws the teacher and the samples.
    seed: int = _UNSET
    # The part of all samples that is held out, and the draw of it; by classes where there are some.
    test_fraction: float = _UNSET
    split_seed: int = _UNSET
    # A prepared table: its key in the table store, what a person calls it, and what is to be learnt.
    key: str = _UNSET
    title: str = _UNSET
    task: Task = _UNSET

    def __post_init__(self) -> None:
        choice(self.source, get_args(Source), "source")
        self._take_usual_values()
        given = {name: getattr(self, name) for name in _DATA_CHECKS if getattr(self, name) is not None}
        for name, value in given.items():
            object.__setattr__(self, name, _DATA_CHECKS[name](value))
        match self.source:
            case "planted":
                self.teacher_shape  # noqa: B018 - a property that validates modes and ranks together
            case "regression":
                self._check_regression()
            case "table":
                if self.key is None or self.task is None or not self.samples or not self.features or not self.outputs:
                    raise InputError(
                        "your own data needs a prepared table; prepare a file on the Data page, or give it to the "
                        "command line with --data",
                        "key",
                    )
        if self.spec.is_split:
            self._split()

    def _take_usual_values(self) -> None:
        spec, put = self.spec, object.__setattr__
        derived = ("train_samples", "test_samples") if spec.is_split else ()
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name == "source" or name in derived:
                continue
            if name in spec.settings:
                put(self, name, spec.settings[name] if value is None else value)
            elif value is not None and value != spec.fixed.get(name):
                raise InputError(self._refusal(name, value), "data_seed" if name == "seed" else name)
            else:
                put(self, name, spec.fixed.get(name))

    def _refusal(self, name: str, value: object) -> str:
        said = f"{'data_seed' if name == 'seed' else name} {shown(value)} cannot be set for the {self.source} data"
        if self.source == "reference":
            return f"{said}, which are the published draw (seed {REFERENCE_SEED}); use the planted data to change it"
        return f"{said}; what can be set there is {', '.join(self.spec.settings)}"

    def _check_regression(self) -> None:
        for name, most, what in (
            ("informative", self.features, "the features"),
            ("effective_rank", min(self.samples, self.features), "the smaller of samples and features"),
        ):
            if getattr(self, name) > most:
                raise InputError(f"{name} {getattr(self, name)} is above {most}, {what}; lower it", name)

    def _split(self) -> None:
        """The sizes of both parts, as scikit-learn's splits count them."""
        samples = self.all_samples
        test = ceil(samples * self.test_fraction)
        # Each class needs a sample on either side.
        least = max(2, self.out_features if self.task_kind == "classification" else 0)
        if min(test, samples - test) < least:
            raise InputError(
                f"test_fraction {self.test_fraction:g} of {samples} samples leaves {samples - test} for training and "
                f"{test} for the test, and each part needs at least {least}; choose another fraction",
                "test_fraction",
            )
        for name, size in (("train_samples", samples - test), ("test_samples", test)):
            if getattr(self, name) not in (None, size):
                raise InputError(
                    f"{name} {shown(getattr(self, name))} cannot be set for the {self.source} data; their "
                    f"test_fraction of {self.test_fraction:g} makes it {size}",
                    name,
                )
            object.__setattr__(self, name, size)

    @property
    def spec(self) -> SourceSpec:
        return SOURCES[self.source]

    @property
    def all_samples(self) -> int:
        """Train and test together."""
        if self.spec.is_split:
            return self.spec.samples or self.samples
        return self.train_samples + self.test_samples

    @property
    def task_kind(self) -> Task:
        return self.task or self.spec.task

    @property
    def scoring(self) -> Scoring:
        """What loss and score are."""
        return SCORINGS[self.task_kind]

    @property
    def name(self) -> str:
        """What a person calls these data."""
        return self.title or self.spec.title

    @property
    def teacher_shape(self) -> TTShape:
        """The planted teacher's shape (clipped); it also is the size of the data."""
        try:
            return TTShape(self.teacher_in_modes, self.teacher_out_modes, self.teacher_ranks).clipped()
        except InputError as error:
            field = f"teacher_{error.field}"
            raise InputError(f"the teacher's {error}", field) from None

    @property
    def in_features(self) -> int:
        if self.source == "planted":
            return self.teacher_shape.in_features
        return self.spec.features or self.features

    @property
    def out_features(self) -> int:
        """Targets, or classes."""
        if self.source == "planted":
            return self.teacher_shape.out_features
        return self.spec.outputs or self.outputs

    @cached_property
    def usual_modes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Input and output modes to start with: the teacher's, the published ones, or the advisor's first."""
        if self.source == "planted":
            return self.teacher_in_modes, self.teacher_out_modes
        if self.source == "reference":
            return (8, 8, 8, 8), (2, 2, 2, 2)
        first = advise(self.in_features, self.out_features).proposals[0].shape
        return first.in_modes, first.out_modes


_DATA_CHECKS: dict[str, Callable[[Any], Any]] = {
    "teacher_in_modes": lambda value: positive_integers(value, "teacher_in_modes"),
    "teacher_out_modes": lambda value: positive_integers(value, "teacher_out_modes"),
    "teacher_ranks": lambda value: _ranks(value, "teacher_ranks"),
    "train_samples": lambda value: whole(value, "train_samples", 2, MAX_SAMPLES),
    "test_samples": lambda value: whole(value, "test_samples", 2, MAX_SAMPLES),
    "samples": lambda value: whole(value, "samples", 4, MAX_SAMPLES),
    "features": lambda value: whole(value, "features", 1, MAX_FEATURES),
    "outputs": lambda value: whole(value, "outputs", 1, MAX_FEATURES),
    "informative": lambda value: whole(value, "informative", 1, MAX_FEATURES),
    "effective_rank": lambda value: whole(value, "effective_rank", 0, MAX_FEATURES),
    "noise": lambda value: real(value, "noise", "a number from 0 to 1000", low=0, high=1000),
    "seed": lambda value: whole(value, "data_seed", 0, MAX_SEED),
    "test_fraction": lambda value: real(
        value, "test_fraction", "above 0 and below 1, e.g. 0.2 to hold out a fifth", above=0, below=1
    ),
    "split_seed": lambda value: whole(value, "split_seed", 0, MAX_SEED),
    "key": lambda value: matching(value, "key", TABLE_KEY, "32 hexadecimal digits, as the Data page names a table"),
    "title": lambda value: matching(value, "title", r".{0,200}", "a text of up to 200 characters"),
    "task": lambda value: choice(value, get_args(Task), "task"),
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig(_JSON):
    """How the cores are trained: on the mean squared error, or on the cross-entropy of classes."""

    optimizer: Optimizer = "adam"
    # Learning rate of the first step; of Adam and SGD.
    lr: float = 0.05
    # Of SGD alone.
    momentum: float = 0.9
    # Of Adam and SGD: each step shrinks the cores by this times its learning rate.
    weight_decay: float = 0.0
    # Of alternating least squares alone: on the change of a core, relative to the mean of its system's diagonal.
    ridge: float = 1e-8
    # Of Adam and SGD: "constant", or "decay": constant, then to zero linearly in the last `decay_fraction` of steps.
    schedule: Schedule = "constant"
    decay_fraction: float = 0.5
    steps: int = 10_000
    # Samples in each step of Adam and SGD, in an order drawn from the seed; None: all of them.
    batch_size: int | None = None
    # Stop as soon as the training score (R², or accuracy) reaches this; None: go on to the last step.
    target: float | None = None
    init: Init = "unit"
    # Draws the start.
    seed: int = 0
    dtype: DType = "float32"
    device: Device = "auto"
    # On a GPU: products of float32 numbers in the quicker and coarser TF32.
    tf32: bool = False
    # CPU threads; None: chosen when the run starts, and recorded in its result.
    threads: int | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        choice(self.optimizer, get_args(Optimizer), "optimizer")
        choice(self.schedule, get_args(Schedule), "schedule")
        choice(self.init, get_args(Init), "init")
        choice(self.dtype, get_args(DType), "dtype")
        choice(self.device, get_args(Device), "device")
        put(self, "lr", real(self.lr, "lr", "a number above 0 and at most 1000, e.g. 0.05", above=0, high=1000))
        put(self, "momentum", real(self.momentum, "momentum", "at least 0 and below 1, e.g. 0.9", low=0, below=1))
        rule = "at least 0 and at most 1000, e.g. 0.1"
        put(self, "weight_decay", real(self.weight_decay, "weight_decay", rule, low=0, high=1000))
        put(self, "ridge", real(self.ridge, "ridge", "above 0 and at most 1, e.g. 1e-8", above=0, high=1))
        put(self, "tf32", boolean(self.tf32, "tf32"))
        rule = "above 0 and at most 1, e.g. 0.4 for the last 40 %"
        put(self, "decay_fraction", real(self.decay_fraction, "decay_fraction", rule, above=0, high=1))
        put(self, "steps", whole(self.steps, "steps", 1, MAX_STEPS))
        put(self, "seed", whole(self.seed, "seed", 0, MAX_SEED))
        if self.batch_size is not None:
            put(self, "batch_size", whole(self.batch_size, "batch_size", 1, MAX_SAMPLES))
            if self.optimizer not in BY_GRADIENT:
                raise InputError(
                    f"batch_size {self.batch_size} cannot go with {self.optimizer}, whose steps need all samples; "
                    "leave it out, or choose Adam or SGD",
                    "batch_size",
                )
        if self.target is not None:
            rule = "a number of at most 1, e.g. 0.94"
            put(self, "target", real(self.target, "target", rule, high=1))
        if self.threads is not None:
            put(self, "threads", whole(self.threads, "threads", 1, 1024))

    def rate(self, step: int) -> float:
        """The learning rate of update `step`, counted from 0."""
        if self.schedule == "constant":
            return self.lr
        falling = self.steps * self.decay_fraction
        return self.lr * min(1.0, (self.steps - step) / falling)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: the data, the layer's modes and ranks as asked for, and the training.

    `shape` is what is trained: with the data's feature counts, and with ranks clipped to the useful ones.
    """

    data: DataConfig = DataConfig()
    in_modes: tuple[int, ...] = (8, 8, 8, 8)
    out_modes: tuple[int, ...] = (2, 2, 2, 2)
    # One rank for every bond, or one for each.
    ranks: int | tuple[int, ...] = 8
    train: TrainConfig = TrainConfig()

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "in_modes", positive_integers(self.in_modes, "in_modes"))
        put(self, "out_modes", positive_integers(self.out_modes, "out_modes"))
        put(self, "ranks", _ranks(self.ranks, "ranks"))
        self.shape  # noqa: B018 - a property that validates modes and ranks against the data
        if self.train.optimizer == "als" and self.data.task_kind == "classification":
            raise InputError(
                "alternating least squares solves for targets that are numbers, and these are classes; choose Adam or "
                "L-BFGS",
                "optimizer",
            )

    @cached_property
    def shape(self) -> TTShape:
        return TTShape(
            self.in_modes, self.out_modes, self.ranks, self.data.in_features, self.data.out_features
        ).clipped()

    @property
    def batch(self) -> int:
        """Samples in a step."""
        return min(self.train.batch_size or self.data.train_samples, self.data.train_samples)

    @property
    def is_batched(self) -> bool:
        """Whether a step sees a part of the training samples."""
        return self.batch < self.data.train_samples

    @property
    def clipped_note(self) -> str:
        """A sentence on ranks that were lowered to the useful ones; empty if none was."""
        asked = (self.ranks,) * len(self.shape.ranks) if isinstance(self.ranks, int) else self.ranks
        if asked == self.shape.ranks:
            return ""
        return (
            f"Ranks {show(asked)} are more than these modes can use; trained with {show(self.shape.ranks)}, "
            "which can represent the same matrices."
        )

    @property
    def padding_note(self) -> str:
        """A sentence on zero padding; empty if the modes fit exactly."""
        shape = self.shape
        notes = []
        if shape.padded_in_features > shape.in_features:
            surplus = shape.padded_in_features - shape.in_features
            notes.append(f"inputs are padded with {surplus} zeros to {shape.padded_in_features}")
        if shape.padded_out_features > shape.out_features:
            surplus = shape.padded_out_features - shape.out_features
            notes.append(f"{surplus} surplus of {shape.padded_out_features} outputs are dropped")
        return f"Padding: {' and '.join(notes)}." if notes else ""

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for json.dumps."""
        return {
            "data": self.data.to_json(),
            "in_modes": list(self.in_modes),
            "out_modes": list(self.out_modes),
            "ranks": self.ranks if isinstance(self.ranks, int) else list(self.ranks),
            "train": self.train.to_json(),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The inverse of to_json; what is left out takes its default, modes being made to fit the data.

        Raises InputError for anything but a mapping, an unknown key or a value that breaks a rule.
        """
        given = dict(checked_mapping(value, "a run's configuration", {field.name for field in fields(cls)}))
        given["data"] = DataConfig.from_json(given.get("data", {}))
        given["train"] = TrainConfig.from_json(given.get("train", {}))
        return cls(**with_modes(given))


def with_modes(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments of RunConfig with missing modes filled in: as many as the other side has, fitted to the data.

    Without either side the usual modes of the data are taken.
    """
    data: DataConfig = given["data"]
    in_modes, out_modes = given.get("in_modes"), given.get("out_modes")
    if in_modes is None and out_modes is None:
        in_modes, out_modes = data.usual_modes
    elif in_modes is None:
        in_modes = factorize(data.in_features, len(positive_integers(out_modes, "out_modes")))
    elif out_modes is None:
        out_modes = factorize(data.out_features, len(positive_integers(in_modes, "in_modes")))
    return {**given, "in_modes": in_modes, "out_modes": out_modes}


def flat_settings(config: RunConfig) -> dict[str, Any]:
    """Every setting of a run under one flat name, in the order in which a person reads them."""
    plain = config.to_json()
    data = {("data_seed" if name == "seed" else name): value for name, value in plain["data"].items()}
    return {
        "in_modes": plain["in_modes"],
        "out_modes": plain["out_modes"],
        "ranks": plain["ranks"],
        **plain["train"],
        **data,
    }


def differing_settings(configs: Sequence[RunConfig]) -> list[dict[str, Any]]:
    """For each run the settings that are not the same in all of them."""
    rows = [flat_settings(config) for config in configs]
    names = [name for name in (rows[0] if rows else ()) if any(row[name] != rows[0][name] for row in rows)]
    return [{name: row[name] for name in names} for row in rows]
