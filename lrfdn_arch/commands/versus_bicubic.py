"""``lrfdn versus-bicubic``: compare a tested network with bicubic."""

import argparse
import sys
from typing import Any


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "versus-bicubic", help="compare a tested network with bicubic in a table and a picture"
    )
    parser.add_argument("-opt", required=True, metavar="FILE", help="the option file of the test")
    parser.add_argument("--out", required=True, metavar="FILE.png", help="the picture to write")
    parser.add_argument(
        "--beside",
        nargs="+",
        default=[],
        metavar="LABEL=FILE_OR_NAME",
        help="also compare other weights, e.g. shipped=lrfdn_x4",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pathlib import Path

    from lrfdn_arch.evaluation.competitor import load_competitor
    from lrfdn_arch.files import check_new
    from lrfdn_arch.options import TestOptions, load_options
    from lrfdn_arch.options.recipes import find_option_file
    from lrfdn_arch.report import versus_bicubic

    check_new(Path(arguments.out), overwrite=True)
    options = load_options(find_option_file(arguments.opt, "test"), TestOptions)
    others = [load_competitor(spec) for spec in arguments.beside]
    images = versus_bicubic.tested_images(options, Path.cwd(), others)
    print(versus_bicubic.comparison_table(images))
    versus_bicubic.comparison_picture(images, Path(arguments.out))
    print(f"\npicture: {arguments.out}")
    network = options.network_g.type
    worse = [image.name for image in images if not image.is_better(network)]
    if worse:
        print(f"{network} is not better than bicubic on {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0
