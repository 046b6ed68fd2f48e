"""Files of 16 bits per channel keep every one of them, and mean what their tags say."""

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from test_picture_files import GREY_ICC, ICC, pixels

from lrfdn_arch.upscale.picture import MORE_PAGES, Picture
from lrfdn_arch.upscale.picture_files import format_of, read_picture, write_picture


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


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_truncated_16_bit_files_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    write_picture(path, Picture(pixels(3, np.uint16, (64, 64))), format_of(suffix))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(ValueError, match=rf"cut\{suffix}: (not an image|damaged image)"):
        read_picture(path)


def test_16_bit_tiff_is_what_its_samples_mean(tmp_path: Path) -> None:
    path, deep = tmp_path / "a.tif", pixels(4, np.uint16)
    tifffile.imwrite(path, 65535 - deep[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(read_picture(path).pixels, deep[..., :1])
    tifffile.imwrite(path, deep, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(read_picture(path).pixels, deep[..., :3])
    extra = np.concatenate((deep, deep[..., :1]), axis=2)
    kinds = ["unspecified", "unassalpha"]
    tifffile.imwrite(path, extra, photometric="rgb", extrasamples=kinds, planarconfig="contig")
    np.testing.assert_array_equal(read_picture(path).pixels, extra[..., [0, 1, 2, 4]])
    for planes in (deep[..., :3], deep[:1, :, :3], deep[:, :1, :3]):
        planar = planes.transpose(2, 0, 1)
        tifffile.imwrite(path, planar, photometric="rgb", planarconfig="separate")
        np.testing.assert_array_equal(read_picture(path).pixels, planes)


def test_premultiplied_16_bit_colours_are_divided_by_their_alpha(tmp_path: Path) -> None:
    path, deep = tmp_path / "a.tif", pixels(4, np.uint16) // 2 + 30000
    multiplied = deep.copy()
    multiplied[..., :3] = np.round(deep[..., :3] * (deep[..., 3:] / 65535))
    tifffile.imwrite(path, multiplied, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(read_picture(path).pixels.astype(int) - deep).max() <= 2


def test_16_bit_tiff_of_other_colours_is_refused_by_name(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(4, np.uint16), photometric="separated")
    with pytest.raises(ValueError, match=r"a\.tif: contains 16-bit SEPARATED with 4 channels"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_16_bit_bigtiff_keeps_its_depth(tmp_path: Path, byteorder: str) -> None:
    deep = pixels(3, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", bigtiff=True, byteorder=byteorder)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").pixels, deep)


def test_other_readers_agree_on_our_16_bit_grey_with_alpha(tmp_path: Path) -> None:
    path, deep = tmp_path / "a.png", pixels(2, np.uint16)
    write_picture(path, Picture(deep, GREY_ICC), format_of("png"))
    bgra = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert bgra is not None
    np.testing.assert_array_equal(bgra, deep[..., [0, 0, 0, 1]])
    assert path.read_bytes()[25] == 4, "grey with alpha"
    with Image.open(path) as image:
        image.verify()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_becomes_alpha_in_16_bits_as_in_8(
    tmp_path: Path, channels: int
) -> None:
    path, deep = tmp_path / "a.png", pixels(channels, np.uint16)
    write_picture(path, Picture(deep), format_of("png"))
    encoded = path.read_bytes()
    content = b"tRNS" + deep[2, 3].astype(">u2").tobytes()
    chunk = bytes((0, 0, 0, 2 * channels)) + content + zlib.crc32(content).to_bytes(4, "big")
    path.write_bytes(encoded[:33] + chunk + encoded[33:])
    alpha = np.where((deep == deep[2, 3]).all(axis=2, keepdims=True), 0, 65535)
    np.testing.assert_array_equal(read_picture(path).pixels, np.concatenate((deep, alpha), 2))


def test_16_bit_pages_are_counted_too(tmp_path: Path) -> None:
    deep = pixels(3, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", deep.transpose(2, 0, 1), photometric="minisblack")
    found = read_picture(tmp_path / "a.tif")
    assert found.omitted == (MORE_PAGES,)
    np.testing.assert_array_equal(found.pixels, deep[..., :1])
