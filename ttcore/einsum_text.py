"""A contraction in other notations: a formula, a sentence, a line of torch or NumPy, and explicit loops in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ttcore.einsum_contraction import Contraction

# Python nests at most 20 blocks; up to so many letters each loop has a line of its own.
_MAX_NESTED = 16
_SIZES_A_LINE = 6
# A longer product goes on below, so that a telephone can show it.
_MOST_ON_ONE_LINE, _ON_EACH_OF_MORE = 3, 2


def formula(contraction: Contraction, colours: Mapping[str, str]) -> str:
    """LaTeX, each letter in its colour (#rrggbb): C_{ik} = \\sum_{j} A_{ij} B_{jk}."""

    def coloured(letters: str, between: str = "") -> str:
        return between.join(rf"\textcolor{{{colours[letter]}}}{{{letter}}}" for letter in letters)

    def factor(name: str, term: str) -> str:
        return f"{name}_{{{coloured(term)}}}" if term else name

    result = factor(contraction.result_name, contraction.output)
    total = rf"\sum_{{{coloured(contraction.summed, ',')}}} " if contraction.summed else ""
    factors = [factor(name, term) for name, term in zip(contraction.names, contraction.operands, strict=True)]
    if len(factors) <= _MOST_ON_ONE_LINE:
        return rf"\Large {result} = {total}" + r"\, ".join(factors)
    lines = [
        r"\, ".join(factors[start : start + _ON_EACH_OF_MORE]) for start in range(0, len(factors), _ON_EACH_OF_MORE)
    ]
    return r"\large\begin{aligned}" + rf"{result} = {total}&" + r"\\ &".join(lines) + r"\end{aligned}"


def sentence(contraction: Contraction) -> str:
    """What the notation says, in words."""
    names = contraction.names
    every = f"For every {_listed(contraction.output)}" if contraction.output else "One number"
    if len(names) > 1:
        what = f"the {'products' if contraction.summed else 'product'} of matching entries of {_listed(names)}"
    else:
        where = "diagonal " if len(set(contraction.operands[0])) < len(contraction.operands[0]) else ""
        what = f"the {where}{'entries' if contraction.summed else 'entry'} of {names[0]}"
    if not contraction.summed:
        return f"{every}: {what}; nothing is added up."
    return f"{every}: {what}, added up over all {_listed(contraction.summed)}."


def implicit_note(contraction: Contraction) -> str:
    """How the output was found where the expression has none."""
    if not contraction.implicit:
        return ""
    shown = contraction.output or "nothing, a single number"
    return (
        f"Without an arrow the output is, as NumPy means it, every letter that occurs once, in alphabetical order: "
        f"here {shown}."
    )


def einsum_line(contraction: Contraction, module: str) -> str:
    """np.einsum("ij,jk->ik", A, B), or torch.einsum of the same."""
    return f'{module}.einsum("{contraction.expression}", {", ".join(contraction.names)})'


def loops(contraction: Contraction) -> str:
    """Python source with NumPy arrays A, B, ... given: one loop for each letter."""
    result = contraction.result_name
    names = {*contraction.names, result}
    # A letter that is a tensor's name too is written A_.
    variable = {letter: f"{letter}_" if letter in names else letter for letter in contraction.sizes}

    def entry(name: str, term: str) -> str:
        return f"{name}[{', '.join(variable[letter] for letter in term)}]" if term else name

    letters = contraction.letters
    sizes = [f"{variable[letter]} = {contraction.sizes[letter]}" for letter in letters]
    lines = ["import numpy as np", ""]
    for start in range(0, len(sizes), _SIZES_A_LINE):
        lines.append(f"# {'sizes:' if start == 0 else '      '} {', '.join(sizes[start : start + _SIZES_A_LINE])}")
    shape = contraction.result_shape
    lines.append(f"{result} = np.zeros({shape})" if shape else f"{result} = 0.0")
    depth = len(letters)
    if depth <= _MAX_NESTED:
        for place, letter in enumerate(letters):
            note = "  # summed over" if letter in contraction.summed else ""
            lines.append(f"{'    ' * place}for {variable[letter]} in range({contraction.sizes[letter]}):{note}")
    else:
        listed = ", ".join(variable[letter] for letter in letters)
        counts = ", ".join(str(contraction.sizes[letter]) for letter in letters)
        lines += ["# one loop for each letter; Python nests at most 20", f"for {listed} in np.ndindex({counts}):"]
        depth = 1
    factors = " * ".join(entry(name, term) for name, term in zip(contraction.names, contraction.operands, strict=True))
    sign = "+=" if contraction.summed else "="
    lines.append(f"{'    ' * depth}{entry(result, contraction.output)} {sign} {factors}")
    return "\n".join(lines) + "\n"


def count(number: int) -> str:
    """1,234,567 as it stands, 8,589,934,592 as "8.59 billion"."""
    if number < 10**6:
        return f"{number:,}"
    for unit, name in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if number >= unit:
            if number >= 1000 * unit:
                break
            return f"{number / unit:.3g} {name}" if number < 999.5 * unit else f"{number / unit:,.0f} {name}"
    power = len(str(number)) - 1
    return f"{number // 10 ** (power - 2) / 100:.2f} × 10{str(power).translate(_SUPERSCRIPT)}"


_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _listed(letters: Sequence[str]) -> str:
    """ "i, j and k"."""
    return "".join(letters) if len(letters) < 2 else f"{', '.join(letters[:-1])} and {letters[-1]}"
