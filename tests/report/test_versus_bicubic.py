"""A tested network beside bicubic: the figures, the picture, the exit code."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.data import astronaut

from lrfdn_arch.archs import LRFDN
from lrfdn_arch.cli import main
from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.evaluation.metrics import psnr_rgb
from lrfdn_arch.prepare.writers import LmdbWriter
from lrfdn_arch.report.pictures import where_they_differ_most

OPTIONS = """
name: tested
scale: 4
datasets:
  test_1: {name: A, type: PairedLMDBDataset, dataroot_gt: HR.lmdb, dataroot_lq: LR.lmdb}
network_g: {type: LRFDN}
path: {pretrain_network_g: net_g.pth}
val: {save_img: true, suffix: sr}
"""


@pytest.fixture
def gt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NDArray[np.uint8]:
    """A photograph; its LMDB pair and the option file of a test of it are in the working folder."""
    monkeypatch.chdir(tmp_path)
    photograph = astronaut()[:96, 160:272]
    for name, image in (("HR.lmdb", photograph), ("LR.lmdb", imresize(photograph, 0.25))):
        with LmdbWriter(tmp_path / name, {"made of": "astronaut"}) as writer:
            _, file = cv2.imencode(".ppm", image[..., ::-1])
            writer.put("astronaut", file.tobytes(), image.shape, extension="ppm")
            writer.publish()
    (tmp_path / "test.yml").write_text(OPTIONS)
    return photograph


def save_sr(image: NDArray[np.uint8]) -> None:
    folder = Path("results/tested/visualization/A")
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "astronaut_sr.png"), image[..., ::-1])


def test_a_better_result_gives_table_picture_and_exit_code_0(
    gt: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    sr = np.clip(gt.astype(int) + 2, 0, 255).astype(np.uint8)
    save_sr(sr)
    assert main(["versus-bicubic", "-opt", "test.yml", "--out", "made/picture.png"]) == 0
    _, _, bicubic, ours = capsys.readouterr().out.splitlines()[:4]
    enlarged = imresize(imresize(gt, 0.25), 4)
    assert f"{psnr_rgb(enlarged, gt, 4):.2f}" in bicubic
    assert f"{psnr_rgb(sr, gt, 4):.2f}" in ours
    picture = cv2.imread("made/picture.png")
    assert picture is not None
    height, width = picture.shape[:2]
    assert width > 1000
    assert height > 500
    assert picture.std() > 20


@pytest.mark.usefixtures("gt")
def test_a_folder_is_no_name_for_the_picture() -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"):
        main(["versus-bicubic", "-opt", "test.yml", "--out", "."])


def test_a_worse_result_is_said_and_the_exit_code_is_1(
    gt: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    save_sr(np.full_like(gt, 128))
    assert main(["versus-bicubic", "-opt", "test.yml", "--out", "picture.png"]) == 1
    assert "LRFDN is not better than bicubic on astronaut" in capsys.readouterr().err


def test_other_weights_stand_beside_the_tested_ones(
    gt: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    save_sr(np.clip(gt.astype(int) + 2, 0, 255).astype(np.uint8))
    torch.manual_seed(0)
    other = LRFDN(num_feat=16, num_block=1).eval()
    torch.save(other.state_dict(), "other.pth")
    command = ["versus-bicubic", "-opt", "test.yml", "--out", "picture.png", "--beside"]
    assert main([*command, "other=other.pth"]) == 0
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()[2:5]]
    assert [row[2].strip() for row in rows] == ["bicubic", "LRFDN", "other"]
    lq = torch.from_numpy(imresize(gt, 0.25)).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        sr = other(lq)[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    assert float(rows[2][3]) == pytest.approx(psnr_rgb(sr, gt, 4), abs=0.006)


@pytest.mark.usefixtures("gt")
@pytest.mark.parametrize(
    ("network", "label", "message"),
    [
        (LRFDN(num_feat=8, num_block=1, upscale=2), "other", "--beside other: expected x4, got x2"),
        (LRFDN(num_feat=8, num_block=1), "LRFDN", "--beside LRFDN: give it another label"),
    ],
)
def test_what_cannot_stand_beside_it_is_refused(network: LRFDN, label: str, message: str) -> None:
    torch.save(network.state_dict(), "other.pth")
    command = ["versus-bicubic", "-opt", "test.yml", "--out", "picture.png", "--beside"]
    with pytest.raises(ValueError, match=message):
        main([*command, f"{label}=other.pth"])


@pytest.mark.usefixtures("gt")
def test_a_test_that_has_not_been_run_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"astronaut_sr\.png; run `lrfdn test`"):
        main(["versus-bicubic", "-opt", "test.yml", "--out", "picture.png"])


def test_the_crop_is_where_two_images_differ_most() -> None:
    a = np.zeros((40, 60, 3), np.uint8)
    b = a.copy()
    b[5:9, 3:7] = 100
    b[22:30, 41:49] = 90
    assert where_they_differ_most(a, b, side=8) == (22, 41, 8)
    assert where_they_differ_most(a, a, side=64) == (0, 0, 40)
