"""File formats for results: what each can hold, and how Pillow writes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lrfdn_arch.upscale.pictures.picture import Picture


@dataclass(frozen=True)
class Format:
    """What a file format can hold, ``largest_side`` in pixels, and how Pillow writes it."""

    name: str
    suffix: str
    alpha: bool
    sixteen_bit: bool
    icc: bool
    largest_side: int
    options: Mapping[str, Any]


def _format(
    name: str, suffix: str, alpha: bool, deep: bool, icc: bool, side: int, **options: Any
) -> Format:
    return Format(name, suffix, alpha, deep, icc, side, MappingProxyType(options))


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "png": _format("PNG", ".png", True, True, True, 1_000_000),  # libpng's own limit
        "jpg": _format("JPEG", ".jpg", False, False, True, 65_500, quality=95, subsampling=0),
        "webp": _format("WEBP", ".webp", True, False, True, 16_383, quality=95, exact=True),
        "tif": _format("TIFF", ".tif", True, True, True, 2**31 - 1, compression="tiff_lzw"),
        "bmp": _format("BMP", ".bmp", False, False, False, 2**31 - 1),
    }
)
_SAME = {"jpeg": "jpg", "tiff": "tif"}


def format_of(name: str) -> Format:
    """Return the format of that name or suffix: png, jpg (jpeg), webp, tif (tiff), bmp.

    Raises:
        ValueError: it is none of them.
    """
    key = name.lower().removeprefix(".")
    found = FORMATS.get(_SAME.get(key, key))
    if found is None:
        raise ValueError(f"format {name!r} is not known; choose {', '.join(FORMATS)}")
    return found


def check_holds(format: Format, picture: Picture, scale: int = 1) -> None:
    """Raise where ``format`` cannot hold the picture in ``scale`` times its size.

    Raises:
        ValueError: it has 16 bits, alpha or more pixels a side, and the format cannot.
    """
    lacks = []
    if picture.is_16_bit and not format.sixteen_bit:
        lacks.append("16 bits per channel (--depth 8 rounds them)")
    if picture.has_alpha and not format.alpha:
        lacks.append("alpha (--drop-alpha leaves it out)")
    side = scale * max(picture.pixels.shape[:2])
    if side > format.largest_side:
        lacks.append(f"{side} pixels a side (at most {format.largest_side})")
    if lacks:
        able = "tif holds" if format.name == "PNG" else "png and tif hold"
        raise ValueError(f"{format.name} cannot hold {' nor '.join(lacks)}; {able} everything")
