"""TT rounding: the cores of a weight with lower ranks, and what that costs. NumPy only, in float64; no torch.

Source: Oseledets 2011, "Tensor-Train Decomposition", SIAM J. Sci. Comput. 33(5), Algorithm 2 (TT-rounding).
The unfolding of a weight at bond k is the matrix with a row for each value of modes m_1 n_1 .. m_k n_k and a column for
each value of the modes after them. Everything here is about the padded weight, whose unfoldings have these rows and
columns in full: cutting surplus outputs or padded inputs off can only make an error smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ldexp, sqrt

import numpy as np
from numpy.typing import ArrayLike

from ttcore.checks import real
from ttcore.cores import checked_train
from ttcore.errors import InputError
from ttcore.shapes import bond_ranks


@dataclass(frozen=True, kw_only=True, eq=False)
class Rounded:
    """A rounded train.

    cores: float64, core k of shape (r_{k-1}, m_k, n_k, r_k); left-orthogonal in all but the last one.
    ranks: r_1 .. r_{d-1}.
    discarded: the square root of the sum of all squared discarded singular values over all bonds. It bounds the
        Frobenius error of the padded weight, and even equals it, but for rounding errors: each cut is an orthogonal
        projection within the range of those before it, so what they lose is orthogonal to each other.
    norm: the Frobenius norm of the padded weight before rounding.
    """

    cores: tuple[np.ndarray, ...]
    ranks: tuple[int, ...]
    discarded: float
    norm: float

    @property
    def relative_error(self) -> float:
        """discarded / norm; 0 for a weight that is zero."""
        return self.discarded / self.norm if self.norm else 0.0


def round_cores(
    cores: Sequence[ArrayLike],
    *,
    max_ranks: int | Sequence[int] | None = None,
    tolerance: float | None = None,
) -> Rounded:
    """The train with its ranks lowered: right-orthogonalised by QR, then cut from the left by SVD.

    cores: core k of shape (r_{k-1}, m_k, n_k, r_k), of real numbers.
    max_ranks: the most that each bond keeps, one integer for all of them or d-1 integers.
    tolerance: the relative Frobenius error allowed for the whole padded weight, at least 0 and below 1; a bond may lose
        tolerance * norm / sqrt(d - 1).
    With both, the lower rank counts; every rank stays at least 1. With neither the weight is the same, and ranks are
    lowered only until r_k <= r_{k-1} m_k n_k and r_{k-1} <= m_k n_k r_k hold everywhere, as in TTShape.clipped.
    The error is at most sqrt(d - 1) times that of the best train of the same ranks.

    Raises InputError for cores that are not a train, or not finite, or whose weight float64 cannot hold, and for
    max_ranks or a tolerance that break these rules.
    """
    arrays = _finite_train(cores)
    limits = None if max_ranks is None else bond_ranks(max_ranks, len(arrays), "max_ranks")
    if tolerance is not None:
        tolerance = real(
            tolerance, "tolerance", "at least 0 and below 1, e.g. 0.01 for an error of 1 %", low=0, below=1
        )
    arrays, exponent = _right_orthogonal(arrays)
    norm = _frobenius(arrays[0])
    true_norm = _rescaled(norm, exponent)
    allowed = 0.0 if tolerance is None else tolerance * norm / sqrt(max(1, len(arrays) - 1))
    discarded = []

    def choose(bond: int, values: np.ndarray) -> int:
        # tails[r]: what is lost if r values are kept; summed from the smallest value on.
        tails = np.sqrt(np.cumsum(values[::-1] ** 2)[::-1])
        keep = len(values)
        if tolerance is not None:
            keep = max(1, int(np.count_nonzero(tails > allowed)))
        if limits is not None:
            keep = min(keep, limits[bond])
        if keep < len(values):
            discarded.append(float(tails[keep]))
        return keep

    arrays = _left_orthogonal(arrays, choose)
    # The last core carries the weight's norm, and so its scale.
    arrays[-1] = np.ldexp(arrays[-1], exponent)
    return Rounded(
        cores=tuple(arrays),
        ranks=tuple(core.shape[3] for core in arrays[:-1]),
        discarded=_rescaled(sqrt(sum(loss**2 for loss in discarded)), exponent),
        norm=true_norm,
    )


def bond_spectra(cores: Sequence[ArrayLike]) -> tuple[np.ndarray, ...]:
    """For each of the d-1 bonds the singular values of the padded weight's unfolding there, largest first.

    As many as the rank that round_cores without limits keeps; all further ones are zero. Found from the cores alone.
    Raises InputError for cores that are not a train, or not finite, or whose weight float64 cannot hold.
    """
    arrays, exponent = _right_orthogonal(_finite_train(cores))
    _rescaled(_frobenius(arrays[0]), exponent)  # refuses what float64 cannot hold
    spectra = []

    def keep_all(bond: int, values: np.ndarray) -> int:
        spectra.append(np.ldexp(values, exponent))
        return len(values)

    _left_orthogonal(arrays, keep_all)
    return tuple(spectra)


def _finite_train(cores: Sequence[ArrayLike]) -> list[np.ndarray]:
    arrays, _ = checked_train(cores)
    for number, core in enumerate(arrays, 1):
        if not np.isfinite(core).all():
            raise InputError(
                f"core {number} holds numbers that are not finite, and such a weight cannot be rounded; "
                "take the best cores of the run, or train it again at a lower rate"
            )
    return arrays


def _right_orthogonal(cores: Sequence[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """The same weight as cores times 2**exponent, right-orthogonal in all but the first one.

    Right-orthogonal: as a matrix (r, m * n * s) a core has orthonormal rows. The scale is kept apart and in powers of
    two, which change no digit, so that neither tiny nor huge cores leave the range of float64 on the way.
    """
    done: list[np.ndarray] = []
    carried, exponent = np.ones((1, 1)), 0
    for core in reversed(cores):
        core, own = _scaled(core)
        core, joint = _scaled(np.tensordot(core, carried, 1))
        exponent += own + joint
        if len(done) == len(cores) - 1:
            done.append(core)
            break
        r, m, n, s = core.shape
        q, triangle = np.linalg.qr(core.reshape(r, m * n * s).T)
        done.append(np.ascontiguousarray(q.T).reshape(-1, m, n, s))
        carried = triangle.T
    return done[::-1], exponent


def _left_orthogonal(cores: Sequence[np.ndarray], choose: Callable[[int, np.ndarray], int]) -> list[np.ndarray]:
    """Right-orthogonal cores made left-orthogonal in all but the last one, every bond cut on the way.

    Left-orthogonal: as a matrix (r * m * n, s) a core has orthonormal columns.
    choose: from a bond, counted from 0, and the singular values there, how many of them are kept.
    """
    done = []
    carried = np.ones((1, 1))
    for bond, core in enumerate(cores[:-1]):
        core = np.tensordot(carried, core, 1)
        r, m, n, s = core.shape
        u, values, vt = np.linalg.svd(core.reshape(r * m * n, s), full_matrices=False)
        keep = choose(bond, values)
        done.append(np.ascontiguousarray(u[:, :keep]).reshape(r, m, n, keep))
        carried = values[:keep, None] * vt[:keep]
    return [*done, np.tensordot(carried, cores[-1], 1)]


def _scaled(array: np.ndarray) -> tuple[np.ndarray, int]:
    """`array` divided by the power of two that brings its largest entry into 1/2 .. 1, and the exponent."""
    exponent = int(np.frexp(np.abs(array).max())[1])
    return np.ldexp(array, -exponent), exponent


def _frobenius(array: np.ndarray) -> float:
    return float(np.linalg.norm(array.ravel()))


def _rescaled(norm: float, exponent: int) -> float:
    """norm * 2**exponent."""
    try:
        return ldexp(norm, exponent)
    except OverflowError:
        raise InputError(
            "the weight of these cores is larger than float64 can hold; divide the first core by its norm"
        ) from None
