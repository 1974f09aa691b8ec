"""Colours that the colour-blind can tell apart and that read on white and on near-black alike."""

TT = "#2f7fd1"
TEST = "#dd6b1f"
FULL = "#7d8590"
KEPT = ("#12967a", "#a862c4", "#b3892b", "#c2517f", "#4f9fb0", "#8a7f6a")
# From the worst to the best, for scores; both ends are seen on white and on near-black.
SEQUENTIAL = [[0.0, "#5b4a8a"], [0.3, "#3b76b0"], [0.6, "#2ba59a"], [0.85, "#8ccf5b"], [1.0, "#f4d84a"]]
# From below zero over zero to above, for weights; zero is a grey that is seen on both grounds.
DIVERGING = [[0.0, "#c9500a"], [0.25, "#e59a5e"], [0.5, "#8b939c"], [0.75, "#6aa6e0"], [1.0, "#1763b5"]]
# Counts of a confusion matrix: of what is right, and of what is mistaken.
RIGHT = [[0.0, "#cfe3f7"], [1.0, TT]]
MISTAKEN = [[0.0, "#fbe0cc"], [1.0, TEST]]
