"""Checking that LMDBs are complete and undamaged, and that LR and HR belong together."""

import glob
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.data.lmdb_damage import reading, reading_processes
from lrfdn_arch.data.lmdb_reader import (
    META_INFO,
    REMAKE,
    LmdbReader,
    open_reader,
    read_meta_info,
)
from lrfdn_arch.data.pairing import check_pairs
from lrfdn_arch.device import usable_cores

_LR_NAME = re.compile(r"(?P<split>.+)_LR_x(?P<scale>\d+)\.lmdb")
_CHUNK = 32  # images that a process verifies at a time
_COMPARED = 8  # images per pair whose LR is made again and compared
# mean difference, of 255, between the LR and bicubic LR of the HR beside it; other ways of making
# LR differ by a few levels, other images by tens
_FOREIGN = 16.0


def expand(patterns: Sequence[str]) -> list[Path]:
    """Return the LMDBs that ``patterns`` match, where the shell has not expanded them.

    Raises:
        FileNotFoundError: a pattern matches nothing.
    """
    paths = []
    for pattern in patterns:
        found = glob.glob(pattern, recursive=True)  # noqa: PTH207 (may be absolute)
        matches = sorted(found) if "*" in pattern else [pattern]
        if not matches:
            raise FileNotFoundError(f"{pattern}: expected LMDB folders, found nothing there.")
        paths += [Path(match) for match in matches]
    return list(dict.fromkeys(paths))


def verify_images(path: Path, advance: Callable[[int], object] = lambda count: None) -> None:
    """Compare every image of LMDB ``path`` with its checksum and with ``meta_info.txt``.

    The images are read by other processes, because LMDB aborts at some damaged pages, and a disk
    that cannot be read ends the process that maps it.

    Raises:
        ValueError: it is damaged, or an image differs from what was written.
    """
    count = len(read_meta_info(path))
    starts = range(0, count, _CHUNK)
    with reading_processes(min(usable_cores(), len(starts))) as pool, reading(path):
        for start, _ in zip(starts, pool.map(partial(_verify_from, path), starts), strict=True):
            advance(min(_CHUNK, count - start))


def _verify_from(path: Path, start: int) -> None:
    reader = open_reader(path)
    for info in reader.infos[start : start + _CHUNK]:
        image, stated = reader.image(info.key), (info.height, info.width, info.channels)
        if 0 not in stated and image.shape != stated:
            raise ValueError(
                f"{path}, image {info.key!r}: expected {stated} (height, width, channels) as "
                f"{META_INFO} lists it, found {image.shape}. {REMAKE}"
            )
        image.max()  # reads every pixel, also where there is no checksum


def pairs(paths: Sequence[Path]) -> list[tuple[Path, Path, int]]:
    """Return (LR, HR, scale) of every ``<split>_LR_x<scale>.lmdb`` and the HR LMDB beside it."""
    found = []
    for path in paths:
        if match := _LR_NAME.fullmatch(path.name):
            hr = path.with_name(f"{match['split']}_HR.lmdb")
            if hr in paths or hr.exists():
                found.append((path, hr, int(match["scale"])))
    return found


def verify_pair(lq_path: Path, gt_path: Path, scale: int) -> int:
    """Check that LR and HR belong together, by names, sizes, and the content of some images.

    Returns:
        How many of the images compared are exactly MATLAB's bicubic LR of their HR.

    Raises:
        ValueError: they do not belong together.
    """
    lq, gt = open_reader(lq_path), open_reader(gt_path)
    check_pairs(lq, gt, scale)
    count = len(lq.infos)
    spread = np.linspace(0, count - 1, min(count, _COMPARED)).round().astype(int)
    return sum(_is_bicubic(lq, gt, scale, lq.infos[i].key) for i in set(spread))


def _is_bicubic(lq: LmdbReader, gt: LmdbReader, scale: int, key: str) -> bool:
    found, expected = lq.image(key), imresize(gt.image(key), 1 / scale)
    difference = float(np.abs(found.astype(np.int16) - expected).mean())
    if difference > _FOREIGN:
        raise ValueError(
            f"{lq.path}, image {key!r}: it is not the LR image of {key!r} in {gt.path}: it differs "
            f"from that by {difference:.1f} of 255 on average. {REMAKE}"
        )
    return difference == 0


def describe(path: Path) -> str:
    """Return one line about an LMDB or a folder of images: number of images, size on disk."""
    files = [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    is_lmdb = path.suffix == ".lmdb"
    count = len(read_meta_info(path) if is_lmdb else [f for f in files if f.suffix == ".png"])
    unit = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
    return f"{path} ({count} images, {unit})"
