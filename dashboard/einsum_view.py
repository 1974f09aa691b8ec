"""The parts of the Einsum page, from the network to what the order of contraction costs."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard.einsum_cells import MAX_SIDE, MAX_SLICES, cells
from dashboard.einsum_entries import entries
from dashboard.einsum_figures import (
    batch_figure,
    batch_sentence,
    cost_rows,
    rank_figure,
    rank_sentence,
)
from dashboard.einsum_network import legend_html, network_svg
from dashboard.live_figure import live_figure
from dashboard.picture import picture
from ttcore.checks import show
from ttcore.einsum_check import Comparison, compare
from ttcore.einsum_contraction import Contraction, show_shape
from ttcore.einsum_layer import as_layer, layer_costs
from ttcore.einsum_operation import operation
from ttcore.einsum_path import MAX_EXACT, Path, Step, best, left_to_right, loop_flops
from ttcore.einsum_text import count, einsum_line, formula, implicit_note, loops, sentence

Colours = Mapping[str, str]
_BEST, _STRAIGHT = "best order", "left to right"
_DONE, _STEPPED = "einsum_done", "einsum_stepped"
# On a narrow screen a wide table scrolls sideways by itself, and its lines stay whole.
_STYLE = """<style>
.st-key-einsum_orders table, .st-key-einsum_steps table, .st-key-einsum_layer table {
  display: block; overflow-x: auto; white-space: nowrap; width: fit-content; max-width: 100%;
}
.st-key-einsum_steps code { white-space: nowrap; }
</style>"""


def style() -> None:
    st.html(_STYLE)


@st.cache_data(show_spinner=False, max_entries=8)
def _compared(contraction: Contraction, seed: int) -> Comparison:
    return compare(contraction, seed)


@st.cache_data(show_spinner=False, max_entries=64)
def _paths(contraction: Contraction) -> tuple[Path, Path]:
    """The best order, and left to right."""
    return best(contraction), left_to_right(contraction)


def notation(contraction: Contraction, colours: Colours) -> None:
    """The same contraction as a network, a formula, and a sentence."""
    left, right = st.columns([1.15, 1], vertical_alignment="center", gap="large")
    with left:
        picture(network_svg(contraction, colours) + legend_html(contraction, colours), key="einsum_network")
    with right, st.container(key="einsum_formula"):
        st.latex(formula(contraction, colours))
        st.markdown(sentence(contraction))
        if note := implicit_note(contraction):
            st.info(note, icon=":material/info:")


def lit_entries(contraction: Contraction, seed: int, colours: Colours) -> None:
    """Every entry of small tensors, where pointing at one shows what it is made of."""
    st.subheader("Entry by entry")
    drawn = cells(contraction, _compared(contraction, seed), colours)
    if drawn is None:
        st.caption(
            f"These tensors are too large to draw every entry: up to {MAX_SIDE} × {MAX_SIDE}, or {MAX_SLICES} slices "
            "of that, are drawn. Smaller sizes show them."
        )
    else:
        entries(drawn, key="einsum_entries")


def in_code(contraction: Contraction) -> None:
    """The same contraction as lines of torch and NumPy, and as loops."""
    st.subheader("The same thing in code")
    same = operation(contraction)
    left, right = st.columns(2, gap="large")
    with left, st.container(key="einsum_lines"):
        if same is not None:
            st.markdown(f"An ordinary operation: **{same.name}**.")
        else:
            st.markdown("No single other operation does this: that is what einsum is for.")
        lines = {"torch": [einsum_line(contraction, "torch")], "NumPy": [einsum_line(contraction, "np")]}
        if same is not None:
            lines["torch"].insert(0, same.torch)
            lines["NumPy"].insert(0, same.numpy)
        for name, code in lines.items():
            st.caption(name)
            st.code("\n".join(code), language="python")
    with right, st.container(key="einsum_loops"):
        st.markdown("Word for word, **one loop for each letter**.")
        st.code(loops(contraction), language="python")


def agreement(contraction: Contraction, seed: int) -> None:
    """Whether all ways give the same, and by how much they differ."""
    comparison = _compared(contraction, seed)
    ran = [way for way in comparison.ways if way.difference is not None]
    st.subheader("They all agree" if len(ran) > 1 and comparison.agree else "Do they agree?")
    if comparison.result is None:
        st.caption("Nothing was run: every way takes more work than this page does. Smaller sizes run.")
    else:
        result = f"the same result of {made}" if (made := show_shape(contraction.result_shape)) else "the same number"
        largest = comparison.difference
        if len(ran) < 2:
            st.markdown("One way was run; smaller sizes run the others too.")
        elif comparison.agree:
            how = "exactly" if largest == 0 else f"to rounding: at most {largest:.1g} apart"
            st.markdown(f"{len(ran)} ways give {result}, {how}.")
        else:
            st.error(
                f"The ways differ by {largest:.2g}, which is more than rounding explains.", icon=":material/error:"
            )
    lines = ["| way | difference to the first |", "|:--|:--|"]
    for way in comparison.ways:
        what = way.note if way.difference is None else "0" if way.difference == 0 else f"{way.difference:.1e}"
        lines.append(f"| {f'`{way.name}`' if way.is_code else way.name} | {what} |")
    with st.container(key="einsum_agreement"):
        st.markdown("\n".join(lines))


def order(contraction: Contraction, colours: Colours) -> None:
    """What different orders cost, and one of them step by step."""
    cheapest, straight = _paths(contraction)
    st.subheader("The order of contraction")
    if len(contraction.operands) < 3:
        st.markdown("With one tensor or two there is only one order; from three on they differ, as in a TT layer.")
    else:
        st.markdown(
            "The result is the same in every order, the work is not: tensors are contracted two at a time, and each "
            "pair leaves an intermediate tensor."
        )
    rows = [("one loop nest", loop_flops(contraction), contraction.entries(contraction.output))]
    rows.append(("left to right", straight.flops, straight.largest))
    exact = len(contraction.operands) <= MAX_EXACT
    rows.append(("best order" if exact else "best order found", cheapest.flops, cheapest.largest))
    lines = ["| order | FLOPs | × the best | largest array made |", "|:--|--:|--:|--:|"]
    for name, flops, largest in rows:
        lines.append(f"| {name} | {count(flops)} | {_times(flops, cheapest.flops)} | {count(largest)} |")
    with st.container(key="einsum_orders"):
        st.markdown("\n".join(lines))
        st.caption(
            "A multiply-add is two FLOPs. One loop nest runs over all letters at once; arrays are counted in entries."
        )
    step_by_step(contraction, dict(colours))


@st.fragment
def step_by_step(contraction: Contraction, colours: dict[str, str]) -> None:
    """The network shrinks, a pair at a time."""
    cheapest, straight = _paths(contraction)
    path = cheapest
    last = len(path.steps)
    with st.container(horizontal=True, key="einsum_stepping", vertical_alignment="bottom", gap="small"):
        if len(contraction.operands) > 2:
            chosen = st.segmented_control(
                "Order", [_BEST, _STRAIGHT], default=_BEST, required=True, key="einsum_order",
                label_visibility="collapsed", persist_state="session",
            )  # fmt: skip
            path = straight if chosen == _STRAIGHT else cheapest
            last = len(path.steps)
        # Another contraction begins anew, and another order may have fewer steps.
        if st.session_state.get(_STEPPED) != contraction:
            st.session_state.update({_STEPPED: contraction, _DONE: 0})
        done = st.session_state[_DONE] = min(st.session_state.get(_DONE, 0), last)
        st.button(
            "Back", key="einsum_back", icon=":material/skip_previous:", disabled=done == 0, on_click=_move, args=(-1,)
        )
        st.button(
            "Next", key="einsum_next", icon=":material/skip_next:", disabled=done == last, on_click=_move, args=(1,)
        )
        st.slider("Steps done", 0, last, key=_DONE, width=220)
    state, names, live = list(path.states())[done]
    taken = path.steps[done].taken if done < last else ()
    marked = [live.index(number) for number in taken]
    with st.container(key="einsum_step"):
        if done < last:
            st.markdown(
                f"**Step {done + 1} of {last}:** {_told(path.steps[done], [names[k] for k in marked], contraction)}"
            )
        else:
            made = _made(contraction, contraction.output)
            st.markdown(f"**Done:** {count(path.flops)} FLOPs in all, and the result is left, {made}.")
    picture(network_svg(state, colours, names, marked), key="einsum_state")
    if last > 1:
        lines = ["| step | becomes | summed over | FLOPs | shape made |", "|:--|:--|:--|--:|--:|"]
        for number, step in enumerate(path.steps, 1):
            here = "**" if number == done + 1 else ""
            term = f"`{','.join(step.terms)}->{step.result}`"
            made = show_shape([contraction.sizes[letter] for letter in step.result]) or "one number"
            lines.append(
                f"| {here}{number}{here} | {term} | {', '.join(step.summed) or '–'} | {count(step.flops)} | {made} |"
            )
        with st.container(key="einsum_steps"):
            st.markdown("\n".join(lines))


def _times(flops: int, least: int) -> str:
    """How often the least goes into it."""
    if not least:
        return "–"
    return f"{flops / least:.3g}" if flops < 1000 * least else count(flops // least)


def _move(by: int) -> None:
    st.session_state[_DONE] = max(0, st.session_state[_DONE] + by)


def _told(step: Step, names: list[str], contraction: Contraction) -> str:
    """What one step does, in a sentence."""
    sizes = contraction.sizes
    summed = ", ".join(f"{letter} ({sizes[letter]:,})" for letter in step.summed)
    what = f"{names[0]} with {names[1]}" if len(names) == 2 else f"{names[0]} by itself"
    over = f"summed over {summed}" if summed else "nothing is summed"
    return f"{what}, {over}: {count(step.flops)} FLOPs, and {_made(contraction, step.result)} comes of it."


def _made(contraction: Contraction, letters: str) -> str:
    """What has these axes."""
    shape = show_shape([contraction.sizes[letter] for letter in letters])
    return f"a tensor of shape {shape}" if shape else "a single number"


def layer(contraction: Contraction) -> None:
    """What a tensor-train layer costs beside the dense product; nothing for any other contraction."""
    found = as_layer(contraction)
    if found is None:
        return
    shape, samples = found
    costs = layer_costs(shape)
    st.subheader("This is a tensor-train layer")
    cores = f"{', '.join(contraction.names[1:-1])} and {contraction.names[-1]}"
    st.markdown(
        f"{contraction.names[0]} holds {samples:,} samples, {cores} are the cores of a weight from "
        f"{show(shape.in_modes)} to {show(shape.out_modes)}: {shape.num_parameters:,} parameters instead of "
        f"{shape.dense_parameters:,}. Contracting the cores alone would give W itself; contracting them with the input "
        "applies it."
    )
    lines = [f"| for {samples:,} samples | FLOPs | × dense |", "|:--|--:|--:|"]
    dense = costs.dense.at(samples)
    for name, flops in cost_rows(costs, samples):
        lines.append(f"| {name} | {count(flops)} | {flops / dense:,.3g} |")
    cheapest, _ = _paths(contraction)
    lines.append(f"| the best order above | {count(cheapest.flops)} | {cheapest.flops / dense:,.3g} |")
    with st.container(key="einsum_layer"):
        st.markdown("\n".join(lines))
    left, right = st.columns(2, gap="large")
    with left:
        told = batch_sentence(costs, samples)
        live_figure(batch_figure(costs, samples), key="einsum_batches", alt=f"FLOPs against samples. {told}")
        st.caption(told)
    with right:
        told = rank_sentence(shape, samples)
        live_figure(rank_figure(shape, samples), key="einsum_ranks", alt=f"FLOPs against rank. {told}")
        st.caption(told)
