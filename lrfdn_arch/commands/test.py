"""``lrfdn test`` and ``test.py``: test a network on the sets of an option file."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrfdn_arch.commands.arguments import add_option_file


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("test", help="test a network on the sets of an option file")
    _declare(parser)
    parser.set_defaults(run=run)


def main(argv: Sequence[str], root: Path | None = None) -> None:
    """Run ``test.py`` with arguments ``argv``; ``root`` gets ``results/``."""
    parser = argparse.ArgumentParser(prog="test.py", description="Test a network.")
    _declare(parser)
    run(parser.parse_args(argv), root)


def run(arguments: argparse.Namespace, root: Path | None = None) -> None:
    """Test; ``root`` (the working directory) gets ``results/``."""
    from lrfdn_arch.options import TestOptions, load_options
    from lrfdn_arch.options.recipes import find_option_file

    # Before torch and BasicSR, which take seconds: a mistake in the file shows at once.
    file = find_option_file(arguments.opt, "test")
    options = load_options(file, TestOptions, arguments.force_yml)
    from lrfdn_arch.evaluation.testing import test

    test(options, root=(root or Path.cwd()).resolve(), only=arguments.only)


def _declare(parser: argparse.ArgumentParser) -> None:
    add_option_file(parser, "path:param_key_g=params")
    parser.add_argument("--only", nargs="+", metavar="DATASET", help="test on these sets only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
