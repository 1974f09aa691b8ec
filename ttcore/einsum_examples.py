"""Contractions to start from: ordinary operations in another notation, and the layer that all this is about."""

from __future__ import annotations

from typing import NamedTuple

from ttcore.einsum_contraction import show_shapes
from ttcore.einsum_layer import fitting_samples, layer_contraction
from ttcore.shapes import TTShape

REFERENCE = TTShape((8, 8, 8, 8), (2, 2, 2, 2), 8)
# The training samples of the reference task.
SAMPLES = 256
# The examples that are a tensor-train layer: the published one, and the one that the Train page has now.
TT_LAYER, TRAIN_LAYER = "tt-layer", "train-layer"


class Example(NamedTuple):
    """What a person picks, and what stands in the two fields then."""

    title: str
    expression: str
    shapes: str


def layer_example(title: str, shape: TTShape) -> Example:
    contraction = layer_contraction(shape, fitting_samples(shape, SAMPLES))
    return Example(title, contraction.expression, show_shapes(contraction.shapes))


EXAMPLES: dict[str, Example] = {
    "sum": Example("Sum of all entries", "ij->", "4x3"),
    "row-sums": Example("Row sums", "ij->i", "4x3"),
    "column-sums": Example("Column sums", "ij->j", "4x3"),
    "inner": Example("Inner product", "i,i->", "5, 5"),
    "outer": Example("Outer product", "i,j->ij", "4, 5"),
    "matrix-vector": Example("Matrix × vector", "ij,j->i", "4x3, 3"),
    "matrix-matrix": Example("Matrix × matrix", "ij,jk->ik", "4x3, 3x5"),
    "two-axes": Example("Over two shared axes", "ijk,ikl->jl", "5x10x7, 5x7x2"),
    "transpose": Example("Transpose", "ij->ji", "4x3"),
    "trace": Example("Trace", "ii->", "4x4"),
    "diagonal": Example("Diagonal", "ii->i", "4x4"),
    "batched": Example("Batched matrix product", "bij,bjk->bik", "3x2x4, 3x4x3"),
    TT_LAYER: layer_example("The reference TT layer", REFERENCE),
}
FIRST = "matrix-matrix"
TRAIN_TITLE = "The layer of the Train page"
