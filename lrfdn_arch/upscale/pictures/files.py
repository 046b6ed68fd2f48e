"""Pictures from and to files: 8 and 16 bit, grey and colour, alpha, orientation, ICC profiles.

Pillow reads and writes what has 8 bits. It has no 16-bit colour, so OpenCV decodes and encodes
16-bit PNG and tifffile 16-bit TIFF; both are here already, for BasicSR and for scikit-image.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lrfdn_arch.files import replacing
from lrfdn_arch.upscale.pictures.formats import Format, check_holds
from lrfdn_arch.upscale.pictures.picture import Picture, UnreadableError, upright
from lrfdn_arch.upscale.pictures.png16 import encoded_16_bit_png, png_is_16_bit, read_16_bit_png
from lrfdn_arch.upscale.pictures.tiff16 import is_tiff, read_16_bit_tiff, write_16_bit_tiff

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_ORIENTATION = 0x0112  # a tag of EXIF
_GREY_MODES = ("1", "L", "LA", "La")
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")


def read_picture(path: Path) -> Picture:
    """Read the first picture in ``path``, turned upright as its EXIF orientation says.

    Palettes become RGB, CMYK and other colour spaces become RGB without their profile.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no image, damaged, truncated, too large to be meant, or holds neither 8
            nor 16 bits.
    """
    if is_tiff(path) and (deep := read_16_bit_tiff(path)):
        return deep
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes and of tags; what matters is raised
            with Image.open(path) as image:
                return _decode(path, image)
    except (UnreadableError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is no image that can be read") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} has more pixels than an image should have ({error})") from error
    except Exception as error:  # damage reaches us as TypeError, struct.error, cv2.error and others
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path} is damaged or truncated ({error})") from error


def _decode(path: Path, image: Image.Image) -> Picture:
    icc = image.info.get("icc_profile")
    orientation = image.getexif().get(_ORIENTATION, 1)
    if image.format == "PNG" and png_is_16_bit(path):
        pixels = read_16_bit_png(path)
    else:
        mode = _mode(path, image)
        icc = icc if image.mode not in ("CMYK", "YCbCr", "LAB", "HSV") else None
        pixels = np.asarray(image.convert(mode))
        orientation = image.getexif().get(_ORIENTATION, 1)  # of TIFF, Pillow takes it off itself
    # The further pictures of MPO, a camera's JPEG, are previews and depths of the same one.
    more = image.format != "MPO" and getattr(image, "is_animated", False)
    return Picture(upright(pixels, orientation), icc, more)


def _mode(path: Path, image: Image.Image) -> str:
    """Return the mode of Pillow that keeps all an 8-bit image holds."""
    if image.mode not in _GREY_MODES + _COLOUR_MODES:  # Pillow would clip their values to 0..255
        raise UnreadableError(
            f"{path} holds float or 32-bit values (Pillow's mode {image.mode}), which are not "
            "supported; convert it to 8 or 16 bits"
        )
    transparent = image.has_transparency_data
    if image.mode in _GREY_MODES:
        return "LA" if transparent else "L"
    return "RGBA" if transparent else "RGB"


def write_picture(path: Path, picture: Picture, format: Format) -> None:
    """Write ``picture`` to ``path``, whole or not at all; an existing file is replaced.

    Raises:
        ValueError: the format cannot hold it, see :func:`check_holds`, or has a limit of size.
        OSError: the disk is full, or the folder is not to be written to.
    """
    check_holds(format, picture)
    icc = _fitting_profile(picture, format)
    try:
        with replacing(path) as beside:
            if picture.is_16_bit and format.name == "TIFF":
                write_16_bit_tiff(beside, picture.pixels, icc)
            elif picture.is_16_bit:
                beside.write_bytes(encoded_16_bit_png(picture.pixels, icc))
            else:
                beside.write_bytes(_encoded(picture.pixels, icc, format))
    except OSError as error:
        if error.errno is not None:
            raise
        raise OSError(f"{path} could not be written as {format.name} ({error})") from error


def _fitting_profile(picture: Picture, format: Format) -> bytes | None:
    """Return the profile if it is one of the colours written: viewers misread any other."""
    grey = picture.pixels.shape[2] <= 2 and format.name != "WEBP"  # which has no grey
    icc = picture.icc if format.icc else None
    return icc if icc and icc[16:20] == (b"GRAY" if grey else b"RGB ") else None


def _encoded(pixels: NDArray[Any], icc: bytes | None, format: Format) -> bytes:
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    buffer = io.BytesIO()
    profile = {"icc_profile": icc} if icc else {}
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    image = Image.fromarray(flat)
    assert image.mode == mode, (image.mode, mode)
    image.save(buffer, format.name, **format.options, **profile)
    return buffer.getvalue()
