"""What a run is: its data, its layer and how it is trained. Validated at birth, trusted afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal, Self, get_args

from ttcore.checks import as_integer, boolean, choice, positive_integers, real, show, shown, whole
from ttcore.errors import InputError
from ttcore.shapes import TTShape, factorize

Source = Literal["reference", "planted"]
Optimizer = Literal["adam", "sgd", "lbfgs", "als"]
Schedule = Literal["constant", "decay"]
Init = Literal["unit", "glorot", "he"]
DType = Literal["float32", "float64"]
Device = Literal["auto", "cpu", "cuda"]

MAX_STEPS = 10_000_000
MAX_SEED = 2**32 - 1
MAX_SAMPLES = 10_000_000
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


@dataclass(frozen=True, kw_only=True)
class DataConfig(_JSON):
    """Which samples to learn from, and where the truth behind them comes from.

    "reference": the published regression task; everything about it is fixed.
    "planted": standard-normal inputs through a random tensor-train teacher.
    """

    source: Source = "reference"
    # The teacher's modes and ranks (planted only).
    teacher_in_modes: tuple[int, ...] = (8, 8, 8, 8)
    teacher_out_modes: tuple[int, ...] = (2, 2, 2, 2)
    teacher_ranks: int | tuple[int, ...] = 4
    train_samples: int = 256
    test_samples: int = 1024
    # Standard deviation of the noise on targets whose own standard deviation is 1 (planted only).
    noise: float = 0.0
    # Draws the teacher and the samples; 0 for the planted data, the published 123 for the reference.
    seed: int | None = None

    def __post_init__(self) -> None:
        choice(self.source, get_args(Source), "source")
        put = object.__setattr__
        if self.seed is None:
            put(self, "seed", REFERENCE_SEED if self.source == "reference" else 0)
        put(self, "seed", whole(self.seed, "data_seed", 0, MAX_SEED))
        put(self, "teacher_in_modes", positive_integers(self.teacher_in_modes, "teacher_in_modes"))
        put(self, "teacher_out_modes", positive_integers(self.teacher_out_modes, "teacher_out_modes"))
        put(self, "teacher_ranks", _ranks(self.teacher_ranks, "teacher_ranks"))
        put(self, "train_samples", whole(self.train_samples, "train_samples", 2, MAX_SAMPLES))
        put(self, "test_samples", whole(self.test_samples, "test_samples", 2, MAX_SAMPLES))
        put(self, "noise", real(self.noise, "noise", "a number from 0 to 1000", low=0, high=1000))
        self.teacher_shape  # noqa: B018 - a property that validates modes and ranks together
        if self.source == "reference":
            self._refuse_changes()

    def _refuse_changes(self) -> None:
        """The reference task is the published draw, whole; a change belongs to the planted data."""
        for field in fields(self):
            value = getattr(self, field.name)
            fixed = REFERENCE_SEED if field.name == "seed" else field.default
            if field.name != "source" and value != fixed:
                name = "data_seed" if field.name == "seed" else field.name
                raise InputError(
                    f"{name} {shown(value)} cannot be set for the reference data, which are the published draw "
                    f"(seed {REFERENCE_SEED}); use the planted data to change it",
                    name,
                )

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
        return self.teacher_shape.in_features

    @property
    def out_features(self) -> int:
        return self.teacher_shape.out_features


@dataclass(frozen=True, kw_only=True)
class TrainConfig(_JSON):
    """How the cores are trained: full batch, mean squared error."""

    optimizer: Optimizer = "adam"
    # Learning rate of the first step; of Adam and SGD.
    lr: float = 0.05
    # Of SGD alone.
    momentum: float = 0.9
    # Of alternating least squares alone: on the change of a core, relative to the mean of its system's diagonal.
    ridge: float = 1e-8
    # Of Adam and SGD: "constant", or "decay": constant, then to zero linearly in the last `decay_fraction` of steps.
    schedule: Schedule = "constant"
    decay_fraction: float = 0.5
    steps: int = 10_000
    # Stop as soon as the training R² reaches this; None: go on to the last step.
    target_r2: float | None = None
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
        put(self, "ridge", real(self.ridge, "ridge", "above 0 and at most 1, e.g. 1e-8", above=0, high=1))
        put(self, "tf32", boolean(self.tf32, "tf32"))
        rule = "above 0 and at most 1, e.g. 0.4 for the last 40 %"
        put(self, "decay_fraction", real(self.decay_fraction, "decay_fraction", rule, above=0, high=1))
        put(self, "steps", whole(self.steps, "steps", 1, MAX_STEPS))
        put(self, "seed", whole(self.seed, "seed", 0, MAX_SEED))
        if self.target_r2 is not None:
            rule = "a number of at most 1, e.g. 0.94"
            put(self, "target_r2", real(self.target_r2, "target_r2", rule, high=1))
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

    @cached_property
    def shape(self) -> TTShape:
        return TTShape(
            self.in_modes, self.out_modes, self.ranks, self.data.in_features, self.data.out_features
        ).clipped()

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

    Without either side the teacher's own modes are taken.
    """
    data: DataConfig = given["data"]
    in_modes, out_modes = given.get("in_modes"), given.get("out_modes")
    if in_modes is None and out_modes is None:
        in_modes, out_modes = data.teacher_in_modes, data.teacher_out_modes
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
