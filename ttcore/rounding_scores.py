"""What a layer predicts after rounding: parameters against errors, on train and test. NumPy only; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ttcore.checks import show
from ttcore.cores import checked_train
from ttcore.datasets import Dataset
from ttcore.errors import InputError
from ttcore.events import Scores
from ttcore.rounding import Rounded, round_cores
from ttcore.shapes import TTShape, replace_ranks

# So many ranks are scored one by one; of more, the first half is, and the others are spread evenly by their ratios.
_ALL_RANKS_UP_TO = 64


@dataclass(frozen=True, kw_only=True)
class RoundedScores:
    """A rounded layer, and what it reaches.

    ranks: r_1 .. r_{d-1}.
    parameters: the entries of all cores; parameter_ratio: TT / full, with the real feature counts.
    relative_error: of the padded weight, in the Frobenius norm, against the layer before rounding.
    """

    ranks: tuple[int, ...]
    parameters: int
    parameter_ratio: float
    relative_error: float
    train: Scores
    test: Scores


def score_rounded(rounded: Rounded, shape: TTShape, dataset: Dataset) -> RoundedScores:
    """What a rounded layer reaches on the samples.

    shape: the layer's modes and feature counts; its ranks are not used.
    Raises InputError if the cores have other modes, or the samples other feature counts.
    """
    _, own = checked_train(rounded.cores)
    if (own.in_modes, own.out_modes) != (shape.in_modes, shape.out_modes):
        raise InputError(
            f"the cores have modes {show(own.in_modes)} and {show(own.out_modes)}, the layer {show(shape.in_modes)} "
            f"and {show(shape.out_modes)}; give the shape of the layer that was rounded"
        )
    if dataset.y_train.shape[1] != shape.out_features:
        raise InputError(
            f"the data has {dataset.y_train.shape[1]} targets and the layer {shape.out_features}; give the data that "
            "the layer was trained on"
        )
    shape = replace_ranks(shape, rounded.ranks)
    train, test = dataset.layer_scores(rounded.cores, shape.in_features, shape.out_features)
    return RoundedScores(
        ranks=rounded.ranks,
        parameters=shape.num_parameters,
        parameter_ratio=shape.parameter_ratio,
        relative_error=rounded.relative_error,
        train=train,
        test=test,
    )


def score_every_rank(cores: Sequence[ArrayLike], shape: TTShape, dataset: Dataset) -> list[RoundedScores]:
    """The layer rounded to the largest rank 1, 2, .. and scored, up to the largest rank of use that its cores have.

    Above 64 ranks: 1 to 32, then 32 more or less evenly spaced by their ratios, the largest among them.
    Raises InputError as round_cores and score_rounded do.
    """
    _, own = checked_train(cores)
    largest = max(own.clipped().ranks, default=1)
    return [score_rounded(round_cores(cores, max_ranks=rank), shape, dataset) for rank in ranks_to_score(largest)]


def ranks_to_score(largest: int) -> list[int]:
    """The ranks 1 .. largest that score_every_rank takes, rising."""
    if largest <= _ALL_RANKS_UP_TO:
        return list(range(1, largest + 1))
    half = _ALL_RANKS_UP_TO // 2
    spread = np.geomspace(half, largest, half + 1)[1:]
    return sorted({*range(1, half + 1), *(round(rank) for rank in spread)})
