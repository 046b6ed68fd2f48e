"""Making an LMDB of images that is either whole or not there, whenever the process is killed.

Everything is written to ``<name>.lmdb.partial`` beside the final place, committed as it goes, and
renamed at the end. What a killed run has committed is kept, and a second run of the same job only
adds what is missing.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lmdb

from lrfdn_arch.data.lmdb_reader import DATA, META_INFO, expected_bytes

JOB = "job.json"  # what the LMDB was made from; BasicSR does not mind it
_LINES = "lines.txt"  # meta_info.txt in the making, in the order of the commits
_FIRST_MAP_SIZE = 64 << 20
_LONGEST_KEY = 511  # LMDB's limit
_COMMIT_BYTES = 64 << 20  # bounds the memory a batch takes, and what a kill can lose


def made_from(path: Path) -> dict[str, Any] | None:
    """Return the job that finished LMDB ``path`` was made by; None if it does not say."""
    try:
        return json.loads((path / JOB).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def recover(path: Path) -> None:
    """Finish or undo what a kill during the last steps of replacing LMDB ``path`` has left."""
    replaced = _replaced(path)
    if replaced.exists():
        if path.exists():
            shutil.rmtree(replaced)
        else:
            replaced.rename(path)


def _replaced(path: Path) -> Path:
    return path.with_name(f"{path.name}.replaced")


class LmdbWriter:
    """Writes one LMDB: `put` every image, then `publish`; `close` in between loses nothing.

    Use it as a context manager, which closes it. Only one process may write a given LMDB.

    Args:
        path: the final folder, ending in ``.lmdb``.
        job: what is being made from what, as JSON values; a partial LMDB of another job is dropped.
        overwrite: replace an LMDB that is already there, at the moment the new one is whole.

    Attributes:
        done: keys that are already committed, by this run or an earlier one of the same job.

    Raises:
        FileExistsError: ``path`` exists and may not be overwritten.
        BlockingIOError: another process is writing the same LMDB.
        OSError: the folder cannot be written, or the disk is full.
    """

    def __init__(self, path: Path, job: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self.path = path
        self.partial = path.with_name(f"{path.name}.partial")
        self._replaced = _replaced(path)
        self.overwrite = overwrite
        recover(path)
        if path.exists() and not overwrite:
            raise FileExistsError(
                f"{path} exists and is not overwritten. Give --overwrite to replace it, or another "
                "place for the new one."
            )
        try:
            self.partial.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.partial)
            try:
                self._start(dict(job))
            except BaseException:
                os.close(self._lock)
                raise
        except BlockingIOError:
            raise BlockingIOError(
                f"{self.partial}: another process is making this LMDB. Wait for it or stop it."
            ) from None
        except (OSError, lmdb.Error) as error:
            raise self._explained(error) from error

    def _start(self, job: dict[str, Any]) -> None:
        lines = self._committed_lines() if made_from(self.partial) == job else None
        if lines is None:
            for stale in (JOB, DATA, _LINES, META_INFO):
                (self.partial / stale).unlink(missing_ok=True)
            lines = []
            _write_synced(self.partial / JOB, json.dumps(job, indent=1, sort_keys=True))
        _write_synced(self.partial / _LINES, "".join(f"{line}\n" for line in lines))
        self._line_file = (self.partial / _LINES).open("a", encoding="utf-8")
        self._env = lmdb.open(str(self.partial), map_size=_FIRST_MAP_SIZE, lock=False)
        self._lines = {_key(line): line for line in lines}
        self.done: set[str] = set(self._lines)
        self._pending: dict[str, tuple[bytes | bytearray, str]] = {}
        self._pending_bytes = 0

    def _committed_lines(self) -> list[str] | None:
        """Return the lines of the images that are committed, None where they cannot be told.

        Lines are synced before the images they tell of are committed, in the same order, so the
        first ones belong to what is committed and the rest to what a kill has lost.
        """
        texts = [self.partial / name for name in (_LINES, META_INFO)]
        text = next((path for path in texts if path.exists()), None)
        if text is None or not (self.partial / DATA).exists():
            return None
        try:
            with lmdb.open(str(self.partial), readonly=True, lock=False) as env:
                count, whole = env.stat()["entries"], expected_bytes(env)
        except lmdb.Error:
            return None
        lines = text.read_text(encoding="utf-8").split("\n")[:count]
        if len({_key(line) for line in lines}) != count:
            return None
        return lines if (self.partial / DATA).stat().st_size >= whole else None

    @property
    def count(self) -> int:
        """How many images it holds, committed or not."""
        return len(self.done) + len(self._pending)

    def put(
        self, key: str, file: bytes | bytearray, shape: tuple[int, int, int], *, extension: str
    ) -> None:
        """Store image file ``file`` of (H, W, C) ``shape`` under ``key``; a later commit saves it.

        Raises:
            ValueError: ``key`` is stored already, or is none that BasicSR and LMDB can find again.
            OSError: the disk is full.
        """
        if not key.isascii() or "." in key or not 0 < len(key) <= _LONGEST_KEY:
            raise ValueError(
                f"{self.path}: a key is 1 to {_LONGEST_KEY} ASCII characters without a dot, found "
                f"{key!r}. Give the image a shorter name."
            )
        if key in self.done or key in self._pending:
            raise ValueError(f"{self.path}: the key {key!r} is stored already.")
        height, width, channels = shape
        line = f"{key}.{extension} ({height},{width},{channels}) 1"
        self._pending[key] = (file, line)
        self._pending_bytes += len(file)
        if self._pending_bytes >= _COMMIT_BYTES:
            self.commit()

    def commit(self) -> None:
        """Save what was put so far, synced to disk.

        Raises:
            OSError: the disk is full.
        """
        try:
            self._line_file.writelines(f"{line}\n" for _, line in self._pending.values())
            self._line_file.flush()
            os.fsync(self._line_file.fileno())
            while not self._commit_fits():
                self._env.set_mapsize(2 * self._env.info()["map_size"])
        except (OSError, lmdb.Error) as error:
            raise self._explained(error) from error
        self._lines.update((key, line) for key, (_, line) in self._pending.items())
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

    def publish(self) -> None:
        """Commit, and give the LMDB its final name.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        self.commit()
        self.close()
        try:
            lines = sorted(self._lines.values(), key=_key)
            _write_synced(self.partial / META_INFO, "".join(f"{line}\n" for line in lines))
            (self.partial / _LINES).unlink()  # from here on META_INFO tells the same
            _sync_folder(self.partial)
            if self.path.exists():
                shutil.rmtree(self._replaced, ignore_errors=True)
                self.path.rename(self._replaced)
            self.partial.rename(self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            raise self._explained(error) from error
        shutil.rmtree(self._replaced, ignore_errors=True)

    def _explained(self, error: Exception) -> OSError:
        folder = self.path.parent
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free / 1e9
        kind = type(error) if isinstance(error, OSError) else OSError
        return kind(
            f"{self.path}: writing failed: {error}. {free:.1f} GB are free in {folder}. What was "
            "there before is untouched; make room or choose another place, and run the same "
            "command again: it goes on where it stopped."
        )

    def close(self) -> None:
        """Stop writing; what is committed stays for the next run."""
        self._env.close()
        self._line_file.close()
        os.close(self._lock)

    def __enter__(self) -> "LmdbWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._line_file.closed:
            self.close()


def _key(line: str) -> str:
    return line.partition(".")[0]


def _lock(folder: Path) -> int:
    """Return a descriptor that holds ``folder`` for this process, until it is closed or dies."""
    import fcntl  # not on Windows, where LMDBs can be read but not made

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
