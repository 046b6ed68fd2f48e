"""Taking the images of one folder out of a zip or tar, all of them or none."""

import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO


def unpack_folder(
    archive: Path, inside: str, target: Path, advance: Callable[[int], object] = lambda count: None
) -> int:
    """Unpack the PNGs directly in folder ``inside`` of ``archive`` into the new folder ``target``.

    They are put into ``<target>.partial`` first, so that ``target`` is complete or not there.
    Only file names are taken from the archive, never paths.

    Args:
        archive: a ``.zip`` or ``.tar`` file.
        inside: name of the folder whose images are wanted, wherever it is in the archive.
        target: the folder to make.
        advance: told of every image.

    Returns:
        The number of images.

    Raises:
        ValueError: the archive is damaged or holds no such images.
        OSError: it cannot be read, or the images cannot be written.
    """
    partial = target.with_name(f"{target.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        for name, size, opened in _members(archive, inside):
            path = partial / name
            if not path.exists() or path.stat().st_size != size:
                with opened() as source, path.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
            count += 1
            advance(1)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise ValueError(
            f"{archive}: the archive is damaged ({error}). Delete it and get it again (--download)."
        ) from error
    if not count:
        partial.rmdir()
        raise ValueError(f"{archive}: expected images in a folder {inside}, found none.")
    partial.rename(target)
    return count


_Member = tuple[str, int, Callable[[], IO[bytes]]]


def _members(archive: Path, inside: str) -> Iterator[_Member]:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                if _is_wanted(info.filename, inside):
                    name = PurePosixPath(info.filename).name
                    yield name, info.file_size, lambda info=info: file.open(info)
    else:
        with tarfile.open(archive, "r:*") as file:
            for member in file:
                if member.isfile() and _is_wanted(member.name, inside):
                    name = PurePosixPath(member.name).name
                    yield name, member.size, lambda member=member: _file_of(file, member)


def _file_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(member)
    assert file is not None, "only regular files are asked for"
    return file


def _is_wanted(path: str, inside: str) -> bool:
    parts = PurePosixPath(path)
    return parts.suffix.lower() == ".png" and parts.parent.name == inside and parts.stem != ""
