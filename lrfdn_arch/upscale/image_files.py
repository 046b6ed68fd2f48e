"""Pictures from and to files: 8 and 16 bit, grey and colour, alpha, orientation, ICC profiles.

Pillow reads and writes 8 bits per channel. It has no 16-bit colour, so imagecodecs decodes and
encodes 16-bit PNG and tifffile 16-bit TIFF.
"""

import io
import warnings
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lrfdn_arch.files import replacing
from lrfdn_arch.upscale.formats import Format, check_holds
from lrfdn_arch.upscale.picture import Picture, upright
from lrfdn_arch.upscale.tiff import UnsupportedError, encode_16_bit_tiff, read_16_bit_tiff

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_ORIENTATION = 0x0112  # a tag of EXIF
_GREY_MODES = ("1", "L", "LA", "La")
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_PNG_HEADER = 33  # the signature and the IHDR chunk; the bit depth is byte 24


def read_picture(path: Path) -> Picture:
    """Read the first picture in ``path`` and turn it upright by its EXIF orientation.

    Palettes become RGB; CMYK and other colour spaces become RGB without their profile.

    Raises:
        ValueError: it is not an image, is damaged or truncated, has more pixels than Pillow's
            limit, or has neither 8 nor 16 bits per channel.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes and tags; faults are raised below
            if deep := read_16_bit_tiff(file):
                return deep
            with Image.open(file) as image:
                return _decode(image, file)
    except UnsupportedError as error:
        raise ValueError(f"{path} {error}") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is not an image that can be read") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} has more pixels than an image should have ({error})") from error
    except MemoryError:
        raise
    except Exception as error:  # damage raises TypeError, struct.error, PngError and others
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path} is damaged or truncated ({error})") from error


def _decode(image: Image.Image, file: BinaryIO) -> Picture:
    icc = image.info.get("icc_profile")
    orientation = image.getexif().get(_ORIENTATION, 1)
    if image.format == "PNG" and _is_16_bit_png(file):
        import imagecodecs

        file.seek(0)
        pixels = imagecodecs.png_decode(file.read())
    else:
        mode = _target_mode(image)
        icc = icc if image.mode not in ("CMYK", "YCbCr", "LAB", "HSV") else None
        pixels = np.asarray(image.convert(mode))
        orientation = image.getexif().get(_ORIENTATION, 1)  # Pillow applies that of TIFF itself
    # The further pictures of MPO, a camera's JPEG, are previews and depth maps of the first one.
    has_more = image.format != "MPO" and getattr(image, "is_animated", False)
    return Picture(upright(pixels, orientation), icc, has_more)


def _is_16_bit_png(file: BinaryIO) -> bool:
    file.seek(24)
    return file.read(1) == b"\x10"


def _target_mode(image: Image.Image) -> str:
    """Return the mode of Pillow that keeps everything an 8-bit image contains."""
    if image.mode not in _GREY_MODES + _COLOUR_MODES:  # Pillow would clip their values to 0..255
        raise UnsupportedError(
            f"contains float or 32-bit values (Pillow's mode {image.mode}), which are not "
            "supported; convert it to 8 or 16 bits"
        )
    transparent = image.has_transparency_data
    if image.mode in _GREY_MODES:
        return "LA" if transparent else "L"
    return "RGBA" if transparent else "RGB"


def write_picture(path: Path, picture: Picture, format: Format) -> None:
    """Write ``picture`` to ``path``, whole or not at all; an existing file is overwritten.

    Raises:
        ValueError: the format cannot hold it, see :func:`check_holds`.
        OSError: the encoder failed.
    """
    check_holds(format, picture)
    icc = _fitting_profile(picture, format)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(_encode(picture.pixels, icc, format))
    except OSError as error:
        if error.errno is not None:
            raise
        raise OSError(f"{path} could not be written as {format.name} ({error})") from error


def _fitting_profile(picture: Picture, format: Format) -> bytes | None:
    """Return the profile if it describes the colours written: viewers misread any other."""
    grey = picture.pixels.shape[2] <= 2 and format.name != "WEBP"  # which has no grey
    icc = picture.icc if format.icc else None
    return icc if icc and icc[16:20] == (b"GRAY" if grey else b"RGB ") else None


def _encode(pixels: NDArray[Any], icc: bytes | None, format: Format) -> bytes:
    if pixels.dtype == np.uint16:
        encode = encode_16_bit_tiff if format.name == "TIFF" else _encode_16_bit_png
        return encode(pixels, icc)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    buffer = io.BytesIO()
    image.save(buffer, format.name, **format.options, **({"icc_profile": icc} if icc else {}))
    return buffer.getvalue()


def _encode_16_bit_png(pixels: NDArray[Any], icc: bytes | None) -> bytes:
    from imagecodecs import PNG, png_encode

    # OpenCV's settings: five times as fast as zlib's default level for 4 % larger files.
    encoded = bytes(png_encode(pixels, level=1, strategy=PNG.STRATEGY.RLE, filter=PNG.FILTER.SUB))
    profile = _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)) if icc else b""
    return encoded[:_PNG_HEADER] + profile + encoded[_PNG_HEADER:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    length, check = len(data), zlib.crc32(kind + data)
    return length.to_bytes(4, "big") + kind + data + check.to_bytes(4, "big")
