"""What can be done with the cores of a tensor train as NumPy arrays. In float64; no torch.

Axes:  B samples;  M, N  a product of input modes m, of output modes n;  r, s  ranks left and right.
Core k is (r, m, n, s). Mode 1 is the slowest index of a flattened vector (C order), on both sides.
Source: Oseledets 2011, "Tensor-Train Decomposition"; Novikov et al. 2015, "Tensorizing Neural Networks".
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import ArrayLike

from ttcore.errors import InputError
from ttcore.shapes import TTShape, shape_of_cores

# The dense weight is used up to this size, and whatever is made of a block of samples stays about as small (32 MiB).
_FEW_ELEMENTS = 2**22


def dense_weight(cores: Sequence[ArrayLike], in_features: int, out_features: int) -> np.ndarray:
    """The dense weight (out_features, in_features), as nn.Linear means it, in float64.

    Raises InputError if the cores are not a train of real numbers, or too small for the features.
    """
    arrays, _ = checked_train(cores, in_features, out_features)
    return _padded_weight(arrays)[:out_features, :in_features]


def apply(cores: Sequence[ArrayLike], x: np.ndarray, in_features: int, out_features: int) -> np.ndarray:
    """y = x Wᵀ for x of shape (samples, in_features): (samples, out_features), in float64.

    Beside y it takes a bounded amount of memory, however many samples there are and however large the dense weight is:
    a hundred MiB or so, or a few times the cores and one sample at the largest rank, where that is more.
    Raises InputError if the cores are not a train of real numbers, or do not fit the features or x.
    """
    arrays, shape = checked_train(cores, in_features, out_features)
    if x.ndim != 2 or x.shape[1] != in_features:
        raise InputError(f"the samples have shape {x.shape}; they must be (samples, in_features = {in_features})")
    y = np.empty((len(x), out_features))
    if shape.padded_in_features * shape.padded_out_features <= _FEW_ELEMENTS:
        matrix = _padded_weight(arrays)[:out_features, :in_features].T
        block = max(1, _FEW_ELEMENTS // in_features)
        for start in range(0, len(x), block):
            part = x[start : start + block].astype(np.float64, copy=False)
            np.matmul(part, matrix, out=y[start : start + block])
        return y
    per_sample = max(shape.padded_in_features, min(_largest_states(arrays)))
    block = max(1, _FEW_ELEMENTS // per_sample)
    for start in range(0, len(x), block):
        part = x[start : start + block]
        padded = np.zeros((len(part), shape.padded_in_features))
        padded[:, :in_features] = part
        y[start : start + block] = _swept(arrays, padded)[:, :out_features]
    return y


def checked_train(
    cores: Sequence[ArrayLike], in_features: int | None = None, out_features: int | None = None
) -> tuple[list[np.ndarray], TTShape]:
    """Cores as float64 arrays, not copied where they are already, and their shape.

    Raises InputError if they are not a train of real numbers, or too small for the features.
    """
    arrays = [np.asarray(core) for core in cores]
    for number, array in enumerate(arrays, 1):
        if array.dtype.kind not in "fiu":
            raise InputError(f"core {number} holds {array.dtype}; cores are of real numbers, so convert it to float64")
    shape = shape_of_cores([array.shape for array in arrays], in_features, out_features)
    return [array.astype(np.float64, copy=False) for array in arrays], shape


def _padded_weight(cores: Sequence[np.ndarray]) -> np.ndarray:
    """The padded dense weight (N, M) from the half-trains left and right of a bond.

    The halves are permuted before they are multiplied, so that the large matrix comes out in order and never is.
    """
    lefts, rights = _half_train_sizes(cores)
    cut = min(range(len(cores) + 1), key=lambda bond: lefts[bond] + rights[bond])
    left = np.ones((1, 1, 1))  # (N_left, M_left, r)
    for core in cores[:cut]:
        N, M, _ = left.shape
        _, m, n, s = core.shape
        joined = np.tensordot(left, core, 1)  # (N, M, m, n, s)
        left = joined.transpose(0, 3, 1, 2, 4).reshape(N * n, M * m, s)
    right = np.ones((1, 1, 1))  # (N_right, r, M_right)
    for core in reversed(cores[cut:]):
        N, _, M = right.shape
        r, m, n, _ = core.shape
        joined = np.tensordot(core, right, (3, 1))  # (r, m, n, N, M)
        right = joined.transpose(2, 3, 0, 1, 4).reshape(n * N, r, m * M)
    weight = left[:, None] @ right[None]  # (N_left, N_right, M_left, M_right)
    return weight.reshape(len(left) * len(right), -1)


def _half_train_sizes(cores: Sequence[np.ndarray]) -> tuple[list[int], list[int]]:
    """For bonds 0..d the elements of all cores left of the bond, joined into one, and of those right of it."""
    sizes = [core.shape[1] * core.shape[2] for core in cores]
    ranks = [1, *(core.shape[3] for core in cores)]
    lefts = [prod(sizes[:bond]) * rank for bond, rank in enumerate(ranks)]
    rights = [prod(sizes[bond:]) * rank for bond, rank in enumerate(ranks)]
    return lefts, rights


def _largest_states(cores: Sequence[np.ndarray]) -> tuple[int, int]:
    """The most elements that a sample becomes in a sweep from the left, and in one from the right."""
    ins, outs = [core.shape[1] for core in cores], [core.shape[2] for core in cores]
    ranks = [1, *(core.shape[3] for core in cores)]
    left = max(prod(outs[:bond]) * rank * prod(ins[bond:]) for bond, rank in enumerate(ranks))
    right = max(prod(ins[:bond]) * rank * prod(outs[bond:]) for bond, rank in enumerate(ranks))
    return left, right


def _swept(cores: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Padded samples (B, M) to padded outputs (B, N), core after core from the side where less piles up.

    Where too much does on either side, the outputs are made half by half: a sweep towards a single output holds no more
    than the samples times the largest rank.
    """
    left, right = _largest_states(cores)
    if len(x) * min(left, right) > max(_FEW_ELEMENTS, x.size * max(core.shape[3] for core in cores)):
        for k, core in enumerate(cores):
            half = core.shape[2] // 2
            if half:
                parts = [core[:, :, :half], core[:, :, half:]]
                return np.hstack([_swept([*cores[:k], part, *cores[k + 1 :]], x) for part in parts])
    return _swept_left(cores, x) if left <= right else _swept_right(cores, x)


def _swept_left(cores: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """The state is (B * N, r * m, M_rest): outputs done, the open rank with the next mode, inputs still to come."""
    samples, rest = x.shape
    state = x
    for core in cores:
        r, m, n, s = core.shape
        rest //= m
        matrix = core.transpose(2, 3, 0, 1).reshape(n * s, r * m)
        state = _product(matrix, state.reshape(-1, r * m, rest))  # (B * N, n * s, M_rest)
    return state.reshape(samples, -1)


def _swept_right(cores: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """The state is (B * M_rest, m * s, N): inputs still to come, the next mode with the open rank, outputs done."""
    samples, done = len(x), 1
    state = x
    for core in reversed(cores):
        r, m, n, s = core.shape
        matrix = core.transpose(0, 2, 1, 3).reshape(r * n, m * s)
        state = _product(matrix, state.reshape(-1, m * s, done))  # (B * M_rest, r * n, N)
        done *= n
    return state.reshape(samples, -1)


def _product(matrix: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """matrix (O, I) times each of batch (K, I, C): (K, O, C)."""
    if batch.shape[2] == 1:
        return (batch[:, :, 0] @ matrix.T)[:, :, None]
    return matrix @ batch
