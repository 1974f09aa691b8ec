"""What to sweep over for each task that the program comes with: a start that shows its point within a minute."""

from __future__ import annotations

from dataclasses import replace

from ttcore.advisor import advise
from ttcore.checks import choice
from ttcore.config import RunConfig
from ttcore.presets import PRESETS
from ttcore.sweep_config import Factorization, SweepConfig

_FAST, _PLANTED = PRESETS["reference-fast"].config, PRESETS["planted"].config


# So many of the advisor's proposals are swept over.
_ADVISED = 2


def _balanced(name: str, *cores: int) -> tuple[Factorization, ...]:
    return tuple(Factorization.balanced(PRESETS[name].config.data, number) for number in cores)


def sweep_of(run: RunConfig) -> SweepConfig:
    """A sweep to start with on any data: the run's own modes, the advisor's first others, and low rank."""
    data = run.data
    shapes = [proposal.shape for proposal in advise(data.in_features, data.out_features).proposals[:_ADVISED]]
    advised = [Factorization(shape.in_modes, shape.out_modes) for shape in shapes]
    own = Factorization(run.in_modes, run.out_modes)
    return SweepConfig(
        data=data,
        train=run.train,
        factorizations=tuple(dict.fromkeys((own, *advised, Factorization.low_rank(data)))),
        ranks=tuple(range(1, 9)),
        seeds=(0, 1, 2),
    )


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
    **{
        name: sweep_of(PRESETS[name].config)
        for name in (
            *("planted-low-rank", "regression", "digits"),
            *("diabetes", "breast-cancer", "wine", "linnerud"),
        )
    },
}


def sweep_preset(name: str) -> SweepConfig:
    """The sweep of a preset by its name; raises InputError for an unknown one."""
    return SWEEPS[choice(name, tuple(SWEEPS), "preset")]
