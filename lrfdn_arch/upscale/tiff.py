"""TIFF with 16 bits per channel, by tifffile: Pillow cannot even open most of it."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrfdn_arch.upscale.picture import Picture, upright
from lrfdn_arch.upscale.transparency import unmultiplied

_ORIENTATION, _ICC_PROFILE = 0x0112, 0x8773
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the latter two are BigTIFF
_COLOURS = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3}
_ASSOCIATED, _UNASSOCIATED = 1, 2  # kinds of alpha in the tag ExtraSamples


class UnsupportedError(ValueError):
    """A file cannot be read; the message continues a sentence that begins with its name."""


def read_16_bit_tiff(file: BinaryIO) -> Picture | None:
    """Return the first page.

    Returns None for other formats, for 8 bits or less, and where the tags are too damaged to tell;
    Pillow then says what is wrong. ``file`` is then at its start.

    Raises:
        UnsupportedError: the kind of pixels is not supported, or they are damaged.
    """
    signature = file.read(4)
    file.seek(0)
    if signature not in _SIGNATURES:
        return None
    import tifffile

    try:
        with _silent("tifffile"), tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            if page.dtype is not None and page.dtype not in (np.uint8, np.bool_):
                _check_supported(page)
                return _picture(page, has_more=len(tiff.pages) > 1)
    except (UnsupportedError, MemoryError):
        raise
    except Exception:  # damaged tags raise anything
        pass
    file.seek(0)
    return None


def _check_supported(page: Any) -> None:
    if page.dtype != np.uint16:
        raise UnsupportedError(
            f"contains {page.dtype} values, which are not supported; convert it to unsigned 8 or "
            "16 bits"
        )
    colours = getattr(page.photometric, "name", str(page.photometric))
    if _COLOURS.get(colours, 1 << 16) > page.samplesperpixel:
        raise UnsupportedError(
            f"contains 16-bit {colours} with {page.samplesperpixel} channels, which is not "
            "supported; convert it to grey or RGB"
        )
    if page.bitspersample != 16:
        raise UnsupportedError(
            f"contains {page.bitspersample} bits per channel, which are not supported; convert it "
            "to 8 or 16"
        )
    limit = 2 * (Image.MAX_IMAGE_PIXELS or page.imagewidth * page.imagelength)
    if page.imagedepth != 1 or page.imagewidth * page.imagelength > limit:
        raise UnsupportedError(
            f"has more pixels than an image should have ({page.imagewidth}x{page.imagelength}, "
            f"depth {page.imagedepth})"
        )


def _picture(page: Any, *, has_more: bool) -> Picture:
    try:
        planes = page.asarray(squeeze=False)[:, 0]  # (planes, H, W, samples), either of them 1
    except MemoryError:
        raise
    except Exception as error:  # each compression has exceptions of its own
        raise UnsupportedError(f"is damaged or truncated ({error})") from error
    pixels = np.moveaxis(planes, 0, 2).reshape(*planes.shape[1:3], page.samplesperpixel)
    profile = page.tags.valueof(_ICC_PROFILE)
    orientation = page.tags.valueof(_ORIENTATION, default=1)
    pixels = upright(_colours_and_alpha(pixels, page), orientation)
    return Picture(pixels, bytes(profile) if profile else None, has_more)


def _colours_and_alpha(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    """Return the samples in a picture's form: black is 0, alpha last and not premultiplied."""
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


def encode_16_bit_tiff(pixels: NDArray[Any], icc: bytes | None) -> bytes:
    """Encode (H, W, C), uint16, losslessly."""
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        photometric="rgb" if pixels.shape[2] >= 3 else "minisblack",
        planarconfig="contig" if pixels.shape[2] > 1 else None,
        iccprofile=icc,
        compression="zlib",
        extrasamples=["unassalpha"] if pixels.shape[2] in (2, 4) else None,
    )
    return buffer.getvalue()
