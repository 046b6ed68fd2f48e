"""``test.py``: its command line."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from lrfdn_arch.options import TestOptions, load_options


def main(argv: Sequence[str], root: Path | None = None) -> None:
    """Test as the command line says; ``root`` (the working directory) gets ``results/``.

    Raises:
        ValueError, OSError: with a message for the user.
    """
    parser = argparse.ArgumentParser(prog="test.py", description="Test a network.")
    parser.add_argument("-opt", required=True, metavar="FILE", help="option file")
    parser.add_argument(
        "--force_yml",
        nargs="+",
        default=[],
        metavar="KEY:KEY=VALUE",
        help="set options, e.g. path:param_key_g=params",
    )
    parser.add_argument("--only", nargs="+", metavar="DATASET", help="test on these sets only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    arguments = parser.parse_args(argv)
    # Before torch and BasicSR, which take seconds: a mistake in the file shows at once.
    options = load_options(arguments.opt, TestOptions, arguments.force_yml)
    from lrfdn_arch.evaluation.testing import test

    test(options, root=(root or Path.cwd()).resolve(), only=arguments.only)
