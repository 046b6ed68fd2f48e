"""``lrfdn prepare``: images to training LMDBs."""

import argparse
from collections.abc import Callable
from typing import Any


def add(commands: Any) -> None:
    """Declare the command."""
    prepare = commands.add_parser("prepare", help="make training LMDBs out of images")
    sources = prepare.add_subparsers(dest="source", required=True, metavar="SOURCE")

    df2k = sources.add_parser("df2k", help="DIV2K and Flickr2K, the paper's training set")
    df2k.add_argument("--root", default="datasets", help="where DIV2K, Flickr2K and DF2K are")
    df2k.add_argument("--download", action="store_true", help="get archives that are missing")
    df2k.set_defaults(run=_data_command("prepare_df2k"))

    photos = sources.add_parser("photos", help="the photographs in scikit-image's wheel")
    photos.add_argument("--out", default="datasets/photos", help="default: %(default)s")
    photos.set_defaults(run=_data_command("prepare_photos"))

    folder = sources.add_parser("folder", help="any folders of photographs")
    folder.add_argument(
        "images", metavar="IMAGES", nargs="+", help="folders, searched with all below them"
    )
    folder.add_argument("--out", required=True, help="where the LMDBs go, e.g. datasets/mine")
    valid = folder.add_mutually_exclusive_group()
    valid.add_argument("--valid", metavar="IMAGES", help="folder of images to validate on")
    valid.add_argument(
        "--hold-out",
        type=int,
        metavar="COUNT",
        help="validate on so many of IMAGES, evenly spread over them, and do not train on those",
    )
    folder.add_argument(
        "--copies",
        type=float,
        nargs="+",
        default=[],
        metavar="FACTOR",
        help="train on smaller copies too, e.g. 0.9 0.8 0.7 0.6: more, and sharper, images",
    )
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


def _data_command(name: str) -> Callable[[argparse.Namespace], None]:
    def command(arguments: argparse.Namespace) -> None:
        from lrfdn_arch.prepare import commands

        getattr(commands, name)(arguments)

    return command
