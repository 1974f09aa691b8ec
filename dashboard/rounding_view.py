"""Rank along the train: a finished run's singular values at every bond, and what rounding its cores would leave."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import streamlit as st

from dashboard.figures import digits
from dashboard.live_figure import live_figure
from dashboard.sweep_figures import rounding_figure, spectrum_figure
from ttcore.datasets import load
from ttcore.errors import InputError
from ttcore.export import cores_npz
from ttcore.frontier import Measure, Point, best
from ttcore.parse import show_modes
from ttcore.results import RunResult
from ttcore.rounding import Rounded, bond_spectra, round_cores
from ttcore.rounding_scores import RoundedScores, score_every_rank, score_rounded
from ttcore.shapes import replace_ranks
from ttcore.sweep import SweepSnapshot
from ttcore.wording import percent

TOLERANCES = [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9]


def rounding_view(points: Sequence[Point], now: SweepSnapshot, measure: Measure, chosen: Sequence[int]) -> None:
    """For the run that was clicked last, or else one of the best configuration."""
    place = chosen[-1] if chosen else best(points, measure).places[0]
    result = now.results[place]
    if not result.cores or not result.config.shape.ranks:
        st.info(
            "A single core has no bonds to round; click a point of another factorization."
            if result.cores
            else "This sweep is too large for all cores to be kept; click an earlier point.",
            icon=":material/info:",
        )
        return
    try:
        load(result.config.data)
    except InputError as error:
        st.info(f"Rounding looks at the samples again: {error}.", icon=":material/info:")
        return
    shape, score = result.config.shape, result.config.data.scoring.score_title
    st.markdown(
        f"**{show_modes(shape.in_modes)} → {show_modes(shape.out_modes)}, ranks {show_modes(shape.ranks)}, seed "
        f"{result.config.train.seed}**: train {score} {digits(result.train.score)}, "
        f"test {score} {digits(result.test.score)}, {shape.num_parameters:,} parameters. "
        "Click a point above to take another run."
    )
    left, right = st.columns([1, 1], gap="medium")
    with left:
        by = st.segmented_control(
            "Round to",
            ("a rank", "a tolerance"),
            default="a rank",
            required=True,
            key="round_by",
            persist_state="session",
        )
    with right:
        rounded = _by_rank(result, max(shape.ranks)) if by == "a rank" else _by_tolerance(result)
    table = _every_rank(_Kept(result))
    scored = score_rounded(rounded, shape, load(result.config.data))
    _numbers(scored, result, points, measure)
    left, right = st.columns(2, gap="small")
    with left:
        live_figure(
            spectrum_figure(_spectra(_Kept(result)), rounded.ranks),
            key="spectrum",
            height=300,
            alt="Singular values at every bond of the train, those kept filled.",
        )
    with right:
        live_figure(
            rounding_figure(table, _trained(points, result), scored, measure),
            key="rounding",
            height=300,
            alt=f"{measure.title} against parameters: the cores rounded to every rank, beside layers trained at it.",
        )
    name = f"tt-rounded-{show_modes(rounded.ranks).replace(',', '-')}"
    st.download_button(
        "Rounded cores (NPZ)",
        lambda: cores_npz(rounded.cores, replace_ranks(shape, rounded.ranks)),
        f"{name}-cores.npz",
        "application/octet-stream",
        key="rounded_npz",
        on_click="ignore",
        icon=":material/download:",
    )


def _by_rank(result: RunResult, most: int) -> Rounded:
    if most == 1:
        st.caption("Its rank is 1 already.")
        return round_cores(result.cores)
    rank = st.slider(
        "Largest rank",
        1,
        most,
        max(1, most // 2),
        key=f"round_rank_{most}",
        help="Every bond keeps at most so many values.",
    )
    return round_cores(result.cores, max_ranks=rank)


def _by_tolerance(result: RunResult) -> Rounded:
    tolerance = st.select_slider(
        "Relative error allowed",
        TOLERANCES,
        0.1,
        key="round_tolerance",
        format_func=lambda value: f"{value:g}",
        help="Of the whole weight, in the Frobenius norm.",
    )
    return round_cores(result.cores, tolerance=tolerance)


def _numbers(scored: RoundedScores, result: RunResult, points: Sequence[Point], measure: Measure) -> None:
    score = result.config.data.scoring.score_title
    with st.container(horizontal=True, key="rounding_numbers", gap="small"):
        _number("Ranks", "·".join(map(str, scored.ranks)), f"of {'·'.join(map(str, result.config.shape.ranks))}")
        _number("Parameters", f"{scored.parameters:,}", f"{percent(scored.parameter_ratio)} of full")
        _number("Error of the weight", percent(scored.relative_error), "relative, Frobenius")
        _number(f"Train {score}", digits(scored.train.score), f"{digits(result.train.score)} before")
        _number(f"Test {score}", digits(scored.test.score), f"{digits(result.test.score)} before")
    same = [point for point in _trained(points, result) if point.shape.ranks == scored.ranks]
    if same:
        rounded = scored.train if measure.part == "train" else scored.test
        value = rounded.score if measure.what == "score" else rounded.loss
        st.caption(
            f"Training at these ranks reached a {measure.title} of {measure.shown(same[0].median)} "
            f"({same[0].seeds} seed{'s' * (same[0].seeds > 1)}); rounding leaves {measure.shown(value)}."
        )


def _number(label: str, value: str, note: str) -> None:
    st.metric(label, value, delta=note, delta_color="off", delta_arrow="off", width=158)


def _trained(points: Sequence[Point], result: RunResult) -> list[Point]:
    """The configurations that differ from this run in ranks alone."""
    config = result.config
    return [
        point
        for point in points
        if (point.config.in_modes, point.config.out_modes) == (config.in_modes, config.out_modes)
        and (point.config.train.optimizer, point.config.train.lr) == (config.train.optimizer, config.train.lr)
    ]


class _Kept:
    """A result as a key: results are kept by what they are, not by what they hold."""

    def __init__(self, result: RunResult) -> None:
        self.result = result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kept) and self.result is other.result

    def __hash__(self) -> int:
        return id(self.result)


@lru_cache(maxsize=16)
def _every_rank(kept: _Kept) -> list[RoundedScores]:
    result = kept.result
    return score_every_rank(result.cores, result.config.shape, load(result.config.data))


@lru_cache(maxsize=16)
def _spectra(kept: _Kept) -> tuple:
    return bond_spectra(kept.result.cores)
