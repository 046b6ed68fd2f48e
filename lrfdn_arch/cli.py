"""The ``lrfdn`` command: reads the arguments and hands them on, nothing else."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lrfdn_arch import __version__, entry
from lrfdn_arch.commands import challenge, compare, export, submit, upscale


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; every subcommand sets ``run``, a function of the parsed arguments."""
    parser = argparse.ArgumentParser(prog="lrfdn", description="LRFDN and RFDN super-resolution.")
    parser.add_argument("--version", action="version", version=f"lrfdn {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_prepare(commands)
    _add_verify(commands)
    _add_complexity(commands)
    challenge.add(commands)
    compare.add(commands)
    submit.add(commands)
    upscale.add(commands)
    export.add(commands)
    _add_versus_bicubic(commands)
    return parser


def _add_prepare(commands: Any) -> None:
    prepare = commands.add_parser("prepare", help="make training LMDBs out of images")
    sources = prepare.add_subparsers(dest="source", required=True, metavar="SOURCE")

    df2k = sources.add_parser("df2k", help="DIV2K and Flickr2K, the paper's training set")
    df2k.add_argument("--root", default="datasets", help="where DIV2K, Flickr2K and DF2K are")
    df2k.add_argument("--download", action="store_true", help="get archives that are missing")
    df2k.set_defaults(run=_data_command("prepare_df2k"))

    photos = sources.add_parser("photos", help="the photographs in scikit-image's wheel")
    photos.add_argument("--out", default="datasets/photos", help="default: %(default)s")
    photos.set_defaults(run=_data_command("prepare_photos"))

    folder = sources.add_parser("folder", help="any folder of photographs")
    folder.add_argument("images", metavar="IMAGES", help="folder, searched with all below it")
    folder.add_argument("--out", required=True, help="where the LMDBs go, e.g. datasets/mine")
    folder.add_argument("--valid", metavar="IMAGES", help="folder of images to validate on")
    folder.add_argument("--grey", action="store_true", help="one channel instead of RGB")
    folder.add_argument(
        "--min-size",
        type=int,
        default=64,
        metavar="PIXELS",
        help="leave out images with a shorter side than this (default: %(default)s)",
    )
    folder.set_defaults(run=_data_command("prepare_folder"))

    for parser in (df2k, photos, folder):
        parser.add_argument(
            "--scale", type=int, nargs="+", default=[4], help="LR factors (default: 4)"
        )
        parser.add_argument(
            "--codec",
            choices=("ppm", "png"),
            default="ppm",
            help="ppm is read without decoding, png takes about half the space (default: ppm)",
        )
        parser.add_argument("--workers", type=int, help="threads (default: one per core)")
        parser.add_argument("--overwrite", action="store_true", help="replace what is there")
        parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _add_verify(commands: Any) -> None:
    parser = commands.add_parser("verify", help="check that LMDBs are whole and belong together")
    parser.add_argument("lmdbs", nargs="+", metavar="LMDB", help="e.g. datasets/**/*.lmdb")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=_data_command("verify"))


def _data_command(name: str) -> Callable[[argparse.Namespace], None]:
    def command(arguments: argparse.Namespace) -> None:
        from lrfdn_arch.data import commands

        getattr(commands, name)(arguments)

    return command


def _add_complexity(commands: Any) -> None:
    parser = commands.add_parser(
        "complexity", help="count parameters, FLOPs, activations and convolutions of networks"
    )
    parser.add_argument(
        "networks",
        nargs="*",
        default=["RFDN", "LRFDN"],
        metavar="NETWORK",
        help="names in BasicSR's ARCH registry (default: RFDN LRFDN)",
    )
    parser.add_argument("--size", type=int, nargs=3, default=(3, 256, 256), metavar=("C", "H", "W"))
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a constructor argument, e.g. --set upscale=2",
    )
    parser.add_argument("--format", choices=("github", "simple", "latex", "csv"), default="github")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=_complexity)


def _complexity(arguments: argparse.Namespace) -> None:
    from lrfdn_arch.evaluation.complexity_table import complexity_report

    style = "json" if arguments.json else arguments.format
    settings = dict(_assignment(text) for text in arguments.set)
    print(complexity_report(arguments.networks, tuple(arguments.size), settings, style))


def _assignment(text: str) -> tuple[str, Any]:
    import yaml

    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"--set {text}: expected NAME=VALUE, e.g. --set upscale=2")
    return name, yaml.safe_load(value)


def _add_versus_bicubic(commands: Any) -> None:
    parser = commands.add_parser(
        "versus-bicubic", help="table and picture of a tested network beside bicubic"
    )
    parser.add_argument("-opt", required=True, metavar="FILE", help="the option file of the test")
    parser.add_argument("--out", required=True, metavar="FILE.png", help="the picture to write")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=_versus_bicubic)


def _versus_bicubic(arguments: argparse.Namespace) -> int:
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


def main(argv: Sequence[str]) -> int:
    """Run one ``lrfdn`` command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return arguments.run(arguments) or 0


def console() -> None:
    """The installed ``lrfdn`` script."""
    sys.exit(entry.run(main))
