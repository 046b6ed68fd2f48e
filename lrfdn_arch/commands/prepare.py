"""``lrfdn prepare``: images to training LMDBs, or to folders of HR and LR images."""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrfdn_arch.prepare.packing import Packed, PackOptions, Target

_MULTIPLE = 12  # DIV2K's sides are multiples of it already, so all its scales share one HR LMDB


def add(commands: Any) -> None:
    """Declare the command."""
    prepare = commands.add_parser("prepare", help="create training LMDBs from images")
    sources = prepare.add_subparsers(dest="source", required=True, metavar="SOURCE")

    df2k = sources.add_parser("df2k", help="DIV2K and Flickr2K, the paper's training set")
    df2k.set_defaults(run=prepare_df2k)

    benchmarks = sources.add_parser(
        "benchmarks",
        help="the usual test sets, with their LR images made here",
        description="Unpacks test sets to ROOT/benchmark/NAME/HR and makes their LR images by "
        "MATLAB's bicubic, as ROOT/benchmark/NAME/LR_bicubic/X4/IMAGEx4.png.",
    )
    benchmarks.add_argument(
        "sets", metavar="NAME", nargs="+", help="Set5, Set14, B100, Urban100 or Manga109"
    )
    benchmarks.set_defaults(run=prepare_benchmarks)
    for parser in (df2k, benchmarks):
        parser.add_argument("--root", default="datasets", help="where data sets are kept")
        parser.add_argument("--download", action="store_true", help="get archives that are missing")

    photos = sources.add_parser("photos", help="the photographs in scikit-image's wheel")
    photos.add_argument("--out", default="datasets/photos", help="default: %(default)s")
    photos.set_defaults(run=prepare_photos)

    folder = sources.add_parser("folder", help="any folders of photographs")
    folder.add_argument("images", metavar="IMAGES", nargs="+", help="folders, searched recursively")
    folder.add_argument("--out", required=True, help="folder of the LMDBs, e.g. datasets/mine")
    valid = folder.add_mutually_exclusive_group()
    valid.add_argument("--valid", metavar="IMAGES", help="folder of images to validate on")
    valid.add_argument(
        "--hold-out",
        type=int,
        metavar="COUNT",
        help="hold out this many of IMAGES, evenly spread, for validation",
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
    folder.add_argument(
        "--folders",
        action="store_true",
        help="write folders of PNG files instead of LMDBs, for BasicSR's other datasets and the "
        "challenge's kits",
    )
    folder.set_defaults(run=prepare_folder)

    for parser in (df2k, photos, folder, benchmarks):
        parser.add_argument(
            "--scale", type=int, nargs="+", default=[4], help="LR factors (default: 4)"
        )
        if parser is not benchmarks:
            parser.add_argument(
                "--codec",
                choices=("ppm", "png"),
                default="ppm",
                help="ppm is read without decoding, png takes half the space (default: ppm)",
            )
        parser.add_argument(
            "--list", action="store_true", help="list every image that had to be changed"
        )
        parser.add_argument("--workers", type=int, help="threads (default: one per core)")
        parser.add_argument("--overwrite", action="store_true", help="replace what exists")


def prepare_photos(arguments: argparse.Namespace) -> None:
    """Pack scikit-image's photographs for training and validation."""
    from lrfdn_arch.prepare.image_folders import find_photos

    for split in ("train", "valid"):
        _pack_split(find_photos(split), Path(arguments.out), split, arguments)
    _print_next(Path(arguments.out), "train_LRFDN_x4_demo", arguments)


def prepare_folder(arguments: argparse.Namespace) -> None:
    """Pack the images of folders, with some of them held out where asked for."""
    from lrfdn_arch.prepare.image_folders import find_images, find_in_folders, hold_out
    from lrfdn_arch.prepare.option_file import recipe_for

    out, limits = Path(arguments.out), {"grey": arguments.grey, "min_size": arguments.min_size}
    train, valid = find_in_folders([Path(folder) for folder in arguments.images], _note), {}
    if arguments.valid is not None:
        valid = find_images(Path(arguments.valid), _note)
    elif arguments.hold_out is not None:
        train, valid = hold_out(train, arguments.hold_out)
    _pack_split(train, out, "train", arguments, copies=tuple(arguments.copies), **limits)
    if valid:
        _pack_split(valid, out, "valid", arguments, **limits)
    if not arguments.folders:
        _print_next(out, recipe_for(out), arguments)


def prepare_df2k(arguments: argparse.Namespace) -> None:
    """Pack DIV2K and Flickr2K, unpacked and downloaded where needed."""
    from lrfdn_arch.prepare.published_sets import DF2K, obtain

    multiple = lcm(_MULTIPLE, *_scales(arguments))
    root, download = Path(arguments.root), arguments.download
    for split, sources in DF2K.items():
        images: dict[str, Path] = {}
        for source in sources:
            images |= obtain(source, root, download=download, progress=_progress)[1]
        _pack_split(images, root / "DF2K", split, arguments, multiple=multiple, strict=True)
    scale = arguments.scale[-1] if arguments.scale[-1] in (2, 3) else 4
    _print_next(root / "DF2K", f"train_LRFDN_x{scale}_DF2K", arguments)


def prepare_benchmarks(arguments: argparse.Namespace) -> None:
    """Unpack test sets and make their LR images."""
    from lrfdn_arch.prepare.packing import PackOptions, Target
    from lrfdn_arch.prepare.published_sets import BENCHMARKS, obtain
    from lrfdn_arch.text import unknown

    root, download, scales = Path(arguments.root), arguments.download, _scales(arguments)
    for name in arguments.sets:
        if name not in BENCHMARKS:
            raise ValueError(f"{name}: {unknown(name, BENCHMARKS, 'test set')}")
    for name in arguments.sets:
        hr, images = obtain(BENCHMARKS[name], root, download=download, progress=_progress)
        for scale in scales:
            target = Target(hr.parent / f"LR_bicubic/X{scale}", scale, suffix=f"x{scale}")
            job = target.writer.made_from(target.path)
            if job is None and target.path.is_dir() and not arguments.overwrite:
                print(f"kept {target.path}, which was not made here")
                continue
            options = PackOptions(multiple=scale, strict=True)
            _pack(images, [target], options, arguments, f"{name} x{scale}")


def _scales(arguments: argparse.Namespace) -> list[int]:
    if min(arguments.scale) < 2:
        raise ValueError(f"--scale: expected whole numbers from 2, found {arguments.scale}.")
    return sorted(set(arguments.scale))


def _pack_split(
    images: Mapping[str, Path],
    out: Path,
    split: str,
    arguments: argparse.Namespace,
    **options: Any,
) -> None:
    """Pack the HR and LR images of ``split`` (``train`` or ``valid``) into sets in ``out``."""
    from lrfdn_arch.prepare.packing import PackOptions, Target

    scales = _scales(arguments)
    options = {"codec": arguments.codec, "multiple": lcm(*scales), **options}
    end = "" if getattr(arguments, "folders", False) else ".lmdb"
    targets = [Target(out / f"{split}_HR{end}")]
    for scale in scales:
        suffix = "" if end else f"x{scale}"
        targets.append(Target(out / f"{split}_LR_x{scale}{end}", scale, suffix))
    _pack(images, targets, PackOptions(**options), arguments, split)


def _pack(
    images: Mapping[str, Path],
    targets: "Sequence[Target]",
    options: "PackOptions",
    arguments: argparse.Namespace,
    what: str,
) -> None:
    from lrfdn_arch.prepare.packing import pack

    total = len(images) * (1 + len(options.copies))
    run = {"overwrite": arguments.overwrite, "workers": arguments.workers, "note": _note}
    with _progress(what, total) as advance, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about damage that is reported anyway
        packed = pack(images, targets, options, advance=advance, **run)
    _report(packed, len(images), arguments.list)


def _print_next(out: Path, recipe: str, arguments: argparse.Namespace) -> None:
    from lrfdn_arch.prepare.option_file import training_command

    command = training_command(out, arguments.scale[-1], recipe, overwrite=arguments.overwrite)
    print(f"next: {command}")


def _report(packed: "Packed", count: int, list_changes: bool) -> None:
    from lrfdn_arch.prepare.verify import describe

    for path in packed.made:
        print(f"made {describe(path)}")
    for path in packed.kept:
        print(f"kept {describe(path)}, made from the same images before")
    if packed.left_out:
        print(f"left out {len(packed.left_out)} of {count} images: see above")
    if packed.small_copies:
        print(f"left out {packed.small_copies} copies that would be smaller than --min-size")
    for change, names in sorted(packed.changed.items()):
        print(f"{change}: {len(names)} of {count} images{'' if list_changes else ' (see --list)'}")
        for name in names if list_changes else ():
            print(f"  {name}")


@contextmanager
def _progress(
    what: str, total: int | None, unit: str = "images"
) -> Iterator[Callable[[int], object]]:
    from lrfdn_arch.progress import progress_bar

    with progress_bar(total, what, unit=unit) as bar:
        yield bar.update


def _note(text: str) -> None:
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
