"""Kit folders, any folders, LMDBs; and every mistake is named before a network runs."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from challenge_fixtures import SCALE, smooth_image, write_set

from lrfdn_arch.evaluation.image_set import ImageSet, inspect, kit_folders, open_image_set
from lrfdn_arch.evaluation.images import read_rgb, write_png

SIZES = {"0801": (40, 48), "0802": (33, 51), "0803": (24, 30)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_set(tmp_path / "data", SIZES)


def tiny(data: Path) -> ImageSet:
    return open_image_set(data / "Tiny_LR", data / "Tiny_HR")


def test_the_kit_s_layout_is_found_by_the_set_s_name(data: Path) -> None:
    lr, hr = kit_folders(data, "Tiny")
    image_set = open_image_set(lr, hr, "Tiny")
    assert [pair.name for pair in image_set.pairs] == ["0801", "0802", "0803"]
    assert image_set.has_hr
    assert image_set.pairs[1].read_lr().shape == (16, 25, 3)


def test_another_layout_says_what_is_expected_and_what_is_there(data: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no folder DIV2K_valid_LR.*found: Tiny_HR, Tiny_LR"
    ):
        kit_folders(data, "DIV2K_valid")


def test_an_lmdb_pair_holds_the_same_set_as_its_folders(data: Path, tmp_path: Path) -> None:
    from basicsr.utils.lmdb_util import make_lmdb_from_imgs

    for kind in ("LR", "HR"):
        files = sorted((data / f"Tiny_{kind}").iterdir())
        names = [file.stem.removesuffix("x2") for file in files]
        lmdb = tmp_path / f"Tiny_{kind}.lmdb"
        make_lmdb_from_imgs(str(data), str(lmdb), [str(f) for f in files], names)
    image_set = open_image_set(tmp_path / "Tiny_LR.lmdb", tmp_path / "Tiny_HR.lmdb")
    assert inspect(image_set, SCALE) == inspect(tiny(data), SCALE)


def test_missing_and_extra_images_are_counted_and_named(data: Path) -> None:
    (data / "Tiny_HR/0802.png").unlink()
    (data / "Tiny_LR/0803x2.png").unlink()
    with pytest.raises(ValueError) as caught:
        tiny(data)
    assert "1 LR without HR: 0802x2" in str(caught.value)
    assert "1 HR without LR: 0803" in str(caught.value)


def test_of_many_missing_images_the_first_few_are_named(data: Path) -> None:
    for number in range(30):
        write_png(data / f"Tiny_LR/9{number:03}x2.png", smooth_image(8, 8, 0))
    with pytest.raises(ValueError, match=r"30 LR without HR: 9000x2, .* and 26 more"):
        tiny(data)


def test_two_images_of_one_name_are_refused(data: Path) -> None:
    cv2.imwrite(str(data / "Tiny_LR/0801x2.bmp"), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="more than one image called 0801x2"):
        tiny(data)


def test_an_empty_folder_and_no_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty contains no images"):
        open_image_set(tmp_path / "empty", None)
    with pytest.raises(FileNotFoundError, match="absent: image folder or LMDB not found"):
        open_image_set(tmp_path / "absent", None)


def test_a_wrong_scale_names_the_images_and_the_factor(data: Path) -> None:
    with pytest.raises(ValueError) as caught:
        inspect(tiny(data), 4)
    message = str(caught.value)
    assert "3 of the 3 images" in message
    assert "0801: LR 24x20 and HR 48x40 differ by a factor of 2, expected 4 (the scale" in message


@pytest.mark.timeout(20)  # opening a pipe blocks
def test_an_image_that_is_a_pipe_is_named(data: Path) -> None:
    file = data / "Tiny_LR/0802x2.png"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ValueError, match=r"0802x2\.png: expected a regular file, found a pipe"):
        inspect(tiny(data), SCALE)


def test_a_damaged_image_is_named(data: Path) -> None:
    file = data / "Tiny_LR/0802x2.png"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(ValueError, match=r"1 of the 3 images(.|\n)*0802x2\.png: (not|damaged)"):
        inspect(tiny(data), SCALE)


def test_the_hash_of_a_set_is_of_its_pixels(data: Path) -> None:
    before = inspect(tiny(data), SCALE)
    file = data / "Tiny_LR/0802x2.png"
    image = read_rgb(file)
    file.unlink()
    write_png(file.with_suffix(".bmp"), image)  # PNG bytes, whatever the name says
    assert inspect(tiny(data), SCALE) == before
    image[0, 0, 0] ^= 1
    file.with_suffix(".bmp").unlink()
    write_png(file, image)
    assert inspect(tiny(data), SCALE) != before


def test_grey_images_become_three_equal_channels(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.arange(16, dtype=np.uint8).reshape(4, 4))
    image = read_rgb(tmp_path / "grey.png")
    assert image.shape == (4, 4, 3)
    assert (image[..., 0] == image[..., 2]).all()


def test_images_are_never_overwritten_silently(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    write_png(file, smooth_image(8, 8, 0))
    write_png(file, smooth_image(8, 8, 0))
    with pytest.raises(FileExistsError, match="contains a different image"):
        write_png(file, smooth_image(8, 8, 1))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
