"""A contraction in einsum notation: read, checked, and described on integers alone. Nothing is evaluated; no torch.

Letters: every axis of a tensor has one. A letter that two tensors share ties their axes together; a letter that the
output does not have is summed over. The notation is NumPy's (numpy.einsum), without its ellipsis and without
broadcasting: a letter has one size everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from string import ascii_letters, ascii_uppercase

from ttcore.checks import shown
from ttcore.errors import InputError

MAX_TENSORS = 16
MAX_AXES = 32
# Of all tensors together with the result: no reader sees more, and every array stays below 32 MiB.
MAX_ENTRIES = 2**22

_BETWEEN_SIZES = re.compile(r"[\sx×*·]+")
_BETWEEN_SHAPES = re.compile(r"[,;]")
_TUPLE = re.compile(r"\(([^()]*)\)")


@dataclass(frozen=True)
class Contraction:
    """Tensors by the letters of their axes, and the letters of the result.

    operands: ("ij", "jk") for two matrices. output: "ik". shapes: ((4, 3), (3, 5)), a size for each letter.
    implicit: whether the output was left out and found by NumPy's rule.
    Made by `parse_contraction`, which checks; here nothing is checked.
    """

    operands: tuple[str, ...]
    output: str
    shapes: tuple[tuple[int, ...], ...]
    implicit: bool = False

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The size of every letter, in the order of their first use."""
        return {
            letter: size
            for term, shape in zip(self.operands, self.shapes, strict=True)
            for letter, size in zip(term, shape, strict=True)
        }

    @property
    def expression(self) -> str:
        return ",".join(self.operands) + "->" + self.output

    @property
    def names(self) -> tuple[str, ...]:
        """A, B, C, ... for the tensors."""
        return tuple(ascii_uppercase[: len(self.operands)])

    @property
    def result_name(self) -> str:
        """The letter after the tensors'."""
        return ascii_uppercase[len(self.operands)]

    @property
    def letters(self) -> str:
        """Every letter once: those of the output in its order, then those that are summed over."""
        return self.output + self.summed

    @property
    def summed(self) -> str:
        """The letters that the output does not have."""
        return "".join(letter for letter in self.sizes if letter not in self.output)

    @property
    def result_shape(self) -> tuple[int, ...]:
        return tuple(self.sizes[letter] for letter in self.output)

    @property
    def steps(self) -> int:
        """How often the body of one loop nest over all letters is run."""
        return self.entries(self.letters)

    def entries(self, letters: str) -> int:
        """The entries of an array with these axes."""
        return prod(self.sizes[letter] for letter in letters)


def parse_contraction(expression: str, shapes: str) -> Contraction:
    """ "ij,jk->ik" and "4x3, 3x5" as a Contraction.

    Without "->" the output is what NumPy takes: the letters that occur once, in alphabetical order. Shapes may also be
    written as Python does: "(4, 3), (3, 5)".
    Raises InputError, of field "expression" or "shapes", that names the letter, the tensor and the size at fault.
    """
    operands, output = _parse_expression(expression)
    implicit = output is None
    if output is None:
        joined = "".join(operands)
        output = "".join(sorted(letter for letter in set(joined) if joined.count(letter) == 1))
    contraction = Contraction(operands, output, _parse_shapes(shapes, operands), implicit)
    _check_sizes(contraction)
    _check_entries(contraction)
    return contraction


def show_shape(shape: Sequence[int]) -> str:
    """(4, 3) as it is typed: "4x3"."""
    return "x".join(map(str, shape))


def show_shapes(shapes: Sequence[Sequence[int]]) -> str:
    return ", ".join(map(show_shape, shapes))


# ---- the expression -------------------------------------------------------------------------------------------------


def _parse_expression(text: str) -> tuple[tuple[str, ...], str | None]:
    """The letters of every tensor and of the output, None where there is no arrow."""
    plain = "".join(text.split()).replace("→", "->")
    if not plain:
        raise _refused(
            "the expression is empty; write the letters of every tensor, an arrow and the letters of the result, such "
            "as ij,jk->ik"
        )
    if "." in plain or "…" in plain:
        raise _refused(
            f"the expression {shown(plain)} holds an ellipsis or a dot; here every axis has a letter of its own, so "
            "write them all out, as in bij,bjk->bik"
        )
    if plain.count("->") > 1:
        raise _refused(
            f"the expression {shown(plain)} holds {plain.count('->')} arrows; there is one result, so keep one arrow"
        )
    left, arrow, output = plain.partition("->")
    for character in left.replace(",", "") + output:
        if character not in ascii_letters:
            raise _refused(_stranger(character))
    operands = tuple(left.split(","))
    if len(operands) > MAX_TENSORS:
        raise _refused(
            f"the expression has {len(operands)} tensors, and {MAX_TENSORS} are handled at most; contract some of them "
            "first"
        )
    for name, term in zip(ascii_uppercase, operands, strict=False):
        if not term:
            raise _refused(
                f"tensor {name} has no letters in {shown(plain)}; give every tensor a letter for each axis, with one "
                "comma between two tensors"
            )
        if len(term) > MAX_AXES:
            raise _refused(f"tensor {name} has {len(term)} letters, and {MAX_AXES} axes are handled at most; use fewer")
    if not arrow:
        return operands, None
    for letter in output:
        if letter not in left:
            raise _refused(
                f"the output {output} has letter {letter}, which none of the tensors has ({_listed(operands)}); use "
                "letters of the tensors, or give one of them this letter"
            )
        if output.count(letter) > 1:
            raise _refused(
                f"the output {output} has letter {letter} {output.count(letter)} times; every axis of the result has a "
                "letter of its own, so write it once"
            )
    return operands, output


def _stranger(character: str) -> str:
    """What to say about a character that is no letter."""
    if character in "->":
        return f"the expression has {shown(character)} by itself; the arrow before the output is written ->"
    return (
        f"the expression holds {shown(character)}; axes are named by the 52 letters a to z and A to Z, tensors are "
        "separated by commas, and -> stands before the output"
    )


# ---- the shapes -----------------------------------------------------------------------------------------------------


def _parse_shapes(text: str, operands: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    tuples = _TUPLE.findall(text)
    if tuples and not _TUPLE.sub("", text).strip(" ,;\t"):
        parts = [part.replace(",", " ").strip() for part in tuples]
    else:
        parts = [part.strip() for part in _BETWEEN_SHAPES.split(text.strip().rstrip(",;"))]
    given = [part for part in parts if part]
    if len(given) != len(operands):
        example = show_shapes([range(2, 2 + len(term)) for term in operands[:3]])
        have = f"{len(given)} shape{'s are' if len(given) != 1 else ' is'} given" if given else "no shapes are given"
        need = f"{len(operands)} tensor{'' if len(operands) == 1 else 's'}"
        raise _misshapen(
            f"the expression has {need} ({_listed(operands)}) and {have}; give each tensor one shape, with commas "
            f"between, written like {example}"
        )
    shapes = tuple(
        _parse_shape(part, name, term) for part, name, term in zip(given, ascii_uppercase, operands, strict=False)
    )
    for name, term, shape in zip(ascii_uppercase, operands, shapes, strict=False):
        if len(shape) != len(term):
            raise _misshapen(
                f"tensor {name} has {_counted(len(term), 'letter')} ({term}) and its shape {show_shape(shape)} has "
                f"{_counted(len(shape), 'size')}; give one size for each letter"
            )
    return shapes


def _parse_shape(text: str, name: str, term: str) -> tuple[int, ...]:
    sizes = []
    for part in _BETWEEN_SIZES.split(text.strip("()[] ")):
        if not re.fullmatch(r"[0-9]{1,18}", part) or int(part) < 1:
            raise _misshapen(
                f"the shape {shown(text)} of tensor {name} ({term}) holds {shown(part)}; sizes are whole numbers of at "
                "least 1 with an x between, such as 4x3"
            )
        sizes.append(int(part))
    return tuple(sizes)


def _check_sizes(contraction: Contraction) -> None:
    """Refuse a letter of two sizes, and say where it has which."""
    seen: dict[str, tuple[int, str]] = {}
    for name, term, shape in zip(contraction.names, contraction.operands, contraction.shapes, strict=True):
        for letter, size in zip(term, shape, strict=True):
            first, where = seen.setdefault(letter, (size, name))
            if first != size:
                here = f"tensor {name} ({term}, {show_shape(shape)})"
                if where == name:
                    at = f"letter {letter} is {first} and {size} within {here}"
                else:
                    index = contraction.names.index(where)
                    other = f"{contraction.operands[index]}, {show_shape(contraction.shapes[index])}"
                    at = f"letter {letter} is {first} in tensor {where} ({other}) and {size} in {here}"
                raise _misshapen(f"{at}; a letter has one size everywhere, so change one of the two or use two letters")


def _check_entries(contraction: Contraction) -> None:
    counts = {name: prod(shape) for name, shape in zip(contraction.names, contraction.shapes, strict=True)}
    counts[f"the result {contraction.result_name}"] = prod(contraction.result_shape)
    if sum(counts.values()) > MAX_ENTRIES:
        largest = max(counts, key=lambda name: counts[name])
        raise _misshapen(
            f"the tensors and the result hold {_large(sum(counts.values()))} entries together, {largest} alone "
            f"{_large(counts[largest])}, and {MAX_ENTRIES:,} are handled; use smaller sizes"
        )


def _large(count: int) -> str:
    return f"{count:,}" if count < 10**15 else f"about 10^{len(str(count)) - 1}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(operands: tuple[str, ...]) -> str:
    """ "A: ij, B: jk", a few of them."""
    parts = [f"{name}: {term}" for name, term in zip(ascii_uppercase, operands, strict=False)]
    return ", ".join(parts if len(parts) <= 6 else [*parts[:5], f"and {len(parts) - 5} more"])


def _refused(message: str) -> InputError:
    return InputError(message, "expression")


def _misshapen(message: str) -> InputError:
    return InputError(message, "shapes")
