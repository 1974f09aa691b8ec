"""What every script here prints with: Markdown tables, and medians with their spread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are aligned right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def middle_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """The median, and in brackets the lowest and the highest value."""
    low, high = min(values), max(values)
    return f"{median(values):,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"
