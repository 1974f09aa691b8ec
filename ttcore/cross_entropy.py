"""The cross-entropy of stacked tensor-train layers that classify, with its gradient in closed form, along a plan.

As ttcore.squared_loss, with another error: the logits are z = x Wᵀ + offset, the loss of a run is the mean over the
samples of -log softmax(z) at the sample's class, and its gradient by z is (softmax(z) - y) / B with y one-hot. The
offset is a constant; only W is trained. Surplus outputs take no part.

Letters:  B samples;  R runs;  C classes, out_features;  N  C with the surplus outputs;  P  parameters of a run.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ttcore.planning import Plan
from ttcore.squared_loss import Call, SquaredLoss, SweepLoss, TrainingData, WeightLoss
from ttcore.stack import Stack


def cross_entropy(
    stack: Stack, flat: Tensor, gradient: Tensor, data: TrainingData, plan: Plan, offset: Tensor
) -> SquaredLoss:
    """The loss object of a plan, to be used as one of squared_loss; no plan "gram".

    flat, gradient: (R, P), looked at and written to at every call; they must stay where they are.
    data: y is one-hot, (B, C). Nothing derived from the samples is kept between calls.
    offset: (C,).
    """
    kinds = {"weight": _OverWeight, "left": _OverSweep, "right": _OverSweep}
    assert plan.order in kinds, "xᵀx does not determine the cross-entropy"
    return kinds[plan.order](stack, flat, gradient, data, plan, offset)


class _OverWeight(WeightLoss):
    """`_added` is the offset, so that the sums are the logits; the error is softmax(z) - y."""

    def __init__(
        self, stack: Stack, flat: Tensor, gradient: Tensor, data: TrainingData, plan: Plan, offset: Tensor
    ) -> None:
        self._offset = offset
        super().__init__(stack, flat, gradient, data, plan)

    def _scales(self) -> tuple[float, float]:
        return 1, 1 / len(self.data.y)

    def _write_added(self) -> None:
        self._added.copy_(self._offset[:, None])

    def _error_calls(self, error: Tensor) -> list[Call]:
        y, logarithms, terms = self.data.y_columns, torch.empty_like(error), torch.empty_like(error)
        return [
            partial(torch.log_softmax, error, 1, out=logarithms),
            partial(torch.addcmul, error.new_zeros(1), logarithms, y, value=-1 / len(self.data.y), out=terms),
            partial(torch.sum, terms, (1, 2), out=self._losses),
            partial(torch.exp, logarithms, out=error),
            partial(error.sub_, y),
        ]

    def samples_changed(self) -> None:
        """The offset is a constant."""


class _OverSweep(SweepLoss):
    def __init__(
        self, stack: Stack, flat: Tensor, gradient: Tensor, data: TrainingData, plan: Plan, offset: Tensor
    ) -> None:
        super().__init__(stack, flat, gradient, data, plan)
        self._offset = offset.to(flat)

    def _loss_and_gradient(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        y = self.data.y
        classes, scale = y.shape[1], 1 / len(y)
        logarithms = torch.log_softmax(outputs[:, :classes] + self._offset, 1)
        gradient = torch.zeros_like(outputs)
        gradient[:, :classes] = logarithms.exp().sub_(y).mul_(scale)
        # The sum is never positive; a loss of zero has no sign.
        return logarithms.mul_(y).sum().abs_().mul_(scale), gradient
