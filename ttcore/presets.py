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


def _usual(data: DataConfig, rank: int, train: TrainConfig) -> RunConfig:
    """With the usual modes of the data."""
    in_modes, out_modes = data.usual_modes
    return RunConfig(data=data, in_modes=in_modes, out_modes=out_modes, ranks=rank, train=train)


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
    "planted-low-rank": Preset(
        title="Planted, low rank",
        description=(
            "The truth is an ordinary matrix of rank 2, with noise. Shows when a TT layer has nothing to gain: "
            "low-rank factors fit, and balanced modes do not."
        ),
        config=RunConfig(
            data=DataConfig(
                source="planted", teacher_in_modes=(64, 1), teacher_out_modes=(1, 16), teacher_ranks=2, noise=0.1
            ),
            in_modes=(64, 1),
            out_modes=(1, 16),
            ranks=2,
            train=TrainConfig(lr=0.02, schedule="decay", steps=1_500),
        ),
    ),
    "regression": Preset(
        title="Synthetic regression",
        description="scikit-learn's make_regression with its knobs: samples, features, how many matter, noise.",
        config=_usual(DataConfig(source="regression"), 4, TrainConfig(lr=0.02, schedule="decay", steps=1_500)),
    ),
    "digits": Preset(
        title="Digits",
        description=(
            "8 × 8 images of handwritten digits, ten classes. Half of logistic regression's weights are enough for "
            "nearly its accuracy, and the order of the modes matters."
        ),
        config=_usual(
            DataConfig(source="digits"), 6, TrainConfig(lr=0.02, weight_decay=1.0, schedule="decay", steps=300)
        ),
    ),
    "diabetes": Preset(
        title="Diabetes",
        description="Ten measures, one target: too small for a TT layer to compress. It trains all the same.",
        config=_usual(DataConfig(source="diabetes"), 2, TrainConfig(lr=0.02, schedule="decay", steps=600)),
    ),
    "breast-cancer": Preset(
        title="Breast cancer",
        description="Malignant or benign, from 30 measures of cell nuclei.",
        config=_usual(DataConfig(source="breast_cancer"), 1, TrainConfig(lr=0.02, schedule="decay", steps=300)),
    ),
    "wine": Preset(
        title="Wine",
        description="Which of three growers a wine is from, by 13 measures.",
        config=_usual(DataConfig(source="wine"), 2, TrainConfig(lr=0.02, schedule="decay", steps=300)),
    ),
    "linnerud": Preset(
        title="Linnerud",
        description="Three exercises and three measures of 20 men: so few that no model can be trusted.",
        config=_usual(DataConfig(source="linnerud"), 1, TrainConfig(lr=0.02, schedule="decay", steps=300)),
    ),
}

# Of data that a person brings: what to start with, whatever they are.
OWN_TRAIN = TrainConfig(lr=0.02, schedule="decay", steps=600)


# Methods whose steps are worth many of Adam's, and how many of them a person would start with.
USUAL_STEPS = {"lbfgs": 1_000, "als": 240}


def usual_steps(optimizer: str, otherwise: int) -> int:
    """Steps to start with: the method's own, or `otherwise`, a preset's."""
    return USUAL_STEPS.get(optimizer, otherwise)


def preset(name: str) -> RunConfig:
    """The run of a preset by its name; raises InputError for an unknown one."""
    return PRESETS[choice(name, tuple(PRESETS), "preset")].config
