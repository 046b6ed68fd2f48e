"""DF2K: the 800 training images of DIV2K and the 2650 of Flickr2K, and DIV2K's 100 for validation.

DIV2K is by Agustsson and Timofte (NTIRE 2017), Flickr2K by Lim et al. (EDSR, 2017); both are for
academic research.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrfdn_arch.prepare.download import Download, fetch
from lrfdn_arch.prepare.packing import Reporter
from lrfdn_arch.prepare.unpack import unpack_folder

# DIV2K's sides are multiples of 12 already, so all its scales share one HR LMDB
MULTIPLE = 12


@dataclass(frozen=True)
class Source:
    """One published set of images.

    Attributes:
        split: ``train`` or ``valid``.
        folder: name of the folder of images in the archive.
        parent: folder under the root to which it belongs.
        first: number of the first image.
        count: how many there are, numbered without gaps.
        digits: of the numbers in the file names.
        download: the archive.
    """

    split: str
    folder: str
    parent: str
    first: int
    count: int
    digits: int
    download: Download

    @property
    def names(self) -> list[str]:
        """The names of all images, without extension."""
        return [f"{n:0{self.digits}d}" for n in range(self.first, self.first + self.count)]


# Sizes and sha256 of DIV2K as TensorFlow Datasets records them, md5 of Flickr2K as torchSR does.
SOURCES = (
    Source(
        "train",
        "DIV2K_train_HR",
        "DIV2K",
        1,
        800,
        4,
        Download(
            "https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_train_HR.zip",
            "sha256:9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335",
            3530603713,
        ),
    ),
    Source(
        "train",
        "Flickr2K_HR",
        "Flickr2K",
        1,
        2650,
        6,
        Download(
            "https://cv.snu.ac.kr/research/EDSR/Flickr2K.tar",
            "md5:5d3f39443d5e9489bff8963f8f26cb03",
        ),
    ),
    Source(
        "valid",
        "DIV2K_valid_HR",
        "DIV2K",
        801,
        100,
        4,
        Download(
            "https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_valid_HR.zip",
            "sha256:20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc",
            448993893,
        ),
    ),
)


def find_folder(source: Source, root: Path) -> Path | None:
    """Return where the images of ``source`` are under ``root``, None if they are nowhere."""
    places = (root / source.parent / source.folder, root / source.folder)
    return next((place for place in places if place.is_dir()), None)


def find_archive(source: Source, root: Path) -> Path | None:
    """Return where the archive of ``source`` is under ``root``, None if it is nowhere."""
    name = source.download.name
    places = (root / source.parent / name, root / name)
    return next((place for place in places if place.is_file()), None)


def get_archive(source: Source, root: Path, reporter: Reporter) -> Path:
    """Return the archive of ``source``, checked, downloaded if need be; reported in bytes."""
    there = find_archive(source, root)
    folder = there.parent if there else root / source.parent
    return fetch(source.download, folder, reporter.advance)


def unpack(source: Source, archive: Path, root: Path, reporter: Reporter) -> Path:
    """Unpack ``archive`` and return the folder of images; the reporter is told of images."""
    target = root / source.parent / source.folder
    unpack_folder(archive, source.folder, target, reporter.advance)
    return target


def images_of(source: Source, folder: Path) -> dict[str, Path]:
    """Return the images of ``source`` by name, all of them.

    Raises:
        ValueError: some are missing, or there are others.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.png"))}
    missing = sorted(set(source.names) - found.keys())
    strange = sorted(found.keys() - set(source.names))
    if missing or strange:
        raise ValueError(
            f"{folder}: expected {source.count} images {source.names[0]}.png to "
            f"{source.names[-1]}.png, found {len(found)}; missing: {_some(missing)}; not of the "
            f"set: {_some(strange)}. Delete the folder and run this again, with --download if "
            f"{source.download.name} is not there any more."
        )
    return found


def where_to_get(source: Source, root: Path) -> str:
    """Return what to do when neither the images nor the archive of ``source`` are there."""
    return (
        f"{root / source.parent / source.folder}: expected {source.count} images, found no such "
        f"folder, nor the archive {source.download.name}. Add --download to get it from "
        f"{source.download.url}, or put the archive or the folder there."
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (", ".join(names[:3]) or "none") + more
