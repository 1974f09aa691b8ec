"""Alternating least squares: one core at a time is solved for exactly, the others held, from left to right and back.

All cores left of the one being solved for are left-orthogonal and all right of it right-orthogonal, so that its system
is as well conditioned as the data allow. A ridge on the change of the core keeps ill-conditioned systems solvable
without moving the solution: where the loss has no slope, nothing changes.
Sources: Holtz, Rohwedder & Schneider 2012, "The Alternating Linear Scheme for Tensor Optimization in the Tensor Train
Format"; Navasca, De Lathauwer & Kindermann 2008 for the ridge on the change.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ttcore import ttmatrix
from ttcore.shapes import TTShape
from ttcore.squared_loss import TrainingData
from ttcore.stack import Stack

# Where a system cannot be factorized for want of precision, its ridge grows by this factor, so many times at most.
_MORE_RIDGE, _TRIES = 100.0, 8
# It has converged when no core of two whole sweeps lowers the loss by more than this share.
_TOLERANCE = 1e-9


class AlternatingLeastSquares:
    """The parameters of one run, (1, P). A step solves for one core; a sweep there and back is 2 (d - 1) steps.

    ridge: relative to the mean of the system's diagonal.
    """

    def __init__(self, stack: Stack, starts: Sequence[Tensor], data: TrainingData, ridge: float) -> None:
        self.stack = stack
        self.flat = stack.pack(starts)
        # No core can be changed for the better any more.
        self.converged = False
        self._shape = shape = stack.shape
        # What takes inputs as `TrainingData` lays them out.
        self._padded = TTShape(shape.in_modes, shape.out_modes, shape.ranks, None, shape.out_features)
        self._ridge = ridge
        self._cores = [core[0] for core in stack.cores(self.flat)]
        self._x = data.x.double()
        self._y = data.y.double()
        # A loss this small is rounding alone.
        self._floor = 100 * torch.finfo(self.flat.dtype).eps ** 2 * float(self._y.square().mean())
        self._step = 0
        self._idle = 0
        self._loss: Tensor | None = None

    def losses(self) -> Tensor:
        """The loss of the present parameters, (1,)."""
        if self._loss is None:
            predictions = ttmatrix.apply([core.double() for core in self._cores], self._x, self._padded)
            self._loss = (predictions - self._y).square().mean()
        return self._loss[None]

    def prepare(self, steps: Sequence[int]) -> None:
        """The next core is that of step steps[0], counted from 0."""
        (self._step,) = steps

    def update(self) -> None:
        """Solve for the core whose turn it is, and make it orthogonal on the way to the next."""
        before = float(self.losses()[0])
        k, following = self._turn(self._step), self._turn(self._step + 1)
        cores = [core.double() for core in self._cores]
        if self._step == 0:
            for other in range(len(cores) - 1, 0, -1):
                cores[other - 1], cores[other] = _right_orthogonal(cores[other - 1], cores[other])
        cores[k] = self._solved(cores, k)
        if following > k:
            cores[k], cores[following] = _left_orthogonal(cores[k], cores[following])
        elif following < k:
            cores[following], cores[k] = _right_orthogonal(cores[following], cores[k])
        self._write(cores)
        self._loss = None
        after = float(self.losses()[0])
        self._idle = 0 if before - after > _TOLERANCE * before else self._idle + 1
        self.converged = self._idle >= max(1, 4 * (len(cores) - 1)) or after <= self._floor

    def _write(self, cores: Sequence[Tensor]) -> None:
        for core, value in zip(self._cores, cores, strict=True):
            core.copy_(value)

    def _turn(self, step: int) -> int:
        """Which core a step solves for: 0, 1, .., d-1, d-2, .., 1, and again."""
        period = 2 * (len(self._cores) - 1)
        if period == 0:
            return 0
        place = step % period
        return min(place, period - place)

    def _solved(self, cores: Sequence[Tensor], k: int) -> Tensor:
        """The core k that is best beside the others, (r, m, n, s)."""
        r, m, n, s = cores[k].shape
        design, others = self._design(cores, k)
        n_left, n_right = others
        present = cores[k].permute(0, 1, 3, 2).reshape(-1, n)
        samples = len(self._x)
        size = self._shape.padded_out_features
        if size == self._shape.out_features:
            targets = self._y.view(samples, n_left, n, n_right).transpose(2, 3).reshape(-1, n)
            solution = self._least_squares(design, targets, present)
        else:
            # Surplus outputs are asked nothing; which rows they are depends on the output mode.
            kept = (torch.arange(size, device=self._y.device) < self._shape.out_features).view(n_left, n, n_right)
            targets = torch.nn.functional.pad(self._y, (0, size - self._shape.out_features))
            targets = targets.view(samples, n_left, n, n_right)
            columns = []
            for j in range(n):
                rows = kept[:, j].expand(samples, n_left, n_right).reshape(-1)
                wanted = targets[:, :, j].reshape(-1, 1)[rows]
                columns.append(self._least_squares(design[rows], wanted, present[:, j : j + 1]))
            solution = torch.cat(columns, dim=1)
        return solution.view(r, m, s, n).permute(0, 1, 3, 2)

    def _design(self, cores: Sequence[Tensor], k: int) -> tuple[Tensor, tuple[int, int]]:
        """What the entries of core k at one output mode are multiplied by: (B n_left n_right, r m s)."""
        samples = len(self._x)
        r, m, _, s = cores[k].shape
        left = ttmatrix.join(cores[:k])[0] if k else self._x.new_ones(1, 1, 1)  # (M_left, N_left, r)
        right = ttmatrix.join(cores[k + 1 :])[..., 0] if k + 1 < len(cores) else self._x.new_ones(1, 1, 1)
        m_left, n_left, _ = left.shape
        _, m_right, n_right = right.shape  # (s, M_right, N_right)
        from_left = left.permute(1, 2, 0).reshape(n_left * r, m_left)
        from_right = right.permute(1, 2, 0).reshape(m_right, n_right * s)
        if m_left >= m_right:
            state = from_left @ self._x.view(samples, m_left, m * m_right)
            state = state.view(samples * n_left * r * m, m_right) @ from_right
            state = state.view(samples, n_left, r, m, n_right, s)
        else:
            state = self._x.view(samples * m_left * m, m_right) @ from_right
            state = from_left @ state.view(samples, m_left, m * n_right * s)
            state = state.view(samples, n_left, r, m, n_right, s)
        return state.permute(0, 1, 4, 2, 3, 5).reshape(samples * n_left * n_right, r * m * s), (n_left, n_right)

    def _least_squares(self, design: Tensor, targets: Tensor, present: Tensor) -> Tensor:
        """The solution of |design g - targets|² + ridge |g - present|², from its normal equations."""
        normal = design.T @ design
        right = design.T @ targets
        diagonal = normal.diagonal()
        ridge = self._ridge * float(diagonal.mean())
        if ridge == 0.0:
            return present
        for _ in range(_TRIES):
            shifted = normal.clone()
            shifted.diagonal().add_(ridge)
            factor, failed = torch.linalg.cholesky_ex(shifted)
            if not failed:
                return torch.cholesky_solve(right + ridge * present, factor)
            ridge *= _MORE_RIDGE
        return present

    def changed(self) -> list[Tensor]:
        return [self.flat]

    def state(self, row: int) -> dict[str, Tensor]:
        """What the next step depends on beside the parameters."""
        return {"idle": torch.tensor(self._idle)}

    def load(self, states: Sequence[dict[str, Tensor]]) -> None:
        """Take over what `state` gave."""
        (state,) = states
        self._idle = int(state["idle"]) if state else 0


def _left_orthogonal(core: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
    """The same product of both with the first one's columns, (r m n, s), orthonormal."""
    r, m, n, s = core.shape
    q, rest = torch.linalg.qr(core.reshape(r * m * n, s))
    return q.reshape(r, m, n, -1), torch.tensordot(rest, following, 1)


def _right_orthogonal(before: Tensor, core: Tensor) -> tuple[Tensor, Tensor]:
    """The same product of both with the second one's rows, (r, m n s), orthonormal."""
    r, m, n, s = core.shape
    q, rest = torch.linalg.qr(core.reshape(r, m * n * s).T)
    return torch.tensordot(before, rest.T, 1), q.T.reshape(-1, m, n, s)
