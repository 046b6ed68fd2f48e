"""EXIF is kept, except for what describes the source file; orientation is applied and reset."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import IFDRational
from test_picture_files import pixels

from lrfdn_arch.upscale.picture import Picture
from lrfdn_arch.upscale.picture_files import format_of, read_picture, write_picture

CAMERA = {
    Base.ExposureTime: IFDRational(1, 250),
    Base.DateTimeOriginal: "2026:05:04 03:02:01",
    Base.LensModel: "EF 50mm",
    Base.MakerNote: b"\0maker" * 9,
    Base.ExifImageWidth: 7,
    Base.ExifImageHeight: 5,
}
GPS = {1: "N", 2: (IFDRational(50), IFDRational(30), IFDRational(3, 2))}


def camera_exif(orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    exif[Base.Make] = "Canon"
    exif[Base.Artist] = "Zoë".encode()
    exif[Base.Software] = "camera 1.0"
    exif._ifds = {IFD.Exif: dict(CAMERA), IFD.GPSInfo: dict(GPS)}
    return exif.tobytes()


def exif_of(path: Path) -> Image.Exif:
    exif = Image.Exif()
    if path.suffix == ".tif":  # Pillow does not open 16-bit TIFF
        exif.load_from_fp(io.BytesIO(path.read_bytes()))
    else:
        with Image.open(path) as image:
            exif.load(image.getexif().tobytes())
    return exif


def check_kept(path: Path) -> None:
    exif = exif_of(path)
    camera, gps = exif.get_ifd(IFD.Exif), exif.get_ifd(IFD.GPSInfo)
    assert exif[Base.Orientation] == 1
    assert exif[Base.Make] == "Canon"
    assert exif[Base.Software] == "camera 1.0"
    assert camera[Base.ExposureTime] == IFDRational(1, 250)
    assert camera[Base.DateTimeOriginal] == "2026:05:04 03:02:01"
    assert camera[Base.LensModel] == "EF 50mm"
    assert camera[Base.MakerNote] == CAMERA[Base.MakerNote]
    assert gps[1] == "N"
    assert gps[2] == GPS[2]
    assert Base.ExifImageWidth not in camera, "the size of the source"


@pytest.mark.parametrize("target", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("source", ["jpg", "png", "webp", "tif"])
def test_exif_is_kept_in_every_format(tmp_path: Path, source: str, target: str) -> None:
    path, result = tmp_path / f"a.{source}", tmp_path / f"b.{target}"
    Image.fromarray(pixels(3, np.uint8)).save(path, exif=camera_exif())
    picture = read_picture(path)
    assert picture.pixels.shape == (7, 5, 3), "upright"
    assert not picture.omitted
    write_picture(result, picture, format_of(target))
    check_kept(result)
    assert source == "tif" or "Zoë".encode() in result.read_bytes(), "Pillow's TIFF has Zo??"
    assert read_picture(result).pixels.shape == (7, 5, 3)


@pytest.mark.parametrize("target", ["png", "tif"])
@pytest.mark.parametrize("source", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 4])
def test_exif_is_kept_in_16_bits(tmp_path: Path, source: str, target: str, channels: int) -> None:
    first, path, result = (tmp_path / name for name in ("a.png", f"b.{source}", f"c.{target}"))
    Image.fromarray(pixels(3, np.uint8)).save(first, exif=camera_exif())
    deep = pixels(channels, np.uint16)
    write_picture(path, Picture(deep, exif=read_picture(first).exif), format_of(source))
    write_picture(result, read_picture(path), format_of(target))
    check_kept(result)
    np.testing.assert_array_equal(read_picture(result).pixels, deep)
    if target == "tif":
        np.testing.assert_array_equal(tifffile.imread(result).reshape(deep.shape), deep)
        assert cv2.imread(str(result), cv2.IMREAD_UNCHANGED) is not None


def test_a_tiffs_own_structure_is_not_taken_for_exif(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(pixels(3, np.uint8)).save(path, dpi=(300, 300), compression="tiff_lzw")
    assert read_picture(path).exif is None
    write_picture(path, Picture(pixels(3, np.uint16)), format_of("tif"))
    assert read_picture(path).exif is None


def test_orientation_alone_is_not_kept(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[Base.Orientation] = 3
    Image.fromarray(pixels(3, np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").exif is None


def test_damaged_exif_is_left_out_and_reported(tmp_path: Path) -> None:
    path, exif = tmp_path / "a.png", camera_exif()
    Image.fromarray(pixels(3, np.uint8)).save(path, exif=exif[:6] + b"XX" + exif[8:])
    picture = read_picture(path)
    assert picture.exif is None
    assert "damaged EXIF" in picture.omitted[0]


def test_no_damage_of_exif_ends_in_a_traceback(tmp_path: Path) -> None:
    path, random = tmp_path / "a.png", np.random.default_rng(0)
    exif = camera_exif()
    for _ in range(200):
        damaged = bytearray(exif)
        for place in random.integers(14, len(exif), 6):
            damaged[place] = random.integers(256)
        Image.fromarray(pixels(3, np.uint8)).save(path, exif=bytes(damaged))
        try:
            picture = read_picture(path)
        except ValueError as error:
            assert "a.png: damaged image" in str(error)
            continue
        write_picture(tmp_path / "b.jpg", picture, format_of("jpg"))


def test_exif_too_long_for_a_jpeg_is_left_out_and_reported(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif._ifds = {IFD.Exif: {Base.MakerNote: bytes(70_000)}}
    Image.fromarray(pixels(3, np.uint8)).save(tmp_path / "a.png", exif=exif.tobytes())
    picture = read_picture(tmp_path / "a.png")
    assert picture.exif is None
    assert "too much EXIF" in picture.omitted[0]
