"""EXIF that a result keeps: what tells how and by whom a picture was taken, not how it is stored.

Orientation is applied to the pixels and reset. Sizes, the thumbnail, and the strips and tiles of a
TIFF belong to the source and are left out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from PIL import Image

_PREFIX = b"Exif\0\0II*\0\x08\0\0\0"  # of what Pillow encodes, little-endian
_NESTED = (0x8769, 0x8825)  # tags of the camera and of GPS
_ORIENTATION = 0x0112
_KEPT = (
    *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C),  # description, make, ..., computer
    *(0x4746, 0x4749, 0x8298),  # rating, in percent; copyright
    *range(0x9C9B, 0x9CA0),  # Windows' title, comment, author, keywords and subject
)
_OF_THE_SOURCE = (0xA002, 0xA003, 0xA005)  # width, height, interoperability
_LARGEST = 65_000  # bytes; a JPEG segment holds 65,533


class Exif(NamedTuple):
    """What is used of a file's EXIF."""

    orientation: int = 1  # 1 (upright) to 8
    kept: bytes | None = None  # what the result keeps, as Pillow's ``exif=`` takes it
    omitted: tuple[str, ...] = ()  # why nothing is kept, as in `Picture.omitted`


def read_exif(load: Callable[[], Image.Exif]) -> Exif:
    """Return what is used of the EXIF that ``load`` returns; damage is reported in ``omitted``."""
    orientation: Any = 1
    try:
        exif = load()
        orientation = exif.get(_ORIENTATION, 1)
        kept = _kept(exif)
        encoded = kept.tobytes() if len(kept) > 1 else None
    except MemoryError:
        raise
    except Exception as error:  # damage raises anything
        return Exif(orientation, omitted=(f"contains damaged EXIF, left out ({error})",))
    if encoded and len(encoded) > _LARGEST:
        return Exif(orientation, omitted=(f"contains too much EXIF, left out ({len(encoded)} B)",))
    return Exif(orientation, encoded)


def _kept(exif: Image.Exif) -> Image.Exif:
    kept = Image.Exif()
    kept.endian = "<"
    kept[_ORIENTATION] = 1
    for tag in _KEPT:
        if tag in exif:
            kept[tag] = _as_read(exif[tag])
    for ifd in _NESTED:
        tags = {k: _as_read(v) for k, v in exif.get_ifd(ifd).items() if k not in _OF_THE_SOURCE}
        if tags:
            kept[ifd] = tags
    return kept


class _Text(str):
    """Text whose bytes Pillow writes as it read them, in Latin-1, instead of as ASCII."""

    def encode(self, encoding: str = "latin-1", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


def _as_read(value: Any) -> Any:
    return _Text(value) if isinstance(value, str) else value


def tiff_with_exif(tiff: bytes, exif: bytes) -> bytes:
    """Add ``exif`` to a little-endian TIFF with one page; tifffile cannot write nested tags.

    A new list of the page's tags is appended and takes the place of the old one. BigTIFF (files
    over 4 GB) is returned as it is.
    """
    if tiff[:4] != b"II*\0":
        return tiff
    start = len(tiff) + len(tiff) % 2
    loaded = Image.Exif()
    loaded.load(exif)
    data = _kept(loaded).tobytes(offset=start).removeprefix(_PREFIX)
    end = start + len(data) + len(data) % 2
    old = _entries(tiff, int.from_bytes(tiff[4:8], "little"))
    entries = sorted(old + _entries(data, 0), key=lambda entry: int.from_bytes(entry[:2], "little"))
    tags = len(entries).to_bytes(2, "little") + b"".join(entries) + bytes(4)  # no further page
    body = (tiff[8:].ljust(start - 8, b"\0") + data).ljust(end - 8, b"\0")
    return tiff[:4] + end.to_bytes(4, "little") + body + tags


def _entries(tiff: bytes, place: int) -> list[bytes]:
    """Return the 12 bytes of each tag in the list of tags at ``place``."""
    count, first = int.from_bytes(tiff[place : place + 2], "little"), place + 2
    return [tiff[at : at + 12] for at in range(first, first + 12 * count, 12)]
