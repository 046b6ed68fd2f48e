"""Writing an LMDB of images in BasicSR's layout, with a checksum of every image."""

import os
import zlib

import lmdb

from lrfdn_arch.data.lmdb_reader import CHECKSUMS, DATA, META_INFO, expected_bytes, parse_checksum
from lrfdn_arch.files import write_whole
from lrfdn_arch.prepare.image_writer import ImageWriter, explained

_FIRST_MAP_SIZE = 64 << 20
_LONGEST_KEY = 511  # LMDB's limit
_COMMIT_BYTES = 64 << 20  # bounds the memory a batch takes, and what a kill can lose


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
        self._pending: dict[str, tuple[bytes | bytearray, str]] = {}
        self._pending_bytes = 0
        self._env = lmdb.open(str(self.partial), map_size=_FIRST_MAP_SIZE, lock=False)
        self._lines = (self.partial / CHECKSUMS).open("a", encoding="utf-8")

    def put(
        self, key: str, file: bytes | bytearray, shape: tuple[int, int, int], extension: str
    ) -> None:
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
