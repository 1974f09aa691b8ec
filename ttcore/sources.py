"""Where data can come from: one registry, each source with what it is, its sizes, its origin and what may be set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ttcore.scoring import Task

Source = Literal[
    "reference", "planted", "regression", "digits", "diabetes", "breast_cancer", "wine", "linnerud", "table"
]

# The settings of a hold-out, for sources whose samples come in one piece.
_SPLIT: dict[str, Any] = {"test_fraction": 0.2, "split_seed": 0}


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """A source of data.

    settings: the fields of a DataConfig that may be set, with their defaults; fixed: those that have one value.
    samples, features, outputs: the sizes where they are always the same; else 0.
    """

    title: str
    about: str
    origin: str
    task: Task = "regression"
    settings: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 0
    features: int = 0
    outputs: int = 0

    @property
    def is_split(self) -> bool:
        """Whether its samples come in one piece, of which a part is held out; they are standardized then."""
        return "test_fraction" in self.settings


_BUNDLED = "Comes with scikit-learn (BSD licence)"

SOURCES: dict[Source, SourceSpec] = {
    "reference": SourceSpec(
        title="Reference",
        about="The published regression task: 256 training samples, 1,024 to test on, 128 of 4,096 features matter.",
        origin="Drawn by scikit-learn's make_regression with the published seed; everything about it is fixed.",
        fixed={"train_samples": 256, "test_samples": 1024, "seed": 123},
        samples=1280,
        features=4096,
        outputs=16,
    ),
    "planted": SourceSpec(
        title="Planted",
        about="Standard-normal inputs through a random tensor-train teacher; never standardized, to keep its ranks.",
        origin="Drawn by this program from a seed.",
        settings={
            "teacher_in_modes": (8, 8, 8, 8),
            "teacher_out_modes": (2, 2, 2, 2),
            "teacher_ranks": 4,
            "train_samples": 256,
            "test_samples": 1024,
            "noise": 0.0,
            "seed": 0,
        },
    ),
    "regression": SourceSpec(
        title="Synthetic regression",
        about="A random linear model: some of the features matter, inputs may be of low effective rank, with noise.",
        origin="Drawn by scikit-learn's make_regression from a seed.",
        settings={
            "samples": 1000,
            "features": 256,
            "informative": 32,
            "outputs": 4,
            "effective_rank": 0,
            "noise": 0.1,
            "seed": 0,
            **_SPLIT,
        },
    ),
    "digits": SourceSpec(
        title="Digits",
        about="Images of handwritten digits, 8 × 8 pixels, to be told apart.",
        origin=f"{_BUNDLED}; the test part of UCI's Optical Recognition of Handwritten Digits, CC BY 4.0.",
        task="classification",
        settings=_SPLIT,
        samples=1797,
        features=64,
        outputs=10,
    ),
    "diabetes": SourceSpec(
        title="Diabetes",
        about="The progress of the disease after a year, from age, sex, body mass, blood pressure and six serum tests.",
        origin=f"{_BUNDLED}; Efron et al. 2004, Least Angle Regression.",
        settings=_SPLIT,
        samples=442,
        features=10,
        outputs=1,
    ),
    "breast_cancer": SourceSpec(
        title="Breast cancer",
        about="Malignant or benign, from 30 measures of cell nuclei in an image.",
        origin=f"{_BUNDLED}; UCI's Breast Cancer Wisconsin (Diagnostic), CC BY 4.0.",
        task="classification",
        settings=_SPLIT,
        samples=569,
        features=30,
        outputs=2,
    ),
    "wine": SourceSpec(
        title="Wine",
        about="Which of three growers a wine is from, by 13 chemical measures.",
        origin=f"{_BUNDLED}; UCI's Wine, CC BY 4.0.",
        task="classification",
        settings=_SPLIT,
        samples=178,
        features=13,
        outputs=3,
    ),
    "linnerud": SourceSpec(
        title="Linnerud",
        about="Weight, waist and pulse of 20 men, from three exercises: a data set too small for anything.",
        origin=f"{_BUNDLED}; Tenenhaus 1998, La régression PLS.",
        settings=_SPLIT,
        samples=20,
        features=3,
        outputs=3,
    ),
    "table": SourceSpec(
        title="Your own data",
        about="A table from a file, or from OpenML, prepared on the Data page or by the command line.",
        origin="Given by you.",
        settings={"key": None, "title": "", "task": None, "samples": None, "features": None, "outputs": None, **_SPLIT},
    ),
}
assert tuple(SOURCES) == get_args(Source)
