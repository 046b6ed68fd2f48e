"""Image sets to evaluate on: the kit's folders, other LR and HR folders, LMDBs, or LR only."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lrfdn_arch.evaluation.images import SUFFIXES, Image, crop_to_multiple, read_rgb
from lrfdn_arch.evaluation.measure import Sample
from lrfdn_arch.text import first_few

_SCALE_SUFFIX = re.compile(r"x\d+$")  # 0801x4 is the LR image of 0801
Reader = Callable[[], Image]


@dataclass(frozen=True)
class Pair:
    """One image: its HR name, and functions that read LR and HR as (H, W, 3) uint8 RGB."""

    name: str
    read_lr: Reader
    read_hr: Reader | None


@dataclass(frozen=True)
class ImageSet:
    """Pairs sorted by name; either all of them have an HR image or none does."""

    name: str
    pairs: tuple[Pair, ...]

    @property
    def has_hr(self) -> bool:
        """Whether there is ground truth to measure against."""
        return self.pairs[0].read_hr is not None


def samples(pairs: Iterable[Pair], scale: int) -> Iterator[Sample]:
    """Yield pairs as samples; HR is cropped to a multiple of the scale."""
    for pair in pairs:
        lq = torch.from_numpy(np.ascontiguousarray(pair.read_lr().transpose(2, 0, 1)))[None]
        gt = crop_to_multiple(pair.read_hr(), scale) if pair.read_hr is not None else None
        yield Sample(pair.name, lq, gt)


def kit_folders(data: Path, name: str) -> tuple[Path, Path | None]:
    """Return the LR and HR folders of set ``name`` in the kit's layout, e.g. ``DIV2K_valid``.

    HR is None if its folder is missing, as for test sets during a challenge.

    Raises:
        FileNotFoundError: ``data`` does not contain ``NAME_LR``.
    """
    lr, hr = data / f"{name}_LR", data / f"{name}_HR"
    if not lr.is_dir():
        found = sorted(p.name for p in data.iterdir() if p.is_dir()) if data.is_dir() else []
        raise FileNotFoundError(
            f"{data} has no folder {lr.name}: the kit's layout is {lr.name}/0801x4.png and "
            f"{hr.name}/0801.png. Folders found: {first_few(found)}. Choose another set with "
            "--set, or specify the folders with --lr and --hr"
        )
    return lr, hr if hr.is_dir() else None


def open_image_set(lr: Path, hr: Path | None, name: str | None = None) -> ImageSet:
    """Pair the images of ``lr`` and ``hr``, folders or LMDBs, by name.

    LR images have the name of their HR image, optionally followed by ``x4`` (or another number).
    Without ``name`` the set is named after the folder containing both.

    Raises:
        ValueError: LR and HR images do not match, or several have the same name.
    """
    small = _readers(lr)
    if hr is None:
        pairs = [Pair(_SCALE_SUFFIX.sub("", stem), read, None) for stem, read in small.items()]
        _check_unique([pair.name for pair in pairs], lr)
        return ImageSet(name or lr.stem, tuple(pairs))
    large = _readers(hr)
    partner = {s: s if s in large else _SCALE_SUFFIX.sub("", s) for s in small}
    without_hr = [stem for stem in small if partner[stem] not in large]
    without_lr = sorted(large.keys() - partner.values())
    if without_hr or without_lr:
        sides = (("LR without HR", without_hr), ("HR without LR", without_lr))
        lines = [f"LR and HR do not match: {lr} has {len(small)} images, {hr} has {len(large)}"]
        lines += [f"{len(names)} {what}: {first_few(names)}" for what, names in sides if names]
        advice = "name LR images like their HR images, e.g. 0801x4.png or 0801.png for 0801.png"
        raise ValueError("\n  ".join([*lines, advice]))
    _check_unique(list(partner.values()), lr)
    pairs = [Pair(partner[stem], read, large[partner[stem]]) for stem, read in small.items()]
    common = [a for a, b in zip(lr.resolve().parts, hr.resolve().parts, strict=False) if a == b]
    name = name or (common[-1] if len(common) > 1 else hr.stem)
    return ImageSet(name, tuple(sorted(pairs, key=lambda pair: pair.name)))


def _readers(path: Path) -> dict[str, Reader]:
    if (path / "data.mdb").is_file():
        return _lmdb_readers(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: image folder or LMDB not found")
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"{path} contains no images ({', '.join(sorted(SUFFIXES))})")
    _check_unique([file.stem for file in files], path)
    return {file.stem: partial(read_rgb, file) for file in files}


def _lmdb_readers(path: Path) -> dict[str, Reader]:
    from lrfdn_arch.data.lmdb_reader import LmdbReader, name_of, open_reader

    def read(reader: LmdbReader, key: str) -> Image:
        image = reader.image(key)
        return np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))

    reader = open_reader(path)
    names = {info.key: name_of(info.key) for info in reader.infos}
    outside = [name for name in names.values() if Path(name).is_absolute() or ".." in name]
    if outside:
        raise ValueError(f"{path}: image names outside the LMDB's folder: {first_few(outside)}")
    return {name: partial(read, reader, key) for key, name in names.items()}


def _check_unique(names: list[str], where: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{where} has more than one image called {first_few(twice)}")


def inspect(
    image_set: ImageSet, scale: int, on_image: Callable[[str], None] = lambda name: None
) -> str:
    """Read and check every image; return the sha256 of all names and pixels.

    HR is cropped to a multiple of ``scale`` before hashing: it may have up to ``scale - 1``
    additional rows and columns. A folder and an LMDB of the same images have the same hash.
    ``on_image`` is called with the name of each image after it has been read.

    Raises:
        ValueError: images are damaged or their sizes do not match the scale.
    """
    digest, faults = hashlib.sha256(), []
    for pair in image_set.pairs:
        try:
            images = [pair.read_lr()]
            if pair.read_hr is not None:
                hr = pair.read_hr()
                _check_sizes(pair.name, images[0], hr, scale)
                images.append(crop_to_multiple(hr, scale))
            add_to_digest(digest, pair.name, images)
        except (ValueError, OSError) as error:
            faults.append(str(error))
        on_image(pair.name)
    if faults:
        raise ValueError(
            f"{len(faults)} of the {len(image_set.pairs)} images of {image_set.name} cannot be "
            f"used at x{scale}:\n  " + first_few(faults, separator="\n  ")
        )
    return digest.hexdigest()


def add_to_digest(digest: Any, name: str, images: Iterable[Image]) -> None:
    """Add an image's LR and HR pixels, (H, W, 3) uint8 RGB, to a hashlib digest of a set."""
    for image in images:
        digest.update(f"{name} {image.shape}".encode())
        digest.update(np.ascontiguousarray(image).tobytes())


def _check_sizes(name: str, lr: Image, hr: Image, scale: int) -> None:
    (height, width), (hr_height, hr_width) = lr.shape[:2], hr.shape[:2]
    if (hr_height // scale, hr_width // scale) != (height, width):
        raise ValueError(
            f"{name}: LR {width}x{height} and HR {hr_width}x{hr_height} differ by a factor of "
            f"{hr_height / height:.3g}, expected {scale} (the scale of the weights)"
        )
