"""The tensor-train matrix: its cores drawn, applied to samples, and multiplied out.

Axes:  B samples;  M, N  a product of input modes m, of output modes n;  r, s  ranks left and right.
Core k is (r, m, n, s). Whatever has been contracted keeps mode 1 as its slowest index.
Source: Oseledets 2011, "Tensor-Train Decomposition"; Novikov et al. 2015, "Tensorizing Neural Networks".
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from ttcore.planning import DeviceClass, Plan, plan_contraction
from ttcore.shapes import TTShape


def initialize(
    shape: TTShape,
    init: str = "unit",
    *,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> list[Tensor]:
    """Draw the cores of a start, core k of shape (r_{k-1}, m_k, n_k, r_k).

    init: "unit": normal draws, each core divided by its Frobenius norm.
          "glorot", "he": normal draws whose dense weight has variance 2 / (in_features + out_features), or
          2 / in_features (Glorot & Bengio 2010; He et al. 2015), at every number of cores and every rank.

    Draws are made on the CPU in float64 and then converted, so a seed means the same start on every device and dtype.
    """
    draws = [torch.randn(core, generator=generator, dtype=torch.float64) for core in shape.core_shapes]
    if init == "unit":
        cores = [draw / torch.linalg.vector_norm(draw) for draw in draws]
    else:
        scale = core_deviation(shape, dense_variance(shape, init))
        cores = [draw * scale for draw in draws]
    return [core.to(device=device, dtype=dtype or torch.get_default_dtype()) for core in cores]


def dense_variance(shape: TTShape, init: str) -> float:
    """The variance that a start asks of the entries of the dense weight."""
    fans = {"glorot": shape.in_features + shape.out_features, "he": shape.in_features}
    return 2 / fans[init]


def core_deviation(shape: TTShape, variance: float) -> float:
    """The standard deviation of core entries that gives the dense weight this variance.

    A dense entry is a sum over all combinations of the inner ranks of products of d independent entries, so its
    variance is (product of the ranks) * deviation ** (2 d).
    """
    return (variance / prod(shape.ranks)) ** (1 / (2 * shape.num_cores))


def apply(cores: Sequence[Tensor], x: Tensor, shape: TTShape, plan: Plan | None = None) -> Tensor:
    """y = x Wᵀ for x of shape (B, in_features): (B, out_features), contracted as planned."""
    if plan is None:
        # Plans hardly change with the batch, so batches share one up to the next power of two.
        samples = 1 << max(0, x.shape[0] - 1).bit_length()
        plan = plan_contraction(shape, samples, training=torch.is_grad_enabled(), device=device_class(x.device))
    if plan.order == "weight":
        cut = len(plan.groups[0])
        return functional.linear(x, _weight(cores, cut)[: shape.out_features, : shape.in_features])
    joined = [join([cores[k] for k in group]) for group in plan.groups]
    if shape.padded_in_features > shape.in_features:
        x = functional.pad(x, (0, shape.padded_in_features - shape.in_features))
    y = _sweep_left(joined, x) if plan.order == "left" else _sweep_right(joined, x)
    return y[:, : shape.out_features]


def device_class(device: torch.device) -> DeviceClass:
    """What the planner needs to know of a device."""
    return "cuda" if device.type == "cuda" else "cpu"


def to_dense(cores: Sequence[Tensor], shape: TTShape) -> Tensor:
    """The dense weight, (out_features, in_features), as nn.Linear means it."""
    weight = cores[0][0, :, :, 0].T if len(cores) == 1 else _weight(cores, len(cores) // 2)
    return weight[: shape.out_features, : shape.in_features]


def join(cores: Sequence[Tensor]) -> Tensor:
    """Neighbouring cores contracted into one core, (r, M, N, s)."""
    joint = cores[0]
    for core in cores[1:]:
        r, M, N, _ = joint.shape
        inner, m, n, s = core.shape
        product = joint.reshape(r * M * N, inner) @ core.reshape(inner, m * n * s)
        joint = product.reshape(r, M, N, m, n, s).permute(0, 1, 3, 2, 4, 5).reshape(r, M * m, N * n, s)
    return joint


def _weight(cores: Sequence[Tensor], cut: int) -> Tensor:
    """The padded dense weight (N, M) from the half-trains left and right of bond `cut`.

    The halves are permuted before they are multiplied, so that the large matrix comes out in order and never is.
    """
    left = join(cores[:cut])[0].permute(1, 0, 2)  # (N_left, M_left, r)
    right = join(cores[cut:])[..., 0].permute(2, 0, 1)  # (N_right, r, M_right)
    weight = left[:, None] @ right[None]  # (N_left, N_right, M_left, M_right)
    n_left, n_right, m_left, m_right = weight.shape
    return weight.reshape(n_left * n_right, m_left * m_right)


def _sweep_left(cores: Sequence[Tensor], x: Tensor) -> Tensor:
    """Contract the data with core after core from the left; no permutation of the data is needed.

    The state is (B * N, r * m, M_rest): outputs done, the open rank with the next input mode, inputs still to come.
    """
    samples = x.shape[0]
    done, rest = 1, x.shape[1]
    state = x
    for core in cores:
        r, m, n, s = core.shape
        rest //= m
        matrix = core.permute(2, 3, 0, 1).reshape(n * s, r * m)
        state = _product(matrix, state.reshape(samples * done, r * m, rest))  # (B * N, n * s, M_rest)
        done *= n
    return state.reshape(samples, done)


def _sweep_right(cores: Sequence[Tensor], x: Tensor) -> Tensor:
    """Contract the data with core after core from the right; the mirror image of `_sweep_left`.

    The state is (B * M_rest, m * s, N): inputs still to come, the next input mode with the open rank, outputs done.
    """
    samples = x.shape[0]
    done, rest = 1, x.shape[1]
    state = x
    for core in reversed(cores):
        r, m, n, s = core.shape
        rest //= m
        matrix = core.permute(0, 2, 1, 3).reshape(r * n, m * s)
        state = _product(matrix, state.reshape(samples * rest, m * s, done))  # (B * M_rest, r * n, N)
        done *= n
    return state.reshape(samples, done)


def _product(matrix: Tensor, batch: Tensor) -> Tensor:
    """matrix (O, I) times each of batch (K, I, C): (K, O, C)."""
    if batch.shape[2] == 1:
        return (batch[:, :, 0] @ matrix.T)[:, :, None]
    if torch.is_grad_enabled():
        return matrix @ batch
    # Quicker, but its backward pass would make a gradient of the matrix for each item of the batch.
    return torch.bmm(matrix.expand(batch.shape[0], *matrix.shape), batch)
