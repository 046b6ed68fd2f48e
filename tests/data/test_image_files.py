"""Image files from strangers: refused by their header, before memory or another program is used."""

import io
import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_lmdbs import photograph, png_claiming

from lrfdn_arch.data.image_files import open_image, open_regular, read_image_file

PIXELS = photograph(24, 32)
SUPPORTED = ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "PPM", "GIF", "AVIF"]


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", SUPPORTED)
def test_supported_formats_open_from_a_path_and_from_bytes(tmp_path: Path, kind: str):
    path = tmp_path / "image"
    path.write_bytes(encoded(kind))
    assert read_image_file(path) == encoded(kind)
    with open_image(encoded(kind)) as image:
        assert (image.format, image.size) == (kind, (32, 24))


def test_a_file_that_claims_too_many_pixels_is_refused_before_they_are_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "a.png"
    path.write_bytes(png_claiming(30_000, 30_000))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ValueError, match=r"a\.png: .*900000000.*178956970.*LRFDN_MAX_PIXELS"):
        read_image_file(path)


def test_the_limit_can_be_lowered_and_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # restored afterwards
    monkeypatch.setenv("LRFDN_MAX_PIXELS", "767")
    with pytest.raises(ValueError, match="32x24 pixels are more than the limit of 767"):
        open_image(encoded("PNG")).__enter__()
    monkeypatch.setenv("LRFDN_MAX_PIXELS", "900000000")
    with open_image(png_claiming(30_000, 30_000)) as image:
        assert image.size == (30_000, 30_000)
    monkeypatch.setenv("LRFDN_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="LRFDN_MAX_PIXELS: expected a number of pixels, found"):
        open_image(encoded("PNG")).__enter__()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (make_pipe, "a pipe"),
        (Path.mkdir, "a folder"),
        (make_socket, "a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
    ],
)
@pytest.mark.parametrize("read", [open_regular, read_image_file])
@pytest.mark.timeout(10)  # opening a pipe blocks, reading the device never ends
def test_only_regular_files_are_opened(tmp_path: Path, make: Callable, kind: str, read: Callable):
    path = tmp_path / "a.png"
    make(path)
    with pytest.raises(ValueError, match=rf"a\.png: expected a regular file, found {kind}"):
        read(path)


def test_a_file_larger_than_any_image_is_not_read(tmp_path: Path):
    path = tmp_path / "a.png"
    path.touch()
    os.truncate(path, 1 << 40)  # sparse
    with pytest.raises(ValueError, match="1,099,511,627,776 bytes are more than an image may have"):
        open_regular(path)


def test_postscript_named_as_a_png_never_reaches_ghostscript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A ``gs`` that reports itself stands in for Ghostscript, which need not be installed."""
    gs, started = tmp_path / "bin/gs", tmp_path / "started"
    gs.parent.mkdir()
    gs.write_text(f"#!/bin/sh\ntouch {started}\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", str(gs.parent), prepend=os.pathsep)
    path = tmp_path / "x.png"
    path.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with Image.open(path) as image:  # the file is one that Pillow opens
        assert image.format == "EPS"
    with pytest.raises(ValueError, match=r"x\.png: not an image, or not of a supported format"):
        read_image_file(path)
    assert not started.exists()


def test_damage_found_while_decoding_is_a_value_error():
    cut = encoded("JPEG")[:-300]
    with pytest.raises(ValueError, match="damaged image"), open_image(cut) as image:
        np.asarray(image)
