"""Published sets of images: where to get them, what they contain, unpacking them.

DIV2K is by Agustsson and Timofte (NTIRE 2017), Flickr2K by Lim et al. (EDSR, 2017); both are for
academic research. The benchmarks are those of the EDSR authors' archive: Set5 (Bevilacqua et al.,
BMVC 2012), Set14 (Zeyde et al., 2010), B100 (Martin et al., ICCV 2001), Urban100 (Huang et al.,
CVPR 2015). Manga109 (Matsui et al., 2017) is given out by its authors on request.
"""

import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from lrfdn_arch.download import Download, fetch
from lrfdn_arch.files import writing
from lrfdn_arch.locks import locked
from lrfdn_arch.text import first_few

_DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
_EDSR = "https://cv.snu.ac.kr/research/EDSR/"
# PNG files do not compress, so what they unpack to is close to the archive's size
_LARGEST_RATIO = 2
_SMALLEST_LIMIT = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    RuntimeError,  # an encrypted zip, or one of an unknown method
    UnicodeError,
)
ProgressBar = Callable[[str, int | None, str], AbstractContextManager[Callable[[int], object]]]


@dataclass(frozen=True)
class PublishedSet:
    """One published set of images."""

    name: str
    folder: str  # where its images are kept, relative to the root of the data sets
    count: int
    archives: tuple[str, ...]  # file names of archives that contain it
    inside: tuple[str, ...]  # names that the folder of images may have in an archive
    numbers: tuple[int, int] | None = None  # the first image's, and how many digits numbers have
    download: Download | None = None  # its archive on the web, None where it has to be requested

    @property
    def names(self) -> list[str] | None:
        """The names of all images, without extension, if they are known."""
        if self.numbers is None:
            return None
        first, digits = self.numbers
        return [f"{number:0{digits}d}" for number in range(first, first + self.count)]


def _numbered(folder: str, first: int, count: int, digits: int, *download: Any) -> PublishedSet:
    """Return a set of images numbered without gaps, in an archive of its own."""
    (name, inside), archive = folder.split("/"), Download(*download)
    return PublishedSet(name, folder, count, (archive.name,), (inside,), (first, digits), archive)


# Sizes and sha256 of DIV2K as TensorFlow Datasets records them, md5 of Flickr2K as torchSR does.
DF2K = {
    "train": (
        _numbered(
            *("DIV2K/DIV2K_train_HR", 1, 800, 4, f"{_DIV2K}DIV2K_train_HR.zip"),
            "sha256:9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335",
            3530603713,
        ),
        _numbered(
            *("Flickr2K/Flickr2K_HR", 1, 2650, 6, f"{_EDSR}Flickr2K.tar"),
            "md5:5d3f39443d5e9489bff8963f8f26cb03",
        ),
    ),
    "valid": (
        _numbered(
            *("DIV2K/DIV2K_valid_HR", 801, 100, 4, f"{_DIV2K}DIV2K_valid_HR.zip"),
            "sha256:20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc",
            448993893,
        ),
    ),
}

# torchSR records the md5 4ace41d33c2384b97e6b320cd0afd6ba for the same archive.
_BENCHMARKS = Download(
    f"{_EDSR}benchmark.tar",
    "sha256:80c21c333bbf6ceb5308b7243761f8284478274413a97b96f1d63e9045fd93e8",
    250112000,
)


def _benchmark(name: str, count: int, download: Download | None = _BENCHMARKS) -> PublishedSet:
    archives = (f"{name}.zip", f"{name}.tar", "benchmark.tar", "benchmark.zip")
    inside = (f"{name}/HR", f"{name}/original", f"{name}_HR", name)
    return PublishedSet(name, f"benchmark/{name}/HR", count, archives, inside, None, download)


BENCHMARKS = {
    one.name: one
    for one in (
        _benchmark("Set5", 5),
        _benchmark("Set14", 14),
        _benchmark("B100", 100),
        _benchmark("Urban100", 100),
        _benchmark("Manga109", 109, None),
    )
}


def obtain(
    source: PublishedSet, root: Path, *, download: bool, progress: ProgressBar
) -> tuple[Path, dict[str, Path]]:
    """Return the folder of a set and its images by name, downloaded and unpacked where needed.

    Args:
        source: the set.
        root: where data sets are kept.
        download: get an archive that is missing or differs from the published one.
        progress: makes a progress bar of a description, a total and a unit.

    Raises:
        FileNotFoundError: there is neither the folder nor an archive.
        ValueError: there are other images than the set's, or another archive than the published.
    """
    folder = root / source.folder
    places = (folder, root / folder.name) if source.numbers else (folder,)
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        archive = _find_archive(source, root, download, progress)
        with (
            locked(folder, "use another --root"),
            progress(f"unpack {source.name}", source.count, "images") as advance,
        ):
            unpack_images(archive, source.inside, folder, source.count, advance)
    return found or folder, _images_in(found or folder, source)


def _find_archive(source: PublishedSet, root: Path, download: bool, progress: ProgressBar) -> Path:
    home = root / source.folder.partition("/")[0]
    places = [folder / name for folder in (home, root) for name in source.archives]
    there = next((place for place in places if place.is_file()), None)
    if download and source.download is not None:
        name = source.download.name
        folder = there.parent if there and there.name == name else home
        with (
            locked(folder / name, "use another --root"),
            progress(name, source.download.size, "B") as advance,
        ):
            return fetch(source.download, folder, advance)
    if there is None:
        how = "Request it from its authors (http://www.manga109.org)"
        if source.download is not None:
            how = f"Add --download to get it from {source.download.url}"
        raise FileNotFoundError(
            f"{root / source.folder}: expected {source.count} images, found no such folder, nor "
            f"an archive {' or '.join(source.archives)}. {how}, or put the archive or the folder "
            "there."
        )
    return there


def _images_in(folder: Path, source: PublishedSet) -> dict[str, Path]:
    found = {path.stem: path for path in sorted(folder.glob("*.png"))}
    names = source.names or sorted(found)
    missing, others = sorted(set(names) - found.keys()), sorted(found.keys() - set(names))
    if missing or others or len(found) != source.count:
        expected = f"{source.count} images"
        if source.names:
            expected += f" {names[0]}.png to {names[-1]}.png"
        raise ValueError(
            f"{folder}: expected {expected}, found {len(found)}; missing: {first_few(missing)}; "
            f"not of the set: {first_few(others)}. Delete the folder and run this again, with "
            f"--download if {source.archives[0]} is not there any more."
        )
    return found


def unpack_images(
    archive: Path,
    folders: Sequence[str],
    target: Path,
    count: int,
    advance: Callable[[int], object] = lambda count: None,
) -> None:
    """Unpack the PNGs directly in one folder of ``archive`` into the new folder ``target``.

    They are put into ``<target>.partial`` first, so that ``target`` is complete or absent, and an
    interrupted run is continued. pooch's processors extract whole folders with their paths; here
    only file names are taken from the archive, and what it may unpack to is bounded.

    Args:
        archive: a ``.zip`` or ``.tar`` file. Compressed tars are not read: their headers may claim
            any size.
        folders: names of the folder that contains the images, e.g. ``Set5/HR``, wherever it is in
            the archive; the first that contains any is taken.
        target: the folder to make.
        count: the number of images in it.
        advance: called with 1 for every image.

    Raises:
        ValueError: the archive is damaged, or contains another number of images or larger ones.
        OSError: it cannot be read, or the images cannot be written.
    """
    unfinished = target.with_name(f"{target.name}.partial")
    unfinished.mkdir(parents=True, exist_ok=True)
    try:
        found = _unpack(archive, folders, unfinished, count, advance)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # not of a decompressor
            raise
        raise ValueError(
            f"{archive}: the archive is damaged or not readable ({error}). Delete it and get it "
            "again (--download)."
        ) from error
    if not found:
        shutil.rmtree(unfinished)
    if found != count:
        raise ValueError(
            f"{archive}: expected {count} images in a folder {folders[0]}, found {found}. It is "
            "damaged or not the published archive."
        )
    unfinished.rename(target)


def _unpack(
    archive: Path,
    folders: Sequence[str],
    target: Path,
    most: int,
    advance: Callable[[int], object],
) -> int:
    limit = max(_LARGEST_RATIO * archive.stat().st_size, _SMALLEST_LIMIT)
    found = {str(path.parent) for path, *_ in _members(archive) if path.suffix.lower() == ".png"}
    shortest_first = sorted(found, key=len)
    inside = next(
        (f for name in folders for f in shortest_first if f"/{f}".endswith(f"/{name}")), None
    )
    count = total = 0
    for path, size, opened in _members(archive):
        if str(path.parent) != inside or path.suffix.lower() != ".png":
            continue
        count, total = count + 1, total + size
        if count > most or total > limit:
            raise ValueError(
                f"{archive}: expected {most} images in {inside}, of {limit:,} bytes at most; found "
                "more. It is not the published archive."
            )
        file = target / path.name
        if not file.exists() or file.stat().st_size != size:
            with opened() as source, writing(file), file.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        advance(1)
    return count


def _members(archive: Path) -> Iterator[tuple[PurePosixPath, int, Callable[[], Any]]]:
    """Yield path, size and a function that opens it, of every file in ``archive``."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                yield PurePosixPath(info.filename), info.file_size, partial(file.open, info)
    else:
        with tarfile.open(archive, "r:") as file:
            for member in filter(tarfile.TarInfo.isfile, file):
                yield PurePosixPath(member.name), member.size, partial(file.extractfile, member)
