"""A question to a child process with bounded memory and time: what it reads may be hostile and cannot harm us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ttcore.errors import InputError


def ask(
    module: str, request: dict[str, Any], time_limit: float, *, too_long: InputError, too_large: InputError
) -> dict[str, Any]:
    """The JSON object that `python -m module` answers on standard output to the request on its standard input.

    The child limits its memory by itself, before it loads anything. Raises the errors given where it takes longer than
    time_limit (seconds) or dies, and InputError for an answer with "error" (a sentence) and "field".
    """
    root = str(Path(__file__).resolve().parent.parent)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])),
        # A thread's stack and buffers count as memory, and one thread is enough here.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(request).encode(),
            stdout=subprocess.PIPE,
            cwd=root,
            env=environment,
            timeout=time_limit,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise too_long from None
    try:
        reply = json.loads(done.stdout)
    except ValueError:  # killed, or ended by a library that found no memory
        raise too_large from None
    if "error" in reply:
        raise InputError(reply["error"], reply["field"])
    return reply
