"""Writing sets of images, LMDBs or folders, that are complete under their name or absent.

Everything is written to ``<name>.partial`` beside the final place, committed in steps, and renamed
at the end. What a killed run has committed is kept; a second run of the same job adds what is
missing.
"""

import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import lmdb

from lrfdn_arch.data.lmdb_reader import (
    CHECKSUMS,
    DATA,
    META_INFO,
    expected_bytes,
    key_for,
    name_of,
    parse_checksum,
)
from lrfdn_arch.files import remove_unfinished, sync, write_whole

Bytes = bytes | bytearray
Shape = tuple[int, int, int]  # (H, W, C)
_FIRST_MAP_SIZE = 64 << 20
_LONGEST_KEY = 511  # LMDB's limit
_COMMIT_BYTES = 64 << 20  # bounds the memory a batch takes, and what a kill can lose


class ImageWriter:
    """Writes one set of images: `put` each of them, then `publish`.

    Use it as a context manager: leaving it without `publish` keeps what is committed for the next
    run. Only one process may write to ``path``; `pack` holds its lock.

    Args:
        path: the final folder.
        job: what is made from what, as JSON values. A partial folder of another job is removed.
        overwrite: replace ``path`` if it exists, at the moment the new one is complete.
        suffix: of the names of PNG files, e.g. x4 for LR images.

    Attributes:
        done: keys of the images that are committed, by this run or an earlier one of the same job.

    Raises:
        FileExistsError: ``path`` exists and may not be overwritten.
        OSError: the folder cannot be written, or the disk is full.
    """

    JOB: ClassVar[str]  # name of the file, in the folder, that contains the job

    def __init__(
        self, path: Path, job: Mapping[str, Any], *, overwrite: bool = False, suffix: str = ""
    ) -> None:
        recover(path)
        if path.exists() and not overwrite:
            raise FileExistsError(
                f"{path} exists. Replace it with --overwrite, or choose another folder."
            )
        self.path, self.suffix = path, suffix
        self.partial = path.with_name(f"{path.name}.partial")
        self.done: set[str] = set()
        with explained(path):
            if self.made_from(self.partial) != dict(job) or not self._resume():
                if self.partial.exists():
                    shutil.rmtree(self.partial)
                self.partial.mkdir(parents=True)
                text = json.dumps(dict(job), indent=1, sort_keys=True)
                write_whole(self.partial / self.JOB, text.encode())
            self._open()

    @classmethod
    def made_from(cls, path: Path) -> dict[str, Any] | None:
        """Return the job that the set ``path`` was made by, None if that is unknown."""
        recover(path)
        try:
            return json.loads((path / cls.JOB).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _resume(self) -> bool:
        """Set ``done`` to what the partial folder contains; return False if that is damaged."""
        raise NotImplementedError

    def _open(self) -> None:
        """Prepare the partial folder for writing."""

    def put(self, key: str, file: Bytes, shape: Shape, extension: str) -> None:
        """Store the image file ``file`` of (H, W, C) ``shape``; a later commit saves it.

        Raises:
            ValueError: ``key`` cannot be stored, or is stored already.
            OSError: the disk is full.
        """
        raise NotImplementedError

    def commit(self) -> None:
        """Save what was put so far, so that neither a kill nor a power failure loses it."""

    def close(self) -> None:
        """Stop writing; what is committed stays for the next run."""

    def publish(self) -> None:
        """Commit, and give the folder its final name."""
        self.commit()
        self.close()
        replaced = _replaced(self.path)
        with explained(self.path):
            self._finish()
            sync(self.partial)
            if self.path.exists():
                shutil.rmtree(replaced, ignore_errors=True)
                self.path.rename(replaced)
            self.partial.rename(self.path)
            sync(self.path.parent)
        shutil.rmtree(replaced, ignore_errors=True)

    def _finish(self) -> None:
        """Write what belongs beside the images once all of them are there."""

    def __enter__(self) -> "ImageWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FolderWriter(ImageWriter):
    """Writes ``<name><suffix>.png``, subfolders in the name included; see `ImageWriter`."""

    JOB = ".job.json"  # hidden, because BasicSR takes every other file in the folder for an image

    def _resume(self) -> bool:
        for folder in (self.partial, *(p for p in self.partial.rglob("*") if p.is_dir())):
            remove_unfinished(folder)
        self.done = {
            key_for(path.relative_to(self.partial).as_posix().removesuffix(f"{self.suffix}.png"))
            for path in self.partial.rglob("*.png")
        }
        return True

    def put(self, key: str, file: Bytes, shape: Shape, extension: str) -> None:
        """Write an image at once."""
        path = self.partial / f"{name_of(key)}{self.suffix}.{extension}"
        with explained(self.path):
            write_whole(path, bytes(file))
        self.done.add(key)


class LmdbWriter(ImageWriter):
    """Writes ``data.mdb``, ``meta_info.txt`` and ``checksums.txt``; see `ImageWriter`.

    ``checksums.txt`` grows with every commit: its lines are synced before the images they describe
    are committed, in the same order, so its first lines belong to what ``data.mdb`` contains and
    the rest to what a kill has lost.
    """

    JOB = "job.json"

    def _resume(self) -> bool:
        file = self.partial / CHECKSUMS
        try:
            with lmdb.open(str(self.partial), readonly=True, lock=False) as env:
                count, complete = env.stat()["entries"], expected_bytes(env)
            lines = file.read_text(encoding="utf-8").splitlines()[:count]
            self.done = {parse_checksum(line)[0].key for line in lines}
        except (lmdb.Error, OSError, ValueError):
            return False
        if len(self.done) != count or (self.partial / DATA).stat().st_size < complete:
            self.done = set()
            return False
        write_whole(file, "".join(f"{line}\n" for line in lines).encode())
        return True

    def _open(self) -> None:
        self._pending: dict[str, tuple[Bytes, str]] = {}
        self._pending_bytes = 0
        self._env = lmdb.open(str(self.partial), map_size=_FIRST_MAP_SIZE, lock=False)
        self._lines = (self.partial / CHECKSUMS).open("a", encoding="utf-8")

    def put(self, key: str, file: Bytes, shape: Shape, extension: str) -> None:
        """Store an image under ``key``, see `ImageWriter`."""
        if not key.isascii() or "." in key or not 0 < len(key) <= _LONGEST_KEY:
            raise ValueError(
                f"{self.path}: a key is 1 to {_LONGEST_KEY} ASCII characters without a dot, found "
                f"{key!r}. Give the image a shorter name."
            )
        if key in self.done or key in self._pending:
            raise ValueError(f"{self.path}: the key {key!r} is stored already.")
        height, width, channels = shape
        meta = f"{key}.{extension} ({height},{width},{channels}) 1"
        self._pending[key] = (file, f"{zlib.crc32(file):08x} {len(file)} {meta}\n")
        self._pending_bytes += len(file)
        if self._pending_bytes >= _COMMIT_BYTES:
            self.commit()

    def commit(self) -> None:
        """Save what was put so far, synced to disk."""
        with explained(self.path):
            self._lines.writelines(line for _, line in self._pending.values())
            self._lines.flush()
            os.fsync(self._lines.fileno())
            while not self._commit_fits():
                self._env.set_mapsize(2 * self._env.info()["map_size"])
        self.done.update(self._pending)
        self._pending.clear()
        self._pending_bytes = 0

    def _commit_fits(self) -> bool:
        try:
            with self._env.begin(write=True) as transaction:
                for key, (file, _) in self._pending.items():
                    transaction.put(key.encode(), file)
        except lmdb.MapFullError:
            return False
        return True

    def _finish(self) -> None:
        lines = (self.partial / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        meta = [line.split(" ", 2)[2] for line in lines]
        meta.sort(key=lambda line: line.partition(".")[0])
        write_whole(self.partial / META_INFO, "".join(f"{line}\n" for line in meta).encode())

    def close(self) -> None:
        """Stop writing; what is committed stays for the next run."""
        self._env.close()
        self._lines.close()


def recover(path: Path) -> None:
    """Finish or undo what a kill during the replacement of ``path`` has left."""
    replaced = _replaced(path)
    if replaced.exists() and path.exists():
        shutil.rmtree(replaced)
    elif replaced.exists():
        replaced.rename(path)


def _replaced(path: Path) -> Path:
    return path.with_name(f"{path.name}.replaced")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Add to an error in writing ``path`` how much space is left and what to do."""
    try:
        yield
    except BlockingIOError:
        raise  # another process holds the lock
    except (OSError, lmdb.Error) as error:
        folder = next(parent for parent in path.parents if parent.exists())
        free = shutil.disk_usage(folder).free / 1e9
        kind = type(error) if isinstance(error, OSError) else OSError
        raise kind(
            f"{path}: writing failed: {error}. {free:.1f} GB are free in {folder}. What was there "
            "before is unchanged. Free space or choose another folder, and run the same command "
            "again: it resumes."
        ) from error
