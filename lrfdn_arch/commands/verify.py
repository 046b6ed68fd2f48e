"""``lrfdn verify``: are LMDBs whole, do LR and HR belong together."""

import argparse
from typing import Any


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("verify", help="check that LMDBs are whole and belong together")
    parser.add_argument("lmdbs", nargs="+", metavar="LMDB", help="e.g. datasets/**/*.lmdb")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from lrfdn_arch.prepare.commands import verify

    verify(arguments)
