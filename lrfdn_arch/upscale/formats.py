"""File formats of results: what each can hold, and how Pillow writes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from lrfdn_arch.upscale.picture import Picture


@dataclass(frozen=True)
class Format:
    """What a file format can hold and how Pillow writes it; ``largest_side`` is in pixels."""

    name: str
    suffix: str
    largest_side: int = 2**31 - 1
    alpha: bool = False
    sixteen_bit: bool = False
    metadata: bool = True  # ICC profile and EXIF
    options: Mapping[str, Any] = field(default_factory=dict)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "png": Format("PNG", ".png", 1_000_000, alpha=True, sixteen_bit=True),  # libpng's limit
        "jpg": Format("JPEG", ".jpg", 65_500, options={"quality": 95, "subsampling": 0}),
        "webp": Format("WEBP", ".webp", 16_383, True, options={"quality": 95, "exact": True}),
        "tif": Format("TIFF", ".tif", alpha=True, sixteen_bit=True),
        "bmp": Format("BMP", ".bmp", metadata=False),
    }
)
_SAME = {"jpeg": "jpg", "tiff": "tif"}


def format_of(name: str, quality: int | None = None) -> Format:
    """Return the format with that name or suffix: png, jpg (jpeg), webp, tif (tiff) or bmp.

    ``quality``, 1 to 100, replaces the default of 95 of jpg and webp.
    """
    key = name.lower().removeprefix(".")
    found = FORMATS.get(_SAME.get(key, key))
    if found is None:
        raise ValueError(f"format {name!r} is not known; choose {', '.join(FORMATS)}")
    if quality is None:
        return found
    if "quality" not in found.options or not 1 <= quality <= 100:
        raise ValueError(f"--quality {quality} with {found.name}: only jpg and webp take 1 to 100")
    return replace(found, options={**found.options, "quality": quality})


def check_holds(format: Format, picture: Picture, scale: int = 1) -> None:
    """Raise ValueError if ``format`` cannot hold the picture enlarged by ``scale``."""
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
