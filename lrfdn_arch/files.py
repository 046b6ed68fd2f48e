"""Writing files atomically: after an error or interruption no incomplete file remains."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lrfdn_arch.text import first_few

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_UNFINISHED = ".unfinished"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` to write to; rename it to ``path`` on success.

    The data is on disk before the rename. After an error or an interruption ``path`` is unchanged
    and the temporary file is removed; after a kill it remains until the next
    :func:`remove_unfinished`.

    The temporary name keeps the suffix of ``path``, because libraries choose formats by it. It is
    short, because ``path`` may already have the longest name that the file system allows, and
    random, because process IDs repeat across machines and containers that share a folder.
    """
    temporary = path.with_name(f".{secrets.token_hex(4)}{_UNFINISHED}{path.suffix}")
    try:
        with writing(path, temporary), _locked(temporary):
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
    finally:
        with contextlib.suppress(OSError):  # a read-only file system refuses even what is missing
            temporary.unlink()


@contextmanager
def writing(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Name ``path`` in a system error that names no file, or ``temporary`` in its place."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(temporary or path)):
            raise  # an error of another file, e.g. the one being converted
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, creating its folder, as :func:`replacing` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def check_new(*paths: Path, overwrite: bool = False) -> None:
    """Check, before the work, that files can be written to ``paths``.

    Raises:
        FileExistsError: some of them exist, and ``overwrite`` is off.
        IsADirectoryError: one of them is a folder.
        NotADirectoryError: the folder of one of them is a file.
    """
    for path in paths:
        if file := next((folder for folder in path.parents if folder.is_file()), None):
            raise NotADirectoryError(f"{file} is a file; expected a folder")
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder; expected the name of a file")
    existing = [str(path) for path in paths if path.exists()]
    if existing and not overwrite:
        exist, them = ("exists", "it") if len(existing) == 1 else ("exist", "them")
        raise FileExistsError(
            f"{first_few(existing)} {exist}: choose another --out, or --overwrite to replace {them}"
        )


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left half-written in ``folder``, if that folder exists.

    Files that a live process is writing are locked and stay.
    """
    for path in folder.glob(f".*{_UNFINISHED}*"):
        with contextlib.suppress(OSError), path.open("rb") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Create ``path`` and hold a lock on it that ends with the process."""
    with path.open("xb") as file:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sync(path: Path) -> None:
    """Flush a file's data, or a folder's entries, to disk if the system supports it."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
