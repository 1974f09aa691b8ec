"""Adam and SGD for stacked runs: one gradient and one update for all of them, each with a rate of its own.

Sources: Kingma & Ba 2015, "Adam", algorithm 1, with torch.optim.Adam's defaults; SGD with momentum as torch.optim.SGD
means it; weight decay as torch.optim.AdamW does it, apart from the gradient (Loshchilov & Hutter 2019). All are held
against torch's own in the tests. Written here because torch's take one rate for all parameters of a call, and cost as
much as the small products of a step together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from ttcore.config import TrainConfig
from ttcore.losses import training_loss
from ttcore.planning import Plan
from ttcore.squared_loss import TrainingData
from ttcore.stack import Stack

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
# Rates are brought to the device for so many steps at once.
STEPS_AHEAD = 64


class FirstOrder:
    """The parameters of a stack, (R, P), and their update by the gradient.

    configs: one for each run, all of one optimizer. starts: each run's own parameters in one vector.
    on_device: steps are counted on the device too, so that `losses` and `update` can be recorded as one CUDA graph.
    """

    # An update never finds that it cannot go on.
    converged = False

    def __init__(
        self,
        configs: Sequence[TrainConfig],
        stack: Stack,
        starts: Sequence[Tensor],
        data: TrainingData,
        plan: Plan,
        on_device: bool = False,
    ) -> None:
        self.stack = stack
        self.flat = stack.pack(starts)
        self._configs = list(configs)
        self._adam = configs[0].optimizer == "adam"
        # Adam's moments are means of the gradient and of its square; both pairs lie together for one update.
        self._powers, averages = (self.flat.new_zeros(2, *self.flat.shape) for _ in range(2))
        self._first = averages[0]
        self._gradient = self._powers[0]
        self._moments = dict(zip(_ADAM if self._adam else _SGD, averages, strict=False))
        weights = self.flat.new_tensor([1 - _BETA1, 1 - _BETA2])[:, None, None]
        self._scratch = torch.empty_like(self.flat), torch.empty_like(self.flat)
        self._averaging = [
            partial(torch.mul, self._gradient, self._gradient, out=self._powers[1]),
            partial(averages.lerp_, self._powers, weights),
            partial(torch.sqrt, averages[1], out=self._scratch[1]),
        ]
        self._loss = training_loss(stack, self.flat, self._gradient, data, plan)
        self._momentum = self._column([config.momentum for config in configs])
        self._decays = any(config.weight_decay for config in configs)
        # Three factors for each step ahead and each run; which of them come next is counted where the update runs.
        self._factors = self.flat.new_zeros(STEPS_AHEAD, len(stack), 3)
        self._by_step = [factors[:, :, None].unbind(1) for factors in self._factors]
        self._place = STEPS_AHEAD
        self._expected: list[int] = []
        self._on_device = on_device
        self._now = self.flat.new_zeros(1, len(stack), 3)
        self._next = torch.zeros(1, dtype=torch.int64, device=self.flat.device)

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=self.flat.dtype, device=self.flat.device)[:, None]

    def losses(self) -> Tensor:
        """The losses of the present parameters, (R,); the gradient is kept for `update`."""
        return self._loss()

    def samples_changed(self) -> None:
        """Other samples stand in the training data now."""
        self._loss.samples_changed()

    def prepare(self, steps: Sequence[int]) -> None:
        """The next update is number steps[run] of each run, counted from 0.

        With `on_device` so are those that follow: call it again after STEPS_AHEAD of them at the latest.
        """
        if not self._on_device and steps == self._expected and self._place < STEPS_AHEAD:
            self._expected = [step + 1 for step in steps]
            return
        rows = [
            [_factors(config, step + ahead) for config, step in zip(self._configs, steps, strict=True)]
            for ahead in range(STEPS_AHEAD)
        ]
        self._factors.copy_(torch.tensor(rows, dtype=torch.float64))
        self._next.zero_()
        self._place = 0
        self._expected = [step + 1 for step in steps]

    def update(self) -> None:
        """One update of all runs."""
        if self._on_device:
            torch.index_select(self._factors, 0, self._next, out=self._now)
            self._next.add_(1)
            rate, offset, kept = self._now[0, :, :, None].unbind(1)
        else:
            rate, offset, kept = self._by_step[self._place]
            self._place += 1
        if self._decays:
            self.flat.mul_(kept)
        if self._adam:
            for call in self._averaging:
                call()
            step, divisor = self._scratch
            divisor.add_(offset)
            torch.mul(self._first, rate, out=step)
            self.flat.addcdiv_(step, divisor, value=-1)
        else:
            buffer = self._moments["momentum_buffer"]
            buffer.mul_(self._momentum).add_(self._gradient)
            torch.mul(buffer, rate, out=self._scratch[0])
            self.flat.sub_(self._scratch[0])

    def changed(self) -> list[Tensor]:
        """Everything that an update writes and the next one reads."""
        return [self.flat, *self._moments.values(), self._next]

    def kept(self, rows: Sequence[int], stack: Stack, data: TrainingData, plan: Plan) -> FirstOrder:
        """The same for some of the runs, after `losses`: their update may follow."""
        vectors = [self.stack.own_parameters(self.flat, row) for row in rows]
        configs = [self._configs[row] for row in rows]
        fewer = FirstOrder(configs, stack, vectors, data, plan, self._on_device)
        pairs = [(self._gradient, fewer._gradient)]
        pairs += [(self._moments[name], fewer._moments[name]) for name in self._moments]
        for old, new in pairs:
            new.copy_(stack.pack([self.stack.own_parameters(old, row) for row in rows]))
        return fewer

    def state(self, row: int) -> dict[str, Tensor]:
        """What the next update depends on beside the parameters."""
        return {name: self.stack.own_parameters(moment, row) for name, moment in self._moments.items()}

    def load(self, states: Sequence[dict[str, Tensor]]) -> None:
        """Take over what `state` gave, one for each run; an empty one leaves a run at its start."""
        for name, moment in self._moments.items():
            own = [self.stack.own_parameters(moment, row) for row in range(len(self.stack))]
            moment.copy_(self.stack.pack([state.get(name, zero) for state, zero in zip(states, own, strict=True)]))


_ADAM, _SGD = ("exp_avg", "exp_avg_sq"), ("momentum_buffer",)


def _factors(config: TrainConfig, step: int) -> tuple[float, float, float]:
    """What an update multiplies the first moment by, adds to the root of the second one, and keeps of the parameters.

    Both bias corrections of Adam, which belong to the moments, are drawn into these two.
    """
    rate = config.rate(step)
    kept = 1 - rate * config.weight_decay
    if config.optimizer != "adam":
        return rate, 0.0, kept
    root = math.sqrt(1 - _BETA2 ** (step + 1))
    return rate * root / (1 - _BETA1 ** (step + 1)), _EPSILON * root, kept
