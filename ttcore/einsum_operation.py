"""The ordinary operation that a contraction is, where there is one: A.sum(), A.T, A @ B, torch.tensordot(...), ...

Recognized from the structure alone. Each comes as text for torch and for NumPy, and as a function on NumPy arrays; a
test holds the texts and the function to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np

from ttcore.einsum_contraction import Contraction

Apply = Callable[[Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Operation:
    """The same operation as a line of torch and of NumPy, with the tensors named A, B, ...

    apply: carries it out on NumPy arrays. name: what it is called.
    """

    name: str
    torch: str
    numpy: str
    apply: Apply


def operation(contraction: Contraction) -> Operation | None:
    """The operation, or None where only einsum says it in one line."""
    terms, output = contraction.operands, contraction.output
    if len(terms) == 1:
        return _one(terms[0], output)
    if any(len(set(term)) < len(term) for term in terms):
        return None
    if len(terms) == 2:
        return _two(terms[0], terms[1], output)
    return _chain(terms, output)


# ---- a value under construction -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Value:
    """An array with a letter for each axis, as text and as a function. is_sum: stands in brackets before a dot."""

    term: str
    torch: str
    numpy: str
    apply: Apply
    is_sum: bool = False

    def then(self, term: str, torch: str, numpy: str, change: Callable[[np.ndarray], np.ndarray]) -> _Value:
        """What the texts make of this value; {} stands for it."""
        before = self.apply
        return _Value(term, torch.format(self._torch), numpy.format(self._numpy), lambda arrays: change(before(arrays)))

    @property
    def _torch(self) -> str:
        return f"({self.torch})" if self.is_sum else self.torch

    @property
    def _numpy(self) -> str:
        return f"({self.numpy})" if self.is_sum else self.numpy

    def summed(self, output: str) -> _Value:
        """Over every axis that the output does not have."""
        axes = tuple(place for place, letter in enumerate(self.term) if letter not in output)
        if not axes:
            return self
        term = "".join(letter for letter in self.term if letter in output)
        if not term:
            return self.then(term, "{}.sum()", "{}.sum()", np.sum)
        which = str(axes[0]) if len(axes) == 1 else str(axes)
        return self.then(term, f"{{}}.sum(dim={which})", f"{{}}.sum(axis={which})", lambda a: a.sum(axis=axes))

    def permuted(self, output: str) -> _Value:
        """The same axes in another order."""
        if self.term == output:
            return self
        if len(output) == 2:
            return self.then(output, "{}.T", "{}.T", np.transpose)
        order = tuple(self.term.index(letter) for letter in output)
        listed = ", ".join(map(str, order))
        return self.then(
            output, f"{{}}.permute({listed})", f"{{}}.transpose({listed})", lambda a: np.transpose(a, order)
        )

    def named(self, name: str) -> Operation:
        return Operation(name, self.torch, self.numpy, self.apply)


def _tensor(number: int, term: str) -> _Value:
    name = ascii_uppercase[number]
    return _Value(term, name, name, lambda arrays: arrays[number])


def _joined(left: _Value, right: _Value, term: str, sign: str, combine: Callable[..., np.ndarray]) -> _Value:
    """Two values with a sign between them."""
    one, other = left.apply, right.apply
    return _Value(
        term,
        f"{left.torch} {sign} {right.torch}",
        f"{left.numpy} {sign} {right.numpy}",
        lambda arrays: combine(one(arrays), other(arrays)),
        is_sum=True,
    )


def _called(
    left: _Value, right: _Value, term: str, torch: str, numpy: str, combine: Callable[..., np.ndarray]
) -> _Value:
    """A function of two values; the texts hold {a} and {b}."""
    one, other = left.apply, right.apply
    return _Value(
        term,
        torch.format(a=left.torch, b=right.torch),
        numpy.format(a=left.numpy, b=right.numpy),
        lambda arrays: combine(one(arrays), other(arrays)),
    )


# ---- one tensor -----------------------------------------------------------------------------------------------------


def _one(term: str, output: str) -> Operation:
    value = _tensor(0, term)
    if term == output:
        return value.then(term, "{}.clone()", "{}.copy()", np.copy).named("a copy")
    if len(set(term)) == len(term):
        name = "a sum" if len(output) < len(term) else "a transpose" if len(term) == 2 else "a permutation of axes"
        return value.summed(output).permuted(output).named(name)
    if len(term) == 2 and not output:
        return value.then("", "torch.trace({})", "np.trace({})", np.trace).named("the trace")
    while repeated := next((letter for letter in value.term if value.term.count(letter) > 1), ""):
        value = _diagonal(value, repeated)
    name = "a diagonal" if len(output) == len(value.term) else "a sum over diagonals"
    return value.summed(output).permuted(output).named(name)


def _diagonal(value: _Value, letter: str) -> _Value:
    """Two axes of one letter become one, which stands last."""
    first = value.term.index(letter)
    second = value.term.index(letter, first + 1)
    term = value.term[:first] + value.term[first + 1 : second] + value.term[second + 1 :] + letter
    torch, numpy = f", dim1={first}, dim2={second}", f", axis1={first}, axis2={second}"
    if (first, second) == (0, 1):
        torch = numpy = ""
    return value.then(
        term,
        f"torch.diagonal({{}}{torch})",
        f"np.diagonal({{}}{numpy})",
        lambda a: np.diagonal(a, axis1=first, axis2=second),
    )


# ---- two tensors ----------------------------------------------------------------------------------------------------


def _two(left: str, right: str, output: str) -> Operation | None:
    """Neither has a letter twice."""
    if any((letter in left) != (letter in right) and letter not in output for letter in left + right):
        # One of them is to be summed by itself first.
        return None
    a, b = _tensor(0, left), _tensor(1, right)
    batch = "".join(letter for letter in left if letter in right and letter in output)
    summed = "".join(letter for letter in left if letter in right and letter not in output)
    if not batch and not summed:
        return _outer(a, b, output)
    if not output:
        return _inner(a, b)
    product = _matrix_product(a, b, output, batch, summed) or _matrix_product(b, a, output, batch, summed)
    if product is not None:
        return product
    if summed and not batch:
        return _tensordot(a, b, output, summed)
    if not summed:
        return _joined(_spread(a, output), _spread(b, output), output, "*", np.multiply).named(
            "an entrywise product" if set(left) == set(right) else "a product with broadcasting"
        )
    if set(left) <= set(right) or set(right) <= set(left):
        # The entrywise product is no larger than the larger of the two.
        longer = left if len(left) >= len(right) else right
        product_of_entries = _joined(_spread(a, longer), _spread(b, longer), longer, "*", np.multiply)
        return product_of_entries.summed(output).permuted(output).named("a product with broadcasting, then a sum")
    return None


def _outer(a: _Value, b: _Value, output: str) -> Operation:
    if output == b.term + a.term:
        a, b = b, a
    term = a.term + b.term
    if len(a.term) == len(b.term) == 1:
        return _called(a, b, term, "torch.outer({a}, {b})", "np.outer({a}, {b})", np.outer).named("the outer product")
    value = _called(a, b, term, "torch.tensordot({a}, {b}, dims=0)", "np.multiply.outer({a}, {b})", np.multiply.outer)
    return value.permuted(output).named("an outer product")


def _inner(a: _Value, b: _Value) -> Operation:
    if len(a.term) == 1:
        return _called(a, b, "", "torch.dot({a}, {b})", "np.dot({a}, {b})", np.dot).named("the inner product")
    turned = b.permuted(a.term)
    return _joined(a, turned, a.term, "*", np.multiply).summed("").named("an inner product of all entries")


def _matrix_product(a: _Value, b: _Value, output: str, batch: str, summed: str) -> Operation | None:
    """a @ b, each of them transposed where it must be; a vector on either side has one axis."""
    if len(summed) != 1:
        return None
    rows = "".join(letter for letter in a.term if letter not in batch + summed)
    columns = "".join(letter for letter in b.term if letter not in batch + summed)
    if batch:
        if len(rows) != 1 or len(columns) != 1 or output != batch + rows + columns:
            return None
        if a.term[: len(batch)] != batch or b.term[: len(batch)] != batch:
            return None
        left = a if a.term[-1] == summed else _matrix_transpose(a)
        right = b if b.term[-1] == columns else _matrix_transpose(b)
        if len(batch) == 1:
            text = "torch.bmm({a}, {b})", "{a} @ {b}"
            return _called(left, right, output, *text, np.matmul).named("a batched matrix product")
        return _joined(left, right, output, "@", np.matmul).named("a batched matrix product")
    if output != rows + columns or len(columns) > 1:
        return None
    if len(rows) > 1 and a.term != rows + summed:
        # Several rows: the last axis is multiplied, as nn.Linear does.
        return None
    left, right = a.permuted(rows + summed), b.permuted(summed + columns)
    name = {(0, 0): "the inner product", (1, 0): "matrix × vector", (0, 1): "vector × matrix"}
    return _joined(left, right, output, "@", np.matmul).named(name.get((len(rows), len(columns)), "a matrix product"))


def _matrix_transpose(value: _Value) -> _Value:
    term = value.term[:-2] + value.term[-1] + value.term[-2]
    return value.then(term, "{}.mT", "{}.mT", lambda a: np.swapaxes(a, -1, -2))


def _tensordot(a: _Value, b: _Value, output: str, summed: str) -> Operation:
    def free(value: _Value) -> str:
        return "".join(letter for letter in value.term if letter not in summed)

    if output == free(b) + free(a):
        a, b = b, a
    axes = [a.term.index(letter) for letter in summed], [b.term.index(letter) for letter in summed]
    listed = f"({axes[0]}, {axes[1]})"
    value = _called(
        a,
        b,
        free(a) + free(b),
        f"torch.tensordot({{a}}, {{b}}, dims={listed})",
        f"np.tensordot({{a}}, {{b}}, axes={listed})",
        lambda one, other: np.tensordot(one, other, axes=axes),
    )
    name = "a product over one shared axis" if len(summed) == 1 else f"a product over {len(summed)} shared axes"
    return value.permuted(output).named(name)


def _spread(value: _Value, output: str) -> _Value:
    """The axes in the output's order, with an axis of length 1 for each letter that is not there."""
    value = value.permuted("".join(letter for letter in output if letter in value.term))
    places = [letter in value.term for letter in output]
    while places and not places[0]:
        # Broadcasting adds leading axes by itself.
        places.pop(0)
    if all(places):
        return value
    index = ", ".join(":" if there else "None" for there in places)
    key = tuple(slice(None) if there else None for there in places)
    return value.then(output, f"{{}}[{index}]", f"{{}}[{index}]", lambda a: a[key])


# ---- more -----------------------------------------------------------------------------------------------------------


def _chain(terms: Sequence[str], output: str) -> Operation | None:
    """A @ B @ C: matrices, each of which shares one letter with the next; vectors may stand at the ends."""
    joints = [left[-1] for left in terms[:-1]]
    rows, columns = terms[0][:-1], terms[-1][1:]
    inner = all(len(term) == 2 for term in terms[1:-1])
    once = "".join(joints) + rows + columns
    if (
        not inner
        or len(rows) > 1
        or len(columns) > 1
        or any(right[0] != joint for joint, right in zip(joints, terms[1:], strict=True))
        or len(set(once)) < len(once)
        or output != rows + columns
    ):
        return None
    value = _tensor(0, terms[0])
    for number, term in enumerate(terms[1:], 1):
        value = _joined(value, _tensor(number, term), value.term[:-1] + term[1:], "@", np.matmul)
    return value.named("a chain of matrix products")
