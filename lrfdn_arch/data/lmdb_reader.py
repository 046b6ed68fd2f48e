"""Reading an LMDB of images: what it contains, whether it is damaged, its images without a copy.

The layout is BasicSR's: ``data.mdb`` maps an image's key to an image file (PPM or PGM, which need
no decoding, or PNG), ``meta_info.txt`` has one line ``key.png (height,width,channels) level`` for
each. BasicSR takes everything before the first dot as the key and looks it up as ASCII, so keys are
percent-encoded (`key_for`). ``checksums.txt``, which BasicSR ignores and older LMDBs lack, has one
line ``crc32 bytes <line of meta_info.txt>`` for each image.
"""

import re
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote
from weakref import WeakValueDictionary

import lmdb
import numpy as np

from lrfdn_arch.data import ppm
from lrfdn_arch.data.image_files import open_image

META_INFO = "meta_info.txt"
CHECKSUMS = "checksums.txt"
DATA = "data.mdb"
REMAKE = "Make it again with `lrfdn prepare ... --overwrite`."
_SHAPE = re.compile(r"\((\d+), ?(\d+), ?(\d+)\)")
_SAFE = " /!#$&'()+,;=@[]^{}"  # ASCII that both BasicSR and LMDB accept

# LMDB refuses to open a file twice in one process, so all users of one LMDB share a reader.
_open_readers: "WeakValueDictionary[tuple[int, int], LmdbReader]" = WeakValueDictionary()


class ImageInfo(NamedTuple):
    """One line of ``meta_info.txt``: the key and the size in pixels (0 where the line has none)."""

    key: str
    height: int
    width: int
    channels: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width


def key_for(name: str) -> str:
    """Return the key of an image called ``name`` (no extension): ASCII without a dot, reversible.

    A name that is not valid Unicode is a ValueError.
    """
    return quote(name, safe=_SAFE).replace(".", "%2E")


def name_of(key: str) -> str:
    """Return the name that `key_for` made ``key`` of."""
    return unquote(key)


def read_meta_info(path: Path | str) -> list[ImageInfo]:
    """Return what ``meta_info.txt`` of LMDB ``path`` lists, sorted by key.

    Raises:
        FileNotFoundError: there is no such LMDB, or it has no ``meta_info.txt``.
        ValueError: ``meta_info.txt`` is empty or lists a key twice.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path}: expected an LMDB folder, found {'a file' if path.exists() else 'nothing'}. "
            "`lrfdn prepare --help` lists the ways to make it."
        )
    for name in (DATA, META_INFO):
        if not (path / name).is_file():
            found = ", ".join(sorted(p.name for p in path.iterdir())) or "an empty folder"
            raise FileNotFoundError(
                f"{path}: expected {name} in it, found {found}. It is not a complete LMDB of "
                f"images. {REMAKE}"
            )
    lines = _read(path / META_INFO).splitlines()
    infos = sorted(_parse(line) for line in lines if line.strip())
    if not infos:
        raise ValueError(f"{path / META_INFO}: expected one line per image, found none. {REMAKE}")
    for info, other in pairwise(infos):
        if info.key == other.key:
            raise ValueError(f"{path / META_INFO}: the key {info.key!r} is listed twice. {REMAKE}")
    return infos


def parse_checksum(line: str) -> tuple[ImageInfo, int, int]:
    """Return image, CRC-32 and number of bytes of a line of ``checksums.txt``."""
    crc, length, meta = line.split(" ", 2)
    return _parse(meta), int(crc, 16), int(length)


def _parse(line: str) -> ImageInfo:
    key, _, rest = line.partition(".")
    shape = _SHAPE.search(rest)
    height, width, channels = map(int, shape.groups()) if shape else (0, 0, 0)
    return ImageInfo(key, height, width, channels)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected text, found {error}. {REMAKE}") from error


def open_reader(path: Path | str) -> "LmdbReader":
    """Return a reader of LMDB ``path``; one that is already open in this process is shared."""
    path = Path(path)
    infos = read_meta_info(path)
    stat = (path / DATA).stat()
    reader = _open_readers.get((stat.st_dev, stat.st_ino))
    if reader is None:
        reader = _open_readers[stat.st_dev, stat.st_ino] = LmdbReader(path, infos)
    return reader


class LmdbReader:
    """Read-only views into the LMDB of images ``path``; get one from `open_reader`.

    It takes no lock and writes nothing, so it works on a read-only disk, and a process forked while
    it is open may continue to use it. It cannot be pickled: open it where it is used.

    Attributes:
        infos: the result of `read_meta_info`.

    Raises:
        ValueError: not an LMDB, cut short, or with another number of images than ``meta_info.txt``
            lists.
    """

    def __init__(self, path: Path, infos: list[ImageInfo]) -> None:
        self.path, self.infos = path, infos
        self._unchecked = self._read_checksums()
        try:
            self._env = lmdb.open(str(path), readonly=True, lock=False, readahead=False)
        except lmdb.Error as error:
            if "already open" in str(error):
                raise ValueError(
                    f"{path}: already open in this process (by BasicSR's own dataset?), which LMDB "
                    "allows once. Read it in worker processes, or in turn."
                ) from error
            raise ValueError(
                f"{path}: expected an LMDB in {DATA} ({(path / DATA).stat().st_size} bytes), but "
                f"opening it failed: {error or type(error).__name__}. {REMAKE}"
            ) from error
        try:
            self._check_whole()
        except ValueError:
            self._env.close()  # not left to the garbage collector: the traceback refers to it
            raise
        self._transaction = self._env.begin(buffers=True)

    def _read_checksums(self) -> dict[str, tuple[int, int]]:
        """Return (CRC-32, bytes) by key of the images that have not been compared with it yet."""
        if not (self.path / CHECKSUMS).exists():  # written by an older version or by BasicSR
            return {}
        try:
            lines = map(parse_checksum, _read(self.path / CHECKSUMS).splitlines())
            return {info.key: (crc, length) for info, crc, length in lines}
        except ValueError as error:
            raise ValueError(f"{self.path / CHECKSUMS}: damaged ({error}). {REMAKE}") from error

    def _check_whole(self) -> None:
        # Reading past the end of a mapped file kills the process, so the length comes first.
        entries = self._env.stat()["entries"]
        expected, found = expected_bytes(self._env), (self.path / DATA).stat().st_size
        if found < expected:
            raise ValueError(
                f"{self.path / DATA}: cut short, expected {expected} bytes, found {found}. {REMAKE}"
            )
        if entries != len(self.infos):
            raise ValueError(
                f"{self.path}: {META_INFO} lists {len(self.infos)} images, {DATA} contains "
                f"{entries}. {REMAKE}"
            )

    def file(self, key: str) -> memoryview:
        """Return the image file stored under ``key``, a read-only view into the memory map.

        The map stays open as long as there is a view into it. The first time, the file is compared
        with its checksum, which takes 5 ms for an image of 3 megapixels.

        Raises:
            ValueError: there is no such key, or the LMDB is damaged.
        """
        file = self.stored(key)
        if key in self._unchecked:
            crc, length = self._unchecked[key]
            # the length first: a damaged page can make it reach past the end of the file
            if len(file) != length or zlib.crc32(file) != crc:
                raise self._fault(key, f"damaged, its bytes do not match {CHECKSUMS}")
            del self._unchecked[key]
        return np.asarray(_Mapped(self, np.frombuffer(file, np.uint8))).data

    def stored(self, key: str) -> memoryview:
        """Return what is stored under ``key``, for as long as the reader exists; see `file`."""
        try:
            file = self._transaction.get(key.encode())
        except lmdb.Error as error:
            raise self._fault(key, f"pages of {DATA} are damaged ({error})") from error
        if file is None:
            raise self._fault(key, f"{META_INFO} lists it, but {DATA} does not contain it")
        return file

    def _fault(self, key: str, text: str) -> ValueError:
        return ValueError(f"{self.path}, image {key!r}: {text}. {REMAKE}")

    def image(self, key: str) -> np.ndarray:
        """Return image ``key`` as uint8 (H, W, C), RGB or grey.

        A PPM or PGM is a read-only view into the memory map, anything else is decoded.

        Raises:
            ValueError: there is no such key, or it is not an image, or damaged.
        """
        file = self.file(key)
        try:
            pixels = ppm.view(file)
            return _decode(file) if pixels is None else pixels
        except ValueError as error:
            raise self._fault(key, str(error)) from error

    def images(self) -> Iterator[tuple[ImageInfo, np.ndarray]]:
        """Yield every image with its line of ``meta_info.txt``."""
        for info in self.infos:
            yield info, self.image(info.key)

    def __del__(self) -> None:
        if hasattr(self, "_env"):
            self._env.close()


class _Mapped:
    """The base of a view into the memory map: it keeps the reader alive, and so the map."""

    def __init__(self, reader: LmdbReader, data: np.ndarray) -> None:
        self._reader = reader
        self.__array_interface__ = data.__array_interface__


def expected_bytes(env: lmdb.Environment) -> int:
    """Return the least length of the data file of ``env``, given what was committed to it."""
    return (env.info()["last_pgno"] + 1) * env.stat()["psize"]


def _decode(file: memoryview) -> np.ndarray:
    import cv2

    with open_image(bytes(file)):
        image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_ANYCOLOR)
    if image is None:
        raise ValueError("damaged image")
    return image[..., None] if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
