"""The second part of the Gradients page: the cores of a small tensor train, each with a gradient of its own."""

from __future__ import annotations

import streamlit as st

from dashboard.gradient_answers import answer
from dashboard.gradient_drawing import hole_svg
from dashboard.gradient_figures import Sides, heat_limit
from dashboard.gradient_matrix_view import heat_maps, seed_input, step_slider
from dashboard.gradient_words import differences_sentence, step_name
from dashboard.picture import picture
from ttcore.errors import InputError
from ttcore.gradient_cores import CoreProblem, closed_form, core_code, squared_error
from ttcore.gradient_differences import central
from ttcore.parse import parse_modes

_NAMES = ("G₁", "G₂", "G₃")
_DEFAULTS = {2: ("3,2", "2,2"), 3: ("2,3,2", "2,2,2")}
_LARGEST_MODE = 4
_MOST_RANK, _MOST_SAMPLES = 3, 8


def cores_view() -> None:
    st.markdown(
        "**Now W is a chain of small cores, and there is no W to change, only its cores.** W is linear in each of "
        "them, so the same formula holds: the gradient of one core is the residual times the input times *all the "
        "other cores*."
    )
    problem = _controls()
    if problem is None:
        return
    cores, x, y = problem.arrays
    chosen = st.segmented_control(
        "Which core's gradient?",
        _NAMES[: len(cores)],
        default=_NAMES[1],
        required=True,
        key=f"gradient_core_of_{len(cores)}",
        persist_state="session",
    )
    k = _NAMES.index(chosen)
    left, right = st.columns([1, 1], gap="medium", vertical_alignment="center")
    with left:
        picture(hole_svg(problem.shape, problem.samples, k), key="gradient_network")
    with right:
        _formula(problem, k)
    h = step_slider("gradient_cores_h")
    exact = closed_form(cores, x, y, k)
    differences = central(lambda core: squared_error([*cores[:k], core, *cores[k + 1 :]], x, y), cores[k], h)
    maps = st.container()
    sentence = st.container()
    with st.container():
        told = answer("core_gradients", {"problem": problem.to_json()})
    autograd = None if told.value is None else told.value[k]
    with maps:
        shape = problem.shape.core_shapes[k]
        sides = Sides(
            "outputs in each left rank r" if shape[0] > 1 else "outputs",
            "inputs in each right rank s" if shape[3] > 1 else "inputs",
        )
        gradients = [
            ("autograd (torch)", autograd, sides),
            ("closed form: the network", exact, sides),
            (f"central differences, h = {step_name(h)}", differences, sides),
        ]
        heat_maps("gradient_core", shape, gradients, heat_limit(exact))
    with sentence:
        st.markdown(differences_sentence(autograd, exact, differences, h))
        if told.note:
            st.caption(told.note)


def _formula(problem: CoreProblem, k: int) -> None:
    core = "×".join(str(size) for size in problem.shape.core_shapes[k])
    st.markdown(
        f"Follow the lines: whatever is joined is multiplied and summed. **{_NAMES[k]} itself is left out**; where it "
        f"was, its legs stay open (orange), and they are the axes of its gradient, {core} numbers. For this shape it "
        "is one line of NumPy:"
    )
    st.code(core_code(problem.shape, problem.samples, k), language="python", wrap_lines=True)


def _controls() -> CoreProblem | None:
    """The layer, or None where a refusal is shown instead."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="gradient_layer"):
        count = st.segmented_control(
            "Cores", (2, 3), default=3, required=True, key="gradient_cores", persist_state="session"
        )
        ins, outs = (
            st.text_input(
                f"{side} modes",
                _DEFAULTS[count][place],
                max_chars=20,
                width=130,
                key=f"gradient_{side.lower()}_modes_{count}",
                persist_state="session",
                help=f"{count} whole numbers from 1 to {_LARGEST_MODE}: how the {side.lower()}s are split.",
            )
            for place, side in enumerate(("Input", "Output"))
        )
        rank = st.slider("Rank", 1, _MOST_RANK, 2, key="gradient_rank", width=150, persist_state="session")
        samples = st.slider("Samples", 1, _MOST_SAMPLES, 4, key="gradient_samples", width=150, persist_state="session")
        with st.container(width=130):
            seed = seed_input("gradient_cores_seed", "Draws the cores, x and y.")
    try:
        in_modes, out_modes = _modes(ins, "input modes", count), _modes(outs, "output modes", count)
        return CoreProblem(in_modes, out_modes, (rank,) * (count - 1), samples, seed)
    except InputError as error:
        st.error(f"{error}.", icon=":material/error:")
        return None


def _modes(text: str, name: str, count: int) -> tuple[int, ...]:
    """Modes as typed; raises InputError unless they are as many as there are cores, and small."""
    modes = parse_modes(text, name)
    if len(modes) != count or not all(1 <= mode <= _LARGEST_MODE for mode in modes):
        raise InputError(
            f"{name} must be {count} whole numbers from 1 to {_LARGEST_MODE}, such as {_DEFAULTS[count][0]}"
        )
    return modes
