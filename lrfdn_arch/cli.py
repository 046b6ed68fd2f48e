"""The ``lrfdn`` command: reads the arguments and hands them on, nothing else."""

import argparse
import sys
from collections.abc import Sequence

from lrfdn_arch import __version__, entry


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; every subcommand sets ``run``, a function of the parsed arguments."""
    parser = argparse.ArgumentParser(prog="lrfdn", description="LRFDN and RFDN super-resolution.")
    parser.add_argument("--version", action="version", version=f"lrfdn {__version__}")
    parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run one ``lrfdn`` command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return arguments.run(arguments)


def console() -> None:
    """The installed ``lrfdn`` script."""
    sys.exit(entry.run(main))
