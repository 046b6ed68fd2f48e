"""``lrfdn submit``: create a zip for the challenge's server, or files for the organisers' kit."""

import argparse
from typing import Any

from lrfdn_arch.commands.arguments import (
    add_images,
    add_models,
    add_out,
    add_protocol,
    image_sets_of,
    network_of,
)


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "submit", help="create a challenge submission: a zip of images, or files for the kit"
    )
    add_models(parser)
    add_out(parser, "output zip file (one for each image set), or folder with --kit")
    add_protocol(parser, "2023")
    add_images(parser, with_hr=False)
    parser.add_argument(
        "--name",
        default="{name}.png",
        metavar="PATTERN",
        help="file names in the zip; {name} is the HR name (default: %(default)s)",
    )
    parser.add_argument(
        "--runtime", type=float, metavar="SECONDS", help="runtime per image (default: measured)"
    )
    parser.add_argument(
        "--no-extra-data", action="store_true", help="state that only the challenge's data was used"
    )
    parser.add_argument("--description", help="free text for readme.txt (default: the network)")
    parser.add_argument(
        "--kit", action="store_true", help="write models/teamNN_NAME.py and model_zoo/... instead"
    )
    parser.add_argument("--team", type=int, help="team number, required with --kit")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from lrfdn_arch.evaluation.competitor import load_competitors

    if arguments.kit == (arguments.lr is not None or arguments.data is not None):
        raise ValueError("specify either images (--lr or --data) for a zip, or --kit")
    if arguments.kit and arguments.team is None:
        raise ValueError("--kit needs --team NUMBER, which is part of the files' names")
    competitors = load_competitors(arguments.model, arguments.weights_key, network_of(arguments))
    if len(competitors) > 1:
        raise ValueError("a submission contains one network; use --model once")
    (_write_kit if arguments.kit else _write_zip)(arguments, competitors[0])


def _write_kit(arguments: argparse.Namespace, competitor: Any) -> None:
    from lrfdn_arch.export.kit import write_kit

    network, weights = write_kit(competitor, arguments.out, arguments.team, arguments.overwrite)
    print(f"{network} (its first lines explain what to add to the kit)\n{weights}")


def _write_zip(arguments: argparse.Namespace, competitor: Any) -> None:
    from lrfdn_arch.device import choose_device
    from lrfdn_arch.evaluation.protocols import YEARS
    from lrfdn_arch.export.submission import Form, write_submission
    from lrfdn_arch.files import check_new
    from lrfdn_arch.progress import progress_bar

    image_sets = image_sets_of(arguments, YEARS[arguments.protocol or 2023])
    description = arguments.description or f"{competitor.loaded}, no self-ensemble"
    form = Form(description, not arguments.no_extra_data, arguments.runtime)
    out, outs = arguments.out, [arguments.out]
    if out.suffix.lower() != ".zip":
        raise ValueError(f"--out {out}: expected a name that ends in .zip")
    if len(image_sets) > 1:
        outs = [out.with_name(f"{out.stem}_{images.name}{out.suffix}") for images in image_sets]
    check_new(*outs, overwrite=arguments.overwrite)
    for image_set, out in zip(image_sets, outs, strict=True):
        with progress_bar(len(image_set.pairs)) as bar:

            def on_image(name: str, bar: Any = bar) -> None:
                bar.set_postfix_str(name)
                bar.update()

            write_submission(
                competitor,
                image_set,
                out,
                form,
                choose_device(arguments.device),
                arguments.name,
                arguments.overwrite,
                on_image,
            )
        print(f"{out}: {len(image_set.pairs)} images and readme.txt, checked")
