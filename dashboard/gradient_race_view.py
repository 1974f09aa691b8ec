"""The third part of the Gradients page: methods that follow the gradient, side by side from the same start."""

from __future__ import annotations

from concurrent.futures import wait
from dataclasses import dataclass, replace

import streamlit as st

from dashboard.gradient_answers import answer
from dashboard.gradient_figures import race_figure
from dashboard.gradient_matrix_view import seed_input
from dashboard.gradient_words import NAMES, plain_code, race_sentence, stopped_sentence, updates_sentence
from dashboard.live_figure import live_figure
from dashboard.session import engine
from ttcore.gradient_race import MAX_RANK, METHODS, USUAL_RATES, Lane, Method, RaceConfig, lanes_of
from ttcore.gradient_updates import UPDATES
from ttcore.jobs import TaskFuture

TICK = 0.25
# The script waits this long for a race's first losses, or for its end, so that neither needs a tick.
_ANSWER = 0.4
_COMPARED_STEPS = 50
_RATES = (*(float(f"{digit}e{power}") for power in range(-4, 1) for digit in (1, 2, 5)), 10.0)
_SIZES = (12, 16, 24, 32, 48, 64)
_STEPS = (50, 100, 200, 300, 500, 1000)
_PACES = {"to watch": 75.0, "slowly": 20.0, "full speed": None}
_TORCH: dict[Method, str] = {
    "descent": "torch.optim.SGD([w], lr={rate:g})",
    "momentum": "torch.optim.SGD([w], lr={rate:g}, momentum=0.9)",
    "adam": "torch.optim.Adam([w], lr={rate:g})",
}


@dataclass(frozen=True)
class HeldRace:
    """The race that this session has started last."""

    config: RaceConfig
    task: str
    future: TaskFuture

    @property
    def lanes(self) -> list[Lane]:
        """How far it has come."""
        return lanes_of(self.future.told or [])


def race_view() -> None:
    st.markdown(
        "**What to do with the gradient?** Every method takes small steps against it; they differ in what they "
        "remember. Here they learn the same planted tensor train from the same start, one step of each in turn."
    )
    config = _controls()
    held: HeldRace | None = st.session_state.get("gradient_race")
    moving = held is not None and not held.future.done()
    with st.container(horizontal=True, key="gradient_race_buttons", vertical_alignment="bottom", gap="small"):
        st.button(
            "Race",
            key="gradient_race_start",
            icon=":material/sports_score:",
            type="primary",
            disabled=config is None,
            on_click=_start,
            args=(config,),
        )
        st.button("Stop", key="gradient_race_stop", icon=":material/stop:", disabled=not moving, on_click=_stop)
        st.segmented_control(
            "Pace",
            list(_PACES),
            default="to watch",
            required=True,
            key="gradient_pace",
            label_visibility="collapsed",
            persist_state="session",
        )
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.fragment(_draw, run_every=TICK if moving else None)(held, moving)
        with st.container():
            if held is not None and not moving:
                _outcome(held)
    with right:
        _updates(config, moving)


def _controls() -> RaceConfig | None:
    """The race, or None where a refusal is shown instead."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="gradient_race_task"):
        methods = st.segmented_control(
            "Who runs?",
            METHODS,
            selection_mode="multi",
            default=METHODS,
            key="gradient_methods",
            format_func=lambda method: NAMES[method].capitalize(),
            persist_state="session",
        )
        with st.popover("The task", icon=":material/tune:"):
            features = st.select_slider("Inputs", _SIZES, 64, key="gradient_race_features", persist_state="session")
            rank = st.slider("Rank of the train", 1, MAX_RANK, 3, key="gradient_race_rank", persist_state="session")
            steps = st.select_slider("Steps", _STEPS, 300, key="gradient_race_steps", persist_state="session")
            seed = seed_input("gradient_race_seed", "Draws the planted train, its samples and the start.")
            st.caption("Three cores, 8 outputs, 256 samples; the layer that learns has the planted train's rank.")
    # In the order in which they are offered, whichever was clicked first.
    runners = [method for method in METHODS if method in methods]
    if runners:
        for column, method in zip(st.columns(len(runners), gap="medium"), runners, strict=True):
            with column:
                st.select_slider(
                    f"Step size of {NAMES[method]}",
                    _RATES,
                    USUAL_RATES[method],
                    key=f"gradient_rate_{method}",
                    format_func=lambda rate: f"{rate:g}",
                    persist_state="session",
                )
    if len(runners) < 2:
        st.warning("A race needs two at least; choose another method.", icon=":material/info:")
        return None
    entries = tuple((method, float(st.session_state[f"gradient_rate_{method}"])) for method in runners)
    return RaceConfig(entries=entries, features=features, rank=rank, seed=seed, steps=steps)


def _start(config: RaceConfig) -> None:
    """A new race; one that is still going ends first."""
    _stop()
    paced = replace(config, pace=_PACES[st.session_state.gradient_pace])
    task, future = engine().submit_task("race", {"race": paced.to_json()})
    st.session_state.gradient_race = HeldRace(paced, task, future)
    wait([future], _ANSWER)


def _stop() -> None:
    held: HeldRace | None = st.session_state.get("gradient_race")
    if held is not None and not held.future.done():
        engine().stop(held.task)
        wait([held.future], _ANSWER)


def _draw(held: HeldRace | None, moving: bool) -> None:
    """The curves, again and again while they move."""
    if moving and held is not None and held.future.done():
        # Buttons and the sentence belong to the whole page, and so does the end of the ticking.
        st.rerun()
    lanes = held.lanes if held is not None else []
    steps = held.config.steps if held is not None else 300
    at = max((len(lane.losses) - 1 for lane in lanes), default=0)
    if held is None:
        st.progress(0.0, text="Ready: press **Race**.")
    elif not moving:
        st.progress(at / steps, text=f"Step {at} of {steps}.")
    elif not lanes:
        st.progress(0.0, text="Waiting for the training process.")
    else:
        st.progress(at / steps, text=f"Racing · step {at} of {steps}")
    live_figure(
        race_figure(lanes, steps, held.task if held is not None else ""),
        key="gradient_race_curves",
        height=380,
        alt="The loss of every method against steps, on a logarithmic axis.",
    )


def _outcome(held: HeldRace) -> None:
    """What happened, in a sentence."""
    if held.future.cancelled():
        st.markdown(stopped_sentence(held.lanes))
    elif (error := held.future.exception()) is not None:
        st.error(f"{str(error).rstrip('.')}.", icon=":material/error:")
    else:
        st.markdown(race_sentence(lanes_of(held.future.result())))


def _updates(config: RaceConfig | None, moving: bool) -> None:
    """The updates as they are written by hand and as torch has them, and whether they are the same."""
    if config is None:
        return
    st.markdown("**One step of each, written by hand** and, below it, the same from torch:")
    for tab, (method, rate) in zip(
        st.tabs([NAMES[method].capitalize() for method, _ in config.entries]), config.entries, strict=True
    ):
        with tab:
            st.code(plain_code(UPDATES[method]), language="python", wrap_lines=True)
            st.code(_TORCH[method].format(rate=rate), language="python", wrap_lines=True)
    place = st.container()
    with st.container():
        asked = {"race": replace(config, pace=None, steps=_COMPARED_STEPS).to_json(), "steps": _COMPARED_STEPS}
        told = answer("compare_updates", asked, at_once=moving)
    with place:
        if told.note:
            st.caption(told.note)
        else:
            st.markdown(updates_sentence(told.value, _COMPARED_STEPS))
