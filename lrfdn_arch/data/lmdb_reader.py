"""Reading an LMDB of images: what it holds, whether it is whole, its images without a copy.

The layout is BasicSR's: ``data.mdb`` maps an image's key to an image file (PPM or PGM, which need
no decoding, or PNG), ``meta_info.txt`` has one line ``key.png (height,width,channels) level`` for
each. BasicSR takes what stands before the first dot for the key and looks it up as ASCII, so keys
are percent-encoded (`key_for`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote
from weakref import WeakValueDictionary

import lmdb
import numpy as np

from lrfdn_arch.data import ppm
from lrfdn_arch.data.image_files import open_image

META_INFO = "meta_info.txt"
DATA = "data.mdb"
REMAKE = "Make it again with `lrfdn prepare ... --overwrite`."
_SHAPE = re.compile(r"\((\d+), ?(\d+), ?(\d+)\)")
_READABLE_AS_IS = " /!#$&'()+,;=@[]^{}"  # ASCII that neither BasicSR nor LMDB minds

# LMDB refuses to open a file twice in one process, so those who read the same one share a reader.
_open_readers: "WeakValueDictionary[tuple[int, int], LmdbReader]" = WeakValueDictionary()


@dataclass(frozen=True)
class ImageInfo:
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
    """Return the key of an image called ``name`` (no extension): ASCII, no dot, nothing lost."""
    return quote(name, safe=_READABLE_AS_IS).replace(".", "%2E")


def name_of(key: str) -> str:
    """Return the name that `key_for` made ``key`` of."""
    return unquote(key)


def read_meta_info(path: Path | str) -> list[ImageInfo]:
    """Return what LMDB ``path`` says it holds, in the order of its keys.

    Raises:
        FileNotFoundError: there is no such LMDB, or it has no ``meta_info.txt``.
        ValueError: ``meta_info.txt`` is empty or names a key twice.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path}: expected an LMDB folder, found "
            f"{'a file' if path.exists() else 'nothing'}. `lrfdn prepare` makes it, see "
            "datasets/README.md."
        )
    for name in (DATA, META_INFO):
        if not (path / name).is_file():
            raise FileNotFoundError(
                f"{path}: expected {name} in it, found {_listing(path)}. It is not a whole LMDB of "
                f"images. {REMAKE}"
            )
    lines = (path / META_INFO).read_text(encoding="utf-8").splitlines()
    infos = [_parse(line) for line in lines if line.strip()]
    if not infos:
        raise ValueError(f"{path / META_INFO}: expected one line per image, found none. {REMAKE}")
    keys = [info.key for info in infos]
    if len(set(keys)) != len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{path / META_INFO}: the key {twice!r} is there twice. {REMAKE}")
    return sorted(infos, key=lambda info: info.key)


def _parse(line: str) -> ImageInfo:
    key, _, rest = line.partition(".")
    shape = _SHAPE.search(rest)
    height, width, channels = map(int, shape.groups()) if shape else (0, 0, 0)
    return ImageInfo(key, height, width, channels)


def _listing(path: Path) -> str:
    return ", ".join(sorted(p.name for p in path.iterdir())) or "an empty folder"


def open_reader(path: Path | str) -> "LmdbReader":
    """Return a reader of LMDB ``path``, the one that is already open in this process if any is."""
    path = Path(path)
    infos = read_meta_info(path)
    stat = (path / DATA).stat()
    reader = _open_readers.get((stat.st_dev, stat.st_ino))
    if reader is None:
        reader = _open_readers[stat.st_dev, stat.st_ino] = LmdbReader(path, infos)
    return reader


class LmdbReader:
    """Read-only views into an LMDB of images; get one from `open_reader`.

    It takes no lock and writes nothing, so it works on a read-only disk, and a process forked off
    while it is open may go on using it. It cannot be pickled: open it where it is used.

    Args:
        path: the LMDB folder.
        infos: what `read_meta_info` found there.

    Raises:
        ValueError: not an LMDB, shorter than it should be, or with another number of images than
            ``meta_info.txt`` lists.
    """

    def __init__(self, path: Path, infos: list[ImageInfo]) -> None:
        self.path = path
        self.infos = infos
        try:
            self._env = lmdb.open(str(path), readonly=True, lock=False, readahead=False)
        except lmdb.Error as error:
            if "already open" in str(error):
                raise ValueError(
                    f"{path}: something else in this process has it open (BasicSR's own dataset?) "
                    "and LMDB allows that once. Read it in worker processes, or one by one."
                ) from error
            raise ValueError(
                f"{path}: expected an LMDB in {DATA} ({(path / DATA).stat().st_size} bytes), but "
                f"reading it says {str(error) or type(error).__name__!r}. {REMAKE}"
            ) from error
        try:
            self._check_whole()
        except ValueError:
            self._env.close()  # not left to the garbage collector: the traceback holds on to it
            raise
        self._transaction = self._env.begin(buffers=True)

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
                f"{self.path}: {META_INFO} lists {len(self.infos)} images, {DATA} holds "
                f"{entries}. {REMAKE}"
            )

    def file(self, key: str) -> memoryview:
        """Return the image file stored under ``key``, a read-only view into the memory map.

        The map stays open as long as there is a view into it.

        Raises:
            ValueError: there is no such key.
        """
        file = self._transaction.get(key.encode())
        if file is None:
            raise ValueError(
                f"{self.path}: expected an image {key!r} as {META_INFO} lists it, found none in "
                f"{DATA}. {REMAKE}"
            )
        return np.asarray(_Mapped(self, np.frombuffer(file, np.uint8))).data

    def image(self, key: str) -> np.ndarray:
        """Return image ``key`` as uint8 (H, W, C), RGB or grey.

        A PPM or PGM comes as a read-only view into the memory map, anything else is decoded.

        Raises:
            ValueError: there is no such key, or what is stored is no image.
        """
        file = self.file(key)
        try:
            return ppm.view(file) if ppm.is_ppm(file) else decode(file)
        except ValueError as error:
            raise ValueError(f"{self.path}, image {key!r}: {error}. {REMAKE}") from error

    def images(self) -> Iterator[tuple[ImageInfo, np.ndarray]]:
        """Yield every image with its line of ``meta_info.txt``."""
        for info in self.infos:
            yield info, self.image(info.key)

    def __del__(self) -> None:
        if hasattr(self, "_env"):
            self._env.close()


class _Mapped:
    """What a view into the memory map has for its base: it keeps the reader, and so the map."""

    def __init__(self, reader: LmdbReader, data: np.ndarray) -> None:
        self._reader = reader
        self.__array_interface__ = data.__array_interface__


def expected_bytes(env: lmdb.Environment) -> int:
    """Return how long the data file of ``env`` must be to hold all that was committed to it."""
    return (env.info()["last_pgno"] + 1) * env.stat()["psize"]


def decode(file: memoryview) -> np.ndarray:
    """Decode an image file to uint8 (H, W, C), RGB or grey.

    Raises:
        ValueError: it is not an image, or is damaged.
    """
    import cv2

    with open_image(bytes(file)):
        image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_ANYCOLOR)
    if image is None:
        raise ValueError("damaged image")
    return image[..., None] if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
