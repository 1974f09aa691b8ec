"""How fast is a forward pass of a large layer, 25088 -> 4096 at rank 4, beside nn.Linear and the public TT libraries?

python -m benchmarks.inference [--threads 2] [--repeats 5] [--no-peers]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch

from benchmarks import peers
from benchmarks.one_peer import LARGE_IN, LARGE_OUT, LARGE_RANK, PEERS, dense, milliseconds
from benchmarks.results import write_section
from benchmarks.tables import markdown_table, middle_and_spread
from ttcore import TTLinear, TTShape
from ttcore.machine import processors
from ttcore.planning import plan_contraction

_SAMPLES = (1, 100)
_WANTED = {1: 75, 100: 8}
_SHAPE = TTShape(LARGE_IN, LARGE_OUT, LARGE_RANK)


def compare(threads: int, repeats: int, with_peers: bool) -> str:
    """Alternate all of them; a Markdown table."""
    torch.set_num_threads(threads)
    layer = TTLinear(_SHAPE, bias=False)
    linear = dense(LARGE_IN, LARGE_OUT, LARGE_RANK)
    times: dict[tuple[str, int], list[float]] = {}
    failures: dict[str, str] = {}

    def note(who: str, samples: int, value: float) -> None:
        times.setdefault((who, samples), []).append(value)

    for _ in range(repeats):
        for samples in _SAMPLES:
            note("nn.Linear", samples, milliseconds(linear, samples))
            note("TTLinear", samples, milliseconds(layer, samples, 300))
        for name in PEERS if with_peers else ():
            found = peers.peer(name, 20, threads) if name != "nn.Linear" else ""
            if isinstance(found, dict):
                note(name, 1, found["one_sample_ms"])
                note(name, 100, found["hundred_samples_ms"])
            elif found:
                failures[name] = found
        print({key: f"{values[-1]:.3f}" for key, values in times.items()}, file=sys.stderr, flush=True)

    who = list(dict.fromkeys(name for name, _ in times))
    rows = [[f"{name}, ms", *(_spread(times[name, samples]) for samples in _SAMPLES)] for name in who]
    for name in who:
        if name != "TTLinear":
            rows.append(
                [
                    f"TTLinear is faster than {name} by",
                    *(
                        middle_and_spread([a / b for a, b in zip(times[name, s], times["TTLinear", s], strict=True)], 1)
                        + ("×" if name != "nn.Linear" else f"× (wanted ≥ {_WANTED[s]}×)")
                        for s in _SAMPLES
                    ),
                ]
            )
    rows += [[name, sentence, ""] for name, sentence in failures.items()]
    header = [f"{threads} threads, {repeats} turns, float32", *(f"{samples} sample(s)" for samples in _SAMPLES)]
    plans = "\n\n".join(
        f"{samples} sample(s), as planned:\n\n```\n{plan_contraction(_SHAPE, samples).report()}\n```"
        for samples in _SAMPLES
    )
    return f"{markdown_table(header, rows)}\n\n{plans}"


def _spread(values: Sequence[float]) -> str:
    return middle_and_spread(values, 3 if max(values) < 10 else 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-peers", action="store_true", help="leave the public libraries out")
    arguments = parser.parse_args()
    text = compare(arguments.threads, arguments.repeats, not arguments.no_peers)
    write_section("inference", "A large layer, forward (`python -m benchmarks.inference`)", text)


if __name__ == "__main__":
    main()
