"""The squared loss of stacked tensor-train layers with its gradient in closed form, along a plan. No autograd.

A loss object looks at the cores of R runs, all of one common shape and on the same samples. Called, it returns the R
losses, each the mean of (x Wᵀ - y)² over all samples and outputs, and leaves the gradient in `gradient`, (R, P).

Where steps are short, what is between their products counts: between two passes over the samples little stays in the
caches, Python's own code included. So a loss is a list of calls, fixed when it is made, on tensors that stay where they
are.

Letters:  B samples;  M, N  a product of input modes m, of output modes n;  r, s  ranks left and right.
The gradient of the dense weight is 2/(B N) (x Wᵀ - y)ᵀ x; the chain rule takes it from there back through every
product of the plan (Novikov et al. 2015, section 5). The tests hold it against autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from math import gcd, prod

import torch
from torch import Tensor
from torch.nn import functional

from ttcore.planning import Plan, gradient_by_columns
from ttcore.shapes import TTShape
from ttcore.stack import Stack

# Something to be done at every step.
Call = Callable[[], object]


class TrainingData:
    """The training batch in the forms that the losses want, each made once when it is first asked for.

    x: (B, in_features); y: (B, out_features).
    changing: other samples will be written over those in the attributes x, padded to (B, M), and y: their columns are
        views then, not copies, and the losses must be told by samples_changed(). Not for the plan "gram".
    offset: what is added to the logits of a classifier, (out_features,); None for a regression.
    """

    def __init__(
        self, x: Tensor, y: Tensor, shape: TTShape, changing: bool = False, offset: Tensor | None = None
    ) -> None:
        surplus = shape.padded_in_features - shape.in_features
        self.x = functional.pad(x, (0, surplus)) if surplus else x
        self.y = y
        self.changing = changing
        self.offset = offset

    @cached_property
    def x_columns(self) -> Tensor:
        """xᵀ, (M, B); laid out by features unless the samples change."""
        return self.x.T if self.changing else self.x.T.contiguous()

    @cached_property
    def y_columns(self) -> Tensor:
        """yᵀ, (out_features, B); laid out by outputs unless the samples change."""
        return self.y.T if self.changing else self.y.T.contiguous()

    @cached_property
    def gram(self) -> Tensor:
        """xᵀ x in float64, (M, M): in float32 the loss near a good fit would be off by percents."""
        wide = self.x.double()
        return wide.T @ wide

    @cached_property
    def cross(self) -> Tensor:
        """yᵀ x in float64, (out_features, M)."""
        return self.y.T.double() @ self.x.double()

    @cached_property
    def square(self) -> Tensor:
        """The sum of all y² in float64."""
        return self.y.double().square().sum()


def squared_loss(stack: Stack, flat: Tensor, gradient: Tensor, data: TrainingData, plan: Plan) -> SquaredLoss:
    """The loss object of a plan.

    flat, gradient: (R, P), looked at and written to at every call; they must stay where they are.
    """
    kind = {"weight": WeightLoss, "gram": GramLoss, "left": SweepLoss, "right": SweepLoss}[plan.order]
    return kind(stack, flat, gradient, data, plan)


class SquaredLoss:
    """What all plans have in common."""

    def __init__(self, stack: Stack, flat: Tensor, gradient: Tensor, data: TrainingData, plan: Plan) -> None:
        self.shape = stack.shape
        self.runs = len(stack)
        self.data = data
        self.plan = plan
        self.gradient = gradient
        self.cores = stack.cores(flat)
        self.core_gradients = stack.cores(gradient)
        self.entries = data.y.numel()

    def __call__(self) -> Tensor:
        """The losses, (R,); the gradient is written."""
        raise NotImplementedError

    def samples_changed(self) -> None:
        """Other samples were written over those of the data, which was made for that: take in what is derived."""


class Joint:
    """Neighbouring cores of all runs contracted into one by the calls `forward`; `backward` hands its gradient back.

    value: the joint core after `forward`. It keeps its modes interleaved, (R, r, m, n, m, n, ..., s), so that no
        product needs a permutation.
    gradient: to be filled with the gradient of the joint core before `backward`; of the same shape.
    from_right: the order of the products; from a side with an outer rank of 1 they are the smaller ones.
    """

    def __init__(self, cores: Sequence[Tensor], gradients: Sequence[Tensor], from_right: bool = False) -> None:
        runs, rank, last = cores[0].shape[0], cores[0].shape[1], cores[-1].shape[4]
        modes = [size for core in cores for size in core.shape[2:4]]
        shape = (runs, rank, *modes, last)
        self.forward: list[Call] = []
        self.backward: list[Call] = []
        if len(cores) == 1:
            self.value, self.gradient = cores[0], gradients[0]
            return
        pairs = list(zip(cores, gradients, strict=True))
        flattened = _rows if from_right else _columns
        first, *others = pairs[::-1] if from_right else pairs
        part, part_gradient = map(flattened, first)
        for core, gradient in others:
            if from_right:
                # (R, r m n, s) times (R, s, everything to the right)
                left, right = (_columns(core), _columns(gradient)), (part, part_gradient)
            else:
                # (R, everything to the left, r) times (R, r, m n s)
                left, right = (part, part_gradient), (_rows(core), _rows(gradient))
            result = core.new_empty(runs, left[0].shape[1], right[0].shape[2])
            result_gradient = torch.empty_like(result)
            self.forward.append(partial(torch.bmm, left[0], right[0], out=result))
            self.backward.append(partial(torch.bmm, left[0].transpose(1, 2), result_gradient, out=right[1]))
            self.backward.append(partial(torch.bmm, result_gradient, right[0].transpose(1, 2), out=left[1]))
            rows = (runs, core.shape[1], -1) if from_right else (runs, -1, core.shape[4])
            part, part_gradient = result.view(rows), result_gradient.view(rows)
        self.backward.reverse()
        self.value, self.gradient = part.view(shape), part_gradient.view(shape)


def _rows(core: Tensor) -> Tensor:
    """(R, r, m n s)."""
    return core.view(core.shape[0], core.shape[1], -1)


def _columns(core: Tensor) -> Tensor:
    """(R, r m n, s)."""
    return core.view(core.shape[0], -1, core.shape[4])


class HalfTrains(SquaredLoss):
    """Builds the weight from the half-trains left and right of one bond, and takes its gradient back to the cores.

    The halves are permuted before they are multiplied, so that the large matrix comes out in order and never is.
    parts: the weight is built in so many parts of its inputs, one after the other; a divisor of m_1.
    """

    def __init__(
        self, stack: Stack, flat: Tensor, gradient: Tensor, data: TrainingData, plan: Plan, parts: int = 1
    ) -> None:
        super().__init__(stack, flat, gradient, data, plan)
        cut = len(plan.groups[0])
        self._left = Joint(self.cores[:cut], self.core_gradients[:cut])
        self._right = Joint(self.cores[cut:], self.core_gradients[cut:], from_right=True)
        ins, outs, runs = self.shape.in_modes, self.shape.out_modes, self.runs
        self._m_left, self._m_right = (prod(ins[:cut]), ins[:cut]), (prod(ins[cut:]), ins[cut:])
        self._n_left, self._n_right = (prod(outs[:cut]), outs[:cut]), (prod(outs[cut:]), outs[cut:])
        self._rank = rank = self.shape.ranks[cut - 1]
        (m_left, ms_left), (m_right, ms_right) = self._m_left, self._m_right
        (n_left, ns_left), (n_right, ns_right) = self._n_left, self._n_right

        # Each half, for every block (n_left, n_right) of the weight: a copy from a permuted and expanded view.
        left_copies = flat.new_empty(parts, runs, *ns_left, n_right, ms_left[0] // parts, *ms_left[1:], rank)
        right_copies = flat.new_empty(parts, runs, n_left, *ns_right, rank, *ms_right)
        left_view = _left_view(self._left.value, parts).expand(left_copies.shape)
        right_view = _right_view(self._right.value).expand(right_copies.shape)
        self._left_factor = left_copies.view(-1, m_left // parts, rank)
        self._right_factor = right_copies.view(-1, rank, m_right)
        blocks = flat.new_empty(parts * runs * n_left * n_right, m_left // parts, m_right)
        # (parts, N, M / parts), of one run.
        self.parts = blocks.view(parts, runs * n_left * n_right, -1)
        # Fills `weight_view`, (R, out_features, M), or `parts` from the cores.
        self.build_weight: list[Call] = [
            *self._left.forward,
            *self._right.forward,
            partial(left_copies.copy_, left_view),
            partial(right_copies.copy_, right_view),
            partial(torch.bmm, self._left_factor, self._right_factor, out=blocks),
        ]
        self.weight_view = self.parts[0].view(runs, n_left * n_right, -1)[:, : self.shape.out_features]


def _left_view(joint: Tensor, parts: int) -> Tensor:
    """(R, 1, m, n, ..., r) -> (parts, R, n, ..., 1, m / parts, ..., r)."""
    ins, outs = range(2, joint.dim() - 1, 2), range(3, joint.dim() - 1, 2)
    # Split m_1, the axis 2; those behind it move on by one.
    split = joint.unflatten(2, (parts, joint.shape[2] // parts))
    return split.permute(2, 0, *(n + 1 for n in outs), 1, *(m + 1 for m in ins), joint.dim())


def _right_view(joint: Tensor) -> Tensor:
    """(R, r, m, n, ..., 1) -> (R, 1, n, ..., r, m, ...)."""
    ins, outs = range(2, joint.dim() - 1, 2), range(3, joint.dim() - 1, 2)
    return joint.permute(0, joint.dim() - 1, *outs, 1, *ins)


class _ByRows:
    """The way back from the gradient of stacked weights, (R, N, M), to the cores: block by block."""

    def __init__(self, halves: HalfTrains) -> None:
        runs = halves.runs
        (m_left, ms_left), (m_right, ms_right) = halves._m_left, halves._m_right
        (n_left, ns_left), (n_right, ns_right) = halves._n_left, halves._n_right
        rank = halves._rank
        # Zero in surplus outputs.
        self.weight_gradient = halves.gradient.new_zeros(runs, n_left * n_right, m_left * m_right)
        blocks = self.weight_gradient.view(-1, m_left, m_right)
        left = halves.gradient.new_empty(runs * n_left * n_right, m_left, rank)
        right = halves.gradient.new_empty(runs * n_left * n_right, rank, m_right)
        left_terms = left.view(runs, *ns_left, n_right, *ms_left, rank)
        right_terms = right.view(runs, n_left, *ns_right, rank, *ms_right)
        to_left, to_right = _left_view(halves._left.gradient, 1)[0], _right_view(halves._right.gradient)
        # A sum that is written in order, and then permuted, takes a third of the time of one that is written permuted.
        left_sum, right_sum = (halves.gradient.new_empty(target.shape) for target in (to_left, to_right))
        self.calls: list[Call] = [
            partial(torch.bmm, blocks, halves._right_factor.transpose(1, 2), out=left),
            partial(torch.bmm, halves._left_factor.transpose(1, 2), blocks, out=right),
            partial(torch.sum, left_terms, 1 + len(ns_left), keepdim=True, out=left_sum),
            partial(torch.sum, right_terms, 1, keepdim=True, out=right_sum),
            partial(to_left.copy_, left_sum),
            partial(to_right.copy_, right_sum),
            *halves._left.backward,
            *halves._right.backward,
        ]


class _ByColumns:
    """The way back from the transposed gradient of one run's weight, (M, N), to the cores.

    That layout is the one in which the product with the samples is quickest. Each half is multiplied with all output
    modes of the other at once; the terms that do not belong together are left out by zeros in a constant factor.
    """

    def __init__(self, halves: HalfTrains) -> None:
        (m_left, ms_left), (m_right, ms_right) = halves._m_left, halves._m_right
        (n_left, ns_left), (n_right, ns_right) = halves._n_left, halves._n_right
        rank, outputs = halves._rank, n_left * n_right
        new, zeros = halves.gradient.new_empty, halves.gradient.new_zeros
        # Zero in surplus outputs.
        self.weight_gradient = zeros(m_left * m_right, outputs)
        by_left = self.weight_gradient.view(m_left, m_right * outputs)

        # (m_left; m_right n_left n_right) times (m_right n_left n_right; n_left' r), zero where n_left' is not n_left
        right = zeros(*ms_right, n_left, *ns_right, n_left, rank)
        count = len(ms_right)
        right_core = halves._right.value[0, ..., 0]  # (r, m, n, ...)
        ins, outs = range(1, 2 * count + 1, 2), range(2, 2 * count + 1, 2)
        # (m, ..., n, ..., r, n_left)
        right_blocks = right.diagonal(0, count, 2 * count + 1)
        right_values = right_core.permute(*ins, *outs, 0).unsqueeze(-1).expand(right_blocks.shape)
        right_target = halves._right.gradient[0, ..., 0].permute(*ins, *outs, 0)

        # (m_right n_left n_right; m_left) times (m_left; n_left' r)
        left = new(*ms_left, *ns_left, rank)
        count = len(ms_left)
        left_core = halves._left.value[0, 0]  # (m, n, ..., r)
        ins, outs = range(0, 2 * count, 2), range(1, 2 * count, 2)
        left_values = left_core.permute(*ins, *outs, 2 * count)
        left_target = halves._left.gradient[0, 0].permute(*ins, *outs, 2 * count)
        terms = new(m_right * outputs, n_left * rank)

        # (m_right; n_left n_right n_left' r) times a choice (n_left n_right n_left' r; n_right r) of n_left' = n_left
        chosen = zeros(n_left, n_right, n_left, rank, n_right, rank)
        chosen.diagonal(0, 0, 2).diagonal(0, 0, 2).diagonal(0, 0, 1).fill_(1)
        left_gradient, right_gradient = new(m_left, n_left * rank), new(m_right, n_right * rank)
        self.calls: list[Call] = [
            partial(right_blocks.copy_, right_values),
            partial(left.copy_, left_values),
            partial(torch.mm, by_left, right.view(m_right * outputs, n_left * rank), out=left_gradient),
            partial(torch.mm, by_left.T, left.view(m_left, n_left * rank), out=terms),
            partial(torch.mm, terms.view(m_right, -1), chosen.view(-1, n_right * rank), out=right_gradient),
            partial(left_target.copy_, left_gradient.view(left_target.shape)),
            partial(right_target.copy_, right_gradient.view(right_target.shape)),
            *halves._left.backward,
            *halves._right.backward,
        ]


class WeightLoss(HalfTrains):
    """The weight rebuilt, and two products with the samples: one for the predictions, one for the gradient.

    Both take the samples as xᵀ: a copy laid out the other way would not stay in the cache beside it. One run's products
    are made in parts of the inputs, one for each thread, so that a thread finds its part of xᵀ in its own cache the
    second time. (Both measured on the reference task: a fifth of the products' time.)
    """

    def __init__(self, stack: Stack, flat: Tensor, gradient: Tensor, data: TrainingData, plan: Plan) -> None:
        shape, runs = stack.shape, len(stack)
        cut = len(plan.groups[0])
        halves = prod(shape.out_modes[:cut]), prod(shape.out_modes[cut:])
        by_columns = gradient_by_columns(runs, *halves, shape.ranks[cut - 1])
        parts = gcd(shape.in_modes[0], torch.get_num_threads()) if by_columns and not flat.is_cuda else 1
        super().__init__(stack, flat, gradient, data, plan, parts)
        self._losses = flat.new_empty(runs)
        self._calls = [*self.build_weight, *(self._in_parts(parts) if by_columns else self._at_once())]

    def _in_parts(self, parts: int) -> list[Call]:
        """For one run: the gradient of its weight comes out transposed, part after part."""
        outputs, columns = self.shape.out_features, self.data.x_columns
        back = _ByColumns(self)
        weight, inputs = self.parts[:, :outputs], columns.view(parts, -1, columns.shape[1])
        gradient = back.weight_gradient.view(parts, -1, back.weight_gradient.shape[1])[:, :, :outputs]
        terms = columns.new_empty(parts, outputs, columns.shape[1])
        error = columns.new_empty(terms.shape[1:])
        added = torch.zeros_like(terms)
        self._added = added[:1]
        self._write_added()
        errors = error.T.expand(parts, -1, -1)
        forward, backward = self._scales()
        return [
            partial(torch.baddbmm, added, weight, inputs, alpha=forward, out=terms),
            partial(torch.sum, terms, 0, out=error),
            *self._error_calls(error[None]),
            partial(torch.baddbmm, gradient, inputs, errors, beta=0, alpha=backward, out=gradient),
            *back.calls,
        ]

    def _at_once(self) -> list[Call]:
        """For any number of runs and outputs: all weights are rows of one matrix."""
        runs, outputs, columns = self.runs, self.shape.out_features, self.data.x_columns
        rows = runs * outputs
        back = _ByRows(self)
        whole = back.weight_gradient
        error = columns.new_empty(rows, columns.shape[1])
        added = torch.empty_like(error)
        self._added = added.view(runs, outputs, -1)
        self._write_added()
        # Surplus outputs lie between those of one run and the next: then the products work on copies without them.
        apart = runs > 1 and self.shape.padded_out_features > outputs
        if apart:
            weight, gradient = (columns.new_empty(rows, len(columns)) for _ in range(2))
        else:
            weight, gradient = self.weight_view.reshape(rows, -1), whole.view(-1, whole.shape[2])[:rows]
        forward, backward = self._scales()
        calls: list[Call] = [
            partial(torch.addmm, added, weight, columns, alpha=forward, out=error),
            *self._error_calls(error.view(self._added.shape)),
            partial(torch.addmm, gradient, error, columns.T, beta=0, alpha=backward, out=gradient),
        ]
        if apart:
            calls.insert(0, partial(weight.view(self.weight_view.shape).copy_, self.weight_view))
            calls.append(partial(whole[:, :outputs].copy_, gradient.view(self.weight_view.shape)))
        return [*calls, *back.calls]

    # What makes it the squared loss: W xᵀ times a scale plus `_added` becomes the error, and the error times xᵀ times
    # another scale is the gradient of the weight.

    def _scales(self) -> tuple[float, float]:
        """The error is taken times the first, so that the sum of its squares is the loss."""
        scale = self.entries**-0.5
        return scale, 2 * scale

    def _write_added(self) -> None:
        """Fill `_added`, (R, out_features, B)."""
        self._added.copy_(self.data.y_columns).mul_(-self._scales()[0])

    def _error_calls(self, error: Tensor) -> list[Call]:
        """Write `_losses` from the sums in `error`, (R, out_features, B), and leave the error there."""
        if self.runs == 1:
            return [partial(torch.dot, error.view(-1), error.view(-1), out=self._losses[0])]
        each = error.view(self.runs, -1)
        return [partial(torch.linalg.vecdot, each, each, out=self._losses)]

    def samples_changed(self) -> None:
        self._write_added()

    def __call__(self) -> Tensor:
        for call in self._calls:
            call()
        return self._losses


class GramLoss(HalfTrains):
    """The weight rebuilt, and one product with xᵀx, whose size does not depend on the number of samples. In float64."""

    def __init__(self, stack: Stack, flat: Tensor, gradient: Tensor, data: TrainingData, plan: Plan) -> None:
        super().__init__(stack, flat, gradient, data, plan)
        self._back = _ByRows(self)

    def __call__(self) -> Tensor:
        data = self.data
        for call in self.build_weight:
            call()
        weight = self.weight_view.double()
        product = torch.matmul(weight.reshape(-1, weight.shape[2]), data.gram).view(weight.shape)
        loss = (weight * (product - 2 * data.cross)).sum((1, 2)).add_(data.square).div_(self.entries)
        product.sub_(data.cross).mul_(2 / self.entries)
        self._back.weight_gradient[:, : self.shape.out_features] = product
        for call in self._back.calls:
            call()
        return loss.to(self.gradient.dtype)

    def samples_changed(self) -> None:
        raise NotImplementedError("xᵀx is prepared for samples that stay")


class SweepLoss(SquaredLoss):
    """Sweeps over the data from one side, run after run: what one run holds is let go before the next."""

    def __init__(self, stack: Stack, flat: Tensor, gradient: Tensor, data: TrainingData, plan: Plan) -> None:
        super().__init__(stack, flat, gradient, data, plan)
        self._from_left = plan.order == "left"
        self._sweeps = []
        for run in range(self.runs):
            own = slice(run, run + 1)
            joints = [
                Joint([self.cores[k][own] for k in group], [self.core_gradients[k][own] for k in group])
                for group in plan.groups
            ]
            self._sweeps.append(joints if self._from_left else joints[::-1])

    def __call__(self) -> Tensor:
        return torch.stack([self._one_run(joints) for joints in self._sweeps])

    def _one_run(self, joints: list[Joint]) -> Tensor:
        samples = len(self.data.y)
        rest, done = self.shape.padded_in_features, 1
        state = self.data.x
        tape = []
        for joint in joints:
            matrix, (ins, m, n) = self._matrix(joint)
            rest //= m
            batch, columns = (samples * done, rest) if self._from_left else (samples * rest, done)
            given = state.view(batch, ins, columns)
            state = _product(matrix, given)
            tape.append((matrix, given))
            done *= n
        loss, gradient = self._loss_and_gradient(state.reshape(samples, done))
        for joint, (matrix, given) in reversed(list(zip(joints, tape, strict=True))):
            gradient = gradient.view(given.shape[0], matrix.shape[0], given.shape[2])
            self._take_back(joint, _outer(gradient, given))
            if joint is not joints[0]:
                gradient = _product(matrix.T, gradient)
        return loss

    def _loss_and_gradient(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a run, and its gradient by the run's outputs, (B, N), zero in surplus ones."""
        wanted = self.shape.out_features
        error = outputs
        if outputs.shape[1] > wanted:
            error = outputs.clone()
            error[:, wanted:] = 0
        error[:, :wanted] -= self.data.y
        return error.square().sum().div_(self.entries), error.mul_(2 / self.entries)

    def _matrix(self, joint: Joint) -> tuple[Tensor, tuple[int, int, int]]:
        """The joint core as the matrix that the sweep multiplies by: (n s, r m) from the left, (r n, m s) else."""
        for call in joint.forward:
            call()
        core = joint.value[0]
        order, (r, m, n, s) = self._order(joint)
        ins, outs = (r * m, n * s) if self._from_left else (m * s, r * n)
        return core.permute(order).reshape(outs, ins), (ins, m, n)

    def _take_back(self, joint: Joint, gradient: Tensor) -> None:
        order, _ = self._order(joint)
        target = joint.gradient[0].permute(order)
        target.copy_(gradient.view(target.shape))
        for call in joint.backward:
            call()

    def _order(self, joint: Joint) -> tuple[tuple[int, ...], tuple[int, int, int, int]]:
        """Axes of (r, m, n, m, n, ..., s) in the matrix's order, and the sizes r, M, N, s."""
        _, r, *modes, s = joint.value.shape
        ins, outs = range(1, len(modes) + 1, 2), range(2, len(modes) + 1, 2)
        last = len(modes) + 1
        order = (*outs, last, 0, *ins) if self._from_left else (0, *outs, *ins, last)
        return order, (r, prod(modes[::2]), prod(modes[1::2]), s)


def _product(matrix: Tensor, batch: Tensor) -> Tensor:
    """matrix (O, I) times each of batch (K, I, C): (K, O, C), contiguous."""
    if batch.shape[2] == 1:
        return (batch[:, :, 0] @ matrix.T)[:, :, None]
    return torch.bmm(matrix.expand(batch.shape[0], *matrix.shape), batch)


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """The sum over the batch of left (K, O, C) times right (K, I, C) transposed: (O, I)."""
    rows, columns = (side.transpose(0, 1).reshape(side.shape[1], -1) for side in (left, right))
    return rows @ columns.T
