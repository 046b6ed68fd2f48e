"""Averages of weights chosen by validation."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.cli import main
from lrfdn_arch.evaluation.image_set import open_image_set
from lrfdn_arch.evaluation.soup import greedy_soup, mean_state
from lrfdn_arch.weights import load_network

SECTION = {"type": "LRFDN", "num_feat": 8, "num_block": 1, "upscale": 2, "img_range": 1.0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """HR and LR images, and weights: a good one with noise, its opposite, one that is ruined."""
    rng = np.random.default_rng(0)
    for number in range(2):
        hr = cv2.resize(rng.integers(0, 256, (9, 8, 3), dtype=np.uint8), (64, 72))
        lr = hr.reshape(36, 2, 32, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
        for name, image in (("HR", hr), ("LR", lr)):
            (tmp_path / name).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), image)
    torch.manual_seed(0)
    network = LRFDN(num_feat=8, num_block=1, upscale=2)
    network.start_bilinear()
    good = network.state_dict()
    noise = {name: 0.03 * torch.randn_like(weight) for name, weight in good.items()}
    factors = {"plus": 1.0, "minus": -1.0, "ruined": 100.0}
    for name, factor in factors.items():
        state = {key: weight + factor * noise[key] for key, weight in good.items()}
        torch.save({"params": state, "network_g": SECTION}, tmp_path / f"{name}.pth")
    torch.save({"params": good, "network_g": SECTION}, tmp_path / "good.pth")
    return tmp_path


def test_the_mean_is_that_of_every_weight():
    states = [{"w": torch.rand(3), "n": torch.tensor(4)} for _ in range(3)]
    mean = mean_state(states)
    torch.testing.assert_close(mean["w"], sum(state["w"] for state in states) / 3)
    assert mean["w"].dtype == torch.float32 and mean["n"] == 4


def test_weights_are_kept_where_the_average_gains(folder):
    images = open_image_set(folder / "LR", folder / "HR")
    files = [folder / f"{name}.pth" for name in ("ruined", "plus", "minus")]
    soup, tried = greedy_soup(files, images)
    assert [i.file.stem for i in tried if not i.kept] == ["ruined"]
    assert tried[1].together > tried[0].alone >= tried[1].alone > tried[2].alone
    good = load_network(folder / "good.pth").network.state_dict()
    for name, weight in soup.network.state_dict().items():
        torch.testing.assert_close(weight, good[name], atol=1e-6, rtol=1e-5, msg=name)


def test_the_command_writes_what_it_prints(folder, capsys):
    files = [str(folder / f"{name}.pth") for name in ("plus", "minus", "ruined")]
    out = folder / "made" / "soup.safetensors"
    command = ["soup", *files, "--lr", str(folder / "LR"), "--hr", str(folder / "HR")]
    command += ["--out", str(out), "--device", "cpu"]
    assert main(command) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if "pth" in line]
    assert [row[3].strip() for row in rows] == ["yes", "yes", "no"]
    made = load_network(out)
    x = F.interpolate(torch.rand(1, 3, 4, 4), size=(16, 16), mode="bilinear")
    expected = load_network(folder / "good.pth").network(x)
    torch.testing.assert_close(made.network(x), expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(FileExistsError):
        main(command)
    with pytest.raises(IsADirectoryError, match="is a folder"):  # before the work, not after
        main([*command, "--out", str(folder), "--overwrite"])


def test_networks_that_differ_and_single_files_are_refused(folder):
    images = open_image_set(folder / "LR", folder / "HR")
    with pytest.raises(ValueError, match="at least two"):
        greedy_soup([folder / "good.pth"], images)
    torch.save(RFDN(num_feat=8, num_block=1, upscale=2).state_dict(), folder / "rfdn.pth")
    with pytest.raises(ValueError, match=r"expected equal networks, got .* in \S+ and"):
        greedy_soup([folder / "good.pth", folder / "rfdn.pth"], images)
    with pytest.raises(ValueError, match="no ground truth"):
        greedy_soup([folder / "good.pth"] * 2, open_image_set(folder / "LR", None))
