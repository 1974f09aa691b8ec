"""What to sweep over for each task that the program comes with: a start that shows its point within a minute."""

from __future__ import annotations

from dataclasses import replace

from ttcore.checks import choice
from ttcore.presets import PRESETS
from ttcore.sweep_config import Factorization, SweepConfig

_FAST, _PLANTED = PRESETS["reference-fast"].config, PRESETS["planted"].config


def _balanced(name: str, *cores: int) -> tuple[Factorization, ...]:
    return tuple(Factorization.balanced(PRESETS[name].config.data, number) for number in cores)


SWEEPS = {
    "reference": SweepConfig(
        data=_FAST.data,
        train=replace(_FAST.train, steps=500),
        factorizations=_balanced("reference", 2, 4),
        ranks=tuple(range(1, 17)),
        seeds=(0, 1),
    ),
    "reference-fast": SweepConfig(
        data=_FAST.data,
        train=replace(_FAST.train, steps=1_000),
        factorizations=_balanced("reference", 4),
        ranks=tuple(range(2, 17, 2)),
        seeds=(0, 1),
        optimizers=("adam", "lbfgs"),
    ),
    "planted": SweepConfig(
        data=_PLANTED.data,
        train=replace(_PLANTED.train, steps=600),
        factorizations=_balanced("planted", 2, 4),
        ranks=tuple(range(1, 9)),
        seeds=(0, 1, 2),
    ),
}


def sweep_preset(name: str) -> SweepConfig:
    """The sweep of a preset by its name; raises InputError for an unknown one."""
    return SWEEPS[choice(name, tuple(SWEEPS), "preset")]
