"""Pictures come out of files upright and whole, and go in the same."""

import contextlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from lrfdn_arch.upscale.picture import MORE_PAGES, Picture
from lrfdn_arch.upscale.picture_files import (
    FORMATS,
    check_holds,
    format_of,
    read_picture,
    write_picture,
)

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_ICC = ICC[:16] + b"GRAY" + ICC[20:]


def profile_for(channels: int) -> bytes:
    return GREY_ICC if channels <= 2 else ICC


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
    picture = Picture(pixels(channels, dtype), profile_for(channels))
    path = tmp_path / f"a.{name}"
    write_picture(path, picture, format_of(name))
    found = read_picture(path)
    assert found.pixels.dtype == dtype
    np.testing.assert_array_equal(found.pixels, picture.pixels)
    assert found.icc == (picture.icc if name != "bmp" else None)
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_and_webp_are_close_and_keep_the_profile(tmp_path: Path, channels: int) -> None:
    smooth = np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None] * np.ones(
        (1, 48, channels), np.uint8
    )
    for name in ("jpg", "webp"):
        path = tmp_path / f"a.{name}"
        profile = ICC if name == "webp" else profile_for(channels)  # WebP has no grey
        write_picture(path, Picture(smooth, profile), format_of(name))
        found = read_picture(path)
        assert found.icc == profile
        assert np.abs(found.pixels.astype(int) - smooth).max() <= 6


def test_webp_keeps_alpha(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    picture = Picture(pixels(4, np.uint8, (32, 32)))
    write_picture(path, picture, format_of("webp"))
    np.testing.assert_array_equal(read_picture(path).pixels[..., 3], picture.pixels[..., 3])


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
    with pytest.raises(ValueError, match=rf"cut\{suffix}: (not an image|damaged image)"):
        read_picture(path)


def test_a_file_that_is_no_image_and_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no image")
    with pytest.raises(ValueError, match=r"notes\.png: not an image"):
        read_picture(tmp_path / "notes.png")
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "absent.png")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.float32,
            "contains float32 values, which are not supported; convert it to unsigned 8",
        ),
        (np.float16, "contains float16 values"),
        (np.int16, "contains int16 values"),
        (np.uint32, "contains uint32 values"),
    ],
)
def test_values_that_would_be_clipped_are_refused(
    tmp_path: Path, values: type, message: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(1, np.uint8)[..., 0].astype(values))
    with pytest.raises(ValueError, match=message):
        read_picture(tmp_path / "a.tif")


def test_modes_of_pillow_that_would_be_clipped_are_refused(tmp_path: Path) -> None:
    Image.new("I", (8, 8), 200).save(tmp_path / "a.png", "PPM")
    with pytest.raises(ValueError, match=r"a\.png: contains values of more than 8 bits .*mode I"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("format", ["EPS", "PCX", "ICO", "PDF"])
def test_formats_that_are_not_supported_are_not_opened(tmp_path: Path, format: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.other", format)
    (tmp_path / "a.other").rename(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: not an image, or not of a supported format"):
        read_picture(tmp_path / "a.png")


def test_the_limit_of_pixels_counts_for_16_bits_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("png", "tif"):
        write_picture(tmp_path / f"a.{name}", Picture(pixels(3, np.uint16)), format_of(name))
    monkeypatch.setenv("LRFDN_MAX_PIXELS", "34")
    for name in ("png", "tif"):
        with pytest.raises(ValueError, match=rf"a\.{name}: 7x5 pixels are more than the limit"):
            read_picture(tmp_path / f"a.{name}")


@pytest.mark.parametrize("kept", range(4, 100, 8))
def test_tiffs_with_their_tags_at_the_end_are_named_when_cut(tmp_path: Path, kept: int) -> None:
    smooth = np.linspace(0, 65535, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.tif"), smooth)
    Image.fromarray((smooth >> 8).astype(np.uint8)).save(
        tmp_path / "flat.tif", compression="tiff_lzw"
    )
    for path in tmp_path.iterdir():
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) * kept // 100])
        with pytest.raises(ValueError, match=rf"{path.name}: (not an image|damaged image)"):
            read_picture(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_damage_anywhere_raises_what_is_meant_for_users(tmp_path: Path, suffix: str) -> None:
    path, random = tmp_path / f"a{suffix}", np.random.default_rng(0)
    depth = np.uint16 if format_of(suffix).sixteen_bit else np.uint8
    write_picture(path, Picture(pixels(3, depth, (16, 16))), format_of(suffix))
    whole = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(0, min(len(whole), 400), 2):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ValueError, OSError):
            read_picture(path)


@pytest.mark.parametrize("kind", [2, 16])  # text, and 8 bytes in place of 4
def test_strip_offsets_of_another_type_are_damage(tmp_path: Path, kind: int) -> None:
    # Pillow raises TypeError and OverflowError.
    path = tmp_path / "a.tif"
    Image.fromarray(pixels(3, np.uint8, (16, 16))).save(path)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"\x11\x01\x04\0") + 2] = kind
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"a\.tif: damaged image"):
        read_picture(path)


def test_damage_is_told_by_exceptions_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(3, np.uint8), photometric="rgb")
    damaged = bytearray(path.read_bytes())
    damaged[7] = 255  # of the offset of the tags
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"a\.tif: "):
        read_picture(path)
    assert not caplog.records


@pytest.mark.parametrize("name", ["png", "tif", "jpg", "webp"])
def test_profiles_of_other_colours_are_dropped(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"a.{name}"
    write_picture(path, Picture(pixels(3, np.uint8), GREY_ICC), format_of(name))
    assert read_picture(path).icc is None
    write_picture(path, Picture(pixels(1, np.uint8), GREY_ICC), format_of(name))
    assert read_picture(path).icc == (None if name == "webp" else GREY_ICC), "WebP has no grey"


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.png"])
def test_a_picture_knows_that_its_file_holds_more(tmp_path: Path, name: str) -> None:
    frames = [Image.fromarray(pixels(3, np.uint8, (8, 8 + more))).resize((8, 8)) for more in (0, 1)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / name).omitted == (MORE_PAGES,)
    frames[0].save(tmp_path / name)
    assert not read_picture(tmp_path / name).omitted


def test_sides_that_a_format_cannot_hold_are_refused() -> None:
    wide = Picture(np.zeros((1, 5000, 3), np.uint8))
    check_holds(format_of("webp"), wide, 3)
    with pytest.raises(ValueError, match=r"WEBP cannot hold 20000 pixels a side \(at most 16383"):
        check_holds(format_of("webp"), wide, 4)
    with pytest.raises(ValueError, match=r"JPEG cannot hold 70000 pixels a side .*tif hold every"):
        check_holds(format_of("jpg"), wide, 14)
