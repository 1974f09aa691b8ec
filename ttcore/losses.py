"""The loss that training lowers: of the targets' kind, along a plan."""

from __future__ import annotations

from torch import Tensor

from ttcore.cross_entropy import cross_entropy
from ttcore.planning import Plan
from ttcore.squared_loss import SquaredLoss, TrainingData, squared_loss
from ttcore.stack import Stack


def training_loss(stack: Stack, flat: Tensor, gradient: Tensor, data: TrainingData, plan: Plan) -> SquaredLoss:
    """The cross-entropy where the data have an offset for their logits, else the squared loss; see squared_loss."""
    if data.offset is None:
        return squared_loss(stack, flat, gradient, data, plan)
    return cross_entropy(stack, flat, gradient, data, plan, data.offset)
