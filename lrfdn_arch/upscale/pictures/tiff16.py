"""TIFF of 16 bits per channel, by tifffile: Pillow cannot even open most of them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrfdn_arch.upscale.pictures.picture import Picture, UnreadableError, upright
from lrfdn_arch.upscale.pictures.transparency import unmultiplied

_ORIENTATION, _ICC_PROFILE = 0x0112, 0x8773
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the latter two of BigTIFF
_COLOURS = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3}
_ASSOCIATED, _UNASSOCIATED = 1, 2  # kinds of alpha in the tag ExtraSamples


def is_tiff(path: Path) -> bool:
    """Whether the file begins as TIFF and BigTIFF do."""
    with path.open("rb") as file:
        return file.read(4) in _SIGNATURES


def read_16_bit_tiff(path: Path) -> Picture | None:
    """Return the first page; None where it has 8 bits or less, or is damaged beyond telling.

    Raises:
        UnreadableError: what it holds is not supported, or its pixels are damaged.
    """
    import tifffile

    try:
        with _silent("tifffile"), tifffile.TiffFile(path) as file:
            page = file.pages.first
            if page.dtype is None or page.dtype in (np.uint8, np.bool_):
                return None
            _check_supported(path, page)
            return _picture(path, page, more=len(file.pages) > 1)
    except (UnreadableError, MemoryError):
        raise
    except Exception:  # damaged tags make tifffile raise anything; Pillow says what is wrong
        return None


def _check_supported(path: Path, page: Any) -> None:
    if page.dtype != np.uint16:
        raise UnreadableError(
            f"{path} holds {page.dtype} values, which are not supported; convert it to unsigned "
            "8 or 16 bits"
        )
    colours = getattr(page.photometric, "name", str(page.photometric))
    if _COLOURS.get(colours, 1 << 16) > page.samplesperpixel:
        raise UnreadableError(
            f"{path} holds 16-bit {colours} with {page.samplesperpixel} channels, which is not "
            "supported; convert it to grey or RGB"
        )
    if page.bitspersample != 16:
        raise UnreadableError(
            f"{path} holds {page.bitspersample} bits per channel, which are not supported; convert "
            "it to 8 or 16"
        )
    limit = 2 * (Image.MAX_IMAGE_PIXELS or page.imagewidth * page.imagelength)
    if page.imagedepth != 1 or page.imagewidth * page.imagelength > limit:
        raise UnreadableError(
            f"{path} has more pixels than an image should have "
            f"({page.imagewidth}x{page.imagelength}, depth {page.imagedepth})"
        )


def _picture(path: Path, page: Any, *, more: bool) -> Picture:
    try:
        planes = page.asarray(squeeze=False)[:, 0]  # (planes, H, W, samples), either of them 1
    except MemoryError:
        raise
    except Exception as error:  # each compression has exceptions of its own
        raise UnreadableError(f"{path} is damaged or truncated ({error})") from error
    pixels = np.moveaxis(planes, 0, 2).reshape(*planes.shape[1:3], page.samplesperpixel)
    profile = page.tags.get(_ICC_PROFILE)
    orientation = page.tags.get(_ORIENTATION)
    return Picture(
        upright(_meant(pixels, page), orientation.value if orientation else 1),
        bytes(profile.value) if profile else None,
        more,
    )


def _meant(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    """Return the samples as a picture's: black is 0, alpha last and not premultiplied."""
    number = _COLOURS[page.photometric.name]
    colours = pixels[..., :number]
    if page.photometric.name == "MINISWHITE":
        colours = np.iinfo(pixels.dtype).max - colours
    kinds = [int(kind) for kind in page.extrasamples]
    alphas = [place for place, kind in enumerate(kinds) if kind in (_ASSOCIATED, _UNASSOCIATED)]
    if not alphas:
        return colours
    alpha = pixels[..., number + alphas[0], None]
    if kinds[alphas[0]] == _ASSOCIATED:
        colours = unmultiplied(colours, alpha)
    return np.concatenate((colours, alpha), axis=2)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keep a library from logging what is raised or harmless."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def write_16_bit_tiff(path: Path, pixels: NDArray[Any], icc: bytes | None) -> None:
    """Write (H, W, C), uint16."""
    import tifffile

    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    colour = "rgb" if pixels.shape[2] >= 3 else "minisblack"
    tifffile.imwrite(
        path,
        flat,
        photometric=colour,
        planarconfig="contig" if flat.ndim == 3 else None,
        iccprofile=icc,
        compression="zlib",
        extrasamples=["unassalpha"] if pixels.shape[2] in (2, 4) else None,
    )
