"""Reading: keys, views that outlive their reader, damaged and foreign LMDBs, BasicSR's eyes."""

import gc
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from small_lmdbs import photograph

from lrfdn_arch import entry
from lrfdn_arch.cli import main
from lrfdn_arch.data.lmdb_reader import (
    LmdbReader,
    key_for,
    name_of,
    open_reader,
    read_meta_info,
)
from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset
from lrfdn_arch.prepare.packing import PackOptions, Target, pack

IMAGES = {f"im{i}": photograph(48, 64, seed=i) for i in range(3)}


@pytest.mark.parametrize("name", ["0001", "a.b.c", "Köln ☂", "100%", "sub/x y", "new\nline", "%2E"])
def test_a_key_is_ascii_without_dots_and_tells_the_name(name):
    key = key_for(name)
    assert key.isascii()
    assert "." not in key
    assert "\n" not in key
    assert name_of(key) == name
    assert key_for("0001") == "0001"


def test_a_ppm_is_a_view_and_it_may_outlive_the_reader(make_lmdb):
    path = make_lmdb("a.lmdb", IMAGES)
    image = open_reader(path).image("im1")
    file = open_reader(path).file("im2")
    gc.collect()
    np.testing.assert_array_equal(image, IMAGES["im1"])
    assert bytes(file[:2]) == b"P6"
    assert not image.flags.writeable
    assert not image.flags.owndata


def test_readers_of_the_same_lmdb_are_one(make_lmdb):
    path = make_lmdb("a.lmdb", IMAGES)
    reader = open_reader(path)
    assert open_reader(str(path)) is reader


def damage(path: Path, kind: str) -> None:
    data, info = path / "data.mdb", path / "meta_info.txt"
    if kind == "cut in the middle":
        os.truncate(data, data.stat().st_size - 8192)
    elif kind == "cut to a stump":
        os.truncate(data, 100)
    elif kind == "empty":
        data.write_bytes(b"")
    elif kind == "foreign":
        data.write_bytes(b"PK\x03\x04 a zip" * 4096)
    elif kind == "no data":
        data.unlink()
    elif kind == "no meta_info":
        info.unlink()
    elif kind == "empty meta_info":
        info.write_text("\n")
    elif kind == "one line less":
        info.write_text("".join(info.read_text().splitlines(keepends=True)[1:]))
    elif kind == "twice":
        info.write_text("im0.png (48,64,3) 1\n" * 3)
    elif kind == "missing":
        shutil.rmtree(path)
    elif kind == "a file":
        shutil.rmtree(path)
        path.write_text("")
    else:
        raise AssertionError(kind)


DAMAGES = {
    "cut in the middle": "cut short, expected 49152 bytes, found 40960",
    "cut to a stump": r"expected an LMDB in data\.mdb \(100 bytes\)",
    "empty": r"expected an LMDB in data\.mdb \(0 bytes\)",
    "foreign": "MDB_INVALID",
    "no data": r"expected data\.mdb in it, found checksums\.txt, job\.json, meta_info\.txt",
    "no meta_info": r"expected meta_info\.txt in it",
    "empty meta_info": "expected one line per image, found none",
    "one line less": "lists 2 images, data.mdb contains 3",
    "twice": "the key 'im0' is listed twice",
    "missing": "expected an LMDB folder, found nothing",
    "a file": "expected an LMDB folder, found a file",
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_lmdb_is_named_with_what_is_wrong_and_what_to_do(make_lmdb, capsys, kind):
    path = make_lmdb("a.lmdb", IMAGES)
    damage(path, kind)
    with pytest.raises((ValueError, FileNotFoundError), match=DAMAGES[kind]) as caught:
        open_reader(path)
    assert str(path) in str(caught.value)
    assert "lrfdn prepare" in str(caught.value)
    opt = {"dataroot_gt": path, "dataroot_lq": path, "scale": 1, "phase": "val"}
    with pytest.raises((ValueError, FileNotFoundError), match=DAMAGES[kind]):
        PairedLMDBDataset(opt)
    assert entry.run(main, ["verify", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def rewrite(path: Path, key: bytes, value: bytes) -> None:
    with lmdb.open(str(path), map_size=1 << 20) as env, env.begin(write=True) as transaction:
        transaction.put(key, value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"P6\n64 48\n255\n" + b"x" * 100, "expected 9216 bytes of pixels for 64x48x3, found 100"),
        (b"garbage", "not an image, or not of a supported format"),
        (b"P6\n2 2\n255\n" + b"x" * 12, r"expected \(48, 64, 3\).*found \(2, 2, 3\)"),
    ],
)
def test_verify_finds_a_damaged_image_in_an_lmdb_without_checksums(make_lmdb, capsys, value, words):
    path = make_lmdb("a.lmdb", IMAGES)
    (path / "checksums.txt").unlink()
    assert entry.run(main, ["verify", str(path)]) == 0
    rewrite(path, b"im1", value)
    assert entry.run(main, ["verify", str(path)]) == 2
    err = capsys.readouterr().err
    assert f"{path}, image 'im1'" in err
    assert re.search(words, err), err


def flip_a_bit(path: Path, key: str) -> None:
    """Damage one pixel of image ``key`` in the data file."""
    data, image = (path / "data.mdb").read_bytes(), IMAGES[key].tobytes()
    at = data.index(image) + len(image) // 2
    (path / "data.mdb").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_one_flipped_bit_is_found_by_verify_and_in_training(make_lmdb, capsys):
    path = make_lmdb("a.lmdb", IMAGES)
    assert len((path / "checksums.txt").read_text().splitlines()) == 3
    flip_a_bit(path, "im1")
    expected = f"{path}, image 'im1': damaged, its bytes do not match checksums.txt. Make it again"
    assert entry.run(main, ["verify", str(path)]) == 2
    assert expected in capsys.readouterr().err
    opt = {"dataroot_gt": path, "dataroot_lq": path, "scale": 1, "phase": "train", "gt_size": 32}
    dataset = PairedLMDBDataset(opt)
    assert dataset[0]["lq_path"] == "im0"
    with pytest.raises(ValueError, match="image 'im1': damaged, its bytes do not match"):
        dataset[1]


def test_damaged_checksums_are_named(make_lmdb):
    path = make_lmdb("a.lmdb", IMAGES)
    (path / "checksums.txt").write_bytes(b"12 x im0.ppm\n")
    with pytest.raises(ValueError, match=r"checksums\.txt: damaged .*Make it again"):
        open_reader(path)


def test_damaged_pages_are_named_as_such(make_lmdb, capsys):
    path = make_lmdb("a.lmdb", IMAGES)
    data = bytearray((path / "data.mdb").read_bytes())
    page_size, leaf = 4096, 2  # the flags of a page are 10 bytes after its start
    for page in range(2, len(data) // page_size):  # after the two meta pages
        if data[page * page_size + 10] == leaf:
            data[page * page_size + 10] = 0
    (path / "data.mdb").write_bytes(data)
    assert entry.run(main, ["verify", str(path)]) == 2
    err = capsys.readouterr().err
    assert f"{path}, image 'im0': pages of data.mdb are damaged (mdb_get: MDB_CORRUPTED" in err


def test_a_process_that_dies_of_damaged_pages_is_a_fault_of_the_lmdb(
    make_lmdb, capsys, monkeypatch
):
    path = make_lmdb("a.lmdb", IMAGES)
    # What LMDB does at some of them: a page that refers to the space after the end of the file.
    monkeypatch.setattr(LmdbReader, "image", lambda self, key: os.kill(os.getpid(), signal.SIGKILL))
    assert entry.run(main, ["verify", str(path)]) == 2
    assert f"{path}: pages of data.mdb are damaged or cannot be read" in capsys.readouterr().err


def test_verify_finds_lr_of_other_images_and_goes_on_with_the_rest(tmp_path, capsys):
    for split, seed in (("train", 0), ("other", 5)):
        image = tmp_path / f"{split}.png"
        cv2.imwrite(str(image), photograph(64, 64, seed=seed))
        targets = [
            Target(tmp_path / f"{split}_HR.lmdb"),
            Target(tmp_path / f"{split}_LR_x4.lmdb", 4),
        ]
        pack({"a": image}, targets, PackOptions(multiple=4))
    shutil.rmtree(tmp_path / "train_LR_x4.lmdb")
    shutil.copytree(tmp_path / "other_LR_x4.lmdb", tmp_path / "train_LR_x4.lmdb")
    assert entry.run(main, ["verify", f"{tmp_path}/*.lmdb"]) == 2
    out, err = capsys.readouterr()
    assert "error: faulty LMDBs: 1 of 4" in err
    assert "train_LR_x4.lmdb, image 'a': it is not the LR image of 'a' in" in err
    assert out.count("whole: ") == 4
    assert f"{tmp_path}/other_LR_x4.lmdb belongs to {tmp_path}/other_HR.lmdb; 1 LR" in out


def test_verify_of_nothing_is_an_error(tmp_path, capsys):
    assert entry.run(main, ["verify", f"{tmp_path}/**/*.lmdb"]) == 2
    assert "expected LMDB folders, found nothing there" in capsys.readouterr().err


BASICSR = """
import json, sys
import numpy as np
import lrfdn_arch
from basicsr.data import build_dataset
from basicsr.data.paired_image_dataset import PairedImageDataset
from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset

for codec in ("ppm", "png"):
    opt = dict(dataroot_gt=f"{root}/{{codec}}_HR.lmdb", dataroot_lq=f"{root}/{{codec}}_LR.lmdb",
               io_backend={{"type": "lmdb"}}, name="T", scale=4, phase="val",
               type="PairedImageDataset")
    theirs = list(PairedImageDataset(opt))
    ours = list(build_dataset(dict(opt, type="PairedLMDBDataset", io_backend={{"type": "lmdb"}})))
    assert len(theirs) == len(ours) == 3, (len(theirs), len(ours))
    for a, b in zip(theirs, ours):
        assert a["gt_path"] == b["gt_path"] and a["lq_path"] == b["lq_path"]
        np.testing.assert_array_equal(a["gt"].numpy(), b["gt"].numpy())
        np.testing.assert_array_equal(a["lq"].numpy(), b["lq"].numpy())
    train = dict(opt, phase="train", gt_size=32, use_hflip=True, use_rot=True,
                 io_backend={{"type": "lmdb"}})
    sample = PairedImageDataset(train)[0]
    assert sample["gt"].shape == (3, 32, 32)
print("equal", sorted(a["gt_path"] for a in theirs))
"""


@pytest.mark.slow
def test_basicsrs_dataset_reads_the_same_lmdbs_and_gives_the_same_tensors(tmp_path):
    names = ["plain", "dotted.v2", "Köln"]
    for i, name in enumerate(names):
        cv2.imwrite(str(tmp_path / f"{name}.png"), photograph(48, 64, seed=i))
    images = {name: tmp_path / f"{name}.png" for name in names}
    for codec in ("ppm", "png"):
        targets = [Target(tmp_path / f"{codec}_HR.lmdb"), Target(tmp_path / f"{codec}_LR.lmdb", 4)]
        pack(images, targets, PackOptions(codec=codec, multiple=4))
    run = subprocess.run(  # once, in its own process: importing BasicSR takes many seconds
        [sys.executable, "-c", textwrap.dedent(BASICSR.format(root=tmp_path))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip().endswith("equal ['K%C3%B6ln', 'dotted%2Ev2', 'plain']")


def test_meta_info_written_by_basicsr_is_understood(make_lmdb):
    path = make_lmdb("a.lmdb", IMAGES)
    lines = ["im2.png (48,64,3) 1", "im0.png", "im1.png (48, 64, 3) 1"]
    (path / "meta_info.txt").write_text("\n".join(lines))
    infos = read_meta_info(path)
    assert [info.key for info in infos] == ["im0", "im1", "im2"]
    assert [info.size for info in infos] == [(0, 0), (48, 64), (48, 64)]
    opt = {"dataroot_gt": path, "dataroot_lq": path, "scale": 1, "phase": "train", "gt_size": 64}
    with pytest.raises(ValueError, match="gt_size 64 is larger than 2 of the 3"):
        PairedLMDBDataset(opt)
    (path / "meta_info.txt").write_text("im0.png\nim1.png\nim2.png\n")
    dataset = PairedLMDBDataset(opt)
    with pytest.raises(ValueError, match=r"image 'im0'.* 64 pixels .*found 64x48"):
        dataset[0]
