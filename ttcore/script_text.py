"""Lines of a generated script: wrapped as ruff's formatter does it, and the letters of an einsum. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ttcore.errors import InputError
from ttcore.shapes import TTShape

# What ruff takes where nobody tells it otherwise.
WIDTH = 88
# So many cores have letters: two for the modes of each, and one for each rank and the samples.
MAX_LETTERED = 16


# Lines that belong together; a function has one of its own.
Block = list[str]


def wrapped(head: str, items: Sequence[str], tail: str, width: int = WIDTH) -> Block:
    """head, items with commas between, tail: on one line, on a line of their own, or on a line each.

    A list goes from the first to the last at once.
    """
    line = f"{head}{', '.join(items)}{tail}"
    if len(line) <= width:
        return [line]
    within = f"    {', '.join(items)}"
    return [
        head,
        *([within] if len(within) <= width and not head.endswith("[") else [f"    {item}," for item in items]),
        tail,
    ]


def indented(lines: Sequence[str], levels: int = 1) -> Block:
    return [f"{'    ' * levels}{line}" if line else "" for line in lines]


def joined(blocks: Sequence[Block], around_functions: int = 2) -> Block:
    """Blocks with an empty line between, and so many around functions."""
    lines: Block = []
    for place, block in enumerate(blocks):
        functions = any(line.startswith("def ") for part in blocks[max(0, place - 1) : place + 1] for line in part)
        lines += [""] * ((around_functions if functions else 1) if place else 0)
        lines += block
    return lines


def tuple_text(values: Sequence[object]) -> str:
    """(8, 8) as Python writes it."""
    return repr(tuple(values))


def letters(num_cores: int) -> tuple[str, str, str]:
    """Of input modes, output modes (the same in capitals) and the d + 1 ranks; `b` is left for the samples.

    Raises InputError for more cores than an einsum has letters for.
    """
    if num_cores > MAX_LETTERED:
        raise InputError(
            f"a layer of {num_cores} cores has more axes than an einsum has letters; a script can be had for up to "
            f"{MAX_LETTERED} cores",
            "in_modes",
        )
    inputs = "ijklmnopqrstuvwx"[:num_cores]
    ranks = [letter for letter in "qrstuvwxyzacdefghQRSTUVWXYZABCDEFGH" if letter.lower() not in inputs]
    return inputs, inputs.upper(), "".join(ranks[: num_cores + 1])


def core_subscripts(num_cores: int) -> list[str]:
    """Of every core: rank, input mode, output mode, rank. Raises InputError as `letters` does."""
    inputs, outputs, ranks = letters(num_cores)
    return [f"{ranks[k]}{inputs[k]}{outputs[k]}{ranks[k + 1]}" for k in range(num_cores)]


def weight_first(shapes: Sequence[TTShape], samples: int) -> bool:
    """Whether it takes fewer products to multiply the cores out before the samples come to them.

    Taken from left to right, as torch.einsum does it.
    """
    over_samples = over_cores = 0
    for shape in shapes:
        m, n, bonds = shape.in_modes, shape.out_modes, shape.all_ranks
        over_cores += samples * prod(m) * prod(n)
        for k in range(shape.num_cores):
            pair = bonds[k] * bonds[k + 1]
            over_samples += samples * prod(n[: k + 1]) * prod(m[k:]) * pair
            over_cores += prod(m[: k + 1]) * prod(n[: k + 1]) * pair
    return over_cores < over_samples


def operands_text(samples: str, cores_first: bool) -> list[str]:
    """The operands of the einsum, in the order of its subscripts."""
    return ["*cores", samples] if cores_first else [samples, "*cores"]
