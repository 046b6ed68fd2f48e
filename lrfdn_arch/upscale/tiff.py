"""TIFF with 16 bits per channel, by tifffile: Pillow cannot even open most of it."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lrfdn_arch.data.image_files import check_pixels
from lrfdn_arch.upscale.exif import Exif, read_exif, tiff_with_exif
from lrfdn_arch.upscale.picture import MORE_PAGES, Picture, upright
from lrfdn_arch.upscale.transparency import unmultiplied

_ORIENTATION, _ICC_PROFILE = 0x0112, 0x8773
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the latter two are BigTIFF
_COLOURS = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3}
_ASSOCIATED, _UNASSOCIATED = 1, 2  # kinds of alpha in the tag ExtraSamples


class _UnsupportedError(ValueError):
    """The message says what about the file cannot be read."""


def read_16_bit_tiff(data: bytes) -> Picture | None:
    """Return the first page of a file.

    Returns None for other formats, for 8 bits or less, and where the tags are too damaged to tell;
    Pillow then says what is wrong.

    Raises:
        ValueError: the kind of pixels is not supported, or they are damaged.
    """
    if not data.startswith(_SIGNATURES):
        return None
    import tifffile

    try:
        with _silent("tifffile"), tifffile.TiffFile(io.BytesIO(data)) as tiff:
            page = tiff.pages.first
            if page.dtype is None or page.dtype in (np.uint8, np.bool_):
                return None
            _check_supported(page)
            exif = Exif() if tiff.is_bigtiff else read_exif(lambda: _load_exif(data))
            return _picture(page, exif, (MORE_PAGES,) if len(tiff.pages) > 1 else ())
    except (_UnsupportedError, MemoryError):
        raise
    except Exception:  # damaged tags raise anything
        return None


def _check_supported(page: Any) -> None:
    if page.dtype != np.uint16:
        raise _UnsupportedError(
            f"contains {page.dtype} values, which are not supported; convert it to unsigned 8 or "
            "16 bits"
        )
    colours = getattr(page.photometric, "name", str(page.photometric))
    if _COLOURS.get(colours, 1 << 16) > page.samplesperpixel:
        raise _UnsupportedError(
            f"contains 16-bit {colours} with {page.samplesperpixel} channels, which is not "
            "supported; convert it to grey or RGB"
        )
    if page.bitspersample != 16:
        raise _UnsupportedError(
            f"contains {page.bitspersample} bits per channel, which are not supported; convert it "
            "to 8 or 16"
        )
    if page.imagedepth != 1:
        raise _UnsupportedError(f"contains a volume of depth {page.imagedepth}, not an image")
    try:
        check_pixels(page.imagewidth, page.imagelength)
    except ValueError as error:
        raise _UnsupportedError(str(error)) from error


def _picture(page: Any, exif: Exif, omitted: tuple[str, ...]) -> Picture:
    try:
        planes = page.asarray(squeeze=False)[:, 0]  # (planes, H, W, samples), either of them 1
    except MemoryError:
        raise
    except Exception as error:  # each compression has exceptions of its own
        raise _UnsupportedError(f"damaged image: {error}") from error
    pixels = np.moveaxis(planes, 0, 2).reshape(*planes.shape[1:3], page.samplesperpixel)
    profile = page.tags.valueof(_ICC_PROFILE)
    orientation = page.tags.valueof(_ORIENTATION, default=1)
    pixels = upright(_colours_and_alpha(pixels, page), orientation)
    return Picture(pixels, bytes(profile) if profile else None, exif.kept, omitted + exif.omitted)


def _load_exif(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)  # EXIF is a TIFF without pixels
    return exif


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


def encode_tiff(pixels: NDArray[Any], icc: bytes | None, exif: bytes | None) -> bytes:
    """Encode (H, W) or (H, W, C), uint8 or uint16, losslessly."""
    import tifffile

    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        pixels,
        photometric="rgb" if channels >= 3 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        iccprofile=icc,
        compression="zlib",
        predictor=True,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        byteorder="<",
        metadata=None,  # no description in tifffile's own terms
        software=False,
    )
    return tiff_with_exif(buffer.getvalue(), exif) if exif else buffer.getvalue()
