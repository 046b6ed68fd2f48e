"""`test.py`: the released networks' PSNR to four decimals, and what bad input gets."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from repository import RELEASED, REPOSITORY, set5_psnr

from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.cli import main as lrfdn
from lrfdn_arch.commands.test import main
from lrfdn_arch.entry import run
from lrfdn_arch.evaluation.results import read_results


def released_file(network: str) -> str:
    return str(REPOSITORY / f"options/test/{network}/test_{network}_x4_released.yml")


@pytest.mark.parametrize(
    "network",  # `lrfdn challenge` gives those of all in a test of its own
    [n if n in ("LRFDN", "RFDN") else pytest.param(n, marks=pytest.mark.slow) for n in RELEASED],
)
def test_released_weights_give_the_known_psnr_of_every_set5_image(
    network: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    set5 = shared / "data/Set5"
    overrides = [
        f"path:pretrain_network_g={shared / 'reference' / RELEASED[network]}",
        f"datasets:test_1:dataroot_gt={set5 / 'HR'}",
        f"datasets:test_1:dataroot_lq={set5 / 'LR_bicubic/X4'}",
    ]
    main(["-opt", released_file(network), "--force_yml", *overrides])
    results = tmp_path / "results" / f"test_{network}_x4_released"
    stored = read_results(results / "Set5")
    actual = {i.name: round(i.psnr_rgb or 0, 4) for i in stored.networks[0].images}
    assert stored.networks[0].weights.released
    assert actual == set5_psnr(network)
    assert len(list((results / "visualization/Set5").glob("*.png"))) == 5


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a tiny network's weights, one image pair and an option file."""
    monkeypatch.chdir(tmp_path)
    network = LRFDN(num_feat=8, num_block=1, upscale=2)
    torch.save({"params": network.state_dict()}, "net_g.pth")
    image = np.random.default_rng(0).integers(0, 255, (32, 40, 3), np.uint8)
    for folder, part in (("HR", image), ("LR", image[::2, ::2])):
        (tmp_path / folder).mkdir()
        cv2.imwrite(f"{folder}/image.png", part)
    (tmp_path / "test.yml").write_text("""
name: tiny
scale: 2
num_gpu: 0
datasets:
  test_1:
    {name: A, type: PairedImageDataset, dataroot_gt: HR, dataroot_lq: LR, io_backend: {type: disk}}
  test_2:
    {name: B, type: PairedImageDataset, dataroot_gt: HR, dataroot_lq: LR, io_backend: {type: disk}}
network_g: {type: LRFDN, num_feat: 8, num_block: 1, upscale: 2}
path: {pretrain_network_g: net_g.pth}
val:
  save_img: true
  suffix: sr
  metrics:
    psnr_y: {type: calculate_psnr, crop_border: 2, test_y_channel: true}
""")
    return tmp_path


def test_every_dataset_is_tested_printed_and_saved(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, ["-opt", "test.yml"]) == 0
    for name in "AB":
        stored = read_results(experiment / "results/tiny" / name)
        assert (stored.dataset.name, stored.protocol.ssim) == (name, False)
    value = stored.networks[0].images[0].psnr_y
    assert f"{value:.4f}" in capsys.readouterr().out
    for name in "AB":
        image = cv2.imread(str(experiment / f"results/tiny/visualization/{name}/image_sr.png"))
        assert image is not None
        assert image.shape == (32, 40, 3)


def test_only_some_datasets_and_no_result_is_overwritten(experiment: Path) -> None:
    assert run(main, ["-opt", "test.yml"]) == 0
    assert run(main, ["-opt", "test.yml", "--only", "B"]) == 0
    assert [file.parent.name for file in experiment.glob("results/tiny/*/results.json")] == ["B"]
    assert len(list((experiment / "results").glob("tiny_archived_*/A/results.json"))) == 1


def test_a_test_and_a_challenge_of_the_same_images_are_compared(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(main, ["-opt", "test.yml", "--only", "A"]) == 0
    judged = ["challenge", "--model", "again=net_g.pth", "--lr", "LR", "--hr", "HR", "--no-ssim"]
    assert run(lrfdn, [*judged, "--no-fair-timing", "--out", "judged", "--device", "cpu"]) == 0
    assert run(lrfdn, ["compare", "results/tiny/A", "judged", "--out", "report"]) == 0
    tested, again = (read_results(Path(folder)) for folder in ("results/tiny/A", "judged"))
    assert tested.dataset.sha256 == again.dataset.sha256
    found, expected = (r.networks[0].images[0].psnr_rgb for r in (tested, again))
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_model_that_is_more_than_its_network_is_asked_itself(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from basicsr.models.sr_model import SRModel
    from basicsr.utils.registry import MODEL_REGISTRY

    class BlackModel(SRModel):
        def test(self) -> None:
            super().test()
            self.output = torch.zeros_like(self.output)

    monkeypatch.setitem(MODEL_REGISTRY._obj_map, "BlackModel", BlackModel)
    assert run(main, ["-opt", "test.yml", "--force_yml", "model_type=BlackModel"]) == 0
    image = cv2.imread(str(experiment / "results/tiny/visualization/A/image_sr.png"))
    assert image is not None
    assert image.max() == 0


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["path:pretrain_network_g=gone.pth"], ["no weights file at gone.pth"]),
        (["path:pretrain_network_g="], ["a test needs weights"]),
        (["path:param_key_g=params_ema"], ["has no 'params_ema'; it has params"]),
        (["path:pretrain_network_g=rfdn.pth"], ["does not fit LRFDN", "seems to hold RFDN x4"]),
        (["network_g:type=LRFDM"], ["unknown network", "did you mean 'LRFDN'?"]),
        (["network_g:type=lrfdn"], ["unknown network", "did you mean 'LRFDN'?"]),
        (["datasets:test_1:type=PairedImgDataset"], ["did you mean 'PairedImageDataset'?"]),
        (["model_type=SRModle"], ["unknown model", "did you mean 'SRModel'?"]),
        (["datasets:test_1:dataroot_gt=gone"], ["not found", "dataroot_gt: gone"]),
        (["network_g:num_feet=8"], ["num_feet", "did you mean 'num_feat'?"]),
        (["network_g:num_feat=12"], ["divisible by 8, got 12"]),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    experiment: Path,
    capsys: pytest.CaptureFixture[str],
    overrides: Sequence[str],
    expected: Sequence[str],
) -> None:
    torch.save(RFDN().state_dict(), "rfdn.pth")
    assert run(main, ["-opt", "test.yml", "--force_yml", *overrides]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "Traceback" not in error
    missing = [part for part in expected if part not in error]
    assert not missing, error


def test_lr_that_does_not_belong_to_hr_is_named(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite("LR/image.png", np.zeros((18, 20, 3), np.uint8))
    assert run(main, ["-opt", "test.yml"]) == 2
    assert "image" in capsys.readouterr().err


def test_a_syntax_error_in_the_option_file_names_the_line(
    experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (experiment / "broken.yml").write_text("name: tiny\nscale: [2\nval: 3\n")
    assert run(main, ["-opt", "broken.yml"]) == 2
    error = capsys.readouterr().err
    assert "broken.yml" in error
    assert "line 3" in error


def test_debug_shows_where_it_happened(experiment: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(main, ["-opt", "test.yml", "--debug", "--force_yml", "path:pretrain_network_g=gone"])


def test_the_script_itself_exits_with_2_and_one_message(experiment: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "test.py"), "-opt", "gone.yml"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "gone.yml" in result.stderr
    assert "Traceback" not in result.stderr
