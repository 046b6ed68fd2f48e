"""``lrfdn export page``: one HTML file that upscales pictures in a browser."""

import argparse
from pathlib import Path
from typing import Any

from lrfdn_arch.commands.arguments import add_network, add_out, add_weights_key, network_of
from lrfdn_arch.extras import require


def add(kinds: Any) -> None:
    """Add the kind to ``lrfdn export``."""
    what = "one HTML file that upscales pictures in a browser, offline and without a server"
    parser = kinds.add_parser("page", help=what, description=what)
    add_out(parser, "the file, e.g. demo.html")
    parser.add_argument(
        "--model",
        action="append",
        metavar="LABEL=FILE",
        help="a network of the page, as in `lrfdn challenge`; any number of times, all with the "
        "same scale (default: the shipped weights)",
    )
    add_weights_key(parser)
    add_network(parser)
    add_runtime(parser)
    parser.set_defaults(run=_run)


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """Add ``--runtime``."""
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="DIR",
        help="the folder dist of the npm package onnxruntime-web (default: a known version, "
        "downloaded once, 33 MB)",
    )


def _run(arguments: argparse.Namespace) -> None:
    for package in ("torch", "jinja2"):
        require(package, extra="onnx")
    from lrfdn_arch.export.browser import browser_network
    from lrfdn_arch.files import check_new, write_whole
    from lrfdn_arch.report.page import live_page

    out: Path = arguments.out
    check_new(out, overwrite=arguments.overwrite)
    network_g = network_of(arguments)
    networks = []
    for spec in arguments.model or [None]:
        label, _, file = (spec or "").rpartition("=")
        networks.append(browser_network(label, file or None, arguments.weights_key, network_g))
    write_whole(out, live_page(networks, runtime_with_progress(arguments.runtime)).encode())
    print(f"{out} ({out.stat().st_size / 1e6:.2f} MB)")


def runtime_with_progress(folder: Path | None) -> dict[str, str]:
    """Return :func:`lrfdn_arch.export.browser.browser_runtime` with a bar for the download."""
    from lrfdn_arch.export.browser import PACKAGE, browser_runtime
    from lrfdn_arch.progress import progress_bar

    with progress_bar(PACKAGE.size, PACKAGE.name, unit="B", log=False) as bar:
        return browser_runtime(folder, bar.update)
