"""How does the time of a training step grow with samples, modes, rank and cores, beside the dense layer's?

One picture, growth.svg, drawn by plotly.js in Chromium. A step of the dense layer is nn.Linear with torch's Adam.

    python -m benchmarks.growth [--threads 2]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from math import log
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import unquote

import plotly
import torch
from playwright.sync_api import sync_playwright

from benchmarks.chromium_viewer import CHROMIUM, FLAGS
from benchmarks.results import write_section
from ttcore import TrainConfig, TTShape, ttmatrix
from ttcore.first_order import FirstOrder
from ttcore.machine import processors
from ttcore.planning import plan_contraction
from ttcore.squared_loss import TrainingData
from ttcore.stack import Stack

PICTURE = Path(__file__).with_name("growth.svg")
_SECONDS_EACH = 0.3
_TT, _DENSE = "#0072b2", "#d55e00"
# What grows -> (values, the layer and the samples at each).
_REFERENCE = TTShape((8,) * 4, (2,) * 4, 8)
PANELS: dict[str, dict[float, tuple[TTShape, int]]] = {
    "samples (4096 → 16, rank 8)": {b: (_REFERENCE, b) for b in (1, 4, 16, 64, 256, 1024, 4096)},
    "mode m (m⁴ → m⁴, rank 8, 64 samples)": {m: (TTShape((m,) * 4, (m,) * 4, 8), 64) for m in (2, 3, 4, 5, 6, 7)},
    "rank (1024 → 1024 in 5 cores, 64 samples)": {
        r: (TTShape((4,) * 5, (4,) * 5, r), 64) for r in (1, 2, 4, 8, 16, 32, 64)
    },
    "cores (4096 → 4096, rank 8, 64 samples)": {
        d: (TTShape(modes, modes, 8), 64)
        for d, modes in {2: (64, 64), 3: (16, 16, 16), 4: (8,) * 4, 6: (4,) * 6, 12: (2,) * 12}.items()
    },
}


def _median_seconds(call: Callable[[], object]) -> float:
    call()
    began = time.perf_counter()
    call()
    count = max(5, min(300, int(_SECONDS_EACH / max(time.perf_counter() - began, 1e-6))))
    times = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times)


def tt_seconds(shape: TTShape, samples: int) -> float:
    """One step of the engine: loss, gradient, update of Adam."""
    data = TrainingData(torch.randn(samples, shape.in_features), torch.randn(samples, shape.out_features), shape)
    start = torch.cat([core.reshape(-1) for core in ttmatrix.initialize(shape)])
    plan = plan_contraction(shape, samples, training=True, fixed_samples=True)
    method = FirstOrder([TrainConfig(lr=1e-4)], Stack([shape]), [start], data, plan)
    done = 0

    def step() -> None:
        nonlocal done
        method.losses().tolist()
        method.prepare([done])
        method.update()
        done += 1

    with torch.inference_mode():
        return _median_seconds(step)


def dense_seconds(shape: TTShape, samples: int) -> float:
    """One step of nn.Linear with torch's Adam, fused."""
    layer = torch.nn.Linear(shape.in_features, shape.out_features, bias=False)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-4, fused=True)
    x, y = torch.randn(samples, shape.in_features), torch.randn(samples, shape.out_features)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(layer(x), y).backward()
        optimizer.step()

    return _median_seconds(step)


def crossing(values: Sequence[float], tt: Sequence[float], dense: Sequence[float]) -> str:
    """Where TT and dense take the same time, between the measured values; or who is always faster."""
    signs = [a < b for a, b in zip(tt, dense, strict=True)]
    if all(signs):
        return "TT is faster everywhere"
    if not any(signs):
        return "TT is slower everywhere"
    found = []
    for k in range(len(signs) - 1):
        if signs[k] != signs[k + 1]:
            gaps = [log(tt[j] / dense[j]) for j in (k, k + 1)]
            place = gaps[0] / (gaps[0] - gaps[1])
            found.append(
                f"TT becomes {'faster' if signs[k + 1] else 'slower'} at about "
                f"{values[k] * (values[k + 1] / values[k]) ** place:.3g}"
            )
    return ", ".join(found)


def figure(measured: dict[str, tuple[list[float], list[float], list[float]]]) -> dict[str, Any]:
    """Four panels of milliseconds, all axes logarithmic."""
    data, layout = [], {"width": 1000, "height": 720, "margin": {"l": 60, "r": 20, "t": 40, "b": 50}}
    layout |= {"grid": {"rows": 2, "columns": 2, "pattern": "independent", "ygap": 0.28}, "paper_bgcolor": "white"}
    layout |= {"legend": {"orientation": "h", "x": 0, "y": 1.08}, "font": {"family": "sans-serif", "size": 14}}
    for number, (name, (values, tt, dense)) in enumerate(measured.items(), 1):
        axis = "" if number == 1 else str(number)
        for who, seconds, colour in (("TT layer, this engine", tt, _TT), ("dense layer, nn.Linear", dense, _DENSE)):
            data.append(
                {
                    "x": values,
                    "y": [1000 * value for value in seconds],
                    "xaxis": f"x{axis}",
                    "yaxis": f"y{axis}",
                    "name": who,
                    "mode": "lines+markers",
                    "line": {"color": colour, "dash": "solid" if colour == _TT else "dash"},
                    "showlegend": number == 1,
                }
            )
        ticks = {"tickmode": "array", "tickvals": values, "ticktext": [f"{value:g}" for value in values]}
        layout[f"xaxis{axis}"] = {"type": "log", "title": {"text": name}, **ticks}
        layout[f"yaxis{axis}"] = {"type": "log", "title": {"text": "ms a step"}, "dtick": 1}
    return {"data": data, "layout": layout}


def draw(plain: dict[str, Any], path: Path) -> None:
    """A figure of plain data as an SVG file."""
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.set_content("<div id=plot></div>")
        page.add_script_tag(path=str(script))
        address = page.evaluate(
            "async (figure) => Plotly.toImage(figure, {format: 'svg', width: 1000, height: 720})", plain
        )
        browser.close()
    path.write_text(unquote(address.partition(",")[2]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=processors())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    measured = {}
    lines = []
    for name, cases in PANELS.items():
        values, tt, dense = list(cases), [], []
        for shape, samples in cases.values():
            tt.append(tt_seconds(shape, samples))
            dense.append(dense_seconds(shape, samples))
        measured[name] = (values, tt, dense)
        print(
            name, [f"{a * 1e3:.3g}/{b * 1e3:.3g}" for a, b in zip(tt, dense, strict=True)], file=sys.stderr, flush=True
        )
        ratios = ", ".join(f"{value:g}: {b / a:.2g}×" for value, a, b in zip(values, tt, dense, strict=True))
        lines.append(f"- {name}: {crossing(values, tt, dense)}. Dense time / TT time: {ratios}.")
    draw(figure(measured), PICTURE)
    text = f"![Step time of a TT layer and of the dense layer]({PICTURE.name})\n\n" + "\n".join(lines)
    text += f"\n\nWhole training steps, float32, {arguments.threads} threads."
    write_section("growth", "How cost grows (`python -m benchmarks.growth`)", text)


if __name__ == "__main__":
    main()
