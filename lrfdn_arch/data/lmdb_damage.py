"""Reading LMDBs in other processes: LMDB ends a process that meets some damaged pages."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_all_start_methods, get_context, parent_process
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from threading import Thread

from lrfdn_arch.data.lmdb_reader import DATA, REMAKE, open_reader


def reading_processes(count: int = 1) -> ProcessPoolExecutor:
    """Return a pool of ``count`` processes in which LMDBs can be read without danger."""
    method = "fork" if "fork" in get_all_start_methods() else "spawn"
    return ProcessPoolExecutor(count, get_context(method), _end_with_parent)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the death of a process that reads LMDB ``path`` into an error that names it.

    Raises:
        ValueError: LMDB, or a disk that cannot be read, ended the process.
    """
    try:
        yield
    except BrokenProcessPool as error:
        raise ValueError(
            f"{path}: pages of {DATA} are damaged or cannot be read from the disk: reading them "
            f"ends the process. {REMAKE}"
        ) from error


def _end_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end where it was killed.

    A process of a pool would wait for work for ever, and keep the files open that it inherited,
    the lock of a run's folder among them.
    """

    def wait() -> None:
        parent = parent_process()
        assert parent is not None, "runs in a process of the pool"
        parent.join()
        os._exit(1)

    signal(SIGINT, SIG_IGN)
    Thread(target=wait, daemon=True).start()


def check_pages(paths: Iterable[Path]) -> None:
    """Follow every page that leads to an image of the LMDBs ``paths``; read its last byte.

    Raises:
        ValueError: one of them is damaged.
    """
    if not (different := dict.fromkeys(paths)):
        return  # even an idle pool takes shared memory
    with reading_processes() as pool:
        for path in different:
            with reading(path):
                pool.submit(_read_last_bytes, path).result()


def _read_last_bytes(path: Path) -> None:
    reader = open_reader(path)
    for info in reader.infos:
        _ = bytes(reader.stored(info.key)[-1:])
