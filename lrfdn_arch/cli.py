"""The ``lrfdn`` command: parses the arguments and calls the subcommand."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from lrfdn_arch import __version__, entry

_COMMANDS = (  # modules of lrfdn_arch.commands, in the order of `lrfdn --help`
    *("prepare", "verify"),
    *("recipes", "train", "soup", "test"),
    *("upscale", "export"),
    *("complexity", "versus_bicubic", "challenge", "compare", "audit", "submit"),
    "basicsr",
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; every subcommand sets ``run``, a function of the parsed arguments."""
    parser = argparse.ArgumentParser(
        prog="lrfdn", description="LRFDN and other efficient super-resolution networks."
    )
    parser.add_argument("--version", action="version", version=f"lrfdn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in _COMMANDS:
        import_module(f"lrfdn_arch.commands.{name}").add(commands)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run one ``lrfdn`` command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return arguments.run(arguments) or 0


def console() -> None:
    """The installed ``lrfdn`` script."""
    sys.exit(entry.run(main))
