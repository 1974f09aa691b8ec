"""How much server time does a redraw of the Trade-off page take with 5,000 points?

A made-up sweep of 5,000 finished runs is shown by the app itself, run in this process as Streamlit's tests run it: the
controls, the frontier and one of the views below it, until everything is ready to be sent to the browser.

    python -m benchmarks.many_points [--runs 5000] [--repeats 7]
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import numpy as np
from streamlit.testing.v1 import AppTest

from benchmarks.results import write_section
from benchmarks.tables import markdown_table, middle_and_spread
from dashboard import session
from dashboard.sweep_view import VIEWS
from ttcore.config import RunConfig
from ttcore.events import Best, Scores, StopReason
from ttcore.results import RunResult
from ttcore.sweep import Sweep
from ttcore.sweep_config import Factorization
from ttcore.sweep_plan import plan_sweep
from ttcore.sweep_presets import sweep_preset
from ttcore.sweeps import HeldSweep

_APP = Path(__file__).resolve().parent.parent / "dashboard" / "router.py"
_WANTED = 0.3


def made_up(runs: int) -> Sweep:
    """An ended sweep of about so many runs with random scores."""
    base = sweep_preset("planted")
    factorizations = [Factorization.balanced(base.data, cores) for cores in (2, 3, 4, 5, 6)]
    config = replace(
        base, factorizations=tuple(factorizations), ranks=tuple(range(1, 26)), seeds=tuple(range(runs // 125))
    )
    plan = plan_sweep(config, 8 << 30)
    draw = np.random.default_rng(0)
    results = {place: _result(run, draw) for place, run in enumerate(plan.runs)}
    sweep = Sweep(config, Executor(), plan=plan, done=results)
    sweep.stop()
    return sweep


def _result(run: RunConfig, draw: np.random.Generator) -> RunResult:
    train, test = (float(value) for value in draw.uniform(0, 1, 2))
    return RunResult(
        config=run,
        device="cpu",
        device_name="CPU",
        threads=1,
        plan="",
        stacked=8,
        stop_reason=StopReason.STEPS_DONE,
        steps=run.train.steps,
        seconds=1.0,
        train=Scores(loss=1 - train, score=train),
        test=Scores(loss=1 - test, score=test),
        best=Best(loss=1 - train, score=train, step=run.train.steps),
        best_test=Scores(loss=1 - test, score=test),
        losses=draw.uniform(0, 1, 200).astype(np.float32),
    )


def redraws(runs: int, repeats: int) -> str:
    """Seconds of a redraw for every view; a Markdown table."""
    sweep = made_up(runs)
    held = HeldSweep("made-up", "somebody", 1, "this machine", sweep, lambda: None)
    session.sweeps()._held[held.id] = held
    rows = []
    for view in VIEWS[:-1]:
        app = AppTest.from_file(str(_APP), default_timeout=120)
        app.session_state["owner"] = held.owner
        app.session_state["shown_sweep"] = held.id
        app.session_state["sweep_view"] = view
        app.session_state["sweep_chosen"] = (held.id, [0, 100, 200])
        app.run()
        app.switch_page("../pages/tradeoff.py").run()
        app.query_params["sweep"] = held.id
        seconds = []
        for _ in range(repeats):
            began = time.perf_counter()
            app.run()
            seconds.append(1000 * (time.perf_counter() - began))
        assert not app.exception, app.exception
        rows.append([f"the whole page, {view.lower()}, ms", middle_and_spread(seconds, 0), f"≤ {1000 * _WANTED:.0f}"])
    points = len(sweep.snapshot().results)
    return markdown_table([f"{points:,} points, {repeats} redraws", "median (lowest to highest)", "wanted"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    try:
        text = redraws(arguments.runs, arguments.repeats)
    finally:
        session.sweeps().close()
        session.engine().close()
    write_section("many-points", "5,000 points on the Trade-off page (`python -m benchmarks.many_points`)", text)


if __name__ == "__main__":
    main()
