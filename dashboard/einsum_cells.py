"""Small tensors as the entries that a page draws one by one. Arrays in, plain data out; no streamlit."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from ttcore.einsum_check import Comparison
from ttcore.einsum_contraction import Contraction

MAX_SIDE = 12
MAX_SLICES = 6
MAX_CELLS = 800


def are_small(contraction: Contraction) -> bool:
    """Whether every tensor and the result have room on a page: matrices up to 12 x 12, or a few slices of them."""
    shapes = [*contraction.shapes, contraction.result_shape]
    return (
        len(shapes) <= 5
        and all(len(shape) <= 3 and all(size <= MAX_SIDE for size in shape) for shape in shapes)
        and all(shape[0] <= MAX_SLICES for shape in shapes if len(shape) == 3)
        and sum(map(prod, shapes)) <= MAX_CELLS
    )


def cells(contraction: Contraction, comparison: Comparison, colours: Mapping[str, str]) -> dict[str, Any] | None:
    """What the component draws, or None where the tensors are too large or there is no result."""
    result = comparison.result
    if result is None or not are_small(contraction):
        return None
    tensors = [
        _tensor(name, term, tensor, _is_row(contraction, place))
        for place, (name, term, tensor) in enumerate(
            zip(contraction.names, contraction.operands, comparison.tensors, strict=True)
        )
    ]
    return {
        "tensors": tensors,
        "result": _tensor(contraction.result_name, contraction.output, result, _is_result_row(contraction)),
        "sizes": dict(contraction.sizes),
        "summed": contraction.summed,
        "colours": dict(colours),
    }


def _tensor(name: str, term: str, values: np.ndarray, row: bool) -> dict[str, Any]:
    flat = [float(value) for value in np.asarray(values).reshape(-1)]
    return {
        "name": name,
        "term": term,
        "shape": list(values.shape),
        "values": flat,
        "texts": [written(value) for value in flat],
        "row": row,
    }


def written(value: float) -> str:
    """-3 as it is, 0.7071 as 0.71: as much as a small cell holds."""
    if value == round(value) and abs(value) < 1e5:
        return f"{round(value)}".replace("-", "−")
    digits = f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 999.95 else f"{value:.1e}"
    return digits.replace("-", "−")


def _is_row(contraction: Contraction, place: int) -> bool:
    """Whether a vector lies: the other vector of an outer product does, all others stand."""
    term = contraction.operands[place]
    return len(term) == 1 and len(contraction.output) > 1 and contraction.output[-1] == term


def _is_result_row(contraction: Contraction) -> bool:
    """A vector that is left of a matrix's columns lies, below them so to say."""
    output = contraction.output
    return any(len(term) > 1 and term[-1] == output and term.count(output) == 1 for term in contraction.operands)
