"""Folders of HR and LR images: the benchmarks, and `prepare folder --folders`."""

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_lmdbs import photograph
from test_download import server  # noqa: F401 (a fixture)

from lrfdn_arch import entry
from lrfdn_arch.cli import main
from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.evaluation.image_set import open_image_set
from lrfdn_arch.prepare import published_sets
from lrfdn_arch.prepare.writers import FolderWriter

SETS = {
    "Set5": [(63, 62), (64, 64), (70, 81), (49, 50), (48, 57)],
    "Set14": [(40 + 2 * n, 50 + n) for n in range(14)],
}


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = entry.run(main, [str(a) for a in arguments])
    return code, *capsys.readouterr()


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None, path
    return np.ascontiguousarray(image[..., ::-1])


def archive(layout: str) -> bytes:
    """A tar with small Set5 and Set14, LR images that are not ours, and one grey image."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, sizes in SETS.items():
            for number, size in enumerate(sizes):
                image = photograph(*size, seed=number)[..., : 1 if number == 3 else 3]
                data = cv2.imencode(".png", image)[1].tobytes()
                for folder in (layout, "LR_bicubic/X4"):
                    info = tarfile.TarInfo(f"benchmark/{name}/{folder}/img{number}.png")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def assert_lr_is_bicubic(folder: Path, scales: tuple[int, ...], count: int) -> None:
    hr = sorted((folder / "HR").iterdir())
    assert len(hr) == count
    for scale in scales:
        lr = folder / f"LR_bicubic/X{scale}"
        names = sorted(p.name for p in lr.iterdir() if not p.name.startswith("."))
        assert names == sorted(f"{path.stem}x{scale}.png" for path in hr)
        for path in hr:
            image = read(path)
            height, width = (side // scale * scale for side in image.shape[:2])
            expected = imresize(image[:height, :width], 1 / scale)
            np.testing.assert_array_equal(read(lr / f"{path.stem}x{scale}.png"), expected)
        assert len(open_image_set(lr, folder / "HR").pairs) == count


@pytest.mark.parametrize("layout", ["HR", "original"])
def test_benchmarks_come_from_an_archive_that_is_there(tmp_path, capsys, layout):
    (tmp_path / "benchmark.tar").write_bytes(archive(layout))
    command = ("prepare", "benchmarks", "Set5", "Set14", "--root", tmp_path, "--scale", 2, 3, 4)
    code, text, err = run(capsys, *command)
    assert code == 0, err
    for name, sizes in SETS.items():
        assert_lr_is_bicubic(tmp_path / "benchmark" / name, (2, 3, 4), len(sizes))
    assert f"made {tmp_path}/benchmark/Set5/LR_bicubic/X4 (5 images, " in text
    code, text, _ = run(capsys, *command)
    assert text.count("kept ") == 6


def test_benchmarks_are_downloaded_where_asked(tmp_path, capsys, monkeypatch, server):  # noqa: F811
    content = archive("HR")
    server.contents["benchmark.tar"] = content
    checksum = "sha256:" + hashlib.sha256(content).hexdigest()
    set5 = published_sets.BENCHMARKS["Set5"]
    download = replace(
        set5.download, url=server.url("benchmark.tar"), checksum=checksum, size=len(content)
    )
    monkeypatch.setitem(published_sets.BENCHMARKS, "Set5", replace(set5, download=download))
    command = ("prepare", "benchmarks", "Set5", "--root", tmp_path)
    code, _, err = run(capsys, *command)
    assert code == 2
    assert f"Add --download to get it from {download.url}, or put the archive or the folder" in err
    code, _, err = run(capsys, *command, "--download")
    assert code == 0, err
    assert_lr_is_bicubic(tmp_path / "benchmark/Set5", (4,), 5)


def test_lr_images_from_elsewhere_are_kept_unless_told(tmp_path, capsys):
    (tmp_path / "benchmark.tar").write_bytes(archive("HR"))
    lr = tmp_path / "benchmark/Set5/LR_bicubic/X4"
    lr.mkdir(parents=True)
    (lr / "theirs.png").write_bytes(b"")
    command = ("prepare", "benchmarks", "Set5", "--root", tmp_path)
    code, text, err = run(capsys, *command)
    assert code == 0, err
    assert f"kept {lr}, which was not made here" in text
    assert [p.name for p in lr.iterdir()] == ["theirs.png"]
    run(capsys, *command, "--overwrite")
    assert_lr_is_bicubic(tmp_path / "benchmark/Set5", (4,), 5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Set6", "Set6: unknown test set; did you mean 'Set5'?"),
        ("Manga109", "Request it from its authors"),
    ],
)
def test_a_set_that_cannot_be_had_is_said_in_one_line(tmp_path, capsys, name, words):
    code, _, err = run(capsys, "prepare", "benchmarks", name, "--root", tmp_path, "--download")
    assert code == 2
    assert words in err


def test_set5_has_the_lr_images_of_the_published_archive(shared, tmp_path, capsys):
    (tmp_path / "benchmark/Set5").mkdir(parents=True)
    (tmp_path / "benchmark/Set5/HR").symlink_to(shared / "data/Set5/HR")
    code, _, err = run(capsys, "prepare", "benchmarks", "Set5", "--root", tmp_path)
    assert code == 0, err
    for path in (shared / "data/Set5/LR_bicubic/X4").glob("*.png"):
        found = read(tmp_path / "benchmark/Set5/LR_bicubic/X4" / path.name)
        np.testing.assert_array_equal(found, read(path))


def test_a_folder_of_photographs_becomes_hr_and_lr_folders(tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.v2", "sub/b"):
        cv2.imwrite(str(folder / f"{name}.png"), photograph(66, 71))
    command = ("prepare", "folder", folder, "--out", out, "--folders", "--scale", 2, 4)
    code, text, err = run(capsys, *command, "--hold-out", 1)
    assert code == 0, err
    assert "next:" not in text
    files = {p.relative_to(out).as_posix() for p in out.rglob("*.png")}
    assert files == {
        *("train_HR/a.v2.png", "train_LR_x2/a.v2x2.png", "train_LR_x4/a.v2x4.png"),
        *("valid_HR/sub/b.png", "valid_LR_x2/sub/bx2.png", "valid_LR_x4/sub/bx4.png"),
    }
    hr = read(out / "train_HR/a.v2.png")
    np.testing.assert_array_equal(hr, photograph(66, 71)[:64, :68, ::-1])
    np.testing.assert_array_equal(read(out / "train_LR_x4/a.v2x4.png"), imresize(hr, 1 / 4))
    code, text, _ = run(capsys, *command, "--hold-out", 1)
    assert text.count("kept ") == 6


def test_an_interrupted_folder_is_continued(tmp_path):
    job = {"test": 1}
    with FolderWriter(tmp_path / "a", job, suffix="x4") as writer:
        writer.put("one%2Ev2", b"1", (1, 1, 3), "png")
    assert not (tmp_path / "a").exists()
    (tmp_path / "a.partial/.0123.unfinished.png").write_bytes(b"half")
    with FolderWriter(tmp_path / "a", job, suffix="x4") as writer:
        assert writer.done == {"one%2Ev2"}
        writer.put("two", b"2", (1, 1, 3), "png")
        writer.publish()
    found = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    assert found.keys() == {".job.json", "one.v2x4.png", "twox4.png"}
