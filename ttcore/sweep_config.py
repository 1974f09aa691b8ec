"""What a sweep is: a grid over factorizations, ranks, seeds, rates and optimizers. Validated at birth; no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from math import prod
from typing import Any, Self, TypeVar, get_args

from ttcore.checks import MAX_CORES, choice, positive_integer, positive_integers, real, shown, whole
from ttcore.config import MAX_SEED, DataConfig, Optimizer, RunConfig, TrainConfig, checked_mapping
from ttcore.errors import InputError
from ttcore.parse import parse_modes, show_modes
from ttcore.presets import usual_steps
from ttcore.shapes import factorize

MAX_RUNS = 5_000
# Optimizers that have no learning rate, so that runs which differ in it alone are the same run.
WITHOUT_RATE = ("lbfgs", "als")

_Item = TypeVar("_Item", bound=Any)


@dataclass(frozen=True)
class Factorization:
    """Input and output modes of a layer, as many of the one as of the other; fewer cores come first in order."""

    in_modes: tuple[int, ...]
    out_modes: tuple[int, ...]

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "in_modes", positive_integers(self.in_modes, "in_modes"))
        put(self, "out_modes", positive_integers(self.out_modes, "out_modes"))

    @classmethod
    def balanced(cls, data: DataConfig, num_cores: int) -> Self:
        """The most even modes for the data; raises InputError for a number of cores that is not one."""
        whole(num_cores, "cores", 1, MAX_CORES)
        return cls(factorize(data.in_features, num_cores), factorize(data.out_features, num_cores))

    @classmethod
    def low_rank(cls, data: DataConfig) -> Self:
        """The ordinary low-rank factorization, which is the train of two cores with a mode of 1 each."""
        return cls((data.in_features, 1), (1, data.out_features))

    @classmethod
    def parse(cls, text: str) -> Self:
        """ "8,8,8,8->2,2,2,2"; an arrow "→" is understood too. Raises InputError."""
        sides = text.replace("→", "->").split("->")
        if len(sides) != 2:
            raise InputError(
                f"modes must be written as input->output, such as 8,8,8,8->2,2,2,2, and {shown(text)} is not", "modes"
            )
        return cls(parse_modes(sides[0], "in_modes"), parse_modes(sides[1], "out_modes"))

    def __lt__(self, other: Factorization) -> bool:
        mine, others = ((not f.is_low_rank, len(f.in_modes), f.in_modes, f.out_modes) for f in (self, other))
        return mine < others

    @property
    def is_low_rank(self) -> bool:
        return len(self.in_modes) == 2 and self.in_modes[1] == 1 and self.out_modes[0] == 1

    @property
    def label(self) -> str:
        """How pictures and tables call it."""
        if self.is_low_rank:
            return "low rank"
        return f"{_dotted(self.in_modes)} → {_dotted(self.out_modes)}"

    def __str__(self) -> str:
        return f"{show_modes(self.in_modes)}->{show_modes(self.out_modes)}"


def _dotted(modes: tuple[int, ...]) -> str:
    return "·".join(str(mode) for mode in modes)


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """A grid of runs on the same data: every factorization with every rank, seed, rate and optimizer.

    `train` holds what all runs share; its seed, rate and optimizer are the first of the grid's. With several
    optimizers, L-BFGS and alternating least squares take their usual number of steps, since theirs are worth many.
    Every list is put in order, and entries that stand twice are taken once, so that equal grids are equal.
    Raises InputError for anything that is not such a grid, for modes that do not fit the data and for more than
    MAX_RUNS runs.
    """

    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    # Empty: the usual modes of the data.
    factorizations: tuple[Factorization, ...] = ()
    # One rank for all bonds each.
    ranks: tuple[int, ...] = tuple(range(1, 9))
    seeds: tuple[int, ...] = (0,)
    # Empty: the rate and the optimizer of `train`.
    rates: tuple[float, ...] = ()
    optimizers: tuple[Optimizer, ...] = ()

    def __post_init__(self) -> None:
        train = self.train
        usual = Factorization(*self.data.usual_modes)
        grid: dict[str, tuple[Any, ...]] = {
            "factorizations": _entries(self.factorizations, "factorizations", _factorization, (usual,)),
            "ranks": _entries(self.ranks, "ranks", lambda rank: positive_integer(rank, "ranks")),
            "seeds": _entries(self.seeds, "seeds", lambda seed: whole(seed, "seeds", 0, MAX_SEED)),
            "rates": _entries(self.rates, "rates", _rate, (train.lr,)),
            "optimizers": _entries(
                self.optimizers,
                "optimizers",
                lambda name: choice(name, get_args(Optimizer), "optimizers"),
                (train.optimizer,),
            ),
        }
        count = prod(len(entries) for entries in grid.values())
        if count > MAX_RUNS:
            sizes = " x ".join(f"{len(entries)} {name}" for name, entries in grid.items() if len(entries) > 1)
            raise InputError(
                f"{sizes} are {count:,} runs, and a sweep has at most {MAX_RUNS:,}; leave some out", "ranks"
            )
        first = replace(train, seed=grid["seeds"][0], lr=grid["rates"][0], optimizer=grid["optimizers"][0])
        for name, value in (grid | {"train": first}).items():
            object.__setattr__(self, name, value)
        for factorization in self.factorizations:
            self._fits(factorization)

    def _fits(self, factorization: Factorization) -> None:
        try:
            RunConfig(data=self.data, in_modes=factorization.in_modes, out_modes=factorization.out_modes, ranks=1)
        except InputError as error:
            raise InputError(f"the modes {factorization} do not fit: {error}", "modes") from None

    @property
    def asked(self) -> int:
        """How many runs the grid has, the redundant ones included."""
        lists = (self.factorizations, self.ranks, self.seeds, self.rates, self.optimizers)
        return prod(len(entries) for entries in lists)

    def run(self, factorization: Factorization, rank: int, seed: int, rate: float, optimizer: Optimizer) -> RunConfig:
        """One run of the grid."""
        steps = self.train.steps if len(self.optimizers) == 1 else usual_steps(optimizer, self.train.steps)
        # A rate that is not used would make equal runs look different.
        lr = self.train.lr if optimizer in WITHOUT_RATE else rate
        train = replace(self.train, seed=seed, lr=lr, optimizer=optimizer, steps=steps)
        return RunConfig(
            data=self.data,
            in_modes=factorization.in_modes,
            out_modes=factorization.out_modes,
            ranks=rank,
            train=train,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for json.dumps."""
        return {
            "data": self.data.to_json(),
            "train": self.train.to_json(),
            "factorizations": [str(factorization) for factorization in self.factorizations],
            "ranks": list(self.ranks),
            "seeds": list(self.seeds),
            "rates": list(self.rates),
            "optimizers": list(self.optimizers),
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The inverse of to_json; what is left out takes its default.

        Raises InputError for anything but a mapping, an unknown key or a value that breaks a rule.
        """
        given = dict(checked_mapping(value, "a sweep's configuration", {field.name for field in fields(cls)}))
        given["data"] = DataConfig.from_json(given.get("data", {}))
        given["train"] = TrainConfig.from_json(given.get("train", {}))
        for name in given.keys() - {"data", "train"}:
            if not isinstance(given[name], list):
                raise InputError(f"{name} must be a list, and {shown(given[name])} is not", name)
            given[name] = tuple(given[name])
        return cls(**given)


def _entries(
    values: object, field: str, checked: Callable[[Any], _Item], otherwise: tuple[_Item, ...] = ()
) -> tuple[_Item, ...]:
    """The distinct entries in order, each checked; `otherwise` for none."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InputError(f"{field} must be a list, and {shown(values)} is not", field)
    entries = tuple(sorted({checked(value) for value in values})) or otherwise
    if not entries:
        raise InputError(f"{field} is empty; a sweep needs at least one of them", field)
    return entries


def _factorization(value: Any) -> Factorization:
    if isinstance(value, Factorization):
        return value
    if isinstance(value, str):
        return Factorization.parse(value)
    raise InputError(f"factorizations must be written such as 8,8,8,8->2,2,2,2, and {shown(value)} is not", "modes")


def _rate(value: Any) -> float:
    return real(value, "rates", "numbers above 0 and at most 1000, e.g. 0.05", above=0, high=1000)


def show_numbers(numbers: Sequence[int]) -> str:
    """(1, 2, 3, 4, 8) as it is typed: "1-4,8"."""
    parts: list[str] = []
    start = 0
    for end in range(1, len(numbers) + 1):
        if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
            first, last = numbers[start], numbers[end - 1]
            parts += [str(first)] if first == last else [f"{first}-{last}"] if last > first + 1 else [f"{first},{last}"]
            start = end
    return ",".join(parts)
