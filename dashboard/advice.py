"""The Layer section's advice: which modes fit the data, which ranks a budget allows, and whether there is any point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import streamlit as st

from dashboard import address
from dashboard.data_open import open_sweep
from dashboard.run_settings import MAX_SLIDER_RANK, RUN, preset_of
from dashboard.sweep_settings import SWEEP, own_sweep
from ttcore.advisor import Advice, Proposal, advise, ranks_within
from ttcore.checks import MAX_SIZE
from ttcore.config import DataConfig
from ttcore.errors import InputError
from ttcore.parse import parse_budget, parse_modes, parse_ranks, show_modes
from ttcore.shapes import TTShape
from ttcore.sweep_config import Factorization
from ttcore.wording import percent

# Pixels: all proposals and the budget are to be seen at once.
_ROW = 28

_advise = lru_cache(maxsize=64)(advise)


def draw_advice(data: DataConfig) -> None:
    """Modes to choose from for a layer on these data, and ranks for a budget; on the Train page alone."""
    with st.popover("Suggest modes and ranks", icon=":material/lightbulb:", width="stretch", key="advice"):
        advice = _advise(data.in_features, data.out_features, _current_rank())
        st.markdown(advice.verdict)
        if any(proposal.order for proposal in advice.proposals):
            st.caption(
                "The order of the modes decides which inputs and outputs share a core: two orders have as many weights "
                "and fit differently. Which one does better only trying tells."
            )
        _draw_proposals(data, advice)
        _draw_budget(data)


def draw_verdict(data: DataConfig) -> None:
    """What stands in the way of a smaller layer, where something does."""
    advice = _advise(data.in_features, data.out_features, _current_rank())
    if not advice.compresses:
        st.info(advice.verdict, icon=":material/info:")


def proposal_table(proposals: Sequence[Proposal]) -> dict[str, list[Any]]:
    """Columns of equal length, one entry a proposal."""
    return {
        "modes": [_modes(proposal) for proposal in proposals],
        "cores": [proposal.num_cores for proposal in proposals],
        "weights": [proposal.parameters for proposal in proposals],
        "of full": [percent(proposal.parameter_ratio) for proposal in proposals],
        "useful ranks": [show_modes(proposal.useful_ranks) for proposal in proposals],
        "padding": [_padding(proposal) for proposal in proposals],
        "order": [proposal.order for proposal in proposals],
        "note": [proposal.note for proposal in proposals],
    }


def sweep_proposals(data: DataConfig, proposals: Sequence[Proposal]) -> None:
    """Open the Trade-off page with these factorizations of the data."""
    start = SWEEP.start(preset_of(data), data.key or "") or own_sweep(data)
    shapes = [proposal.shape for proposal in proposals]
    factorizations = tuple(Factorization(shape.in_modes, shape.out_modes) for shape in shapes)
    open_sweep(replace(start, data=data, factorizations=factorizations))


def _draw_proposals(data: DataConfig, advice: Advice) -> None:
    proposals = advice.proposals
    st.dataframe(proposal_table(proposals), hide_index=True, row_height=_ROW)
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        # Other data have other proposals, and another rank gives others, or other sizes of the same.
        key = f"advised_{data.in_features}_{data.out_features}_{hash(proposals)}"
        places = range(len(proposals))
        st.selectbox("Modes", places, format_func=lambda place: _label(proposals[place]), key=key)
    with right:
        _button("Use", "use_modes", "check", _use_modes, proposals, key)
    _button("Sweep these on the Trade-off page", "sweep_proposals", "scatter_plot", sweep_proposals, data, proposals)


def _draw_budget(data: DataConfig) -> None:
    """The ranks that a number of weights allows the modes of the page."""
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    with left:
        st.text_input(
            "Weights at most",
            key="budget",
            max_chars=address.MAX_LENGTH,
            placeholder="350, or 50 %",
            help="A number, or a share of the full layer's weights; the ranks of the page's modes come close to it.",
            persist_state="session",
        )
    with right:
        _button("Use these ranks", "use_ranks", "check", _use_ranks, data)
    if st.session_state.budget.strip():
        try:
            shape, budget = _within(data)
            ranks = f"Ranks {show_modes(shape.ranks)}: " if shape.ranks else ""
            st.caption(f"{ranks}{shape.num_parameters:,} of at most {budget:,} weights.")
        except InputError as error:
            st.error(f"{error}.", icon=":material/error:")


def _button(label: str, key: str, icon: str, action: Callable[..., None], *args: Any) -> None:
    st.button(label, key=key, icon=f":material/{icon}:", width="stretch", on_click=action, args=args)


def _within(data: DataConfig) -> tuple[TTShape, int]:
    """The layer of the page's modes within the page's budget, and the budget."""
    budget = parse_budget(st.session_state.budget, data.in_features * data.out_features)
    in_modes = parse_modes(st.session_state["in"], "in_modes")
    out_modes = parse_modes(st.session_state["out"], "out_modes")
    return ranks_within(in_modes, out_modes, budget, data.in_features, data.out_features), budget


# What is chosen or typed is read when the button is pressed: the page may not have been drawn since.


def _use_modes(proposals: Sequence[Proposal], key: str) -> None:
    """A rank per bond would no longer fit."""
    shape = proposals[st.session_state[key]].shape
    RUN.put({"in": address.text(shape.in_modes), "out": address.text(shape.out_modes), "ranks": ""})


def _use_ranks(data: DataConfig) -> None:
    """Nothing for a budget that is refused: the page says why."""
    try:
        ranks = _within(data)[0].ranks
    except InputError:
        return
    if len(set(ranks)) == 1 and ranks[0] <= MAX_SLIDER_RANK:
        RUN.put({"rank": ranks[0], "ranks": ""})
    elif ranks:
        RUN.put({"ranks": address.text(ranks)})


def _current_rank() -> int:
    """The rank of the page, the largest where each bond has its own."""
    typed = st.session_state["ranks"].strip()
    try:
        ranks = parse_ranks(typed) if typed else st.session_state["rank"]
    except InputError:
        ranks = st.session_state["rank"]
    rank = ranks if isinstance(ranks, int) else max(ranks)
    return rank if 1 <= rank <= MAX_SIZE else st.session_state["rank"]


def _modes(proposal: Proposal) -> str:
    ins, outs = ("·".join(map(str, modes)) for modes in (proposal.shape.in_modes, proposal.shape.out_modes))
    return f"{ins} → {outs}"


def _label(proposal: Proposal) -> str:
    return f"{_modes(proposal)} · {proposal.parameters:,} weights ({percent(proposal.parameter_ratio)})"


def _padding(proposal: Proposal) -> str:
    sides = ((proposal.in_padding, "in"), (proposal.out_padding, "out"))
    return ", ".join(f"{count:,} {side}" for count, side in sides if count) or "none"
