"""PPM (P6, colour) and PGM (P5, grey): a short header, then the pixels, uncompressed.

A crop can therefore be taken from a memory map without decoding. The format is specified at
https://netpbm.sourceforge.net/doc/ppm.html.
"""

import re

import numpy as np

_HEADER = re.compile(rb"P([56])\s+(\d+)\s+(\d+)\s+255\s", re.ASCII)
_HEADER_BYTES = 64  # more than the longest header without comments
_CHANNELS = {b"5": 1, b"6": 3}


def allocate(height: int, width: int, channels: int) -> tuple[bytearray, np.ndarray]:
    """Return a PPM or PGM file and a uint8 (H, W, C) RGB array that shares its pixels.

    Writing into the array writes the file, so that a decoder can write the pixels in place.
    """
    start = b"P%d\n%d %d\n255\n" % ({1: 5, 3: 6}[channels], width, height)
    file = bytearray(len(start) + height * width * channels)
    file[: len(start)] = start
    pixels = np.frombuffer(file, np.uint8, offset=len(start)).reshape(height, width, channels)
    return file, pixels


def encode(image: np.ndarray) -> bytearray:
    """Return ``image``, uint8 (H, W, C) RGB or grey, as a PPM or PGM file."""
    file, pixels = allocate(*image.shape)
    pixels[...] = image
    return file


def view(file: memoryview | bytes | bytearray) -> np.ndarray | None:
    """Return the pixels of ``file`` as uint8 (H, W, C) RGB or grey, without copying them.

    Returns None if it is not an 8-bit PPM or PGM without comments.

    Raises:
        ValueError: it has another length than its header implies.
    """
    match = _HEADER.match(bytes(file[:_HEADER_BYTES]))
    if match is None:
        return None
    channels, width, height = _CHANNELS[match[1]], int(match[2]), int(match[3])
    expected, found = height * width * channels, len(file) - match.end()
    if found != expected:
        raise ValueError(
            f"expected {expected} bytes of pixels for {width}x{height}x{channels}, found {found}"
        )
    return np.frombuffer(file, np.uint8, offset=match.end()).reshape(height, width, channels)
