"""The settings of the Trade-off page: each by its name in the address, with its value for a sweep."""

from __future__ import annotations

from functools import lru_cache
from typing import get_args

from dashboard.address import TABLE, Address, text
from dashboard.data_tables import data_of
from dashboard.run_settings import (
    CHOICES,
    TRAIN_FIELDS,
    data_fields,
    foreign_fields,
    of_train,
    own_run,
    preset_of,
    take_table,
)
from ttcore.config import DataConfig, Optimizer
from ttcore.sweep_config import Factorization, SweepConfig, show_numbers
from ttcore.sweep_presets import SWEEPS, sweep_of

# The factorizations that are picked, not typed: low rank, and balanced modes by the number of cores.
LOW_RANK = "low"
MAX_CORES = 8
PICKED = (LOW_RANK, *(str(number) for number in range(1, MAX_CORES + 1)))


def picked_factorizations(data: DataConfig) -> dict[str, Factorization]:
    """What each of PICKED means for these data."""
    balanced = {str(number): Factorization.balanced(data, number) for number in range(1, MAX_CORES + 1)}
    return {LOW_RANK: Factorization.low_rank(data), **balanced}


def _picked(sweep: SweepConfig) -> list[str]:
    picks = picked_factorizations(sweep.data)
    taken: list[str] = []
    for pick, factorization in picks.items():
        # For very small data two picks may be the same factorization.
        if factorization in sweep.factorizations and all(picks[other] != factorization for other in taken):
            taken.append(pick)
    return taken


def _typed(sweep: SweepConfig) -> str:
    picks = picked_factorizations(sweep.data).values()
    return "; ".join(str(factorization) for factorization in sweep.factorizations if factorization not in picks)


@lru_cache(maxsize=64)
def own_sweep(data: DataConfig) -> SweepConfig:
    """What to start with on data that a person brings."""
    return sweep_of(own_run(data))


def _own_start(table: str) -> SweepConfig | None:
    data = data_of(table)
    return own_sweep(data) if data is not None else None


SWEEP: Address[SweepConfig] = Address(
    prefix="sweep_",
    starts=SWEEPS,
    own=_own_start,
    preset_of=lambda sweep: preset_of(sweep.data),
    fields={
        "cores": _picked,
        "modes": _typed,
        "ranks": lambda sweep: show_numbers(sweep.ranks),
        "seeds": lambda sweep: show_numbers(sweep.seeds),
        "rates": lambda sweep: ", ".join(text(rate) for rate in sweep.rates),
        "opts": lambda sweep: list(sweep.optimizers),
        **of_train(TRAIN_FIELDS),
        **data_fields(),
    },
    foreign=foreign_fields,
    choices=CHOICES,
    several={"cores": PICKED, "opts": get_args(Optimizer)},
    special={TABLE: take_table},
    shown="sweep",
)
