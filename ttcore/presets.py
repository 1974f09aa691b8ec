"""The tasks that the program comes with, as data."""

from __future__ import annotations

from dataclasses import dataclass

from ttcore.checks import choice
from ttcore.config import DataConfig, RunConfig, TrainConfig


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A run to start from, and what it shows."""

    title: str
    description: str
    config: RunConfig


PRESETS = {
    "reference": Preset(
        title="Reference",
        description=(
            "The published task: 256 samples of scikit-learn's make_regression, 4096 features, 16 targets. "
            "Shows how closely 3.5 % of the parameters fit the training data."
        ),
        config=RunConfig(
            data=DataConfig(source="reference"),
            train=TrainConfig(optimizer="adam", lr=0.05, schedule="constant", steps=10_000, init="unit"),
        ),
    ),
    "reference-fast": Preset(
        title="Reference, fast",
        description=(
            "The same task in a quarter of the steps: Adam at a higher rate, which falls to zero over the second half, "
            "reaches the published R² in a second or two."
        ),
        config=RunConfig(
            data=DataConfig(source="reference"),
            train=TrainConfig(
                optimizer="adam", lr=0.11, schedule="decay", decay_fraction=0.5, steps=2_400, init="unit"
            ),
        ),
    ),
    "planted": Preset(
        title="Planted",
        description=(
            "The truth is itself a tensor train (a random teacher of rank 4). Shows that a TT layer of the teacher's "
            "rank generalizes where the full model cannot."
        ),
        config=RunConfig(
            data=DataConfig(source="planted"),
            train=TrainConfig(
                optimizer="adam", lr=0.02, schedule="decay", decay_fraction=0.5, steps=1_500, init="unit"
            ),
        ),
    ),
}


# Methods whose steps are worth many of Adam's, and how many of them a person would start with.
USUAL_STEPS = {"lbfgs": 1_000, "als": 240}


def usual_steps(optimizer: str, otherwise: int) -> int:
    """Steps to start with: the method's own, or `otherwise`, a preset's."""
    return USUAL_STEPS.get(optimizer, otherwise)


def preset(name: str) -> RunConfig:
    """The run of a preset by its name; raises InputError for an unknown one."""
    return PRESETS[choice(name, tuple(PRESETS), "preset")].config
