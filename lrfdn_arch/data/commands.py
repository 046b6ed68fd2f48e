"""What ``lrfdn prepare`` and ``lrfdn verify`` print: progress, changed images, what was made."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from lrfdn_arch.data import prepare
from lrfdn_arch.data.packing import Packed, Reporter
from lrfdn_arch.data.prepare import Images, Settings

_TRAIN = "python train.py -opt options/train/LRFDN/train_LRFDN_x{scale}_{data}.yml"


def prepare_photos(arguments: argparse.Namespace) -> None:
    """``lrfdn prepare photos``."""
    out, settings = Path(arguments.out), _settings(arguments)
    for split in ("train", "valid"):
        _make(prepare.find_photos(split), out, split, settings)
    print(f"next: {_TRAIN.format(scale=4, data='demo')}")


def prepare_folder(arguments: argparse.Namespace) -> None:
    """``lrfdn prepare folder``."""
    out, settings = Path(arguments.out), _settings(arguments)
    folders = {"train": arguments.images, "valid": arguments.valid}
    for split, folder in folders.items():
        if folder is not None:
            images = prepare.find_images(Path(folder), _note)
            _make(images, out, split, settings)
    scale = settings.scales[-1]
    print(
        f"next: {_TRAIN.format(scale=scale, data='DF2K')} --force_yml "
        f"datasets:train:dataroot_gt={out}/train_HR.lmdb "
        f"datasets:train:dataroot_lq={out}/train_LR_x{scale}.lmdb"
    )


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        scales=tuple(arguments.scale),
        codec=arguments.codec,
        grey=getattr(arguments, "grey", False),
        min_size=getattr(arguments, "min_size", 1),
        overwrite=arguments.overwrite,
        workers=arguments.workers,
    )


def _make(images: Images, out: Path, split: str, settings: Settings) -> None:
    with _progress(f"{out.name} {split}", len(images), "image") as reporter:
        packed = prepare.make_split(images, out, split, settings, reporter)
    _say_what_was_made(packed, images)


def _say_what_was_made(packed: Packed, images: Mapping[str, Path]) -> None:
    for path in packed.made:
        print(f"made {prepare.describe(path)}")
    for path in packed.kept:
        print(f"kept {prepare.describe(path)}, made from the same images before")
    if packed.left_out:
        print(f"left out {len(packed.left_out)} of {len(images)} images: see above")


@contextmanager
def _progress(what: str, total: int, unit: str) -> Iterator[Reporter]:
    with tqdm(total=total, desc=what, unit=unit, smoothing=0.1) as bar:
        yield Reporter(advance=bar.update, note=_note)


def _note(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
