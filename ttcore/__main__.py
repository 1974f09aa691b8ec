"""python -m ttcore: the same runs and sweeps without a browser.

Exit codes: 0 it ended as asked, 2 bad input, 3 a loss was no longer finite or, of a sweep, runs could not be done, 130
stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys

from ttcore import command_sweep, command_train
from ttcore.command_options import EXIT_INPUT, EXIT_INTERRUPTED, Parser
from ttcore.command_options import run_config as _config
from ttcore.errors import InputError


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    try:
        parser = _parser()
        asked, unknown = parser.parse_known_args(arguments)
        if unknown:
            raise InputError(f"unrecognized arguments: {' '.join(unknown)}; see {parser.prog} {asked.command} --help")
        if asked.command == "sweep":
            return command_sweep.sweep_command(asked)
        return command_train.train_command(_config(asked), as_json=asked.json)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_INPUT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m ttcore", description="Train tensor-train layers without a browser.")
    commands = parser.add_subparsers(required=True, dest="command", metavar="command", parser_class=Parser)
    train = commands.add_parser("train", help="train one layer on a preset's data, beside the full model")
    command_train.add_arguments(train)
    sweep = commands.add_parser(
        "sweep",
        help="train a grid of layers, and say which are worth their parameters",
        description=command_sweep.DESCRIPTION,
    )
    command_sweep.add_arguments(sweep)
    return parser


if __name__ == "__main__":
    code = main()
    if code == EXIT_INTERRUPTED:
        # A thread may be deep in a computation that nothing interrupts, and nobody waits for it any more.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
