"""All measurements of the engine, one after another, each into its section of RESULTS.md; about a quarter of an hour.

Leave the machine alone meanwhile. `--live` adds those of the live page, another quarter of an hour.

    python -m benchmarks [--live]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

_ENGINE = ("step_rate", "sweep", "many_points", "real_data", "inference", "fits", "growth", "calibration", "on_gpu")
_LIVE = (("live_page", "all"),)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--live", action="store_true", help="measure the live page too")
    arguments = parser.parse_args()
    failed = []
    for module, *rest in [*((name,) for name in _ENGINE), *(_LIVE if arguments.live else ())]:
        # Each in a process of its own, so that none finds another's threads or caches.
        command = [sys.executable, "-m", f"benchmarks.{module}", *rest]
        if subprocess.run(command, cwd=Path(__file__).resolve().parent.parent).returncode:
            failed.append(module)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
