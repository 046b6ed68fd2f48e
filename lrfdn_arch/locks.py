"""One process per output folder: a lock that the system releases when its holder dies."""

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(folder: Path, advice: str) -> Iterator[None]:
    """Hold ``folder`` for this process; it need not exist yet and may be renamed meanwhile.

    The lock is on the file ``.NAME.lock`` beside the folder, which contains who holds it.
    ``advice`` is what a second process can do besides waiting, e.g. "choose another --out".

    Raises:
        BlockingIOError: another process holds it; the message names that process.
        OSError: the lock file cannot be created.
    """
    file, parent = folder.with_name(f".{folder.name}.lock"), folder.parent
    is_new_parent = not parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise BlockingIOError(
            f"{folder} is in use by {_holder(file)}. Wait until it ends, stop it, or {advice}"
        ) from None
    try:
        command = " ".join((Path(sys.argv[0]).name, *sys.argv[1:]))[:200]
        started = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = f"process {os.getpid()} on {platform.node()} since {started} ({command})"
        with contextlib.suppress(OSError):  # the disk is full, and the lock holds all the same
            # In place: a renamed file would be another file than the one that is locked.
            file.write_text(holder, encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows does not remove open files
            file.unlink()
        lock.release()
        if is_new_parent:
            with contextlib.suppress(OSError):  # not empty
                parent.rmdir()


def _holder(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text(encoding="utf-8") or "another process"
    return "another process"
