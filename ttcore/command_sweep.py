"""python -m ttcore sweep: a grid of runs, kept in files while it goes on, and what it says at the end."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, Self

from ttcore import frontier, machine
from ttcore.command_options import (
    EXIT_INTERRUPTED,
    EXIT_NOT_FINITE,
    OPTIONS,
    add_options,
    add_table_options,
    data_config,
    given_options,
    held_table,
    keeps_modes,
    read_text,
    table_config,
    train_config,
)
from ttcore.command_screen import Screen, show_seconds
from ttcore.config import DataConfig, RunConfig, with_modes
from ttcore.errors import InputError
from ttcore.events import StopReason
from ttcore.frontier import Measure, Point
from ttcore.parse import parse_numbers, parse_reals
from ttcore.presets import OWN_TRAIN, PRESETS
from ttcore.results import Baseline, RunResult
from ttcore.sweep import Sweep, SweepSnapshot, with_threads
from ttcore.sweep_config import Factorization, SweepConfig
from ttcore.sweep_export import places_of, read_sweep, sweep_csv, sweep_object
from ttcore.sweep_plan import SweepPlan, plan_sweep
from ttcore.sweep_presets import sweep_of, sweep_preset
from ttcore.thread_executor import ThreadExecutor
from ttcore.wording import percent

DESCRIPTION = (
    "Train every layer of a grid (modes x ranks x seeds x optimizers x rates) on a preset's data, several as one, and "
    "say which are worth their parameters. Exit codes: 0 done, 2 bad input, 3 some runs could not be done or were no "
    "longer finite, 130 stopped with Ctrl-C; what is done is kept."
)

# Of a run's options, those that a sweep has lists for are not a sweep's.
_SETTINGS = tuple(option for option in OPTIONS if option not in ("in-modes", "out-modes", "ranks", "seed"))
_GRID = ("cores", "modes", "low_rank", "ranks", "seeds", "rates", "optimizers")
# Files are written at most so often, and for at most this share of the time.
_WRITE_EVERY, _WRITE_SHARE = 1.0, 0.05
# The main thread looks at what is done and at signals this often. Seconds.
_LOOK_EVERY = 0.2
# A longer table is cut down to the Pareto front.
_MOST_ROWS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default=None, help=f"one of {', '.join(PRESETS)}; the default is reference")
    add_table_options(parser)
    grid = parser.add_argument_group(
        "the grid", "lists of numbers are written 1,2,4,8 or 1-16 or 2-16/2; what is left out takes the preset's own"
    )
    grid.add_argument("--cores", metavar="LIST", help="balanced modes with so many cores each, e.g. 2,4")
    grid.add_argument("--modes", metavar="LIST", help='modes, e.g. "8,8,8,8->2,2,2,2; 16,16,16->4,2,2"')
    grid.add_argument("--low-rank", action="store_true", help="the ordinary low-rank layer beside the others")
    grid.add_argument("--ranks", metavar="LIST", help="one rank for all bonds each, e.g. 1-16")
    grid.add_argument("--seeds", metavar="LIST", help="seeds of the start, e.g. 0-3")
    grid.add_argument("--rates", metavar="LIST", help="learning rates of Adam and SGD, e.g. 0.01,0.05")
    grid.add_argument("--optimizers", metavar="LIST", help="adam, sgd, lbfgs, als; e.g. adam,lbfgs")
    files = parser.add_argument_group("results", "files are kept up to date while the sweep goes on; - prints them")
    files.add_argument("--json", metavar="FILE", help="everything but curves and cores; --resume goes on from it")
    files.add_argument("--csv", metavar="FILE", help="one row a run")
    files.add_argument("--resume", metavar="FILE", help="finish the sweep of such a JSON file, and write it back there")
    where = parser.add_argument_group("where")
    where.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster's, e.g. tcp://127.0.0.1:8786")
    add_options(parser.add_argument_group("every run"), _SETTINGS)


def sweep_command(asked: argparse.Namespace) -> int:
    """Do a sweep, say how it goes on standard error and what came of it on standard output; the exit code."""
    done: Sequence[RunResult] = ()
    if asked.resume is not None:
        config, done = _read_resumed(asked)
        json_path = asked.json or asked.resume
    else:
        config, json_path = with_threads(_sweep_config(asked), machine.processors()), asked.json
    notes = held_table(config.data)
    outputs = _Outputs(json_path, asked.csv)
    plan = plan_sweep(config, machine.free_memory())
    screen = Screen()
    with _Signals() as signals, _Place(asked.scheduler) as place:
        results = places_of(done, plan)
        sweep = Sweep(config, place.executor, plan=plan, width=place.width, done=results)
        for line in (*notes, *_opening(plan, results, place)):
            screen.say(line)
        signals.be_gentle()
        sweep.start()
        try:
            _watch(sweep, screen, outputs, signals)
        finally:
            sweep.stop()
    end = sweep.snapshot()
    interrupted = signals.asked and len(end.results) + len(end.failures) < len(plan.runs)
    screen.say(end.message)
    kept = outputs.finish(end)
    if interrupted or end.failures:
        screen.say(_how_to_resume(json_path if kept else None))
    if not outputs.on_standard_output:
        print("\n".join(report_lines(end)))
    if interrupted:
        return EXIT_INTERRUPTED
    broken = any(result.stop_reason is StopReason.NOT_FINITE for result in end.results.values())
    return EXIT_NOT_FINITE if end.failures or broken or not kept else 0


# ---- what is asked for ----------------------------------------------------------------------------------------------


def _sweep_config(asked: argparse.Namespace) -> SweepConfig:
    for one, many in (("lr", "rates"), ("optimizer", "optimizers")):
        if getattr(asked, one) is not None and getattr(asked, many) is not None:
            raise InputError(f"--{one} and --{many} say the same thing; give one of them", many)
    base = sweep_preset(asked.preset or "reference")
    given = given_options(asked, _SETTINGS)
    table = table_config(asked)
    if table is not None:
        base = sweep_of(RunConfig(**with_modes({"data": table}), train=OWN_TRAIN))
    optimizers = _words(asked.optimizers, "optimizers")
    if len(optimizers) == 1:
        # Alone it takes the steps that were asked for, or its usual ones.
        given["train"]["optimizer"] = optimizers[0]
    train = train_config(base.train, given)
    data = data_config(base.data, given)
    return SweepConfig(
        data=data,
        train=train,
        factorizations=_factorizations(asked, data, keeps_modes(given, base.data, data), base.factorizations),
        ranks=base.ranks if asked.ranks is None else parse_numbers(asked.ranks, "ranks"),
        seeds=base.seeds if asked.seeds is None else parse_numbers(asked.seeds, "seeds"),
        rates=parse_reals(asked.rates, "rates") if asked.rates is not None else () if asked.lr else base.rates,
        # The configuration checks the words.
        optimizers=optimizers or (() if asked.optimizer else base.optimizers),  # type: ignore[arg-type]
    )


def _words(text: str | None, field: str) -> tuple[str, ...]:
    if text is None:
        return ()
    words = tuple(text.replace(",", " ").split())
    if not words:
        raise InputError(f"{field} is empty; give e.g. adam,lbfgs", field)
    return words


def _factorizations(
    asked: argparse.Namespace, data: DataConfig, keeps: bool, own: tuple[Factorization, ...]
) -> tuple[Factorization, ...]:
    """Those that were asked for; else the preset's own, or the usual ones if the data have another size."""
    found: list[Factorization] = []
    if asked.cores is not None:
        found += [Factorization.balanced(data, cores) for cores in parse_numbers(asked.cores, "cores")]
    if asked.modes is not None:
        parts = [part for part in asked.modes.split(";") if part.strip()]
        if not parts:
            raise InputError('modes is empty; give e.g. "8,8,8,8->2,2,2,2; 16,16,16->4,2,2"', "modes")
        found += [Factorization.parse(part) for part in parts]
    if asked.low_rank:
        found.append(Factorization.low_rank(data))
    return tuple(found) if found or not keeps else own


def _read_resumed(asked: argparse.Namespace) -> tuple[SweepConfig, Sequence[RunResult]]:
    """The settings and the results of an earlier sweep; no setting may be given beside it."""
    names = (
        "preset",
        "data",
        "openml",
        "targets",
        "task",
        "drop_missing",
        *_GRID,
        *(option.replace("-", "_") for option in _SETTINGS),
    )
    given = [name for name in names if getattr(asked, name) not in (None, False)]
    if given:
        raise InputError(
            f"--{given[0].replace('_', '-')} cannot be given with --resume, which takes all settings from the file; "
            "leave it out, or start a new sweep without --resume",
            given[0],
        )
    text = read_text(asked.resume, "sweep")
    try:
        return read_sweep(text)
    except InputError as error:
        raise InputError(f"the sweep {asked.resume} cannot be resumed: {error}", error.field) from None


# ---- where it is done -----------------------------------------------------------------------------------------------


class _Place:
    """A thread of this process, or a cluster."""

    def __init__(self, scheduler: str | None) -> None:
        self.executor: Executor
        self._end: Callable[[], None]
        if scheduler is None:
            threads = ThreadExecutor()
            self.executor, self.width, self.at_once, self.description = threads, 1, 1, "in this process"
            self._end = lambda: threads.shutdown(wait=False, cancel_futures=True)
        else:
            from ttcore.cluster import connect

            cluster = connect(scheduler)
            self.executor, self.width, self.at_once = cluster.executor, cluster.width, cluster.threads
            self.description, self._end = f"on {cluster.description}", cluster.close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()


class _Signals:
    """Ctrl-C and SIGTERM: an exception until `be_gentle`, then a note, and at the second time an exception again."""

    def __init__(self) -> None:
        self.asked = False
        self._gentle = False
        self._previous: dict[int, Any] = {}

    def be_gentle(self) -> None:
        self._gentle = True

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            # Only a program's main thread can; elsewhere whoever calls has the signals.
            with suppress(ValueError):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self._gentle:
            raise KeyboardInterrupt
        self.asked = True


def _watch(sweep: Sweep, screen: Screen, outputs: _Outputs, signals: _Signals) -> None:
    """Until the sweep has ended, or is told to."""
    while True:
        now = sweep.snapshot()
        if not now.active or signals.asked:
            return
        outputs.update(now)
        screen.progress(_progress_line(now))
        sweep.wait_for_more(len(now.results), _LOOK_EVERY)


# ---- files ----------------------------------------------------------------------------------------------------------


class _Outputs:
    """The files that hold what is done, replaced as a whole each time, so that there always is a complete one.

    Raises InputError for a path that cannot be written, before anything is trained.
    """

    def __init__(self, json_path: str | None, csv_path: str | None) -> None:
        self._texts: dict[str, Callable[[SweepSnapshot], str]] = {}
        if json_path is not None:
            self._texts[json_path] = sweep_json
        if csv_path is not None:
            if csv_path == json_path or (json_path is not None and _same_file(csv_path, json_path)):
                where = "standard output" if csv_path == "-" else csv_path
                raise InputError(f"--csv and --json both go to {where}; give one of them another place", "csv")
            self._texts[csv_path] = sweep_csv
        for path in self._files():
            _check_writable(path)
        self._written = -1
        self._next_at = 0.0
        self._told = False

    @property
    def on_standard_output(self) -> bool:
        return "-" in self._texts

    def update(self, now: SweepSnapshot) -> None:
        """Write what is new, if the last time was long enough ago."""
        known = len(now.results) + len(now.failures) + len(now.baselines)
        if known == self._written or time.monotonic() < self._next_at or not now.results:
            return
        began = time.monotonic()
        self._write(now)
        took = time.monotonic() - began
        self._written, self._next_at = known, began + max(_WRITE_EVERY, took / _WRITE_SHARE)

    def finish(self, end: SweepSnapshot) -> bool:
        """Write everything, to standard output too; whether all files could be written."""
        kept = self._write(end)
        if self.on_standard_output:
            sys.stdout.write(self._texts["-"](end))
            sys.stdout.flush()
        return kept

    def _files(self) -> list[str]:
        return [path for path in self._texts if path != "-"]

    def _write(self, sweep: SweepSnapshot) -> bool:
        kept = True
        for path in self._files():
            try:
                _replace(path, self._texts[path](sweep))
            except OSError as error:
                # The sweep goes on: there may be room again before it ends.
                kept = False
                if not self._told:
                    self._told = True
                    print(f"\n{path} cannot be written: {error.strerror}; trying again", file=sys.stderr, flush=True)
        return kept


def sweep_json(sweep: SweepSnapshot) -> str:
    return json.dumps(sweep_object(sweep), allow_nan=False, indent=1) + "\n"


def _same_file(left: str, right: str) -> bool:
    return left != "-" and right != "-" and os.path.realpath(left) == os.path.realpath(right)


def _check_writable(path: str) -> None:
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            raise InputError(f"{path} cannot be written: it is {'a folder' if target.is_dir() else 'no plain file'}")
        beside = _beside(target)
        beside.write_text("")
        beside.unlink()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be written: {why}; give a path in a folder that can be") from None


def _replace(path: str, text: str) -> None:
    """Write a file whole or not at all, whatever happens meanwhile."""
    target = Path(os.path.realpath(path))
    beside = _beside(target)
    beside.write_text(text, encoding="utf-8")
    beside.replace(target)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


# ---- what is said ---------------------------------------------------------------------------------------------------


def _opening(plan: SweepPlan, done: Mapping[int, RunResult], place: _Place) -> Iterable[str]:
    """How many runs, why not more, where and about how long."""
    count = len(plan.runs)
    merged = f", {plan.redundant:,} of {plan.asked:,} being the same as another" if plan.redundant else ""
    chunks = len(plan.chunks)
    yield f"{count:,} {_plural(count, 'run')}{merged}, in {chunks:,} {_plural(chunks, 'chunk')}"
    yield from plan.notes
    if done:
        yield f"{len(done):,} of them are done already"
    left = sum(
        seconds
        for chunk, seconds in zip(plan.chunks, plan.seconds, strict=True)
        if any(run not in done for run in chunk)
    )
    yield f"about {show_seconds(left / place.at_once)} {place.description}"


def _plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def _progress_line(now: SweepSnapshot) -> str:
    full = int(14 * now.fraction)
    parts = [
        f"[{'#' * full}{'.' * (14 - full)}] {len(now.results):,} of {len(now.plan.runs):,} runs",
        f"{show_seconds(now.eta)} left" if now.eta else "",
        f"best test {now.config.data.scoring.score_title} {top:.4f}"
        if (top := _best_test(now.results.values())) is not None
        else "",
    ]
    return "  ".join(filter(None, parts))


def _best_test(results: Iterable[RunResult]) -> float | None:
    return max((result.test.score for result in results if math.isfinite(result.test.score)), default=None)


def _how_to_resume(path: str | None) -> str:
    if path is None or path == "-":
        return "To be able to go on from where a sweep was stopped, give it --json FILE."
    return f"To finish the rest: python -m ttcore sweep --resume {path}"


def report_lines(sweep: SweepSnapshot) -> list[str]:
    """The medians over seeds, with the Pareto front marked; the models to compare with; answers in a sentence."""
    scoring = sweep.config.data.scoring
    measure = Measure(scoring=scoring)
    points = frontier.summarize(sweep.results, measure)
    if not points:
        return ["No run has a finite result."]
    front = set(map(id, frontier.pareto(points, measure)))
    shown = points if len(points) <= _MOST_ROWS else [point for point in points if id(point) in front]
    titles = (
        "",
        "parameters",
        "of full",
        "layer",
        "seeds",
        f"train {scoring.score_title}",
        f"test {scoring.score_title}",
        "from",
        "to",
    )
    rows: list[tuple[str, ...]] = [titles]
    rows += [_row(point, id(point) in front, sweep.results, measure) for point in shown]
    rows += [_baseline_row(model, sweep) for model in _compared(sweep.baselines)]
    left_out = len(points) - len(shown)
    notes = [
        f"* no smaller layer has as high a test {scoring.score_title} (medians over seeds)",
        f"{left_out:,} more layers, all of them worse than a smaller one, are left out" if left_out else "",
        _plain(frontier.cheapest_sentence(points, measure)),
        _plain(frontier.unseen_note(points, sweep.results, sweep.baselines)),
    ]
    return [*_aligned(rows), "", *filter(None, notes)]


def _row(point: Point, on_front: bool, results: Mapping[int, RunResult], measure: Measure) -> tuple[str, ...]:
    train = replace(measure, part="train")
    trained = frontier.summarize({place: results[place] for place in point.places}, train)
    several = point.seeds > 1
    return (
        "*" if on_front else "",
        f"{point.parameters:,}",
        percent(point.shape.parameter_ratio),
        frontier.name_of(point),
        str(point.seeds),
        train.shown(trained[0].median) if trained else "",
        measure.shown(point.median),
        measure.shown(point.low) if several else "",
        measure.shown(point.high) if several else "",
    )


def _compared(models: Sequence[Baseline]) -> list[Baseline]:
    """One of each kind; where there is one for each rank, the best of them on the test samples."""
    best: dict[str, Baseline] = {}
    for model in models:
        if model.kind not in best or model.test.score > best[model.kind].test.score:
            best[model.kind] = model
    return list(best.values())


_KINDS = {
    "full": "full model, least squares",
    "ridge": "full model, ridge",
    "low_rank": "low rank, least squares, best rank {}",
    "low_rank_ridge": "low rank, ridge, best rank {}",
    "constant": "constant prediction",
}
# Those of classes are other models of the same names.
_KINDS_OF_CLASSES = {
    "full": "full model, logistic regression",
    "low_rank": "low rank, logistic regression, best rank {}",
}


def _baseline_row(model: Baseline, sweep: SweepSnapshot) -> tuple[str, ...]:
    dense = sweep.config.data.in_features * sweep.config.data.out_features
    kinds = _KINDS | (_KINDS_OF_CLASSES if sweep.config.data.task_kind == "classification" else {})
    name = kinds[model.kind].format(model.rank)
    scores = (f"{model.train.score:.4f}", f"{model.test.score:.4f}")
    return ("", f"{model.parameters:,}", percent(model.parameters / dense), name, "", *scores, "", "")


def _plain(text: str) -> str:
    return text.replace("**", "")


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Text columns to the left, numbers to the right; a column that is empty but for its title is left out."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    left = [column[0] in ("", "layer") for column in columns]
    return [
        "  ".join(
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]
