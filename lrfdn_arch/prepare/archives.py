"""Taking the images of one folder out of a zip or tar, all of them or none.

pooch's processors extract whole folders with their paths; here only file names are taken from the
archive, an interrupted run is continued, and what an archive may unpack to is bounded.
"""

import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from lrfdn_arch.files import writing

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


def unpack_images(
    archive: Path,
    folders: Sequence[str],
    target: Path,
    count: int,
    advance: Callable[[int], object] = lambda count: None,
) -> None:
    """Unpack the PNGs directly in one folder of ``archive`` into the new folder ``target``.

    They are put into ``<target>.partial`` first, so that ``target`` is complete or absent.

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
