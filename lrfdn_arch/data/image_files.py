"""Opening image files from untrusted sources: what is checked before anything is decoded."""

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

# Pillow reads 40 more formats, among them EPS, which it hands to Ghostscript.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "GIF", "AVIF")
LIMIT_VARIABLE = "LRFDN_MAX_PIXELS"
_BYTES_PER_PIXEL = 16  # more than any of the formats stores, metadata included
_opening = threading.Lock()  # `catch_warnings` changes a global list


def max_pixels() -> int:
    """Return the largest number of pixels an image may have, ``LRFDN_MAX_PIXELS``.

    By default it is the number at which Pillow refuses a decompression bomb, 178,956,970.

    Raises:
        ValueError: the variable is not a positive integer.
    """
    text = os.environ.get(LIMIT_VARIABLE)
    if text is None:
        return 2 * (Image.MAX_IMAGE_PIXELS or 1 << 62)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{LIMIT_VARIABLE}: expected a number of pixels, found {text!r}.")
    return int(text)


def check_pixels(width: int, height: int) -> None:
    """Raise ValueError if a file claims more than `max_pixels`, before memory is allocated."""
    if width * height > max_pixels():
        raise ValueError(
            f"{width}x{height} pixels are more than the limit of {max_pixels():,}; set "
            f"{LIMIT_VARIABLE} to allow more"
        )


def max_bytes() -> int:
    """Return the largest size in bytes that an image file may have."""
    return _BYTES_PER_PIXEL * max_pixels()


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file, of a size that an image may have, for reading.

    Raises:
        ValueError: ``path`` is a device, a pipe, a socket or a folder, or too large.
    """
    info = path.stat()  # before opening, which would block on a pipe
    if not stat.S_ISREG(info.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(info.st_mode), "a device")
        raise ValueError(f"{path}: expected a regular file, found {kind}")
    if info.st_size > max_bytes():
        raise ValueError(f"{path}: {info.st_size:,} bytes are more than an image may have")
    return path.open("rb")


def read_image_file(path: Path) -> bytes:
    """Return the content of a file that passes the checks of `open_image`, for other decoders."""
    with open_regular(path) as file:
        try:
            with open_image(file):
                pass
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        file.seek(0)
        return file.read()


@contextmanager
def open_image(source: bytes | io.BufferedReader) -> Iterator[Image.Image]:
    """Open an image without decoding it, like ``PIL.Image.open``, with these checks.

    It must be of one of `FORMATS`, and claim no more than `max_pixels`. Whatever Pillow raises
    about damage, also while the image is decoded inside the ``with`` block, becomes a ValueError.

    Raises:
        ValueError: not such an image, or damaged.
        OSError: the file cannot be read.
    """
    file, limit = io.BytesIO(source) if isinstance(source, bytes) else source, max_pixels()
    try:
        with _opening, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes and tags; errors are raised
            if limit > 2 * (Image.MAX_IMAGE_PIXELS or limit):
                Image.MAX_IMAGE_PIXELS = -(-limit // 2)  # Pillow refuses twice as many
            image = Image.open(file, formats=FORMATS)
        with image:
            check_pixels(*image.size)
            yield image
    except UnidentifiedImageError as error:
        names = ", ".join(FORMATS)
        raise ValueError(f"not an image, or not of a supported format ({names})") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{error} Set {LIMIT_VARIABLE} to allow more.") from error
    except (ValueError, MemoryError):
        raise
    except Exception as error:  # damage makes Pillow raise OSError, SyntaxError, struct.error, ...
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"damaged image: {error}") from error
