"""A race between methods that train the same layer from the same start: its settings, and how far each has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from ttcore.checks import choice, real, shown, whole
from ttcore.config import DataConfig
from ttcore.errors import InputError
from ttcore.gradient_matrix import MAX_SEED
from ttcore.shapes import TTShape, factorize

Method = Literal["descent", "momentum", "adam"]
METHODS: tuple[Method, ...] = get_args(Method)
# Rates at which the default race shows what the methods differ in.
USUAL_RATES: dict[Method, float] = {"descent": 0.1, "momentum": 0.02, "adam": 0.01}
MIN_FEATURES, MAX_FEATURES = 12, 64
MAX_RANK = 4
MAX_STEPS = 1000
# A loss above so many times that of the start will not come back: the method is taken out of the race.
DIVERGED = 1e6
_OUT_MODES = (2, 2, 2)
_SAMPLES = 256


@dataclass(frozen=True, kw_only=True)
class RaceConfig:
    """A planted tensor train, learnt from its samples by several methods, each with a rate of its own.

    Raises InputError for what is out of bounds.
    """

    # (method, rate), no method twice.
    entries: tuple[tuple[Method, float], ...]
    # Of the layer, in three cores, onto 8 outputs; and its rank, which is the teacher's.
    features: int = 64
    rank: int = 3
    # Draws the teacher, the samples and the start.
    seed: int = 0
    steps: int = 300
    # Steps per second, so that a person can watch; None for as quick as it goes.
    pace: float | None = None

    def __post_init__(self) -> None:
        if not self.entries:
            raise InputError("a race needs somebody who runs; choose a method", "entries")
        for method, rate in self.entries:
            choice(method, METHODS, "entries")
            real(rate, "rate", "a number above 0 and up to 1000", above=0, high=1000)
        if len({method for method, _ in self.entries}) < len(self.entries):
            raise InputError("every method runs once; leave the second one out", "entries")
        whole(self.features, "features", MIN_FEATURES, MAX_FEATURES)
        whole(self.rank, "rank", 1, MAX_RANK)
        whole(self.seed, "seed", 0, MAX_SEED)
        whole(self.steps, "steps", 1, MAX_STEPS)
        if self.pace is not None:
            real(self.pace, "pace", "a number of steps per second from 1 to 1000", low=1, high=1000)

    @property
    def shape(self) -> TTShape:
        return TTShape(factorize(self.features, len(_OUT_MODES)), _OUT_MODES, self.rank)

    @property
    def data(self) -> DataConfig:
        """The planted samples: standard-normal inputs through a random train of this shape, targets of variance 1."""
        shape = self.shape
        return DataConfig(
            source="planted",
            teacher_in_modes=shape.in_modes,
            teacher_out_modes=shape.out_modes,
            teacher_ranks=shape.ranks,
            train_samples=_SAMPLES,
            test_samples=2,
            seed=self.seed,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> RaceConfig:
        """The inverse of to_json; raises InputError for anything else."""
        try:
            entries = tuple((method, rate) for method, rate in value["entries"])
            return cls(**{**value, "entries": entries})
        except (TypeError, KeyError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"a race is given by its methods and their rates, and {shown(value)} is not that"
            ) from None


@dataclass(frozen=True)
class Lane:
    """How far one method has come.

    losses: the mean squared error after 0, 1, ... updates; finite.
    diverged: after how many updates it was above DIVERGED times that of the start, or no number any more; or None.
    """

    method: Method
    rate: float
    losses: np.ndarray
    diverged: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {"method": self.method, "rate": self.rate, "losses": self.losses, "diverged": self.diverged}


def lanes_of(value: Sequence[dict[str, Any]]) -> list[Lane]:
    """What a race tells, from first to last entry."""
    return [Lane(**lane) for lane in value]
