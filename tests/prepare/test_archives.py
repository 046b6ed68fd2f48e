"""Archives from strangers: bounded, and refused in one line whatever is wrong with them."""

import io
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_lmdbs import photograph

from lrfdn_arch.prepare.published_sets import unpack_images

PNG = cv2.imencode(".png", photograph(32, 32))[1].tobytes()


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("make", [zipped, tarred])
def test_the_first_folder_that_has_images_is_taken_and_only_its_own(tmp_path, make):
    files = {f"b/Set5/{folder}/{n}.png": PNG for folder in ("HR", "LR/X4") for n in range(3)}
    files |= {"b/Set5/top.png": b"", "b/Set5/HR/notes.txt": b"", "b/Set5/HR/deeper/a.png": b""}
    archive = make(tmp_path / f"a.{'zip' if make is zipped else 'tar'}", files)
    unpack_images(archive, ("Set5/original", "Set5/HR", "Set5"), tmp_path / "out", 3)
    assert sorted(p.name for p in (tmp_path / "out").rglob("*")) == ["0.png", "1.png", "2.png"]
    assert (tmp_path / "out/1.png").read_bytes() == PNG


def damaged(tmp_path: Path, kind: str) -> Path:
    if kind == "bomb":  # 100 kB that become 100 MB
        return zipped(tmp_path / "a.zip", {f"HR/{n}.png": bytes(20_000_000) for n in range(5)})
    if kind == "sparse tar":
        with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as file:
            info = tarfile.TarInfo("HR/0.png")
            info.size = 512
            info.pax_headers = {"GNU.sparse.map": "0,512", "GNU.sparse.size": "80000000"}
            file.addfile(info, io.BytesIO(bytes(512)))
        return tmp_path / "a.tar"
    if kind == "cut tar":
        path = tarred(tmp_path / "a.tar", {f"HR/{n}.png": PNG for n in range(5)})
        path.write_bytes(path.read_bytes()[:4000])
        return path
    if kind == "too many":
        return zipped(tmp_path / "a.zip", {f"HR/{n}.png": PNG for n in range(6)})
    path = zipped(tmp_path / "a.zip", {f"HR/{n}.png": PNG for n in range(5)})
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    if kind == "encrypted":
        data[6] |= 1
        data[directory + 8] |= 1
    elif kind == "unknown method":
        data[8] = data[directory + 10] = 99
    else:
        data[60:260] = np.random.default_rng(0).bytes(200)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("bomb", r"expected 5 images in HR, of 1,048,576 bytes at most; found more"),
        ("sparse tar", r"expected 5 images in HR, of 1,048,576 bytes at most; found more"),
        ("cut tar", r"expected 5 images in a folder HR, found 1"),
        ("too many", r"expected 5 images in HR"),
        ("encrypted", r"damaged or not readable \(.*encrypted"),
        ("unknown method", r"damaged or not readable \(.*compression"),
        ("broken deflate", r"damaged or not readable \("),
    ],
)
def test_an_archive_that_cannot_be_right_is_refused_and_unpacks_nothing(tmp_path, kind, words):
    archive = damaged(tmp_path, kind)
    with pytest.raises(ValueError, match=rf"a\.(zip|tar): .*{words}"):
        unpack_images(archive, ("HR",), tmp_path / "out", 5)
    assert not (tmp_path / "out").exists()
    unpacked = sum(file.stat().st_size for file in tmp_path.rglob("*.png"))
    assert unpacked < 1 << 20


def test_an_interrupted_run_is_continued(tmp_path):
    archive = zipped(tmp_path / "a.zip", {f"HR/{n}.png": PNG for n in range(3)})
    partial = tmp_path / "out.partial"
    partial.mkdir()
    (partial / "0.png").write_bytes(PNG)
    (partial / "1.png").write_bytes(PNG[:100])
    before = (partial / "0.png").stat().st_mtime_ns
    unpack_images(archive, ("HR",), tmp_path / "out", 3)
    assert {p.read_bytes() for p in (tmp_path / "out").iterdir()} == {PNG}
    assert (tmp_path / "out/0.png").stat().st_mtime_ns == before


def test_a_full_disk_is_named_by_the_image_that_was_written(tmp_path, small_files_only):
    archive = zipped(tmp_path / "a.zip", {"HR/big.png": bytes(30_000)}, zipfile.ZIP_STORED)
    match = r"cannot write \S*big\.png: File too large"
    with small_files_only(), pytest.raises(OSError, match=match):
        unpack_images(archive, ("HR",), tmp_path / "out", 1)
