"""Pictures come out of files upright and whole, and go in the same."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from lrfdn_arch.deploy.image_files import (
    FORMATS,
    Picture,
    format_of,
    read_picture,
    write_picture,
)

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(channels: int, dtype: type, size: tuple[int, int] = (5, 7)) -> NDArray[Any]:
    largest = np.iinfo(dtype).max
    return np.random.default_rng(1).integers(0, largest + 1, (*size, channels), dtype=dtype)


LOSSLESS = [
    (name, channels, dtype)
    for name in ("png", "tif", "bmp")
    for channels in (1, 2, 3, 4)
    for dtype in (np.uint8, np.uint16)
    if (FORMATS[name].alpha or channels in (1, 3))
    and (FORMATS[name].sixteen_bit or dtype == np.uint8)
]


@pytest.mark.parametrize(("name", "channels", "dtype"), LOSSLESS)
def test_lossless_formats_return_what_they_were_given(
    tmp_path: Path, name: str, channels: int, dtype: type
) -> None:
    picture, path = Picture(pixels(channels, dtype), ICC), tmp_path / f"a.{name}"
    write_picture(path, picture, format_of(name))
    found = read_picture(path)
    expected = picture.pixels
    if (name, channels, dtype) == ("png", 2, np.uint16):
        expected = expected[..., [0, 0, 0, 1]]  # written as colour: OpenCV has no grey with alpha
    assert found.pixels.dtype == dtype
    np.testing.assert_array_equal(found.pixels, expected)
    assert found.icc == (ICC if name != "bmp" else None)
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_and_webp_are_close_and_keep_the_profile(tmp_path: Path, channels: int) -> None:
    smooth = np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None] * np.ones(
        (1, 48, channels), np.uint8
    )
    for name in ("jpg", "webp"):
        path = tmp_path / f"a.{name}"
        write_picture(path, Picture(smooth, ICC), format_of(name))
        found = read_picture(path)
        assert found.icc == ICC
        assert np.abs(found.pixels.astype(int) - smooth).max() <= 6


def test_webp_keeps_alpha(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    picture = Picture(pixels(4, np.uint8, (32, 32)))
    write_picture(path, picture, format_of("webp"))
    np.testing.assert_array_equal(read_picture(path).pixels[..., 3], picture.pixels[..., 3])


def test_other_readers_agree_on_our_16_bit_files(tmp_path: Path) -> None:
    picture = Picture(pixels(3, np.uint16), ICC)
    write_picture(tmp_path / "a.png", picture, format_of("png"))
    write_picture(tmp_path / "a.tif", picture, format_of("tif"))
    bgr = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert bgr is not None
    np.testing.assert_array_equal(bgr[..., ::-1], picture.pixels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), picture.pixels)
    with Image.open(tmp_path / "a.png") as image:
        image.verify()  # checks the CRC of every chunk, our profile's too
        assert image.info["icc_profile"] == ICC


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_orientation_is_applied_as_pillow_does(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels(3, np.uint8, (16, 24))).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(read_picture(path).pixels, expected)


def test_palettes_bitmaps_and_cmyk_become_what_networks_understand(tmp_path: Path) -> None:
    image = Image.fromarray(pixels(3, np.uint8))
    image.quantize(16).save(tmp_path / "palette.png")
    image.convert("1").save(tmp_path / "bits.png")
    image.convert("CMYK").save(tmp_path / "cmyk.tif")
    transparent = image.quantize(16)
    transparent.save(tmp_path / "see_through.png", transparency=3)
    shapes = {p.stem: read_picture(p).pixels.shape[2] for p in tmp_path.iterdir()}
    assert shapes == {"palette": 3, "bits": 1, "cmyk": 3, "see_through": 4}


@pytest.mark.parametrize(
    ("name", "channels", "dtype", "message"),
    [
        ("jpg", 4, np.uint8, r"JPEG cannot hold alpha \(--drop-alpha.*png and tif hold everything"),
        ("jpg", 3, np.uint16, r"JPEG cannot hold 16 bits per channel \(--depth 8"),
        ("webp", 3, np.uint16, "WEBP cannot hold 16 bits"),
        ("bmp", 2, np.uint16, "BMP cannot hold 16 bits .* nor alpha"),
    ],
)
def test_formats_refuse_what_they_cannot_hold(
    tmp_path: Path, name: str, channels: int, dtype: type, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_picture(tmp_path / "a", Picture(pixels(channels, dtype)), format_of(name))
    assert not list(tmp_path.iterdir())


def test_unknown_formats_are_named() -> None:
    with pytest.raises(ValueError, match="format 'gif' is not known; choose png, jpg, webp"):
        format_of("gif")
    assert format_of(".JPEG") is format_of("jpg")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("kept", [0, 20, 0.6])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(pixels(3, np.uint8, (64, 64))).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])
    with pytest.raises(ValueError, match=rf"cut\{suffix} is (no image|damaged)"):
        read_picture(path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_truncated_16_bit_files_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    write_picture(path, Picture(pixels(3, np.uint16, (64, 64))), format_of(suffix))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ValueError, match=rf"cut\{suffix} is (no image|damaged)"):
        read_picture(path)


def test_a_file_that_is_no_image_and_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no image")
    with pytest.raises(ValueError, match=r"notes\.png is no image"):
        read_picture(tmp_path / "notes.png")
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "absent.png")
