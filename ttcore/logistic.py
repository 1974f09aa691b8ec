"""Linear classifiers, to stand beside TT layers that classify: logistic regression, full and of low rank, and ridge.

They are fitted to inputs x (n, p), best standardized, and one-hot targets (n, C), and need at least two samples. Each
has an intercept that no penalty touches. Whatever has to be chosen is chosen by cross-validation on these samples
alone. The same samples always give the same classifier. Sources: Hastie, Tibshirani & Friedman 2009, "The Elements of
Statistical Learning", sections 4.2 to 4.4 (indicator regression and its directions, multinomial logistic regression);
for the directions with a penalty Mukherjee & Zhu 2011, see ttcore.linear_models; for logistic regression of low rank
Yee & Hastie 2003, "Reduced-rank vector generalized linear models".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import NamedTuple, ParamSpec, Self, TypeVar

import numpy as np

from ttcore.metrics import class_scores

_P = ParamSpec("_P")
_R = TypeVar("_R")
_LIMITING = threading.Lock()

# Tried for every logistic regression, a decade apart, from the most to the least: λ of sum of losses + λ/2 ‖weight‖².
# scikit-learn's C is 1/λ.
PENALTIES = tuple(np.logspace(4, -4, 9).tolist())
# Tried for ridge regression, as in ttcore.linear_models, relative to the largest squared singular value of the inputs.
RELATIVE_PENALTIES = tuple(np.logspace(4, -8, 25).tolist())
FOLDS = 5
# Decides which training sample is in which fold.
FOLD_SEED = 0
# So many samples choose a penalty; where there are more, all of them fit with it.
MAX_CV_SAMPLES = 4_000
# Of data that do not fit in memory so many are fitted to.
MAX_SAMPLES = 20_000
MAX_RANK = 16

# The largest entry of the gradient of the mean loss at which a fit is done: within cross-validation, and at the end.
_COARSE, _FINE = 1e-4, 1e-6
_MOST_ITERATIONS = 1_000


def _on_one_thread(fit: Callable[_P, _R]) -> Callable[_P, _R]:
    """These products are so small that threads only wait for each other: twenty times as long on a busy machine."""

    @wraps(fit)
    def limited(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        from threadpoolctl import threadpool_limits

        # The limit is the whole process's: two that overlap would leave it behind.
        with _LIMITING, threadpool_limits(1, user_api="blas"):
            return fit(*args, **kwargs)

    return limited


@dataclass(frozen=True)
class LinearClassifier:
    """Logistic regression: the probabilities are softmax(x weightᵀ + bias)."""

    # (C, p)
    weight: np.ndarray
    # (C,)
    bias: np.ndarray
    # The λ of PENALTIES: 1/C of scikit-learn.
    penalty: float
    # Numbers that make up the weight: C p, or rank (p + C). The bias is left out, as is a TT layer's offset.
    parameters: int
    # None for a full weight.
    rank: int | None = None

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(n, C)."""
        return x @ self.weight.T + self.bias


@dataclass(frozen=True)
class RidgeClassifier:
    """Ridge regression of the one-hot targets: classes by the largest value. No probabilities, so no cross-entropy."""

    # (C, p)
    weight: np.ndarray
    # (C,)
    bias: np.ndarray
    # The λ of ‖x weightᵀ + bias - targets‖² + λ ‖weight‖².
    penalty: float
    parameters: int

    def values(self, x: np.ndarray) -> np.ndarray:
        """(n, C), estimates of the one-hot targets."""
        return x @ self.weight.T + self.bias


def constant(onehot: np.ndarray) -> np.ndarray:
    """The class shares, (C,); a class without samples has that of half a sample, so that its logarithm is finite."""
    return np.maximum(onehot.sum(0), 0.5) / len(onehot)


@_on_one_thread
def fit(x: np.ndarray, onehot: np.ndarray) -> LinearClassifier:
    """Multinomial logistic regression: least sum of -log softmax + λ/2 ‖weight‖², λ the best of PENALTIES."""
    coordinates, basis = _coordinates(x)
    penalty = _best_penalty(_folds(coordinates, onehot))
    weight, bias = _logistic(coordinates, onehot, penalty)
    return LinearClassifier(_of_features(weight, basis), bias, penalty, onehot.shape[1] * x.shape[1])


@_on_one_thread
def low_rank(x: np.ndarray, onehot: np.ndarray, penalty: float | None = None) -> list[LinearClassifier]:
    """For k = 1, 2, ...: multinomial logistic regression with a weight of rank k, of least loss as in `fit`.

    penalty: λ for all ranks, by default that of `fit`. (On the digits none other is better at any rank; on the wines
    a larger one is at rank 1.)

    The weight is a product of two factors, and both are fitted, from a start on the leading directions of ridge
    regression of the targets. (Those directions left as they are lose up to eight points of accuracy on the digits.)
    Like any fit of factors it may end in a local minimum.

    k runs to the least of C - 1, MAX_RANK and the rank of ridge regression's fitted values (at most p and n - 1).
    """
    coordinates, basis = _coordinates(x)
    if penalty is None:
        penalty = _best_penalty(_folds(coordinates, onehot))
    most = min(onehot.shape[1] - 1, MAX_RANK)
    directions = _Ridge.of(coordinates, onehot).directions(_ridge_penalty(coordinates, onehot), most)
    found = []
    for rank in range(1, directions.shape[1] + 1):
        chosen = directions[:, :rank]
        inner, bias = _logistic(coordinates @ chosen, onehot, penalty, tolerance=_COARSE)
        weight, bias = _factored_logistic(coordinates, onehot, penalty, inner @ chosen.T, bias, rank)
        whole = _of_features(weight, basis)
        found.append(LinearClassifier(whole, bias, penalty, rank * sum(whole.shape), rank))
    return found


@_on_one_thread
def ridge(x: np.ndarray, onehot: np.ndarray) -> RidgeClassifier:
    """Ridge regression of the centred one-hot targets on the centred inputs.

    λ is one of RELATIVE_PENALTIES times the largest squared singular value of the centred inputs that choose it: the
    one of least squared error on what is held out, of equals the first.
    """
    coordinates, basis = _coordinates(x)
    penalty = _ridge_penalty(coordinates, onehot)
    weight, bias = _Ridge.of(coordinates, onehot).solution(penalty)
    return RidgeClassifier(_of_features(weight, basis), bias, penalty, onehot.shape[1] * x.shape[1])


def _coordinates(x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """x (n, p) in coordinates of its rows' space where that is the smaller one, (n, n), and its basis, (p, n).

    Every weight below has its rows in that space, and the penalties do not depend on the basis.
    """
    if x.shape[1] <= x.shape[0]:
        return x, None
    basis, triangle = np.linalg.qr(x.T)
    return triangle.T, basis


def _of_features(weight: np.ndarray, basis: np.ndarray | None) -> np.ndarray:
    """A weight of coordinates as one of features, (C, p)."""
    return weight if basis is None else weight @ basis.T


# ---- cross-validation ------------------------------------------------------------------------------------------------


class _Fold(NamedTuple):
    """What is fitted and what is held out: inputs (samples, features), targets (samples, C)."""

    rest: np.ndarray
    rest_onehot: np.ndarray
    held: np.ndarray
    held_onehot: np.ndarray


def _picked(onehot: np.ndarray) -> np.ndarray:
    """The samples that choose a penalty, at most MAX_CV_SAMPLES, class after class; at random within a class."""
    order = np.random.default_rng(FOLD_SEED).permutation(len(onehot))
    order = order[np.argsort(onehot[order].argmax(1), kind="stable")]
    count = min(len(order), MAX_CV_SAMPLES)
    return order[np.arange(count) * len(order) // count]


def _folds(x: np.ndarray, onehot: np.ndarray) -> list[_Fold]:
    """Every class dealt out evenly: FOLDS of them, or as many as the smallest class has samples, but at least 2."""
    picked = _picked(onehot)
    sizes = onehot[picked].sum(0)
    count = int(max(2, min(FOLDS, sizes[sizes > 0].min())))
    of_fold = np.arange(len(picked)) % count
    parts = [(picked[of_fold != fold], picked[of_fold == fold]) for fold in range(count)]
    return [_Fold(x[rest], onehot[rest], x[held], onehot[held]) for rest, held in parts]


def _best_penalty(folds: Sequence[_Fold]) -> float:
    """The one of PENALTIES with the least loss on what is held out; of equals the first."""
    losses = np.array([_held_out_losses(fold) for fold in folds]).sum(0)
    return PENALTIES[losses.argmin()]


def _held_out_losses(fold: _Fold) -> list[float]:
    """For each penalty the summed loss; every fit starts where the one before it ended."""
    losses: list[float] = []
    start = None
    for penalty in PENALTIES:
        start = weight, bias = _logistic(fold.rest, fold.rest_onehot, penalty, start, _COARSE)
        loss = class_scores(fold.held @ weight.T + bias, fold.held_onehot).loss
        losses.append(loss * len(fold.held))
    return losses


# ---- the two fits ----------------------------------------------------------------------------------------------------


def _logistic(
    x: np.ndarray,
    onehot: np.ndarray,
    penalty: float,
    start: tuple[np.ndarray, np.ndarray] | None = None,
    tolerance: float = _FINE,
) -> tuple[np.ndarray, np.ndarray]:
    """The weight (C, p) and bias (C,) of least mean loss + penalty / (2 n) ‖weight‖², by L-BFGS.

    Written out because scikit-learn's has one weight fewer for two classes, and refuses targets of one class.
    """
    samples, features = x.shape
    classes = onehot.shape[1]
    weight, bias = start or (np.zeros((classes, features)), np.log(constant(onehot)))
    inputs = np.hstack([x, np.ones((samples, 1))])
    shrinking = np.append(np.full(features, penalty), 0.0)

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parameters = flat.reshape(classes, features + 1)
        loss, error = _loss_and_error(inputs @ parameters.T, onehot)
        shrunk = shrinking * parameters
        gradient = error.T @ inputs + shrunk
        return (loss + np.vdot(shrunk, parameters) / 2) / samples, gradient.ravel() / samples

    flat = _minimum(loss_and_gradient, np.column_stack([weight, bias]).ravel(), tolerance)
    parameters = flat.reshape(classes, features + 1)
    return parameters[:, :-1], parameters[:, -1]


def _factored_logistic(
    x: np.ndarray, onehot: np.ndarray, penalty: float, weight: np.ndarray, bias: np.ndarray, rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same for a weight of a rank, from one of this rank and a bias to start at."""
    samples, features = x.shape
    classes = onehot.shape[1]
    ends = np.cumsum([classes * rank, rank * features])

    def split(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The factors (C, k) and (k, p), and the bias."""
        left, right, bias = np.split(flat, ends)
        return left.reshape(classes, rank), right.reshape(rank, features), bias

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        left, right, bias = split(flat)
        inner = x @ right.T
        loss, error = _loss_and_error(inner @ left.T + bias, onehot)
        # ‖left right‖² is the trace of their product.
        left_gram, right_gram = left.T @ left, right @ right.T
        loss += penalty * np.vdot(left_gram, right_gram) / 2
        left_gradient = error.T @ inner + penalty * left @ right_gram
        right_gradient = (error @ left).T @ x + penalty * left_gram @ right
        return loss / samples, np.concatenate([left_gradient.ravel(), right_gradient.ravel(), error.sum(0)]) / samples

    # Factors of the same size.
    columns, values, rows = np.linalg.svd(weight, full_matrices=False)
    roots = np.sqrt(values[:rank])
    start = np.concatenate([(columns[:, :rank] * roots).ravel(), (roots[:, None] * rows[:rank]).ravel(), bias])
    left, right, bias = split(_minimum(loss_and_gradient, start, _FINE))
    return left @ right, bias


def _loss_and_error(logits: np.ndarray, onehot: np.ndarray) -> tuple[float, np.ndarray]:
    """The summed loss and its gradient by the logits, (n, C), which are overwritten with it."""
    logits -= logits.max(1, keepdims=True)
    loss = -np.vdot(logits, onehot)
    np.exp(logits, out=logits)
    totals = logits.sum(1, keepdims=True)
    loss += np.log(totals).sum()
    logits /= totals
    logits -= onehot
    return loss, logits


def _minimum(
    loss_and_gradient: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray, tolerance: float
) -> np.ndarray:
    """Where L-BFGS ends. At its iteration limit without a word: what it has then is a classifier like any other."""
    from scipy.optimize import minimize  # takes a while to import

    options = {"gtol": tolerance, "ftol": 0.0, "maxiter": _MOST_ITERATIONS, "maxfun": 2 * _MOST_ITERATIONS}
    with np.errstate(under="ignore"):  # exp of what is far below the largest is zero
        return minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options).x


@dataclass(frozen=True)
class _Ridge:
    """All that ridge regressions of any penalty need of centred samples X, Y, with Xᵀ X = V diag(squares) Vᵀ."""

    # (p,) and (C,)
    x_mean: np.ndarray
    y_mean: np.ndarray
    # (p,), and V (p, p)
    squares: np.ndarray
    axes: np.ndarray
    # Vᵀ Xᵀ Y: (p, C)
    targets: np.ndarray
    samples: int

    @classmethod
    def of(cls, x: np.ndarray, onehot: np.ndarray) -> Self:
        x_mean, y_mean = x.mean(0), onehot.mean(0)
        x, y = x - x_mean, onehot - y_mean
        # Next to the least penalty, 1e-8 of the largest square, the rounding of XᵀX does not count.
        squares, axes = np.linalg.eigh(x.T @ x)
        return cls(x_mean, y_mean, np.maximum(squares, 0.0), axes, axes.T @ (x.T @ y), len(x))

    @property
    def largest(self) -> float:
        return float(self.squares.max(initial=0.0)) or 1.0

    def solution(self, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """The weight (C, p) and the bias (C,)."""
        weight = (self.axes @ (self.targets / (self.squares + penalty)[:, None])).T
        return weight, self.y_mean - weight @ self.x_mean

    def directions(self, penalty: float, most: int) -> np.ndarray:
        """(p, k), up to `most`: the leading ones of the solution's fitted values on [X; √penalty I], as inputs to them.

        X times them has variances of 1, less what the penalty takes.
        """
        roots = np.sqrt(self.squares + penalty)[:, None]
        shrunk = self.targets / roots
        rank = min(most, int(np.linalg.matrix_rank(shrunk)))
        leading = np.linalg.svd(shrunk, full_matrices=False)[0][:, :rank]
        return np.sqrt(self.samples) * self.axes @ (leading / roots)


def _ridge_penalty(x: np.ndarray, onehot: np.ndarray) -> float:
    largest = _Ridge.of(*(part[_picked(onehot)] for part in (x, onehot))).largest
    penalties = [relative * largest for relative in RELATIVE_PENALTIES]
    errors = np.zeros(len(penalties))
    for fold in _folds(x, onehot):
        rest = _Ridge.of(fold.rest, fold.rest_onehot)
        for i, penalty in enumerate(penalties):
            weight, bias = rest.solution(penalty)
            errors[i] += ((fold.held @ weight.T + bias - fold.held_onehot) ** 2).sum()
    return penalties[errors.argmin()]
