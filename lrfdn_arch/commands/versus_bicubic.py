"""``lrfdn versus-bicubic``: a tested network beside bicubic."""

import argparse
import sys
from typing import Any


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "versus-bicubic", help="table and picture of a tested network beside bicubic"
    )
    parser.add_argument("-opt", required=True, metavar="FILE", help="the option file of the test")
    parser.add_argument("--out", required=True, metavar="FILE.png", help="the picture to write")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pathlib import Path

    from lrfdn_arch.options import TestOptions, load_options
    from lrfdn_arch.report import versus_bicubic

    options = load_options(arguments.opt, TestOptions)
    images = versus_bicubic.tested_images(options, Path.cwd())
    network = options.network_g.type
    print(versus_bicubic.comparison_table(images, network))
    versus_bicubic.comparison_picture(images, network, Path(arguments.out))
    print(f"\npicture: {arguments.out}")
    worse = [image.name for image in images if not image.is_better]
    if worse:
        print(f"{network} is not above bicubic on {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0
