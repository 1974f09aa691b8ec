"""A tensor-train layer as one contraction, and what it costs beside the dense product x Wᵀ. Integers only.

Letters: b samples, then for each core an input letter, an output letter, and the bond to the next core; the cores
follow each other left to right, and x comes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from ttcore.checks import show
from ttcore.einsum_contraction import MAX_ENTRIES, MAX_TENSORS, Contraction
from ttcore.errors import InputError
from ttcore.planning import Plan, candidates
from ttcore.shapes import TTShape, replace_ranks

MAX_LAYER_CORES = MAX_TENSORS - 1
# So many ranks at most are weighed for a picture.
_RANKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


def layer_contraction(shape: TTShape, samples: int) -> Contraction:
    """x (samples, m_1, ..., m_d) with the d cores to (samples, n_1, ..., n_d); the outer ranks of 1 are left out.

    Padded sizes: the modes as they are. Raises InputError for more cores than the page handles.
    """
    cores = shape.num_cores
    if cores > MAX_LAYER_CORES:
        raise InputError(
            f"the layer with in_modes {show(shape.in_modes)} has {cores} cores, and {MAX_LAYER_CORES} fit beside the "
            "input; use fewer modes",
            "in_modes",
        )
    if cores <= 4:
        inputs, outputs, bonds = "ijkl"[:cores], "opqr"[:cores], "xyz"[: cores - 1]
    else:
        inputs = "ijklmnopqrstuvw"[:cores]
        outputs, bonds = inputs.upper(), "xyzacdefghXYZA"[: cores - 1]
    edges = ["", *bonds, ""]
    terms = [edges[k] + inputs[k] + outputs[k] + edges[k + 1] for k in range(cores)]
    shapes = []
    for k, (left, m, n, right) in enumerate(shape.core_shapes):
        shapes.append((*(() if k == 0 else (left,)), m, n, *(() if k == cores - 1 else (right,))))
    return Contraction(("b" + inputs, *terms), "b" + outputs, ((samples, *shape.in_modes), *shapes))


def fitting_samples(shape: TTShape, wanted: int) -> int:
    """The largest of wanted, wanted / 2, ... with which the layer's tensors are not too many entries; at least 1."""
    samples = wanted
    while samples > 1:
        entries = samples * (prod(shape.in_modes) + prod(shape.out_modes)) + shape.num_parameters
        if entries <= MAX_ENTRIES:
            break
        samples //= 2
    return samples


def as_layer(contraction: Contraction) -> tuple[TTShape, int] | None:
    """The tensor-train layer that this contraction is, and its number of samples; None if it is none.

    The first tensor is the input and the others are the cores from left to right, two or more; letters and the order of
    axes do not matter.
    """
    data, *cores = contraction.operands
    if len(cores) < 2 or any(len(set(term)) < len(term) for term in contraction.operands):
        return None
    output = contraction.output
    if any("".join(contraction.operands).count(letter) > 2 for letter in contraction.sizes):
        return None
    bonds = ["".join(letter for letter in left if letter in right) for left, right in pairwise(cores)]
    if any(len(bond) != 1 or bond in output for bond in bonds):
        return None
    in_modes, out_modes, used = [], [], set("".join(bonds))
    for number, core in enumerate(cores):
        own = set(bonds[max(number - 1, 0) : number + 1])
        inputs = [letter for letter in core if letter in data and letter not in output]
        outputs = [letter for letter in core if letter not in data and letter in output]
        if len(inputs) != 1 or len(outputs) != 1 or set(core) != {*own, *inputs, *outputs}:
            return None
        in_modes.append(contraction.sizes[inputs[0]])
        out_modes.append(contraction.sizes[outputs[0]])
        used |= {*inputs, *outputs}
    batch = [letter for letter in data if letter not in used]
    if any(letter not in output for letter in batch):
        return None
    ranks = tuple(contraction.sizes[bond] for bond in bonds)
    return TTShape(in_modes, out_modes, ranks), contraction.entries("".join(batch))


@dataclass(frozen=True)
class Line:
    """FLOPs of one way to apply a layer: fixed + each x samples."""

    fixed: int
    each: int

    def at(self, samples: int) -> int:
        return self.fixed + self.each * samples


@dataclass(frozen=True)
class Costs:
    """FLOPs of the three ways, as lines in the number of samples.

    dense: x Wᵀ with W at hand. sweep: x with core after core, from the cheaper side. rebuild: W from its cores, then
    x Wᵀ. Counted by ttcore.planning.
    """

    dense: Line
    sweep: Line
    rebuild: Line

    @property
    def crossing(self) -> int | None:
        """The number of samples from which on rebuilding W is cheaper than sweeping; None if it never is."""
        return _crossing(self.rebuild, self.sweep)

    @property
    def dense_crossing(self) -> int | None:
        """The number of samples from which on x Wᵀ itself is cheaper than sweeping; None if it never is."""
        return _crossing(self.dense, self.sweep)


def layer_costs(shape: TTShape) -> Costs:
    # Every way's FLOPs are a line in the number of samples, so two points tell all.
    one, two = _flops_by_way(candidates(shape, 1)), _flops_by_way(candidates(shape, 2))
    lines = {way: Line(2 * flops - two[way], two[way] - flops) for way, flops in one.items()}
    sweeps = [line for (order, _), line in lines.items() if order != "weight"]
    rebuilds = [line for (order, _), line in lines.items() if order == "weight"]
    return Costs(
        dense=Line(0, 2 * shape.dense_parameters),
        sweep=min(sweeps, key=lambda line: line.each),
        rebuild=min(rebuilds, key=lambda line: line.fixed),
    )


def _flops_by_way(plans: Iterable[Plan]) -> dict[tuple[str, int], int]:
    """Of the sweeps core by core, and of the rebuilds by the size of their left half."""
    found: dict[tuple[str, int], int] = {}
    for plan in plans:
        if plan.order == "weight":
            found["weight", len(plan.groups[0])] = plan.forward.flops
        elif all(len(group) == 1 for group in plan.groups):
            found[plan.order, 1] = plan.forward.flops
    return found


def _crossing(later: Line, first: Line) -> int | None:
    """The smallest number of samples, at least 1, from which on `later` is the cheaper of the two."""
    if later.at(1) < first.at(1) and later.each <= first.each:
        return 1
    if later.each >= first.each:
        return None
    return (later.fixed - first.fixed) // (first.each - later.each) + 1


def weighed_ranks(shape: TTShape) -> list[TTShape]:
    """The layer at some ranks up to the largest that is of use, the same at every bond where that can be."""
    highest = max(shape.useful_ranks)
    ranks = [rank for rank in _RANKS if rank < highest]
    if highest <= _RANKS[-1]:
        ranks.append(highest)
    return [replace_ranks(shape, rank).clipped() for rank in ranks]
