"""The Einsum page's controls <-> a contraction, a seed, and the page's address."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from dashboard.address import quoted
from ttcore.checks import show, whole
from ttcore.einsum_contraction import Contraction, parse_contraction
from ttcore.einsum_examples import EXAMPLES, FIRST, REFERENCE, TRAIN_LAYER, TRAIN_TITLE, Example, layer_example
from ttcore.errors import InputError
from ttcore.parse import parse_modes, parse_ranks, parse_whole
from ttcore.shapes import TTShape

# Fifteen cores and their shapes have room.
MAX_LENGTH = 400
_EXAMPLE, _SEED = "einsum_example", "einsum_seed"
_TEXTS = {"expression": "einsum_expression", "shapes": "einsum_shapes"}
_SEEN, _PROBLEMS = "einsum_address_seen", "einsum_address_problems"
_NAMES = ("example", "expression", "shapes", "seed")
_MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class Chosen:
    """What the controls say."""

    contraction: Contraction
    seed: int


def einsum_controls() -> Chosen | None:
    """Draw the controls; None while one of them is refused, which stands beside it."""
    _read_address()
    if problems := st.session_state.get(_PROBLEMS):
        st.warning("In the address: " + " ".join(problems), icon=":material/link_off:")
    with st.container(key="einsum_controls"):
        left, middle, right, last = st.columns([1.3, 1.6, 1.6, 0.6])
        left.selectbox(
            "Example",
            [*EXAMPLES, TRAIN_LAYER],
            format_func=lambda name: TRAIN_TITLE if name == TRAIN_LAYER else EXAMPLES[name].title,
            key=_EXAMPLE,
            on_change=_load_example,
            persist_state="session",
        )
        middle.text_input(
            "Expression",
            key=_TEXTS["expression"],
            max_chars=MAX_LENGTH,
            help="A letter for every axis, a comma between two tensors, and after the arrow the letters of the result. "
            "Change it as you like.",
            persist_state="session",
        )
        right.text_input(
            "Shapes",
            key=_TEXTS["shapes"],
            max_chars=MAX_LENGTH,
            help="A size for every letter, such as 4x3, with a comma between two tensors.",
            persist_state="session",
        )
        last.text_input("Seed", key=_SEED, max_chars=20, help="Draws the entries.", persist_state="session")
    chosen = None
    try:
        contraction = parse_contraction(_typed(_TEXTS["expression"]), _typed(_TEXTS["shapes"]))
    except InputError as error:
        (right if error.field == "shapes" else middle).error(f"{error}.", icon=":material/error:")
        contraction = None
    try:
        seed = whole(parse_whole(_typed(_SEED), "the seed"), "the seed", 0, _MAX_SEED)
    except InputError as error:
        last.error(f"{error}.", icon=":material/error:")
    else:
        chosen = None if contraction is None else Chosen(contraction, seed)
    if _typed(_EXAMPLE) == TRAIN_LAYER:
        _, note = _train_shape()
        st.caption(note)
    _write_address()
    return chosen


def _typed(key: str) -> str:
    return str(st.session_state[key]).strip()


# ---- examples -------------------------------------------------------------------------------------------------------


def _load_example() -> None:
    """The fields take what the example says."""
    example = _example(st.session_state[_EXAMPLE])
    st.session_state[_TEXTS["expression"]] = example.expression
    st.session_state[_TEXTS["shapes"]] = example.shapes


def _example(name: str) -> Example:
    if name != TRAIN_LAYER:
        return EXAMPLES[name]
    shape, _ = _train_shape()
    return layer_example(TRAIN_TITLE, shape)


def _train_shape() -> tuple[TTShape, str]:
    """The layer of the Train page, or the published one where there is none that can be drawn; and which it is."""
    state = st.session_state
    try:
        typed = str(state.get("ranks") or "").strip()
        ranks = parse_ranks(typed) if typed else state["rank"]
        shape = TTShape(parse_modes(state["in"], "in_modes"), parse_modes(state["out"], "out_modes"), ranks).clipped()
        layer_example(TRAIN_TITLE, shape)
    except (KeyError, InputError):
        return REFERENCE, "The Train page has no layer yet that can be shown here, so this is the published one."
    return shape, (
        f"The Train page's layer: modes {show(shape.in_modes)} to {show(shape.out_modes)}, ranks "
        f"{show(shape.ranks) if shape.ranks else 'none'}. Pick the example again after a change there."
    )


# ---- the address ----------------------------------------------------------------------------------------------------


def _read_address() -> None:
    """Set the controls from a new address: a visitor's first, a typed one, or the browser's Back."""
    given = st.query_params.to_dict()
    seen = st.session_state.get(_SEEN)
    if seen is not None and (not given or given == seen):
        return
    problems = [f"`{quoted(name)}` is not a setting of this page." for name in given if name not in _NAMES]
    name = given.get("example", FIRST)
    if name not in EXAMPLES and name != TRAIN_LAYER:
        problems.append(f"`example={quoted(name)}` is none of {', '.join([*EXAMPLES, TRAIN_LAYER])}; {FIRST} is used.")
        name = FIRST
    st.session_state[_EXAMPLE] = name
    _load_example()
    st.session_state[_SEED] = given.get("seed", "0")[:20]
    for part, key in _TEXTS.items():
        if len(given.get(part, "")) > MAX_LENGTH:
            problems.append(f"`{part}` has {len(given[part]):,} characters, and {MAX_LENGTH} are read at most.")
        elif part in given:
            st.session_state[key] = given[part]
    st.session_state[_PROBLEMS] = problems
    st.session_state[_SEEN] = given


def _write_address() -> None:
    """What is not the example's own; the Train page's layer is another in every session and is written out."""
    name = st.session_state[_EXAMPLE]
    usual = Example("", "", "") if name == TRAIN_LAYER else EXAMPLES[name]
    wanted = {} if name == FIRST else {"example": name}
    for part, key in _TEXTS.items():
        if st.session_state[key] != getattr(usual, part):
            wanted[part] = st.session_state[key]
    if _typed(_SEED) != "0":
        wanted["seed"] = _typed(_SEED)
    if wanted != st.query_params.to_dict():
        st.query_params.from_dict(wanted)
    st.session_state[_SEEN] = wanted
