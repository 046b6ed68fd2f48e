"""Pictures from and to files: 8 and 16 bit, grey and colour, alpha, orientation, ICC profiles.

Pillow reads and writes what has 8 bits. It has no 16-bit colour, so OpenCV decodes and encodes
16-bit PNG and tifffile 16-bit TIFF; both are here already, for BasicSR and for scikit-image.
"""

import io
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lrfdn_arch.deploy.files import written_whole

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_ORIENTATION, _ICC_PROFILE = 0x0112, 0x8773  # tags of EXIF and TIFF


@dataclass(frozen=True)
class Picture:
    """A picture as it should be seen: upright.

    Attributes:
        pixels: (H, W, C), uint8 or uint16; C is 1 for grey, 3 for RGB, and one more with alpha,
            which is not premultiplied and comes last.
        icc: the ICC profile of the colours, if there is one.
    """

    pixels: NDArray[Any]
    icc: bytes | None = None

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.pixels.shape[2] in (2, 4)

    @property
    def is_16_bit(self) -> bool:
        """Whether there are 16 bits per channel."""
        return self.pixels.dtype == np.uint16


@dataclass(frozen=True)
class Format:
    """What a file format can hold, and how it is written by Pillow."""

    name: str
    suffix: str
    alpha: bool
    sixteen_bit: bool
    icc: bool
    options: Mapping[str, Any]


def _format(name: str, suffix: str, alpha: bool, deep: bool, icc: bool, **options: Any) -> Format:
    return Format(name, suffix, alpha, deep, icc, MappingProxyType(options))


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "png": _format("PNG", ".png", True, True, True),
        "jpg": _format("JPEG", ".jpg", False, False, True, quality=95, subsampling=0),
        "webp": _format("WEBP", ".webp", True, False, True, quality=95, exact=True),
        "tif": _format("TIFF", ".tif", True, True, True, compression="tiff_lzw"),
        "bmp": _format("BMP", ".bmp", False, False, False),
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


def check_holds(format: Format, picture: Picture) -> None:
    """Raise where ``format`` cannot hold the picture.

    Raises:
        ValueError: it has 16 bits or alpha, and the format cannot.
    """
    lacks = []
    if picture.is_16_bit and not format.sixteen_bit:
        lacks.append("16 bits per channel (--depth 8 rounds them)")
    if picture.has_alpha and not format.alpha:
        lacks.append("alpha (--drop-alpha leaves it out)")
    if lacks:
        raise ValueError(
            f"{format.name} cannot hold {' nor '.join(lacks)}; png and tif hold everything"
        )


def read_picture(path: Path) -> Picture:
    """Read the first picture in ``path``, turned upright as its EXIF orientation says.

    Palettes become RGB, CMYK and other colour spaces become RGB without their profile.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no image, damaged, truncated, or too large to be meant.
    """
    if _is_tiff(path) and (deep := _decoded_16_bit_tiff(path)):
        return deep
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes and of tags; what matters is raised
            with Image.open(path) as image:
                return _decode(path, image)
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is no image that can be read") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} has more pixels than an image should have ({error})") from error
    except (SyntaxError, ValueError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{path} is damaged or truncated ({error})") from error


def _decode(path: Path, image: Image.Image) -> Picture:
    icc = image.info.get("icc_profile")
    orientation = image.getexif().get(_ORIENTATION, 1)
    if image.format == "PNG" and _png_is_16_bit(path):
        pixels = _decoded_by_opencv(path)
    else:
        mode = _mode(image)
        icc = icc if image.mode not in ("CMYK", "YCbCr", "LAB", "HSV") else None
        pixels = np.asarray(image.convert(mode))
        orientation = image.getexif().get(_ORIENTATION, 1)  # of TIFF, Pillow takes it off itself
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return Picture(_upright(pixels, orientation), icc)


def _mode(image: Image.Image) -> str:
    """Return the mode of Pillow that keeps all an 8-bit image holds."""
    transparent = image.has_transparency_data
    if image.mode in ("1", "L", "LA", "La"):
        return "LA" if transparent else "L"
    return "RGBA" if transparent else "RGB"


def _png_is_16_bit(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(25)[24:25] == b"\x10"  # the bit depth in IHDR


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*")


def _decoded_16_bit_tiff(path: Path) -> Picture | None:
    """Return the first page; None where it has not 16 bits, or is damaged beyond telling.

    Pillow cannot even open most of them, so it is tifffile that says how many bits there are.
    """
    import tifffile

    try:
        file = tifffile.TiffFile(path)
    except (tifffile.TiffFileError, ValueError, IndexError):
        return None  # Pillow says what is wrong
    with file:
        page = file.pages.first
        if page.dtype != np.uint16:
            return None
        try:
            pixels = page.asarray()
        except Exception as error:  # each compression has exceptions of its own
            raise ValueError(f"{path} is damaged or truncated ({error})") from error
        profile = page.tags.get(_ICC_PROFILE)
        orientation = page.tags.get(_ORIENTATION)
        samples = page.samplesperpixel
        if pixels.ndim == 3 and pixels.shape[0] == samples and page.planarconfig == 2:
            pixels = pixels.transpose(1, 2, 0)  # planes one after the other
        pixels = _upright(pixels, orientation.value if orientation else 1)
        return Picture(pixels, bytes(profile.value) if profile else None)


def _decoded_by_opencv(path: Path) -> NDArray[Any]:
    import cv2

    with Image.open(path) as image:
        image.load()  # OpenCV fills what a truncated file lacks with black; Pillow raises
    decoded = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise ValueError("OpenCV cannot decode it")
    return _swap_red_and_blue(decoded) if decoded.ndim == 3 else decoded


def _swap_red_and_blue(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]] if pixels.shape[2] >= 3 else pixels


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn (H, W) or (H, W, C) as its EXIF orientation says; return (H, W, C)."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if not 1 <= pixels.shape[2] <= 4:
        raise ValueError(f"expected 1 to 4 channels, found {pixels.shape[2]}")
    turn = _UPRIGHT.get(orientation)
    return np.ascontiguousarray(turn(pixels) if turn else pixels)


# What turns a picture stored in an EXIF orientation upright.
_UPRIGHT: Mapping[int, Callable[[NDArray[Any]], NDArray[Any]]] = MappingProxyType(
    {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: p[::-1].swapaxes(0, 1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: p[:, ::-1].swapaxes(0, 1),
    }
)


def write_picture(path: Path, picture: Picture, format: Format) -> None:
    """Write ``picture`` to ``path``, whole or not at all; an existing file is replaced.

    Raises:
        ValueError: the format cannot hold it, see :func:`check_holds`, or has a limit of size.
        OSError: the disk is full, or the folder is not to be written to.
    """
    check_holds(format, picture)
    icc = picture.icc if format.icc else None
    try:
        with written_whole(path) as beside:
            if picture.is_16_bit and format.name == "TIFF":
                _write_16_bit_tiff(beside, picture.pixels, icc)
            elif picture.is_16_bit:
                beside.write_bytes(_encoded_16_bit_png(picture.pixels, icc))
            else:
                beside.write_bytes(_encoded(picture.pixels, icc, format))
    except OSError as error:
        if error.errno is not None:
            raise
        raise OSError(f"{path} could not be written as {format.name} ({error})") from error


def _encoded(pixels: NDArray[Any], icc: bytes | None, format: Format) -> bytes:
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    buffer = io.BytesIO()
    profile = {"icc_profile": icc} if icc else {}
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    image = Image.fromarray(flat)
    assert image.mode == mode, (image.mode, mode)
    image.save(buffer, format.name, **format.options, **profile)
    return buffer.getvalue()


def _encoded_16_bit_png(pixels: NDArray[Any], icc: bytes | None) -> bytes:
    """Encode by OpenCV, which knows no profiles: theirs is a chunk right after the header."""
    import cv2

    if pixels.shape[2] == 2:  # OpenCV has no grey with alpha
        pixels = pixels[..., [0, 0, 0, 1]]
    worked, buffer = cv2.imencode(".png", _swap_red_and_blue(pixels))
    if not worked:
        raise ValueError("OpenCV could not encode it as PNG")
    encoded = buffer.tobytes()
    if not icc:
        return encoded
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc)
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    header = 8 + 25  # signature and IHDR
    return encoded[:header] + chunk + encoded[header:]


def _write_16_bit_tiff(path: Path, pixels: NDArray[Any], icc: bytes | None) -> None:
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
