"""L-BFGS for one run: torch's own, one iteration for a step, with what it remembers as plain tensors.

Source: Nocedal & Wright 2006, "Numerical Optimization", algorithms 7.4 and 3.5 (strong Wolfe line search).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ttcore.losses import training_loss
from ttcore.planning import LBFGS_HISTORY, Plan
from ttcore.squared_loss import TrainingData
from ttcore.stack import Stack

# Evaluations in one line search at most.
_MAX_EVALUATIONS = 25
_LISTS = ("old_dirs", "old_stps", "ro")
_TENSORS = ("d", "H_diag", "prev_flat_grad")
_NUMBERS = ("t", "prev_loss", "n_iter", "func_evals")


class LBFGS:
    """The parameters of one run, (1, P), and their update by a line search along the quasi-Newton direction."""

    def __init__(self, stack: Stack, starts: Sequence[Tensor], data: TrainingData, plan: Plan) -> None:
        self.stack = stack
        self.flat = stack.pack(starts)
        # No step led to a lower loss any more.
        self.converged = False
        self._gradient = torch.zeros_like(self.flat)
        self._loss = training_loss(stack, self.flat, self._gradient, data, plan)
        self._optimizer = torch.optim.LBFGS(
            [self.flat],
            lr=1.0,
            max_iter=1,
            max_eval=_MAX_EVALUATIONS,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            history_size=LBFGS_HISTORY,
            line_search_fn="strong_wolfe",
        )
        self.flat.grad = self._gradient
        # Parameters, loss and gradient of what has been evaluated since the last step, which the next one starts from.
        self._evaluated: list[tuple[Tensor, Tensor, Tensor]] = []

    def losses(self) -> Tensor:
        """The loss of the present parameters, (1,)."""
        return self._evaluate()

    def prepare(self, steps: Sequence[int]) -> None:
        """Nothing depends on the number of the step."""

    def update(self) -> None:
        """One iteration."""
        before = self.flat.clone()
        self._optimizer.step(lambda: self._evaluate()[0])
        self.converged = bool(torch.equal(before, self.flat))

    def _evaluate(self) -> Tensor:
        for parameters, loss, gradient in self._evaluated:
            if torch.equal(parameters, self.flat):
                self._gradient.copy_(gradient)
                self._evaluated = [(parameters, loss, gradient)]
                return loss
        loss = self._loss()
        self._evaluated.append((self.flat.clone(), loss.clone(), self._gradient.clone()))
        return loss

    def changed(self) -> list[Tensor]:
        return [self.flat]

    @property
    def _memory(self) -> dict[str, Any]:
        return self._optimizer.state[self.flat]

    def state(self, row: int) -> dict[str, Tensor]:
        """What the next iteration depends on beside the parameters."""
        memory = self._memory
        if not memory or "d" not in memory:
            return {}
        kept = {name: torch.as_tensor(memory[name]) for name in _TENSORS}
        # Step lengths and losses are Python numbers or tensors, whichever torch left there.
        kept |= {name: torch.tensor(float(memory[name]), dtype=torch.float64) for name in _NUMBERS}
        if memory["old_dirs"]:
            kept |= {name: torch.stack(list(memory[name])) for name in _LISTS}
        return kept

    def load(self, states: Sequence[dict[str, Tensor]]) -> None:
        """Take over what `state` gave."""
        (state,) = states
        if not state:
            return
        memory = self._memory
        memory |= {name: state[name] for name in _TENSORS}
        memory |= {name: state[name].item() for name in _NUMBERS}
        memory |= {name: int(memory[name]) for name in ("n_iter", "func_evals")}
        memory |= {name: list(state[name]) if name in state else [] for name in _LISTS}
