"""``lrfdn audit``: what in a challenge's ranking is signal and what is noise."""

import argparse
from pathlib import Path
from typing import Any

from lrfdn_arch.commands.arguments import add_protocol


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "audit", help="rank a challenge's results with error bars, and flag suspicious figures"
    )
    parser.add_argument(
        "results",
        type=Path,
        help="results.json of a challenge's organisers, or of `lrfdn challenge` (or its folder)",
    )
    add_protocol(parser, "that of the results")
    parser.add_argument(
        "--baseline", metavar="LABEL", help="entry to score against (default: the year's baseline)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--out", type=Path, help="folder for audit.md, audit.json and audit.svg, overwritten"
    )
    parser.add_argument(
        "--draws", type=int, default=10_000, metavar="N", help="bootstrap draws (%(default)s)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from lrfdn_arch.evaluation.audit import audit
    from lrfdn_arch.evaluation.entries import kit_text, read_entries
    from lrfdn_arch.evaluation.protocols import YEARS
    from lrfdn_arch.files import write_whole
    from lrfdn_arch.report.audit import audit_json, audit_plot, audit_text

    if arguments.draws < 100:
        raise ValueError(f"--draws {arguments.draws}: expected at least 100")
    year, entries = read_entries(arguments.results, YEARS.get(arguments.protocol))
    labels = [entry.label for entry in entries]
    if arguments.baseline not in (None, *labels):
        raise ValueError(f"--baseline {arguments.baseline}: expected one of {', '.join(labels)}")
    found = audit(entries, year, arguments.baseline, arguments.draws)
    text = f"{kit_text(entries)}\n{audit_text(found)}"
    if arguments.out:
        contents = {"md": text, "json": audit_json(found), "svg": audit_plot(found)}
        for suffix, content in contents.items():
            write_whole(arguments.out / f"audit.{suffix}", content.encode())
    print(audit_json(found) if arguments.json else text, end="")
