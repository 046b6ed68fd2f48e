"""``lrfdn soup``: average the weights of runs, as far as validation gains by it."""

import argparse
from pathlib import Path
from typing import Any

from lrfdn_arch.commands.arguments import add_device, add_import, add_out, add_weights_key


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "soup", help="average the weights of several runs or checkpoints, chosen by validation"
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="WEIGHTS",
        help="at least two weights files, or names as in `lrfdn upscale`",
    )
    parser.add_argument("--lr", type=Path, required=True, help="folder or LMDB of small images")
    parser.add_argument("--hr", type=Path, required=True, help="folder or LMDB of ground truth")
    parser.add_argument(
        "--metric", choices=("psnr_y", "psnr_rgb"), default="psnr_y", help="the metric that decides"
    )
    add_weights_key(parser)
    add_device(parser)
    add_import(parser)
    add_out(parser, "the .safetensors file to write")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from tabulate import tabulate

    from lrfdn_arch.device import choose_device
    from lrfdn_arch.evaluation.image_set import open_image_set
    from lrfdn_arch.evaluation.soup import greedy_soup
    from lrfdn_arch.export.files import export_network
    from lrfdn_arch.extensions import import_extensions
    from lrfdn_arch.files import check_new
    from lrfdn_arch.progress import progress_bar
    from lrfdn_arch.weights import find_weights

    import_extensions(arguments.imports)
    check_new(arguments.out, overwrite=arguments.overwrite)
    files = [find_weights(name) for name in arguments.files]
    images = open_image_set(arguments.lr, arguments.hr)
    steps = 2 * len(files) - 1
    with progress_bar(steps, unit="files", log=False) as bar:

        def on_step(what: str) -> None:
            bar.set_description(what, refresh=True)
            bar.update()

        network, tried = greedy_soup(
            files,
            images,
            metric=arguments.metric,
            key=arguments.weights_key,
            device=choose_device(arguments.device),
            on_step=on_step,
        )
    rows = [[i.file, i.alone, i.together, "yes" if i.kept else "no"] for i in tried]
    headers = ["weights", f"{arguments.metric} alone", "in the average", "kept"]
    print(tabulate(rows, headers=headers, tablefmt="github", floatfmt=".4f"))
    kept = ", ".join(i.file.name for i in tried if i.kept)
    export_network("safetensors", network, arguments.out, source=f"the average of {kept}")
    print(f"\n{arguments.out}")
