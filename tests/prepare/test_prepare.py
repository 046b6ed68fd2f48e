"""From images of every kind to LMDBs, by the commands themselves."""

import hashlib
import io
import multiprocessing
import os
import re
import socket
import tarfile
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from small_lmdbs import photograph, png_claiming

from lrfdn_arch import entry
from lrfdn_arch.cli import main
from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.data.lmdb_reader import open_reader
from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset
from lrfdn_arch.prepare import packing, published_sets
from lrfdn_arch.prepare.image_folders import find_images
from lrfdn_arch.prepare.packing import PackOptions, Target, pack


def png(image: np.ndarray) -> bytes:
    bgr = image[..., ::-1] if image.ndim == 3 and image.shape[2] == 3 else image
    return cv2.imencode(".png", bgr)[1].tobytes()


def pil(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def save(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = entry.run(main, [str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def images_in(path: Path) -> dict[str, np.ndarray]:
    return {info.key: np.array(image) for info, image in open_reader(path).images()}


@pytest.mark.parametrize("codec", ["ppm", "png"])
def test_a_folder_becomes_hr_and_lr_lmdbs_for_every_scale(tmp_path, capsys, codec):
    photos = {f"p{i}": photograph(120, 96 + 12 * i, seed=i) for i in range(5)}
    folder = save(tmp_path / "in", {f"{k}.png": png(v) for k, v in photos.items()})
    out = tmp_path / "out"
    code, text, err = run(
        capsys, "prepare", "folder", folder, "--out", out, "--scale", 2, 3, 4, "--codec", codec
    )
    assert code == 0, err
    assert sorted(p.name for p in out.iterdir()) == [
        "train_HR.lmdb",
        "train_LR_x2.lmdb",
        "train_LR_x3.lmdb",
        "train_LR_x4.lmdb",
        "train_x4.yml",
    ]
    for name, image in images_in(out / "train_HR.lmdb").items():
        np.testing.assert_array_equal(image, photos[name])
    for scale in (2, 3, 4):
        for name, image in images_in(out / f"train_LR_x{scale}.lmdb").items():
            np.testing.assert_array_equal(image, imresize(photos[name], 1 / scale))
    assert f"made {out}/train_HR.lmdb (5 images, 0." in text
    assert f"next: lrfdn train -opt {out}/train_x4.yml" in text
    assert "5/5" in err  # the progress bar
    code, text, _ = run(capsys, "verify", *out.glob("*.lmdb"))
    assert code == 0
    assert text.count("whole: ") == 4
    assert text.count("5 LR images compared are MATLAB's bicubic") == 3


def test_every_odd_image_is_reported_by_name_with_what_happens_to_it(tmp_path, capsys):
    rgb = photograph(80, 80)
    sixteen = np.minimum(rgb.astype(np.uint32) * 257 + 100, 65535).astype(np.uint16)
    good = png(rgb)
    files = {
        "good.png": good,
        "grey.png": png(rgb[..., :1]),
        "sixteen.png": cv2.imencode(".png", sixteen[..., ::-1])[1].tobytes(),
        "grey_sixteen.tif": pil(Image.fromarray(sixteen[..., 0]), "TIFF"),
        "alpha.png": pil(Image.fromarray(np.dstack([rgb, rgb[..., 0]])), "PNG"),
        "palette.png": pil(Image.fromarray(rgb).quantize(16), "PNG"),
        "cmyk.jpg": pil(Image.fromarray(rgb).convert("CMYK"), "JPEG"),
        "odd_size.webp": pil(Image.fromarray(photograph(83, 81)), "WEBP", lossless=True),
        "small.png": png(photograph(40, 100)),
        "truncated.png": good[: len(good) // 2],
        "flipped.png": good[:2000] + bytes([good[2000] ^ 1]) + good[2001:],
        "cut.jpg": pil(Image.fromarray(rgb), "JPEG")[:-600],
        "no_image.png": b"hello",
        "empty.png": b"",
        "float.tif": pil(Image.fromarray(rgb[..., 0].astype(np.float32)), "TIFF"),
        "notes.txt": b"not an image",
        "sub/dotted.v2.final.png": good,
        "Köln ☂ 1.png": good,
    }
    folder = save(tmp_path / "in", files)
    code, text, err = run(capsys, "prepare", "folder", folder, "--out", tmp_path / "out", "--list")
    assert code == 0, err
    changes: dict[str, list[str]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("  "):
            changes[heading].append(line.rpartition("/")[2])
        else:
            heading = line
            changes[heading] = []
    changes = {heading: names for heading, names in changes.items() if names}
    assert changes == {
        "16 bits rounded to 8: 2 of 17 images": ["grey_sixteen.tif", "sixteen.png"],
        "alpha channel dropped: 1 of 17 images": ["alpha.png"],
        "converted from CMYK: 1 of 17 images": ["cmyk.jpg"],
        "cropped to a multiple of 4 pixels: 1 of 17 images": ["odd_size.webp"],
        "grey converted to RGB: 2 of 17 images": ["grey.png", "grey_sixteen.tif"],
    }
    lines = [line.split("/in/", 1)[-1] for line in err.splitlines() if "/in" in line]
    said = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}
    assert said["small.png"] == "left out: 100x40 pixels, smaller than 64"
    for name in ("truncated.png", "flipped.png", "cut.jpg"):
        assert said[name].startswith("left out: damaged"), said[name]
    for name in ("no_image.png", "empty.png"):
        assert said[name].startswith("left out: not an image, or not of a supported format")
    assert "floating point" in said["float.tif"]
    assert "not images, left out: notes.txt" in err
    assert "good.png" not in said
    assert "left out 7 of 17 images" in text
    hr = images_in(tmp_path / "out/train_HR.lmdb")
    assert sorted(hr) == sorted(
        [
            "good",
            "grey",
            "sixteen",
            "grey_sixteen",
            "alpha",
            "palette",
            "cmyk",
            "odd_size",
            "sub/dotted%2Ev2%2Efinal",
            "K%C3%B6ln %E2%98%82 1",
        ]
    )
    for name in ("good", "sixteen", "alpha", "sub/dotted%2Ev2%2Efinal", "K%C3%B6ln %E2%98%82 1"):
        np.testing.assert_array_equal(hr[name], rgb, err_msg=name)
    np.testing.assert_array_equal(hr["grey_sixteen"], np.repeat(rgb[..., :1], 3, 2))
    assert hr["odd_size"].shape == (80, 80, 3)


def test_changed_images_are_one_line_unless_they_are_listed(tmp_path, capsys):
    photos = {f"p{i}.png": png(photograph(81 + i, 90, seed=i)) for i in range(8)}
    folder = save(tmp_path / "in", photos)
    code, text, err = run(capsys, "prepare", "folder", folder, "--out", tmp_path / "out")
    assert code == 0
    assert "cropped to a multiple of 4 pixels: 8 of 8 images (see --list)\n" in text
    assert not re.search(r"p\d", text + err)


def test_entries_that_are_not_images_are_left_out_by_name(tmp_path, capsys):
    folder = save(tmp_path / "in", {"good.png": png(photograph(64, 64))})
    (folder / "broken.png").symlink_to("nowhere")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.png"))
    Path(os.fsdecode(os.fsencode(folder) + b"/latin\xe9.png")).write_bytes(b"")
    Path(os.fsdecode(os.fsencode(folder) + b"/latin\xe9.txt")).write_bytes(b"")
    (folder / "claims.png").write_bytes(png_claiming(30_000, 30_000))
    (folder / "eps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    code, text, err = run(capsys, "prepare", "folder", folder, "--out", tmp_path / "out")
    assert code == 0, err
    for name, problem in {
        "broken.png": "not readable: No such file or directory",
        "loop.png": "not readable: Too many levels of symbolic links",
        "zero.png": "not a regular file",
        "pipe.png": "not a regular file",
        "socket.png": "not a regular file",
        "latin\\udce9.png": "its name is not valid UTF-8",
        "claims.png": "Image size (900000000 pixels) exceeds limit of 178956970 pixels",
        "eps.png": "not an image, or not of a supported format",
    }.items():
        assert f"{folder}/{name}: left out: {problem}" in err
    assert "not images, left out: latin\\udce9.txt" in err
    assert list(images_in(tmp_path / "out/train_HR.lmdb")) == ["good"]
    assert "left out 2 of 3 images: see above" in text


def unpack_as_nobody(folder: Path, result) -> None:
    if os.geteuid() == 0:  # root may read everything
        os.seteuid(65534)
    notes: list[str] = []
    images = find_images(folder, notes.append)
    out = Path(tempfile.mkdtemp())
    packed = pack(images, [Target(out / "a.lmdb")], note=notes.append)
    result.put((packed.left_out, list(images_in(out / "a.lmdb")), notes))


def test_files_and_folders_without_permission_are_left_out_by_name():
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as place:  # tmp_path is closed to other users
        photo = png(photograph(64, 64))
        folder = save(Path(place), {"a.png": photo, "secret.png": photo, "closed/b.png": photo})
        folder.chmod(0o755)
        (folder / "secret.png").chmod(0)
        (folder / "closed").chmod(0)
        result = context.SimpleQueue()
        process = context.Process(target=unpack_as_nobody, args=(folder, result))
        process.start()
        process.join()
        left_out, stored, notes = result.get()
    assert (left_out, stored) == (["secret.png"], ["a"])
    assert f"{folder}/closed: left out: Permission denied" in notes
    assert f"{folder}/secret.png: left out: Permission denied" in notes


def test_a_phones_photograph_is_stored_upright(tmp_path):
    image = Image.fromarray(photograph(64, 96))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    save(tmp_path, {"a.jpg": pil(image, "JPEG", exif=exif)})
    pack({"a": tmp_path / "a.jpg"}, [Target(tmp_path / "a.lmdb")])
    assert images_in(tmp_path / "a.lmdb")["a"].shape == (96, 64, 3)


def test_grey_makes_pairs_of_one_channel_for_training(tmp_path, capsys):
    folder = save(tmp_path / "in", {"a.png": png(photograph(64, 64))})
    out = tmp_path / "out"
    code, text, _ = run(capsys, "prepare", "folder", folder, "--out", out, "--grey")
    assert code == 0
    assert "RGB converted to grey: 1 of 1 images" in text
    opt = {"dataroot_gt": out / "train_HR.lmdb", "dataroot_lq": out / "train_LR_x4.lmdb"}
    dataset = PairedLMDBDataset({**opt, "scale": 4, "phase": "train", "gt_size": 32})
    assert dataset[0]["gt"].shape == (1, 32, 32)


def test_several_folders_with_images_held_out_and_smaller_copies(tmp_path, capsys):
    one = {f"p{i}.png": png(photograph(120, 100, seed=i)) for i in range(4)}
    two = {f"p{i}.png": png(photograph(200, 160, seed=9 + i)) for i in range(4)}
    folders = save(tmp_path / "one", one), save(tmp_path / "two", two)
    out = tmp_path / "out"
    code, text, err = run(
        capsys, "prepare", "folder", *folders, "--out", out, "--hold-out", 2,
        "--copies", 0.9, 0.5, "--min-size", 80,
    )  # fmt: skip
    assert code == 0, err
    held = {"one/p2", "two/p2"}  # evenly spread over the eight names
    assert set(images_in(out / "valid_HR.lmdb")) == held
    train = images_in(out / "train_HR.lmdb")
    names = {f"{folder}/p{i}" for folder in ("one", "two") for i in (0, 1, 3)}
    halves = {f"two/p{i}_50percent" for i in (0, 1, 3)}  # halves of the others are below 80 pixels
    assert set(train) == names | {f"{name}_90percent" for name in names} | halves
    original = photograph(200, 160, seed=9)
    smaller = imresize(original, 0.9)[:180, :144]
    np.testing.assert_array_equal(train["two/p0_90percent"], smaller)
    lr = images_in(out / "train_LR_x4.lmdb")
    np.testing.assert_array_equal(lr["two/p0_90percent"], imresize(smaller, 1 / 4))
    assert "left out 3 copies that would be smaller than --min-size" in text
    assert "percent" not in err


def test_folders_of_one_name_are_told_apart_by_an_error(tmp_path, capsys):
    folder = save(tmp_path / "in", {"a.png": png(photograph(100, 100))})
    code, _, err = run(capsys, "prepare", "folder", folder, folder, "--out", tmp_path / "out")
    assert code == 2
    assert "have the same name. Give each folder once" in err


def test_a_copy_never_takes_the_name_of_an_image(tmp_path, capsys):
    photos = {f"{name}.png": png(photograph(100, 100)) for name in ("a", "a_50percent")}
    folder = save(tmp_path / "in", photos)
    command = ("prepare", "folder", folder, "--out", tmp_path / "out", "--copies", 0.5)
    code, _, err = run(capsys, *command)
    assert code == 2
    assert "a_50percent.png has the name a smaller copy gets. Rename it." in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hold-out", 2), "--hold-out: expected a number from 1 to 1, as there are 2 images"),
        (("--hold-out", 0), "--hold-out: expected a number from 1 to 1"),
        (("--copies", 1.5), "copies are made by factors between 0 and 1, found (1.5,)"),
    ],
)
def test_what_cannot_be_held_out_or_copied_is_said(tmp_path, capsys, arguments, message):
    photos = {f"{i}.png": png(photograph(100, 100, seed=i)) for i in range(2)}
    folder = save(tmp_path / "in", photos)
    code, _, err = run(capsys, "prepare", "folder", folder, "--out", tmp_path / "out", *arguments)
    assert code == 2
    assert message in err


def test_a_folder_for_validation_gets_its_own_lmdbs(tmp_path, capsys):
    train = save(tmp_path / "t", {"a.png": png(photograph(64, 64))})
    valid = save(tmp_path / "v", {"b.png": png(photograph(64, 64))})
    out = tmp_path / "out"
    run(capsys, "prepare", "folder", train, "--valid", valid, "--out", out)
    assert list(images_in(out / "valid_HR.lmdb")) == ["b"]
    assert list(images_in(out / "valid_LR_x4.lmdb")) == ["b"]


def test_png_values_are_the_files_themselves_where_nothing_changed(tmp_path):
    folder = save(tmp_path, {"a.png": png(photograph(64, 64))})
    pack({"a": folder / "a.png"}, [Target(tmp_path / "a.lmdb")], PackOptions(codec="png"))
    stored = bytes(open_reader(tmp_path / "a.lmdb").file("a"))
    assert stored == (folder / "a.png").read_bytes()


def test_an_interrupted_run_goes_on_and_a_finished_one_is_kept(tmp_path, monkeypatch, capsys):
    files = {f"p{i}.png": png(photograph(64, 64, seed=i)) for i in range(6)}
    folder, out = save(tmp_path / "in", files), tmp_path / "out"
    command = ("prepare", "folder", folder, "--out", out, "--workers", 1)
    really = packing._prepare
    prepared: list[str] = []

    def interrupted(original, *arguments):
        if original.path.stem == "p4":
            raise KeyboardInterrupt
        prepared.append(original.path.stem)
        return really(original, *arguments)

    monkeypatch.setattr("lrfdn_arch.prepare.writers._COMMIT_BYTES", 1)
    with monkeypatch.context() as patched:
        patched.setattr(packing, "_prepare", interrupted)
        code, text, err = run(capsys, *command)
    assert code == entry.EXIT_INTERRUPTED
    assert sorted(p.name for p in out.iterdir()) == [
        "train_HR.lmdb.partial",
        "train_LR_x4.lmdb.partial",
    ]
    prepared.clear()
    monkeypatch.setattr(
        packing, "_prepare", lambda p, *a: prepared.append(p.path.stem) or really(p, *a)
    )
    code, text, err = run(capsys, *command)
    assert code == 0, err
    assert prepared == ["p4", "p5"]
    assert len(images_in(out / "train_HR.lmdb")) == 6
    code, text, _ = run(capsys, *command)
    assert text.count("kept ") == 2
    assert prepared == ["p4", "p5"]
    code, text, _ = run(capsys, *command, "--overwrite")
    assert text.count("made ") == 2
    assert len(prepared) == 8


def test_an_lmdb_of_other_images_is_not_overwritten_unless_told(tmp_path, capsys):
    first = save(tmp_path / "1", {"a.png": png(photograph(64, 64))})
    second = save(tmp_path / "2", {"b.png": png(photograph(64, 64))})
    out = tmp_path / "out"
    run(capsys, "prepare", "folder", first, "--out", out)
    code, _, err = run(capsys, "prepare", "folder", second, "--out", out)
    assert code == 2
    assert "train_HR.lmdb exists. Replace it with --overwrite" in err
    assert list(images_in(out / "train_HR.lmdb")) == ["a"]
    code, _, _ = run(capsys, "prepare", "folder", second, "--out", out, "--overwrite")
    assert list(images_in(out / "train_HR.lmdb")) == ["b"]
    assert sorted(p.name for p in out.glob("*.lmdb*")) == ["train_HR.lmdb", "train_LR_x4.lmdb"]


def test_a_failed_run_leaves_what_was_there(tmp_path, capsys):
    good = save(tmp_path / "1", {"a.png": png(photograph(64, 64))})
    bad = save(tmp_path / "2", {"b.png": b"nonsense"})
    out = tmp_path / "out"
    run(capsys, "prepare", "folder", good, "--out", out)
    code, _, err = run(capsys, "prepare", "folder", bad, "--out", out, "--overwrite")
    assert code == 2
    assert "none of the 1 images could be used" in err
    assert list(images_in(out / "train_HR.lmdb")) == ["a"]


def pack_as_nobody(image: Path, out: Path, result) -> None:
    if os.geteuid() == 0:  # root may write everywhere
        os.seteuid(65534)
    try:
        pack({"a": image}, [Target(out / "a.lmdb")])
    except OSError as error:
        result.put((type(error).__name__, str(error)))


def test_a_read_only_folder_is_named(tmp_path):
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as place:  # tmp_path is closed to other users
        out = Path(place) / "out"
        out.mkdir(mode=0o555)
        Path(place).chmod(0o755)
        image = save(Path(place), {"a.png": png(photograph(64, 64))}) / "a.png"
        result = context.SimpleQueue()
        process = context.Process(target=pack_as_nobody, args=(image, out, result))
        process.start()
        process.join()
        assert not result.empty()
        kind, message = result.get()
        assert not list(out.iterdir())
    assert kind == "PermissionError"
    assert message.startswith(f"{out}/a.lmdb: writing failed: ")
    assert "choose another folder" in message


@pytest.mark.parametrize(
    ("files", "arguments", "words"),
    [
        ({"a.txt": b""}, [], "expected images (.png"),
        ({"a.png": b"", "a.jpg": b""}, [], "have the same name. Rename one of them"),
        ({"a.png": b""}, ["--scale", 1], "--scale: expected whole numbers from 2, found [1]"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(tmp_path, capsys, files, arguments, words):
    folder = save(tmp_path / "in", files)
    code, _, err = run(capsys, "prepare", "folder", folder, "--out", tmp_path / "out", *arguments)
    assert code == 2
    assert words in err
    assert not (tmp_path / "out").exists()


def test_a_missing_folder_is_said_in_one_line(tmp_path, capsys):
    code, _, err = run(capsys, "prepare", "folder", tmp_path / "no", "--out", tmp_path / "out")
    assert (code, err) == (
        2,
        f"error: {tmp_path}/no: expected a folder of images, found nothing there.\n",
    )


def test_photos_are_the_demos(tmp_path, capsys):
    code, text, err = run(capsys, "prepare", "photos", "--out", tmp_path)
    assert code == 0, err
    assert sorted(images_in(tmp_path / "train_HR.lmdb")) == [
        "coffee",
        "hubble_deep_field",
        "immunohistochemistry",
        "motorcycle_left",
        "motorcycle_right",
        "retina",
        "rocket",
    ]
    valid = images_in(tmp_path / "valid_HR.lmdb")
    assert sorted(valid) == ["astronaut", "chelsea"]
    lr = images_in(tmp_path / "valid_LR_x4.lmdb")
    np.testing.assert_array_equal(lr["chelsea"], imresize(valid["chelsea"], 0.25))
    assert f"next: lrfdn train -opt {tmp_path}/train_x4.yml" in text


@pytest.fixture
def df2k(tmp_path, monkeypatch) -> Path:
    """Archives of the published shape, of 3 + 4 and 2 images, in the places they belong."""
    root = tmp_path / "datasets"
    small = []
    sources = [source for split in published_sets.DF2K.values() for source in split]
    for source, count in zip(sources, (3, 4, 2), strict=True):
        source = replace(source, count=count)
        files = {n: png(photograph(48, 60, seed=int(n))) for n in source.names}
        folder = Path(source.folder)
        archive = root / folder.parent / source.download.name
        archive.parent.mkdir(parents=True, exist_ok=True)
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive, "w") as file:
                for name, data in files.items():
                    file.writestr(f"{folder.name}/{name}.png", data)
        else:
            with tarfile.open(archive, "w") as file:
                for inside in ("Flickr2K_HR", "Flickr2K_LR_bicubic/X2"):
                    for name, data in files.items():
                        info = tarfile.TarInfo(f"Flickr2K/{inside}/{name}.png")
                        info.size = len(data)
                        file.addfile(info, io.BytesIO(data))
        content = archive.read_bytes()
        checksum = "sha256:" + hashlib.sha256(content).hexdigest()
        download = replace(source.download, checksum=checksum, size=len(content))
        small.append(replace(source, download=download))
    monkeypatch.setattr(published_sets, "DF2K", {"train": small[:2], "valid": small[2:]})
    return root


def test_df2k_is_unpacked_counted_and_packed_at_every_scale(df2k, capsys):
    code, text, err = run(capsys, "prepare", "df2k", "--root", df2k, "--scale", 2, 3, 4)
    assert code == 0, err
    names = [f"{s}_{n}.lmdb" for s in ("train", "valid") for n in ("HR", "LR_x2", "LR_x3", "LR_x4")]
    assert sorted(p.name for p in (df2k / "DF2K").glob("*.lmdb")) == names
    train = images_in(df2k / "DF2K/train_HR.lmdb")
    assert list(train) == ["000001", "000002", "000003", "000004", "0001", "0002", "0003"]
    assert list(images_in(df2k / "DF2K/valid_LR_x3.lmdb")) == ["0801", "0802"]
    assert f"next: lrfdn train -opt {df2k}/DF2K/train_x4.yml" in text
    assert [p.name for p in (df2k / "Flickr2K").glob("Flickr2K_HR/*")] != []
    assert not list(df2k.glob("**/*.partial"))


def test_another_scale_of_df2k_keeps_the_hr_that_is_there(df2k, capsys):
    run(capsys, "prepare", "df2k", "--root", df2k)
    code, text, _ = run(capsys, "prepare", "df2k", "--root", df2k, "--scale", 2)
    assert code == 0
    assert f"kept {df2k}/DF2K/train_HR.lmdb" in text
    assert f"made {df2k}/DF2K/train_LR_x2.lmdb" in text


def test_df2k_is_downloaded_where_asked(df2k, capsys, monkeypatch, tmp_path):
    from test_download import Server

    archives = {p.name: p.read_bytes() for p in df2k.glob("*/*.*") if p.is_file()}
    with Server() as server:
        import threading

        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server.contents = archives
        sources = {
            split: [
                replace(s, download=replace(s.download, url=server.url(s.download.name)))
                for s in sets
            ]
            for split, sets in published_sets.DF2K.items()
        }
        monkeypatch.setattr(published_sets, "DF2K", sources)
        root = tmp_path / "fresh"
        code, _, err = run(capsys, "prepare", "df2k", "--root", root, "--download")
        server.shutdown()
        thread.join()
    assert code == 0, err
    assert len(images_in(root / "DF2K/train_LR_x4.lmdb")) == 7
    assert "DIV2K_train_HR.zip" in err  # progress
    assert "Flickr2K.tar" in err


def test_df2k_without_images_says_what_to_do(tmp_path, capsys):
    code, _, err = run(capsys, "prepare", "df2k", "--root", tmp_path)
    assert code == 2
    assert "DIV2K_train_HR: expected 800 images" in err
    assert "Add --download to get it from https://data.vision.ee.ethz.ch/cvl/DIV2K/" in err


def test_a_missing_image_of_df2k_is_named(df2k, capsys):
    run(capsys, "prepare", "df2k", "--root", df2k)
    (df2k / "Flickr2K/Flickr2K_HR/000003.png").unlink()
    code, _, err = run(capsys, "prepare", "df2k", "--root", df2k)
    assert code == 2
    assert "expected 4 images 000001.png to 000004.png, found 3; missing: 000003" in err


def test_a_damaged_image_of_df2k_is_an_error_not_a_gap(df2k, capsys):
    run(capsys, "prepare", "df2k", "--root", df2k)
    path = df2k / "DIV2K/DIV2K_train_HR/0002.png"
    path.write_bytes(path.read_bytes()[:-2000])
    code, _, err = run(capsys, "prepare", "df2k", "--root", df2k, "--overwrite")
    assert code == 2
    assert f"{path}: damaged PNG" in err
    assert len(images_in(df2k / "DF2K/train_HR.lmdb")) == 7  # what was there


@pytest.mark.parametrize("name", ["DIV2K/DIV2K_train_HR.zip", "Flickr2K/Flickr2K.tar"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "other"])
def test_a_damaged_archive_is_named_and_nothing_half_unpacked_is_used(df2k, capsys, name, damage):
    archive = df2k / name
    content = archive.read_bytes()
    if damage == "cut":
        archive.write_bytes(content[: len(content) // 2 + 700])
    elif damage == "garbage":
        archive.write_bytes(b"<html>not found</html>" * 1000)
    elif archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("readme.txt", "nothing here")
    else:
        with tarfile.open(archive, "w") as file:
            file.addfile(tarfile.TarInfo("readme.txt"))
    code, _, err = run(capsys, "prepare", "df2k", "--root", df2k)
    assert code == 2
    assert str(archive) in err
    assert "--download" in err or "images in a folder" in err
    assert not list((archive.parent).glob("*_HR"))
    assert not (df2k / "DF2K/train_HR.lmdb").exists()


def test_paths_in_an_archive_cannot_leave_the_folder(df2k, capsys):
    archive = df2k / "DIV2K/DIV2K_train_HR.zip"
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../../DIV2K_train_HR/../evil.png", b"")
        file.writestr("/elsewhere/DIV2K_train_HR/absolute.png", b"")
        file.writestr("DIV2K_train_HR/..\\..\\windows.png", b"")
    code, _, err = run(capsys, "prepare", "df2k", "--root", df2k)
    assert code == 2
    assert f"{archive}: expected 3 images in DIV2K_train_HR" in err
    for name in ("evil", "absolute", "windows"):
        assert not list(df2k.parent.glob(f"**/*{name}.png"))
