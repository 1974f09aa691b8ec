"""A colour for every letter of a contraction, the same in formula, network, legend and entries; no streamlit."""

from __future__ import annotations

from ttcore.einsum_contraction import Contraction

# Beside the blue and the orange of the tensors themselves, on white and on near-black alike. Every letter is written
# out wherever its colour stands, so that nobody depends on the colour alone.
_COLOURS = (
    "#12967a", "#a862c4", "#c2517f", "#b3892b", "#3f9fb8", "#6b7fe0",
    "#7d9128", "#d1574b", "#8a7f6a", "#3d9c4f", "#b8609a", "#7d8590",
)  # fmt: skip


def colours(contraction: Contraction) -> dict[str, str]:
    """#rrggbb for each letter; beyond twelve letters they begin again."""
    return {letter: _COLOURS[number % len(_COLOURS)] for number, letter in enumerate(contraction.sizes)}
