"""The first part of the Gradients page: one full matrix, its gradient found in three ways."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import streamlit as st

from dashboard.gradient_answers import answer
from dashboard.gradient_figures import WRITTEN_COLUMNS, Sides, heat_figure, heat_height, heat_limit, step_figure
from dashboard.gradient_words import differences_sentence, number, step_name, step_sentence
from dashboard.live_figure import live_figure
from ttcore.gradient_differences import StepErrors, central, errors_by_step
from ttcore.gradient_matrix import MAX_SEED, MAX_SIDE, MatrixProblem, closed_form, squared_error

# Whole powers of ten.
STEP_CHOICES = tuple(10.0**power for power in range(-15, 4))
_H = 1e-5


def matrix_view() -> None:
    st.markdown(
        "**Which way should every number of W move, so that W x comes closer to y?** The gradient says it: one number "
        "for each number of W. Here it is found three times."
    )
    problem = _controls()
    loss, gradient = st.columns(2, gap="small", vertical_alignment="center")
    loss.latex(r"L(W)=\lVert y-Wx\rVert^2")
    gradient.latex(r"\frac{\partial L}{\partial W}=-2\,(y-Wx)\,x^{\mathsf T}")
    h = step_slider("gradient_matrix_h")
    weight, x, y = problem.arrays
    exact = closed_form(weight, x, y)
    differences = central(lambda w: squared_error(w, x, y), weight, h)
    maps = st.container()
    sentence = st.container()
    with st.container():
        told = answer("matrix_gradient", {"problem": problem.to_json()})
    with maps:
        _maps(problem, told.value, exact, differences, h)
    with sentence:
        st.markdown(differences_sentence(told.value, exact, differences, h))
        if told.note:
            st.caption(told.note)
    _steps(problem, h)


def step_slider(key: str) -> float:
    return st.select_slider(
        "Step h of the differences",
        STEP_CHOICES,
        _H,
        key=key,
        format_func=step_name,
        persist_state="session",
        help="Every number is moved by h to both sides, one after the other, and the loss is looked at: "
        "(L(w + h) − L(w − h)) / 2h.",
    )


def heat_maps(
    key: str,
    shape: tuple[int, ...],
    gradients: list[tuple[str, np.ndarray | None, Sides]],
    limit: float,
) -> None:
    """Gradients side by side, on one colour scale."""
    for place, (column, (title, core, sides)) in enumerate(zip(st.columns(3, gap="small"), gradients, strict=True)):
        with column:
            live_figure(
                heat_figure(core, shape, limit, title, sides),
                key=f"{key}_{place}",
                height=heat_height(shape),
                alt=f"Heat map of the gradient: {title}.",
            )
    unwritten = "" if shape[3] * shape[1] <= WRITTEN_COLUMNS else " Point at a cell for its number."
    st.caption(
        f"One colour scale for all three: orange is −{number(limit)}, grey is zero, blue is +{number(limit)}. A "
        f"positive entry means that the loss grows with that number, so training lowers it.{unwritten}"
    )


def _controls() -> MatrixProblem:
    columns = st.columns(3, gap="medium")
    with columns[0]:
        rows = st.slider("Outputs (rows of W)", 1, MAX_SIDE, 3, key="gradient_rows", persist_state="session")
    with columns[1]:
        across = st.slider("Inputs (columns of W)", 1, MAX_SIDE, 5, key="gradient_columns", persist_state="session")
    with columns[2]:
        seed = seed_input("gradient_matrix_seed", "Draws W, x and y.")
    return MatrixProblem(rows, across, seed)


def seed_input(key: str, explained: str) -> int:
    return st.number_input("Seed", 0, MAX_SEED, 0, key=key, persist_state="session", help=explained)


def _maps(
    problem: MatrixProblem, autograd: np.ndarray | None, exact: np.ndarray, differences: np.ndarray, h: float
) -> None:
    weight, x, y = problem.arrays
    plain = Sides("outputs", "inputs")
    product = Sides(
        "−2 (y − W x)", "x", [_short(value) for value in -2 * (y - weight @ x)], [_short(value) for value in x]
    )
    gradients = [
        ("autograd (torch)", None if autograd is None else _as_core(autograd), plain),
        ("closed form: column × row", _as_core(exact), product),
        (f"central differences, h = {step_name(h)}", _as_core(differences), plain),
    ]
    heat_maps("gradient_matrix", (1, problem.in_features, problem.out_features, 1), gradients, heat_limit(exact))


def _as_core(matrix: np.ndarray) -> np.ndarray:
    return matrix.T[None, :, :, None]


def _short(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _steps(problem: MatrixProblem, h: float) -> None:
    st.subheader("How small should h be?")
    errors = _errors(problem)
    st.markdown(step_sentence(errors, h))
    live_figure(
        step_figure(errors, h),
        key="gradient_steps",
        height=300,
        alt="Relative error of finite differences against their step, both axes logarithmic.",
    )
    st.caption(
        "**Too small**, and two losses are subtracted that are almost equal: rounding remains. **Too large**, and "
        "one-sided differences see the curve of the loss, with an error of h·x². Central ones do not: this loss is an "
        "exact square in every single number, so only rounding is left to them, where h² swamps the loss. Autograd and "
        "the closed form have no h at all, and cost one pass where differences cost two for every number."
    )


@lru_cache(maxsize=64)
def _errors(problem: MatrixProblem) -> StepErrors:
    weight, x, y = problem.arrays

    def loss(w: np.ndarray) -> np.ndarray:
        return squared_error(w, x.astype(w.dtype), y.astype(w.dtype))

    return errors_by_step(loss, weight, closed_form(weight, x, y))
