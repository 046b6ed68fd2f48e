"""Validation: against a slow definition of PSNR, with any sizes, types and numbers of images."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from lrfdn_arch.evaluation.measure import save_under, validate, validation_loader
from lrfdn_arch.evaluation.validation_tiling import upscale_in_tiles
from lrfdn_arch.evaluation.validation_upscaler import upscaler

PSNR = {"psnr": {"type": "calculate_psnr", "crop_border": 2, "better": "higher"}}


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
    result = validate(double, validation_loader(pairs), PSNR)
    expected = [slow_psnr(lq, gt, 2) for lq, gt in pairs.items]
    assert [image.metrics["psnr"] for image in result.images] == pytest.approx(expected, abs=1e-9)
    assert result.averages == {"psnr": pytest.approx(np.mean(expected), abs=1e-9)}
    assert result.images[3].name == "image.3"


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
    validate(double, validation_loader(pairs), save=save_under(tmp_path / "{name}", "7"))
    image = cv2.imread(str(tmp_path / "image.1" / "image.1_7.png"))
    assert image is not None
    expected = double(pairs.items[1][0][None].float())[0].byte().permute(1, 2, 0).numpy()
    assert np.array_equal(image[..., ::-1], expected)


def test_grey_images_work():
    pairs = Pairs(2, channels=1)
    result = validate(double, validation_loader(pairs), PSNR)
    assert result.images[0].metrics["psnr"] == pytest.approx(slow_psnr(*pairs.items[0], 2))


def test_nothing_to_validate_on_is_an_error():
    with pytest.raises(ValueError, match="no image to validate"):
        validate(double, [], PSNR)


def test_sizes_that_do_not_belong_together_are_named():
    with pytest.raises(ValueError, match=r"image image\.0: the network made 9x8x3 .* has 18x16x3"):
        validate(lambda lq: lq, validation_loader(Pairs(1)), PSNR)


def test_metrics_need_a_ground_truth():
    data = [{"lq": torch.zeros(1, 3, 8, 8), "lq_path": ["a.png"]}]
    assert validate(double, data).averages == {}
    with pytest.raises(ValueError, match="image a has no ground truth"):
        validate(double, data, PSNR)


@pytest.mark.parametrize(("tile", "overlap"), [(7, 0), (8, 4), (12, 6), (64, 4)])
@pytest.mark.parametrize("size", [(5, 9), (20, 31), (8, 8)])
def test_tiles_of_a_network_without_context_equal_the_whole(tile, overlap, size):
    lq = torch.rand(1, 3, *size)
    tiled = upscale_in_tiles(double, lq, scale=2, tile_size=tile, overlap=overlap)
    assert torch.equal(tiled, double(lq))


def test_tiles_with_enough_overlap_equal_the_whole():
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(3, 3, 5, padding=2)  # sees 2 pixels to each side
    lq = torch.rand(1, 3, 23, 30)
    whole = upscaler(convolution, scale=1)
    tiled = upscaler(convolution, scale=1, tile_size=9, tile_overlap=4)
    with torch.no_grad():
        torch.testing.assert_close(tiled(lq), whole(lq))
        too_little = upscaler(convolution, scale=1, tile_size=9, tile_overlap=2)
        assert not torch.allclose(too_little(lq), whole(lq))


def test_precision_is_float32_unless_asked_and_settings_are_restored():
    torch.manual_seed(0)
    convolution, lq = torch.nn.Conv2d(3, 3, 3), torch.rand(1, 3, 9, 9)
    before = torch.backends.cudnn.allow_tf32
    with torch.no_grad():
        exact = upscaler(convolution, scale=1)(lq)
        short = upscaler(convolution, scale=1, autocast=torch.bfloat16)(lq)
    assert torch.equal(exact, convolution(lq))
    assert short.dtype == torch.float32
    assert not torch.equal(short, exact)
    assert torch.backends.cudnn.allow_tf32 == before
