"""What ``lrfdn prepare`` and ``lrfdn verify`` print: progress, changed images, what was made."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from lrfdn_arch.data.lmdb_reader import read_meta_info
from lrfdn_arch.prepare import df2k as df2k
from lrfdn_arch.prepare import folders as prepare
from lrfdn_arch.prepare import verify as verifying
from lrfdn_arch.prepare.folders import Images, Settings
from lrfdn_arch.prepare.packing import Packed, Reporter

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
    train, valid = prepare.find_in_folders([Path(folder) for folder in arguments.images], _note), {}
    if arguments.valid is not None:
        valid = prepare.find_images(Path(arguments.valid), _note)
    elif arguments.hold_out is not None:
        train, valid = prepare.hold_out(train, arguments.hold_out)
    _make(train, out, "train", settings, copies=arguments.copies)
    if valid:
        _make(valid, out, "valid", settings)
    scale = settings.scales[-1]
    print(
        f"next: {_TRAIN.format(scale=scale, data='DF2K')} --force_yml "
        f"datasets:train:dataroot_gt={out}/train_HR.lmdb "
        f"datasets:train:dataroot_lq={out}/train_LR_x{scale}.lmdb"
    )


def prepare_df2k(arguments: argparse.Namespace) -> None:
    """``lrfdn prepare df2k``."""
    root, settings = Path(arguments.root), _settings(arguments)
    for split in ("train", "valid"):
        sources = [source for source in df2k.SOURCES if source.split == split]
        images: dict[str, Path] = {}
        for source in sources:
            folder = df2k.find_folder(source, root) or _get(source, root, arguments.download)
            images |= df2k.images_of(source, folder)
        _make(images, root / "DF2K", split, settings, multiple=df2k.MULTIPLE, strict=True)
    print(f"next: {_TRAIN.format(scale=settings.scales[-1], data='DF2K')}")


def _get(source: df2k.Source, root: Path, download: bool) -> Path:
    archive = df2k.find_archive(source, root)
    if download:
        with _progress(source.download.name, source.download.size, "B") as reporter:
            archive = df2k.get_archive(source, root, reporter)
    elif archive is None:
        raise FileNotFoundError(df2k.where_to_get(source, root))
    with _progress(f"unpack {archive.name}", source.count, "image") as reporter:
        return df2k.unpack(source, archive, root, reporter)


def verify(arguments: argparse.Namespace) -> None:
    """``lrfdn verify``."""
    paths, faults = verifying.expand(arguments.lmdbs), []
    for path in paths:
        try:
            with _progress(path.name, len(read_meta_info(path)), "image") as reporter:
                verifying.verify_images(path, reporter.advance)
            print(f"whole: {prepare.describe(path)}")
        except (ValueError, OSError) as error:
            faults.append(str(error))
    for lq, gt, scale in verifying.pairs(paths):
        try:
            exact = verifying.verify_pair(lq, gt, scale)
            print(f"pair:  {lq} belongs to {gt}; {exact} LR images compared are MATLAB's bicubic")
        except (ValueError, OSError) as error:
            if str(error) not in faults:
                faults.append(str(error))
    if faults:
        raise ValueError("\n".join([f"{len(faults)} found in {len(paths)} LMDBs", *faults]))


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        scales=tuple(arguments.scale),
        codec=arguments.codec,
        grey=getattr(arguments, "grey", False),
        min_size=getattr(arguments, "min_size", 1),
        overwrite=arguments.overwrite,
        workers=arguments.workers,
    )


def _make(
    images: Images,
    out: Path,
    split: str,
    settings: Settings,
    *,
    copies: Sequence[float] = (),
    multiple: int = 1,
    strict: bool = False,
) -> None:
    with _progress(f"{out.name} {split}", len(images) * (1 + len(copies)), "image") as reporter:
        packed = prepare.make_split(
            images, out, split, settings, reporter, copies=copies, multiple=multiple, strict=strict
        )
    _say_what_was_made(packed, images)


def _say_what_was_made(packed: Packed, images: Mapping[str, Path]) -> None:
    for path in packed.made:
        print(f"made {prepare.describe(path)}")
    for path in packed.kept:
        print(f"kept {prepare.describe(path)}, made from the same images before")
    if packed.left_out:
        print(f"left out {len(packed.left_out)} of {len(images)} images: see above")
    if packed.small_copies:
        print(f"left out {packed.small_copies} copies that would be smaller than --min-size")


@contextmanager
def _progress(what: str, total: int | None, unit: str) -> Iterator[Reporter]:
    bytes_ = unit == "B"
    with tqdm(
        total=total, desc=what, unit=unit, unit_scale=bytes_, unit_divisor=1000, smoothing=0.1
    ) as bar:
        yield Reporter(advance=bar.update, note=_note)


def _note(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
