"""Validation: against a slow definition of PSNR, with any sizes, types and numbers of images."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.evaluation.images import read_rgb
from lrfdn_arch.evaluation.measure import (
    averages,
    from_all_processes,
    measure,
    samples_of,
    save_under,
    through_network,
    validation_loader,
)
from lrfdn_arch.evaluation.metrics import basicsr_metrics
from lrfdn_arch.weights import load_network

PSNR = basicsr_metrics({"psnr": {"type": "calculate_psnr", "crop_border": 2, "better": "higher"}})


class Pairs(Dataset):
    """Images of different sizes, uint8 or float."""

    def __init__(self, count: int, dtype: torch.dtype = torch.uint8, channels: int = 3) -> None:
        generator = torch.Generator().manual_seed(0)
        self.items = []
        for number in range(count):
            size = (channels, 8 + number, 9 + 2 * number)
            lq = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
            gt = F.interpolate(lq[None].float(), scale_factor=2, mode="bilinear")[0].round()
            gt = (gt + torch.randint(-9, 9, gt.shape, generator=generator)).clamp(0, 255).byte()
            self.items.append((lq, gt))
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict:
        lq, gt = self.items[index]
        if self.dtype != torch.uint8:
            lq, gt = lq.float() / 255, gt.float() / 255
        return {"lq": lq, "gt": gt, "lq_path": f"folder/image.{index}.png"}


def double(lq: Tensor) -> Tensor:
    return F.interpolate(lq, scale_factor=2, mode="nearest")


def slow_psnr(lq: Tensor, gt: Tensor, border: int) -> float:
    sr = lq.numpy().repeat(2, axis=1).repeat(2, axis=2).astype(np.float64)
    error = (sr - gt.numpy())[:, border:-border, border:-border]
    return 10 * math.log10(255**2 / np.mean(error**2))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_every_image_and_the_average_are_right(dtype):
    pairs = Pairs(5, dtype)
    images = measure(double, samples_of(validation_loader(pairs)), PSNR)
    expected = [slow_psnr(lq, gt, 2) for lq, gt in pairs.items]
    assert [image.metrics["psnr"] for image in images] == pytest.approx(expected, abs=1e-9)
    assert averages(images) == {"psnr": pytest.approx(np.mean(expected), abs=1e-9)}
    assert images[3].name == "image.3"


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_processes_share_the_images_without_double_or_gap(world_size):
    loaders = [
        validation_loader(Pairs(5), rank=r, world_size=world_size) for r in range(world_size)
    ]
    names = [data["lq_path"][0] for loader in loaders for data in loader]
    assert sorted(names) == [f"folder/image.{i}.png" for i in range(5)]


def test_images_are_saved_as_they_were_measured(tmp_path):
    import cv2

    pairs = Pairs(2)
    save = save_under(tmp_path / "{name}", "7")
    measure(double, samples_of(validation_loader(pairs)), save=save)
    image = cv2.imread(str(tmp_path / "image.1" / "image.1_7.png"))
    assert image is not None
    expected = double(pairs.items[1][0][None].float())[0].byte().permute(1, 2, 0).numpy()
    assert np.array_equal(image[..., ::-1], expected)


def test_grey_images_work():
    pairs = Pairs(2, channels=1)
    images = measure(double, samples_of(validation_loader(pairs)), PSNR)
    assert images[0].metrics["psnr"] == pytest.approx(slow_psnr(*pairs.items[0], 2))


def test_nothing_to_validate_on_is_an_error():
    with pytest.raises(ValueError, match="no images to validate"):
        from_all_processes([])


def test_sizes_that_do_not_belong_together_are_named():
    with pytest.raises(
        ValueError, match=r"image image\.0: the network's output is 9x8x3 .* truth 18x16x3"
    ):
        measure(lambda lq: lq, samples_of(validation_loader(Pairs(1))), PSNR)


def test_metrics_need_a_ground_truth_where_they_compare_with_one(monkeypatch):
    data = [{"lq": torch.zeros(1, 3, 8, 8), "lq_path": ["a.png"]}]
    assert measure(double, samples_of(data))[0].metrics == {}
    with pytest.raises(ValueError, match="image a: psnr: this metric needs ground truth"):
        measure(double, samples_of(data), PSNR)
    registry = pytest.importorskip("basicsr.utils.registry").METRIC_REGISTRY
    monkeypatch.setitem(registry._obj_map, "brightness", lambda img: img.mean())
    metrics = basicsr_metrics({"brightness": {"type": "brightness"}})
    assert measure(double, samples_of(data), metrics)[0].metrics == {"brightness": 0}


def test_a_metric_that_fails_names_the_image(monkeypatch):
    def fails(img, img2):
        raise np.linalg.LinAlgError("SVD did not converge")

    registry = pytest.importorskip("basicsr.utils.registry").METRIC_REGISTRY
    monkeypatch.setitem(registry._obj_map, "niqe", fails)
    metrics = basicsr_metrics({"niqe": {"type": "niqe"}})
    with pytest.raises(ValueError, match=r"image image\.0: niqe: SVD did not converge"):
        measure(double, samples_of(validation_loader(Pairs(1))), metrics)


def test_an_output_that_is_not_finite_is_an_error_and_not_a_black_image():
    with pytest.raises(ValueError, match=r"image image\.0: the network's output is not finite"):
        measure(lambda lq: double(lq) * math.nan, samples_of(validation_loader(Pairs(1))), PSNR)


@pytest.mark.parametrize(
    ("network", "bound"),
    [(LRFDN, 1e-5), pytest.param(RFDN, 1e-5, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("tile", [64, 300])
def test_tiles_of_a_network_with_known_overlap_equal_the_whole(shared, network, bound, tile):
    file = {LRFDN: "team30_lrfdn.pth", RFDN: "team00_rfdn.pth"}[network]
    net = load_network(shared / "reference" / file).network
    image = read_rgb(shared / "data/Set5/HR/baby.png")[:330, :400].copy()
    lq = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        whole = through_network(net, scale=4)(lq)
        tiled = through_network(net, scale=4, tile_size=tile, tile_overlap=16)(lq)
    assert (tiled - whole).abs().max() < bound


def test_tiles_of_an_unknown_network_overlap_as_asked():
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(3, 3, 5, padding=2)  # sees 2 pixels to each side
    lq = torch.rand(2, 3, 90, 110)
    whole = through_network(convolution, scale=1)
    with torch.no_grad():
        tiled = through_network(convolution, scale=1, tile_size=48, tile_overlap=20)
        torch.testing.assert_close(tiled(lq), whole(lq))
        too_little = through_network(convolution, scale=1, tile_size=48, tile_overlap=2)
        assert not torch.allclose(too_little(lq), whole(lq))


def test_precision_is_float32_unless_asked_and_settings_are_restored():
    torch.manual_seed(0)
    convolution, lq = torch.nn.Conv2d(3, 3, 3), torch.rand(1, 3, 9, 9)
    before = torch.backends.cudnn.allow_tf32
    with torch.no_grad():
        exact = through_network(convolution, scale=1)(lq)
        short = through_network(convolution, scale=1, autocast=torch.bfloat16)(lq)
    assert torch.equal(exact, convolution(lq))
    assert short.dtype == torch.float32
    assert not torch.equal(short, exact)
    assert torch.backends.cudnn.allow_tf32 == before
