"""What a sweep says: medians over seeds, the Pareto front, and answers in a sentence. Plain numbers; no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from ttcore.config import RunConfig
from ttcore.events import Scores
from ttcore.results import Baseline, RunResult
from ttcore.scoring import REGRESSION, Scoring
from ttcore.shapes import TTShape
from ttcore.sweep_config import WITHOUT_RATE, Factorization
from ttcore.wording import percent

# Data that are drawn, with inputs that have nothing in common by which fewer samples than inputs would do.
_UNSTRUCTURED = ("reference", "planted", "regression")
# "Within 1 % of the best".
CLOSE = 0.01


@dataclass(frozen=True)
class Measure:
    """Which of a run's scores counts: on which samples, what, and after the last update or at the best loss."""

    part: Literal["train", "test"] = "test"
    what: Literal["score", "loss"] = "score"
    moment: Literal["last", "best"] = "last"
    # What score and loss are called.
    scoring: Scoring = REGRESSION

    @property
    def more_is_better(self) -> bool:
        return self.what == "score"

    @property
    def title(self) -> str:
        return self.name if self.moment == "last" else f"{self.name} at the lowest training loss"

    @property
    def name(self) -> str:
        """Without the moment: "test R²"."""
        return f"{self.part} {self.scoring.score_title if self.what == 'score' else self.scoring.loss_short}"

    def of_run(self, result: RunResult) -> float:
        if self.moment == "last":
            return self.of_model(result)
        return getattr(result.best if self.part == "train" else result.best_test, self.what)

    def of_model(self, model: RunResult | Baseline) -> float:
        scores: Scores = model.train if self.part == "train" else model.test
        return getattr(scores, self.what)

    def better(self, left: float, right: float) -> bool:
        return left > right if self.more_is_better else left < right

    def shown(self, value: float) -> str:
        return f"{value:.4f}" if self.what == "score" else f"{value:.3g}"


@dataclass(frozen=True)
class Point:
    """One configuration of a sweep, over its seeds."""

    factorization: Factorization
    # Of its first run; the others differ in the seed alone.
    config: RunConfig
    # Places of its runs in the sweep's plan.
    places: tuple[int, ...]
    median: float
    low: float
    high: float

    @property
    def shape(self) -> TTShape:
        return self.config.shape

    @property
    def parameters(self) -> int:
        return self.shape.num_parameters

    @property
    def seeds(self) -> int:
        return len(self.places)


def summarize(results: Mapping[int, RunResult], measure: Measure) -> list[Point]:
    """A point for every configuration that has a finite result, the one with the fewest parameters first."""
    groups: dict[object, list[int]] = {}
    for place, result in results.items():
        if math.isfinite(measure.of_run(result)):
            config = result.config
            key = (config.in_modes, config.out_modes, config.shape.ranks, config.train.optimizer, config.train.lr)
            groups.setdefault(key, []).append(place)
    points = []
    for places in groups.values():
        places.sort()
        values = [measure.of_run(results[place]) for place in places]
        config = results[places[0]].config
        factorization = Factorization(config.in_modes, config.out_modes)
        points.append(Point(factorization, config, tuple(places), median(values), min(values), max(values)))
    return sorted(points, key=lambda point: (point.parameters, point.places))


def pareto(points: Iterable[Point], measure: Measure) -> list[Point]:
    """The points that no other beats or equals with as few parameters, fewest first."""
    best_first = sorted(points, key=lambda point: (point.parameters, _loss(point.median, measure)))
    front: list[Point] = []
    for point in best_first:
        if not front or measure.better(point.median, front[-1].median):
            front.append(point)
    return front


def _loss(value: float, measure: Measure) -> float:
    return -value if measure.more_is_better else value


def best(points: Sequence[Point], measure: Measure) -> Point:
    """The best median; of equal ones the smallest."""
    return min(points, key=lambda point: (_loss(point.median, measure), point.parameters))


def cheapest_within(points: Sequence[Point], measure: Measure, share: float = CLOSE) -> Point:
    """The fewest parameters whose median is within this share of the best one's."""
    top = best(points, measure).median
    allowed = top - share * abs(top) if measure.more_is_better else top + share * abs(top)
    close = [point for point in points if not measure.better(allowed, point.median)]
    return min(close, key=lambda point: (point.parameters, _loss(point.median, measure)))


def overlap(left: Point, right: Point) -> bool:
    """Whether the seeds' spread covers the difference of two configurations."""
    return left.low <= right.high and right.low <= left.high


def cheapest_sentence(points: Sequence[Point], measure: Measure) -> str:
    """Who is within 1 % of the best for the fewest parameters, and what to think of the difference."""
    top, cheap = best(points, measure), cheapest_within(points, measure)
    text = f"**Cheapest within 1 % of the best {measure.title}:** {described(cheap, measure)}."
    if cheap is top:
        return f"{text} It is the best itself. {_doubt_within(cheap)}".rstrip()
    return f"{text} The best, {described(top, measure)}. {_doubt_between(cheap, top)}".rstrip()


def budget_sentence(points: Sequence[Point], measure: Measure, budget: int) -> str:
    """The best that a number of parameters buys, and the next one that is as good but for the seeds."""
    affordable = [point for point in points if point.parameters <= budget]
    if not affordable:
        least = min(point.parameters for point in points)
        return f"**Under {budget:,} parameters:** none; the smallest layer of this sweep has {least:,}."
    top = best(affordable, measure)
    text = f"**Best {measure.title} under {budget:,} parameters:** {described(top, measure)}."
    rivals = [
        point
        for point in affordable
        if point is not top and point.parameters < top.parameters and top.seeds > 1 and overlap(point, top)
    ]
    if rivals:
        rival = min(rivals, key=lambda point: point.parameters)
        return f"{text} The seeds' spread reaches down to {described(rival, measure)}."
    return f"{text} {_doubt_within(top)}".rstrip()


def _doubt_between(left: Point, right: Point) -> str:
    if left.seeds == 1 or right.seeds == 1:
        return "With one seed each the spread is not known; add seeds to see whether the difference is one."
    if overlap(left, right):
        return "The seeds' spread covers the difference between the two."
    return "The difference between the two is larger than the seeds' spread."


def _doubt_within(point: Point) -> str:
    return "With one seed its spread is not known." if point.seeds == 1 else ""


def described(point: Point, measure: Measure) -> str:
    """A configuration with its size and its score in half a sentence."""
    value = measure.shown(point.median)
    spread = (
        f", median of {point.seeds} seeds, {measure.shown(point.low)} to {measure.shown(point.high)}"
        if point.seeds > 1
        else ""
    )
    return (
        f"{name_of(point)} with {point.parameters:,} parameters ({percent(point.shape.parameter_ratio)} of the full "
        f"model) reaches {value}{spread}"
    )


def name_of(point: Point) -> str:
    """What a configuration is called: its rank, its modes, and how it was trained."""
    config = point.config
    ranks = point.shape.ranks
    rank = f"rank {ranks[0]} of" if len(set(ranks)) == 1 else f"ranks {'·'.join(map(str, ranks))} of"
    how: str = config.train.optimizer
    if how not in WITHOUT_RATE:
        how += f" at {config.train.lr:g}"
    return " ".join([*([rank] if ranks else []), point.factorization.label, f"({how})"])


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def unseen_note(points: Sequence[Point], results: Mapping[int, RunResult], baselines: Sequence[Baseline]) -> str:
    """Why nothing does well on unseen samples, where that is so; empty where it is not."""
    tests = _finite([result.test.score for result in results.values()] + [model.test.score for model in baselines])
    trains = _finite([result.train.score for result in results.values()])
    if not points or not baselines or not tests or max(tests) >= 0.5 or max(trains, default=0.0) < 0.5:
        return ""
    data = points[0].config.data
    top = f"best test {data.scoring.score_title} {max(tests):.2f}"
    if data.source not in _UNSTRUCTURED or data.train_samples >= data.in_features:
        return f"On unseen samples no model does well here ({top})."
    return (
        f"On unseen samples no model does well here ({top}): {data.train_samples:,} samples "
        f"cannot determine {data.in_features:,} unstructured inputs, whatever the model. The train R² tells how much "
        "each can store; the task Planted shows a truth that a TT layer can generalize from."
    )
