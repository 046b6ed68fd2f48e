"""``lrfdn compare``: compare stored results in tables, plots and a page."""

import argparse
from pathlib import Path
from typing import Any

from lrfdn_arch.commands.arguments import add_out, add_protocol
from lrfdn_arch.commands.export_page import add_runtime, runtime_with_progress


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "compare", help="compare results of `lrfdn challenge` in tables, plots and a page"
    )
    parser.add_argument("results", nargs="+", type=Path, help="folders with results.json")
    add_protocol(parser, "that of the results, with the scores of all years")
    add_out(parser, "folder for index.html, report.md, CSV files and plots/")
    parser.add_argument(
        "--page-images",
        type=int,
        default=24,
        metavar="N",
        help="number of images on the page, those that differ most first (default: %(default)s)",
    )
    parser.add_argument(
        "--live",
        nargs="+",
        metavar="WEIGHTS",
        help="put these networks of the results into the page, which then upscales the reader's "
        "pictures, too; files or names as in `lrfdn upscale`",
    )
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from lrfdn_arch.evaluation.protocols import YEARS
    from lrfdn_arch.report.page import write_report

    if arguments.page_images < 0:
        raise ValueError(f"--page-images {arguments.page_images}: expected 0 or more")
    networks, runtime = [], None
    if arguments.live:
        from lrfdn_arch.export.browser import browser_network

        networks = [browser_network("", weights) for weights in arguments.live]
        runtime = runtime_with_progress(arguments.runtime)
    table = write_report(
        arguments.results,
        arguments.out,
        arguments.page_images,
        arguments.overwrite,
        networks,
        runtime,
        YEARS.get(arguments.protocol),
    )
    print(table.markdown())
    print(f"page: {arguments.out / 'index.html'}")
