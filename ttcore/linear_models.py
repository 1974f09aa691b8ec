"""Linear models in closed form, to stand beside TT layers on the same data: full, ridge, low rank, low rank with ridge.

None of them takes an iteration or a setting. Where there are fewer samples than features, every full and every low-rank
least-squares fit interpolates its own target, so that many weights fit alike: the one of least norm is taken, and the
models with a penalty are the fair ones on unseen samples.

Letters: n samples, p features, q targets; r = rank of the inputs, m = min(n, q), K = the largest rank of use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np

from ttcore.datasets import Dataset
from ttcore.events import Scores
from ttcore.metrics import r2, spread
from ttcore.reduced import reduced_by_blocks, thin_svd
from ttcore.results import Baseline, BaselineKind

# Tried for every model, relative to the largest squared singular value of the training inputs: half a decade apart,
# from one that leaves next to nothing of the fit to one that changes next to nothing. Of equals the first is taken.
RELATIVE_PENALTIES = tuple(np.logspace(4, -8, 25).tolist())
FOLDS = 5
# Decides which training sample is in which fold.
FOLD_SEED = 0

# Up to so many ranks every one is fitted; of more, these first ones, and then as many again in equal ratios.
_MOST_RANKS = 64
_FIRST_RANKS = 32
# So many samples are multiplied at once.
_ROWS = 8192


def closed_forms(dataset: Dataset) -> tuple[Baseline, ...]:
    """One model of kind "ridge", then "low_rank" for each rank k, then "low_rank_ridge" for each k; no bias anywhere.

    "ridge": the weight W (q, p) of least ‖X Wᵀ − Y‖² + λ‖W‖².
    "low_rank": reduced-rank regression, W_k = V_k V_kᵀ W with W of least squares and least norm, and V_k (q, k) the
    leading right singular vectors of the fitted values X Wᵀ. No weight of rank k has a lower training error. Source:
    Izenman 1975, "Reduced-rank regression for the multivariate linear model"; Reinsel & Velu 1998, "Multivariate
    Reduced-Rank Regression".
    "low_rank_ridge": the weight of rank k of least ‖X Wᵀ − Y‖² + λ‖W‖², which is low_rank on the inputs [X; √λ I] and
    the targets [Y; 0]. Source: Mukherjee & Zhu 2011, "Reduced rank ridge regression and its kernel extensions".

    λ is chosen from RELATIVE_PENALTIES by cross-validation on the training samples alone, for each rank by itself: the
    one of least squared error, summed over FOLDS folds (or as many as there are samples) that are drawn with FOLD_SEED.
    The test samples have no say in it.

    k runs from 1 to K, the rank of the fitted values (at most p and q); above 64 the ranks become sparse, with K the
    last one. K is 0 where inputs or targets are zero. At least two training samples are needed.
    """
    whole = dataset.reduced
    largest = float(whole.values.max(initial=0.0)) or 1.0
    # Every weight below has its rows in the row space of X, and its columns in that of Y: r and m coordinates are
    # enough, however many features and targets there are. Inputs are scaled so that their largest singular value is 1.
    values = whole.values / largest
    basis = np.linalg.qr(whole.y.T).Q  # (q, m)
    train = _Samples.of(whole.x / largest, whole.y, basis, dataset.y_train, whole.outside)
    test = _Samples.of(_times(dataset.x_test, whole.right.T) / largest, dataset.y_test, basis, dataset.y_test)
    fit = _Fit(values, whole.cross @ basis)
    out_features, in_features = dataset.y_train.shape[1], dataset.x_train.shape[1]

    def low_rank(kind: BaselineKind, rank: int, penalty: float) -> Baseline:
        return Baseline(
            kind=kind,
            rank=rank,
            parameters=rank * (in_features + out_features),
            penalty=penalty * largest**2 if penalty else None,
            train=train.scores(errors_of(penalty)[0][rank]),
            test=test.scores(errors_of(penalty)[1][rank]),
        )

    @cache
    def errors_of(penalty: float) -> tuple[dict[int, float], dict[int, float]]:
        # All ranks of one penalty come at once.
        train_errors, test_errors = (fit.errors(part.x, part.y, penalty, ranks) for part in (train, test))
        return dict(zip(ranks, train_errors, strict=True)), dict(zip(ranks, test_errors, strict=True))

    ranks = _ranks(len(fit.directions(0)))
    if dataset.on_disk:
        ridge_errors, low_rank_errors = _held_out(dataset, largest, basis, ranks)
    else:
        ridge_errors, low_rank_errors = _cross_validated(train.x, train.y, ranks)
    penalty = RELATIVE_PENALTIES[ridge_errors.argmin()]
    solution = fit.solution(penalty)
    ridge = Baseline(
        kind="ridge",
        parameters=in_features * out_features,
        penalty=penalty * largest**2,
        train=train.scores(_squares(train.x @ solution - train.y)),
        test=test.scores(_squares(test.x @ solution - test.y)),
    )
    penalties = [RELATIVE_PENALTIES[best] for best in low_rank_errors.argmin(0)]
    return (
        ridge,
        *(low_rank("low_rank", rank, 0) for rank in ranks),
        *(low_rank("low_rank_ridge", rank, penalty) for rank, penalty in zip(ranks, penalties, strict=True)),
    )


@dataclass(frozen=True)
class _Samples:
    """Samples in coordinates, and what turns squared errors there into scores."""

    # (samples, r)
    x: np.ndarray
    # (samples, m)
    y: np.ndarray
    # The squared error that no model escapes: of what the coordinates of the targets leave out.
    outside: float
    # Of the targets themselves: how many numbers they are, and their mean squared deviation from their mean.
    entries: int
    spread: float

    @classmethod
    def of(cls, x: np.ndarray, rows: np.ndarray, basis: np.ndarray, targets: np.ndarray, outside: float = 0.0) -> Self:
        """From the targets of rows (rows, q), and the orthonormal basis (q, m) that gives their coordinates.

        targets: those of all samples, (samples, q), for which the rows stand but for a squared error of `outside`.
        """
        y = rows @ basis
        return cls(x, y, _squares(rows - y @ basis.T) + outside, targets.size, spread(targets))

    def scores(self, squared_error: float) -> Scores:
        """From the squared error over all coordinates."""
        mse = float(squared_error + self.outside) / self.entries
        return Scores(loss=mse, score=r2(mse, self.spread))


@dataclass(frozen=True)
class _Fit:
    """All that fits of any penalty and rank need of the training samples X = U diag(values) Vᵀ."""

    # (r), the largest 1, all above rounding.
    values: np.ndarray
    # Uᵀ Y: (r, m).
    targets: np.ndarray

    def solution(self, penalty: float) -> np.ndarray:
        """Ridge regression: (r, m), from inputs in the coordinates of V to targets."""
        return (self.values / (self.values**2 + penalty))[:, None] * self.targets

    def directions(self, penalty: float) -> np.ndarray:
        """The right singular vectors of the fitted values of [X; √penalty I], leading one first: (their rank, m)."""
        # These fitted values F have Fᵀ F = Bᵀ (S² + penalty) B for the solution B and the singular values S.
        shrunk = (self.values / np.sqrt(self.values**2 + penalty))[:, None] * self.targets
        return thin_svd(shrunk)[2]

    def errors(self, x: np.ndarray, y: np.ndarray, penalty: float, ranks: Sequence[int]) -> np.ndarray:
        """The squared error of the model of each rank, for x (samples, r) in the coordinates of V and y (samples, m).

        A rank above that of the fitted values takes nothing away from ridge regression.
        """
        directions = self.directions(penalty)
        predictions = x @ (self.solution(penalty) @ directions.T)
        targets = y @ directions.T
        # Rank k predicts the first k of the rotated targets, and 0 for the others and for what no direction holds. Sums
        # of squares throughout: a difference of large numbers would blur the errors of an all but perfect fit.
        missed = ((predictions - targets) ** 2).sum(0).cumsum()
        left_out = (targets**2).sum(0)[::-1].cumsum()[::-1]
        beyond = _squares(y - targets @ directions)
        by_rank = np.append(0.0, missed) + np.append(left_out, 0.0) + beyond
        return by_rank[np.minimum(np.array(ranks, int), len(directions))]


def _held_out(
    dataset: Dataset, largest: float, basis: np.ndarray, ranks: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """As _cross_validated, for data on disk, where a fit takes minutes: on the first fold alone."""
    order = np.random.default_rng(FOLD_SEED).permutation(len(dataset.x_train))
    fold = np.sort(np.array_split(order, FOLDS)[0])
    rest = reduced_by_blocks(dataset.x_train, dataset.y_train, np.setdiff1d(order, fold))
    fit = _Fit(rest.values / largest, rest.cross @ basis)
    held_x = _times(dataset.x_train, rest.right.T, fold) / largest
    return _errors_of_penalties(fit, held_x, dataset.y_train[fold] @ basis, ranks)


def _errors_of_penalties(
    fit: _Fit, x: np.ndarray, y: np.ndarray, ranks: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors on x and y: of ridge (penalties), of low-rank ridge (penalties, ranks)."""
    ridge = [_squares(x @ fit.solution(penalty) - y) for penalty in RELATIVE_PENALTIES]
    low_rank = [fit.errors(x, y, penalty, ranks) for penalty in RELATIVE_PENALTIES]
    return np.array(ridge), np.array(low_rank).reshape(len(RELATIVE_PENALTIES), len(ranks))


def _cross_validated(x: np.ndarray, y: np.ndarray, ranks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors on samples that were held out: of ridge (penalties), of low-rank ridge (penalties, ranks)."""
    ridge = np.zeros(len(RELATIVE_PENALTIES))
    low_rank = np.zeros((len(RELATIVE_PENALTIES), len(ranks)))
    order = np.random.default_rng(FOLD_SEED).permutation(len(x))
    for fold in np.array_split(order, min(FOLDS, len(x))):
        rest = np.setdiff1d(order, fold)
        left, values, right = thin_svd(x[rest])
        fit = _Fit(values, left.T @ y[rest])
        errors = _errors_of_penalties(fit, x[fold] @ right.T, y[fold], ranks)
        ridge += errors[0]
        low_rank += errors[1]
    return ridge, low_rank


def _ranks(most: int) -> list[int]:
    """The ranks to fit, up to `most`, which is the last one; every one of them where they are few."""
    if most <= _MOST_RANKS:
        return list(range(1, most + 1))
    sparse = np.geomspace(_FIRST_RANKS, most, _MOST_RANKS - _FIRST_RANKS + 1).round().astype(int).tolist()
    return sorted({*range(1, _FIRST_RANKS), *sparse})


def _times(x: np.ndarray, matrix: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """x, or these rows of it, times a matrix; block by block, since x may be a file's."""
    rows = np.arange(len(x)) if rows is None else rows
    product = np.empty((len(rows), matrix.shape[1]))
    for begin in range(0, len(rows), _ROWS):
        np.matmul(np.asarray(x[rows[begin : begin + _ROWS]], np.float64), matrix, out=product[begin : begin + _ROWS])
    return product


def _squares(differences: np.ndarray) -> float:
    return float((differences**2).sum())
