"""The weights that come with the package give the figures of their model card."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open

from lrfdn_arch.archs import LRFDN
from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.evaluation.metrics import psnr_rgb, psnr_y, ssim_rgb, ssim_y
from lrfdn_arch.inference.onnx_runtime import OnnxRuntime
from lrfdn_arch.prepare.image_folders import find_photos
from lrfdn_arch.weights import find_weights, load_network

SET5 = ("baby", "bird", "butterfly", "head", "woman")


SCALES = {"lrfdn_x2": 2, "lrfdn_x3": 3, "lrfdn_x4": 4}


def card(weights: str) -> Path:
    return find_weights(weights).with_suffix(".md")


def figures(weights: str, image: str) -> list[float]:
    """PSNR and SSIM on RGB, PSNR and SSIM on Y, as the model card's table has them."""
    rows = [line.strip("| \n").split("|") for line in card(weights).read_text().splitlines()]
    found = [row[1:] for row in rows if row[0].strip() == image]
    assert len(found) == 1, f"the card of {weights} has {len(found)} rows {image!r}"
    return [float(cell.replace("*", "")) for cell in found[0]]


def read(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def measured(weights: str, lq: NDArray[np.uint8], gt: NDArray[np.uint8]) -> list[float]:
    network = load_network(find_weights(weights)).network
    image = torch.from_numpy(lq.copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        output = network(image)[0]
    sr = output.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    gt = gt[: sr.shape[0], : sr.shape[1]]
    return [metric(sr, gt, SCALES[weights]) for metric in (psnr_rgb, ssim_rgb, psnr_y, ssim_y)]


def close(found: list[float], expected: list[float]) -> bool:
    allowed = (0.0051, 0.00011, 0.0051, 0.00011)  # the card's digits, and rounding's last bit
    return all(abs(f - e) <= a for f, e, a in zip(found, expected, allowed, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("weights", SCALES)
@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_photographs_give_the_cards_figures(weights: str, name: str) -> None:
    gt, scale = read(find_photos("valid")[name]), SCALES[weights]
    gt = gt[: gt.shape[0] // scale * scale, : gt.shape[1] // scale * scale]
    found = measured(weights, imresize(gt, 1 / scale), gt)
    assert close(found, figures(weights, name)), found


@pytest.mark.slow
@pytest.mark.parametrize("weights", SCALES)
def test_set5_gives_the_cards_figures(shared: Path, weights: str) -> None:
    folder, scale = shared / "data" / "Set5", SCALES[weights]
    found = {
        name: measured(
            weights,
            read(folder / "LR_bicubic" / f"X{scale}" / f"{name}x{scale}.png"),
            read(folder / "HR" / f"{name}.png"),
        )
        for name in SET5
    }
    for name, values in found.items():
        assert close(values, figures(weights, name)), (name, values)
    means = np.mean(list(found.values()), axis=0).tolist()
    assert close(means, figures(weights, "Set5")), means


@pytest.mark.parametrize("weights", SCALES)
def test_the_file_is_small_and_says_what_it_is(weights: str) -> None:
    path, scale = find_weights(weights), SCALES[weights]
    assert path.stat().st_size < 1_000_000
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert (metadata["architecture"], metadata["scale"]) == ("LRFDN", str(scale))
    assert "BSDS200" in metadata["licence"]
    assert f'--licence "{metadata["licence"]}"' in card(weights).read_text(), (
        "the card remakes the file"
    )
    network = load_network(path).network
    assert isinstance(network, LRFDN)
    assert network.img_range == 1.0
    parameters = {2: 177_260, 3: 185_915, 4: 198_032}
    assert sum(p.numel() for p in network.parameters()) == parameters[scale]


@pytest.mark.slow
@pytest.mark.parametrize("weights", SCALES)
def test_the_stored_graph_computes_what_the_weights_do(weights: str) -> None:
    path = find_weights(weights)
    lq = np.random.default_rng(0).random((1, 3, 33, 40), dtype=np.float32)
    network = load_network(path).network
    runtime = OnnxRuntime(path.with_suffix(".onnx"))
    with torch.inference_mode():
        expected = network(torch.from_numpy(lq)).numpy()
    difference = np.abs(runtime(lq) - expected).max()
    assert difference < 5e-5, (
        f"{difference}: after a change of the weights, write the graph again: "
        f"lrfdn export onnx --weights {path} --out {path.with_suffix('.onnx')} --overwrite"
    )
