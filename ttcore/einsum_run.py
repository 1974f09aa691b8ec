"""A contraction carried out: by explicit loops, and pair by pair with NumPy. Arrays in, an array out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

import numpy as np

from ttcore.einsum_contraction import Contraction
from ttcore.einsum_path import Path

# Each tensor with so few entries is drawn as whole numbers from -3 to 3, which a reader can check by hand.
MAX_WHOLE = 64


def draw(contraction: Contraction, seed: int) -> tuple[np.ndarray, ...]:
    """Random tensors of these shapes in float64: small whole numbers for small tensors, else standard-normal."""
    rng = np.random.default_rng(seed)
    return tuple(
        rng.integers(-3, 4, shape).astype(np.float64) if prod(shape) <= MAX_WHOLE else rng.standard_normal(shape)
        for shape in contraction.shapes
    )


def by_loops(contraction: Contraction, tensors: Sequence[np.ndarray]) -> np.ndarray:
    """One loop for each letter, on plain numbers: what the notation means, word for word.

    The caller bounds contraction.steps: this takes about a microsecond for each.
    """
    flat = [tensor.reshape(-1).tolist() for tensor in tensors]
    places = [_strides(term, contraction) for term in contraction.operands]
    target = _strides(contraction.output, contraction)
    result = [0.0] * prod(contraction.result_shape)
    letters = contraction.letters

    def loop(depth: int, at: list[int], to: int) -> None:
        if depth == len(letters):
            product = 1.0
            for values, place in zip(flat, at, strict=True):
                product *= values[place]
            result[to] += product
            return
        letter = letters[depth]
        ahead = [place.get(letter, 0) for place in places]
        forward = target.get(letter, 0)
        for value in range(contraction.sizes[letter]):
            loop(
                depth + 1,
                [place + value * stride for place, stride in zip(at, ahead, strict=True)],
                to + value * forward,
            )

    loop(0, [0] * len(flat), 0)
    return np.array(result).reshape(contraction.result_shape)


def _strides(term: str, contraction: Contraction) -> dict[str, int]:
    """How far apart two neighbours along a letter are in a flattened array; a letter that occurs twice adds up."""
    sizes = [contraction.sizes[letter] for letter in term]
    apart = list(accumulate(reversed(sizes[1:]), lambda a, b: a * b, initial=1))[::-1]
    strides: dict[str, int] = {}
    for letter, stride in zip(term, apart, strict=False):
        strides[letter] = strides.get(letter, 0) + stride
    return strides


def by_pairs(path: Path, tensors: Sequence[np.ndarray]) -> np.ndarray:
    """Step by step, each pair as one batched matrix product."""
    held = dict(enumerate(tensors))
    for number, step in enumerate(path.steps, len(tensors)):
        taken = [held.pop(key) for key in step.taken]
        if len(taken) == 1:
            held[number] = _alone(taken[0], step.terms[0], step.result)
        else:
            held[number] = _product(taken[0], step.terms[0], taken[1], step.terms[1], step.result)
    (result,) = held.values()
    return result


def _alone(tensor: np.ndarray, term: str, result: str) -> np.ndarray:
    """Diagonals of letters that occur twice, then sums over those that go."""
    while repeated := next((letter for letter in term if term.count(letter) > 1), ""):
        first = term.index(repeated)
        second = term.index(repeated, first + 1)
        tensor = np.diagonal(tensor, axis1=first, axis2=second)
        term = term[:first] + term[first + 1 : second] + term[second + 1 :] + repeated
    tensor = tensor.sum(axis=tuple(place for place, letter in enumerate(term) if letter not in result))
    term = "".join(letter for letter in term if letter in result)
    return np.transpose(tensor, [term.index(letter) for letter in result])


def _product(left: np.ndarray, left_term: str, right: np.ndarray, right_term: str, result: str) -> np.ndarray:
    """(batch, rows, summed) times (batch, summed, columns); a letter of one of the two alone is in the result."""
    shared = [letter for letter in left_term if letter in right_term]
    batch = "".join(letter for letter in shared if letter in result)
    summed = "".join(letter for letter in shared if letter not in result)
    rows = "".join(letter for letter in left_term if letter not in right_term)
    columns = "".join(letter for letter in right_term if letter not in left_term)
    sizes = dict(zip(left_term + right_term, left.shape + right.shape, strict=True))

    def laid_out(tensor: np.ndarray, term: str, *parts: str) -> np.ndarray:
        turned = np.transpose(tensor, [term.index(letter) for letter in "".join(parts)])
        return turned.reshape([prod(sizes[letter] for letter in part) for part in parts])

    product = laid_out(left, left_term, batch, rows, summed) @ laid_out(right, right_term, batch, summed, columns)
    term = batch + rows + columns
    unfolded = product.reshape([sizes[letter] for letter in term])
    return np.transpose(unfolded, [term.index(letter) for letter in result])
