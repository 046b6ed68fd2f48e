"""Small stores to read, made by the writer that users' stores are made by."""

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from lrfdn_arch.data import ppm
from lrfdn_arch.prepare.writers import LmdbWriter

Images = Mapping[str, np.ndarray]
MakeLmdb = Callable[..., Path]


def encode(image: np.ndarray, codec: str) -> bytes | bytearray:
    if codec == "ppm":
        return ppm.encode(image)
    bgr = image if image.shape[2] == 1 else image[..., ::-1]
    return cv2.imencode(".png", bgr)[1].tobytes()


@pytest.fixture
def make_lmdb(tmp_path: Path) -> MakeLmdb:
    """make_lmdb(name, images, codec="ppm"): an LMDB of uint8 (H, W, C) images."""

    def make(name: str, images: Images, codec: str = "ppm") -> Path:
        with LmdbWriter(tmp_path / name, {"test": name}) as writer:
            for key, image in images.items():
                writer.put(key, encode(image, codec), image.shape, codec)
            writer.publish()
        return tmp_path / name

    return make


def photograph(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A smooth random image with detail at every size, uint8 (H, W, C)."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, channels))
    for cells in (2, 8, 32):
        noise = rng.normal(0, 1 / cells**0.5, (cells, cells, channels))
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).reshape(
            height, width, channels
        )
    image -= image.min()
    return np.rint(image / image.max() * 255).astype(np.uint8)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of 69 bytes whose header claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"")
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def break_pages(path: Path) -> None:
    """Let each leaf page of an LMDB refer to the space after the end of the file."""
    page_size, leaf = 4096, 2
    data = bytearray((path / "data.mdb").read_bytes())
    for page in range(2 * page_size, len(data), page_size):  # after the two meta pages
        if data[page + 10] == leaf:
            first, lower = 16, int.from_bytes(data[page + 12 : page + 14], "little")
            data[page + first : page + lower] = b"\xf0\xff" * ((lower - first) // 2)
    (path / "data.mdb").write_bytes(data)
