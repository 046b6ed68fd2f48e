"""The 2023 protocol: the published figures, and the kit's steps one by one."""

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from challenge_fixtures import smooth_image, write_set, write_weights
from repository import RELEASED, set5_psnr

from lrfdn_arch import entry
from lrfdn_arch.archs import RFDN
from lrfdn_arch.cli import main
from lrfdn_arch.evaluation.competitor import load_competitor
from lrfdn_arch.evaluation.images import Image, crop_to_multiple
from lrfdn_arch.evaluation.measure import Sample, apply_metrics, measure, to_network, to_pixels
from lrfdn_arch.evaluation.metrics import challenge_metrics
from lrfdn_arch.evaluation.results import mean, read_results

FIXTURES = Path(__file__).parent.parent / "fixtures"
CPU = torch.device("cpu")


def as_tensor(image: Image) -> torch.Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy())[None]


@pytest.fixture(scope="module")
def set5(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the five released networks and the shipped one on Set5, from one command."""
    out = tmp_path_factory.mktemp("set5") / "results"
    data, reference = shared / "data/Set5", shared / "reference"
    arguments = ["--lr", str(data / "LR_bicubic/X4"), "--hr", str(data / "HR"), "--out", str(out)]
    models = [f"{name}={reference / file}" for name, file in RELEASED.items()]
    models.append("shipped=lrfdn_x4")
    options = [part for model in models for part in ("--model", model)]
    assert main(["challenge", *arguments, *options, "--no-fair-timing", "--device", "cpu"]) == 0
    return out


@pytest.mark.slow
def test_the_released_networks_reach_their_published_psnr_on_set5(set5: Path) -> None:
    *released, _ = read_results(set5).networks  # the shipped one's figures have their own test
    for network in released:
        found = {image.name: round(image.psnr_rgb or 0, 4) for image in network.images}
        assert found == set5_psnr(network.label)


@pytest.mark.slow
def test_one_page_compares_them_with_the_published_numbers(set5: Path, tmp_path: Path) -> None:
    assert main(["compare", str(set5), "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    with (tmp_path / "report/images.csv").open(newline="") as file:
        rows = {row["Image"]: row for row in csv.DictReader(file)}
    for name in RELEASED:
        assert name in page
        found = {image: round(float(row[f"{name} (dB)"]), 4) for image, row in rows.items()}
        assert found == set5_psnr(name)


@pytest.mark.slow
def test_luma_is_measured_beside_rgb_and_never_mixed_up_with_it(set5: Path) -> None:
    results = read_results(set5)
    by_label = {
        n.label: [mean(n.images, m) for m in ("psnr_y", "ssim_y")] for n in results.networks
    }
    assert by_label["LRFDN"] == [pytest.approx(31.985, abs=1e-3), pytest.approx(0.892, abs=5e-4)]
    assert by_label["RFDN"] == [pytest.approx(32.16, abs=1e-2), pytest.approx(0.895, abs=5e-4)]
    # What every paper prints for bicubic on Set5 x4.
    assert mean(results.bicubic, "psnr_y") == pytest.approx(28.42, abs=0.015)


@pytest.mark.slow
def test_results_say_which_weights_are_the_released_ones(set5: Path) -> None:
    networks = {network.label: network for network in read_results(set5).networks}
    assert networks.pop("shipped").weights.released is None
    assert list(networks) == list(RELEASED)
    assert networks["LRFDN"].weights.released == "NTIRE 2023 Efficient SR, team 30"
    for name, year in {"RFDN": 2023, "RLFN": 2024, "EFDN": 2025, "SPAN": 2026}.items():
        source = f"NTIRE {year} Efficient SR, baseline (team 00)"
        assert networks[name].weights.released == source
    ranges = {"LRFDN": 1.0, "RFDN": 255.0, "RLFN": 255.0, "EFDN": 1.0, "SPAN": 1.0}
    assert {name: network.data_range for name, network in networks.items()} == ranges


def test_the_text_has_the_kit_s_columns_and_the_factsheet_s_complexity(set5: Path) -> None:
    header, lrfdn, rfdn, *_ = (set5 / "results.txt").read_text().splitlines()
    names = [cell.strip() for cell in header.split("\t")]
    kit = "Model,Val PSNR,Val Time [ms],Params [M],FLOPs [G],Acts [M],Mem [M],Conv,Val SSIM"
    assert names == kit.split(",")
    for line, expected in (
        (lrfdn, ["LRFDN", "30.08", "0.198", "11.23", "86.18", "56"]),
        (rfdn, ["RFDN", "30.25", "0.433", "27.10", "112.03", "64"]),
    ):
        cells = dict(zip(names, (cell.strip() for cell in line.split("\t")), strict=True))
        kept = ["Model", "Val PSNR", "Params [M]", "FLOPs [G]", "Acts [M]", "Conv"]
        assert [cells[name] for name in kept] == expected
        assert float(cells["Val Time [ms]"]) > 0


def test_saved_images_are_what_was_measured(set5: Path) -> None:
    results = read_results(set5)
    for network in results.networks:
        for image in network.images:
            file = f"{image.name}.png"
            sr, hr = (cv2.imread(str(set5 / "images" / d / file)) for d in (network.label, "HR"))
            again = apply_metrics(image.name, sr, hr, challenge_metrics(4, ssim=False))
            assert again["psnr_rgb"] == pytest.approx(image.psnr_rgb, abs=1e-9)


def test_ssim_is_optional() -> None:
    image = smooth_image(32, 32, 0)
    metrics = challenge_metrics(4, ssim=False)
    assert list(apply_metrics("a", image, image[:, ::-1], metrics)) == ["psnr_rgb", "psnr_y"]
    assert len(challenge_metrics(4, ssim=True)) == 4


def test_images_go_to_the_network_s_range_and_come_back_clamped_and_rounded() -> None:
    image = smooth_image(6, 5, 1)
    for data_range in (1.0, 255.0):
        lq = to_network(as_tensor(image), data_range, CPU)
        assert np.array_equal(to_pixels(lq, data_range).numpy(), image)
    values = torch.tensor([-3.0, 0.4, 0.6, 1.5, 2.5, 254.6, 999.0]).view(1, 1, 1, 7)
    output = to_pixels(values.expand(1, 3, 1, 7), 255.0)  # halves to even, as numpy rounds
    assert output[0, :, 0].tolist() == [0, 0, 1, 2, 2, 255, 255]


def test_rfdn_is_fed_grey_levels_and_gives_what_the_0_to_1_network_gives(tmp_path: Path) -> None:
    torch.manual_seed(0)
    users = RFDN(num_feat=8, num_block=1, upscale=2).eval()
    torch.save(users.state_dict(), tmp_path / "rfdn.pth")
    kits = load_competitor(str(tmp_path / "rfdn.pth"))
    assert kits.data_range == 255
    image = smooth_image(20, 24, 3)
    made: list[Image] = []
    sample = Sample("a", as_tensor(image))
    (measured,) = measure(
        kits.network, [sample], data_range=255.0, save=lambda _, sr: made.append(sr)
    )
    with torch.inference_mode():
        expected = to_pixels(users(to_network(as_tensor(image), 1.0, CPU)), 1.0).numpy()
    assert measured.runtime_ms > 0
    (sr,) = made
    assert sr.shape == (40, 48, 3)
    assert np.abs(sr.astype(int) - expected.astype(int)).max() <= 1


def test_hr_is_cut_to_a_multiple_of_the_scale() -> None:
    image = smooth_image(23, 21, 0)
    assert np.array_equal(crop_to_multiple(image, 4), image[:20, :20])


def test_without_hr_there_are_images_and_runtime_and_no_psnr(tmp_path: Path) -> None:
    write_set(tmp_path, {"a": (40, 48)})
    model = str(write_weights(tmp_path)["LRFDN"])
    out = tmp_path / "out"
    command = ["challenge", "--lr", str(tmp_path / "Tiny_LR"), "--model", model, "--out", str(out)]
    assert main([*command, "--no-fair-timing"]) == 0
    results = read_results(out)
    (network,) = results.networks
    assert not results.dataset.has_ground_truth
    assert network.images[0].psnr_rgb is None
    assert network.kit_timing.mean_ms > 0
    assert (out / "images/LRFDN/a.png").is_file()
    assert (out / "results.txt").read_text().splitlines()[1].split("\t")[1].strip() == "-"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["challenge", "compare"])
def test_a_full_disk_is_one_line_whichever_file_it_stops(
    command: str,
    tmp_path: Path,
    mount_disk: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    sizes = {"a": (40, 48), "b": (64, 48)}
    data = str(write_set(tmp_path, sizes) / "Tiny_LR")
    model = str(write_weights(tmp_path)["LRFDN"])
    arguments = {
        "challenge": ["--lr", data, "--hr", str(tmp_path / "Tiny_HR"), "--model", model],
        "compare": [str(tmp_path / "whole")],
    }
    challenge = ["challenge", *arguments["challenge"], "--no-fair-timing", "--device", "cpu"]
    assert main([*challenge, "--out", str(tmp_path / "whole")]) == 0
    disk, stopped = mount_disk("size=1m"), set()
    room = (0, 8, 16, 24) if command == "challenge" else (0, 8, 32, 128, 256)
    for kib in room:
        (disk / "fill").write_bytes(bytes((1024 - 4 - kib) * 1024))
        out = disk / "out"
        given = [command, *arguments[command], "--out", str(out)]
        given += ["--no-fair-timing", "--device", "cpu"] if command == "challenge" else []
        capsys.readouterr()
        assert entry.run(main, given) == 2
        said = capsys.readouterr().err.splitlines()[-1]
        found = re.match(rf"error: cannot write {out}\S*?([^/]*): No space left on device", said)
        assert found, said
        stopped.add(found[1])
        assert not list(out.rglob("*.unfinished*"))
        shutil.rmtree(out, ignore_errors=True)
    assert len(stopped) >= 3, stopped
