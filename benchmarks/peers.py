"""How fast are the public TT libraries on the same work? Installed into an environment of their own, `.venv-peers`.

python -m benchmarks.peers [--steps 200] [--threads 2] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path
from statistics import median

from benchmarks.one_peer import PEERS
from benchmarks.tables import markdown_table, middle_and_spread
from ttcore.machine import processors

_FOLDER = Path(__file__).resolve().parent
_ENVIRONMENT = _FOLDER.parent / ".venv-peers"
_PYTHON = _ENVIRONMENT / "bin" / "python"
_LONGEST_INSTALL, _LONGEST_RUN = 1800.0, 300.0
MEASURES = ("steps_per_second", "one_sample_ms", "hundred_samples_ms")


@cache
def environment() -> Path:
    """The Python of the peers' environment, which is made the first time."""
    ready = _ENVIRONMENT / "installed"
    if not ready.exists():
        print("installing the peers into .venv-peers ...", file=sys.stderr, flush=True)
        venv.create(_ENVIRONMENT, with_pip=True)
        install = [str(_PYTHON), "-m", "pip", "install", "-q", "-r", str(_FOLDER / "requirements-peers.txt")]
        subprocess.run(install, check=True, timeout=_LONGEST_INSTALL)
        ready.touch()
    return _PYTHON


def peer(name: str, steps: int, threads: int) -> dict[str, float] | str:
    """One peer's figures from a process of its own, or a sentence on why there are none."""
    command = [str(environment()), str(_FOLDER / "one_peer.py"), name]
    command += ["--steps", str(steps), "--threads", str(threads)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_RUN)
    if ended.returncode:
        return (ended.stderr.strip().splitlines() or ["it failed without a word"])[-1]
    # Some of them greet whoever imports them.
    return json.loads(ended.stdout.strip().splitlines()[-1])


def table(figures: dict[str, list[dict[str, float]]], failures: dict[str, str]) -> str:
    """Medians and spread of every peer."""
    rows = [
        [
            name,
            *(
                middle_and_spread([row[measure] for row in rows], 1 if "ms" not in measure else 2)
                for measure in MEASURES
            ),
        ]
        for name, rows in figures.items()
    ]
    rows += [[name, sentence, "", ""] for name, sentence in failures.items()]
    return markdown_table(["", "reference step, steps/s", "large layer, 1 sample, ms", "100 samples, ms"], rows)


def best(figures: dict[str, list[dict[str, float]]], measure: str) -> float:
    """The best peer's median; nn.Linear is none."""
    medians = [median(row[measure] for row in rows) for name, rows in figures.items() if name != "nn.Linear"]
    return max(medians) if measure == "steps_per_second" else min(medians)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    figures: dict[str, list[dict[str, float]]] = {}
    failures: dict[str, str] = {}
    for _ in range(arguments.repeats):
        for name in PEERS:
            found = peer(name, arguments.steps, arguments.threads)
            print(name, found, file=sys.stderr, flush=True)
            if isinstance(found, str):
                failures[name] = found
            else:
                figures.setdefault(name, []).append(found)
    print(table(figures, failures))


if __name__ == "__main__":
    main()
