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
from lrfdn_arch.upscale.picture import MORE_PAGES, Picture, unmultiplied, upright

_ORIENTATION, _ICC_PROFILE = 0x0112, 0x8773
_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the latter two are BigTIFF
_COLOURS = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3}
_ASSOCIATED, _UNASSOCIATED = 1, 2  # kinds of alpha in the tag ExtraSamples


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

    with _silent("tifffile"):
        try:
            tiff = tifffile.TiffFile(io.BytesIO(data))
            page: Any = tiff.pages.first
            if page.dtype is None or page.dtype in (np.uint8, np.bool_):
                return None
            problem = _problem(page)
            width, height = int(page.imagewidth), int(page.imagelength)
            omitted = (MORE_PAGES,) if len(tiff.pages) > 1 else ()
            profile = page.tags.valueof(_ICC_PROFILE)
            orientation = page.tags.valueof(_ORIENTATION, default=1)
        except MemoryError:
            raise
        except Exception:  # damaged tags raise anything
            return None
        if problem:
            raise ValueError(problem)
        check_pixels(width, height)
        try:
            pixels = _colours_and_alpha(page)
        except MemoryError:
            raise
        except Exception as error:  # each compression has exceptions of its own
            raise ValueError(f"damaged image: {error}") from error
    exif = Exif() if tiff.is_bigtiff else read_exif(lambda: _load_exif(data))
    icc = profile if isinstance(profile, bytes) else None
    return Picture(upright(pixels, orientation), icc, exif.kept, omitted + exif.omitted)


def _problem(page: Any) -> str:
    """Return what about the kind of a page's pixels is not supported; "" if nothing."""
    colours = getattr(page.photometric, "name", str(page.photometric))
    channels, bits = page.samplesperpixel, page.bitspersample
    if page.dtype != np.uint16:
        return _unsupported(f"{page.dtype} values", "which are", "unsigned 8 or 16 bits")
    if _COLOURS.get(colours, 1 << 16) > channels:
        return _unsupported(f"16-bit {colours} with {channels} channels", "which is", "grey or RGB")
    if bits != 16:
        return _unsupported(f"{bits} bits per channel", "which are", "8 or 16")
    depth = page.imagedepth
    return "" if depth == 1 else f"contains a volume of depth {depth}, not an image"


def _unsupported(what: str, which_is: str, other: str) -> str:
    return f"contains {what}, {which_is} not supported; convert it to {other}"


def _load_exif(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(data)  # EXIF is a TIFF without pixels
    return exif


def _colours_and_alpha(page: Any) -> NDArray[Any]:
    """Return the samples in a picture's form: black is 0, alpha last and not premultiplied."""
    planes = page.asarray(squeeze=False)[:, 0]  # (planes, H, W, samples), either of them 1
    pixels = np.moveaxis(planes, 0, 2).reshape(*planes.shape[1:3], page.samplesperpixel)
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
