"""Initial weights that interpolate bilinearly, against `F.interpolate`."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs import ARCHITECTURES
from lrfdn_arch.archs.network import bilinear_taps, start_bilinear

STARTING = [n for n, a in ARCHITECTURES.items() if hasattr(a.network, "start_bilinear")]


def smooth_image() -> Tensor:
    torch.manual_seed(1)
    return F.interpolate(torch.rand(1, 3, 8, 8), size=(24, 24), mode="bicubic").clamp(0, 1)


def inside(enlarged: Tensor, scale: int) -> Tensor:
    """Without the outermost pixels, where the convolutions see zeros."""
    return enlarged[..., scale:-scale, scale:-scale]


def bilinear(image: Tensor, scale: int) -> Tensor:
    return F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 5])
def test_taps_are_bilinear_interpolation(scale):
    image = torch.rand(1, 1, 9, 7, dtype=torch.float64)
    made = F.pixel_shuffle(
        F.conv2d(image, bilinear_taps(scale)[:, None].double(), padding=1), scale
    )
    torch.testing.assert_close(
        inside(made, scale), inside(bilinear(image, scale), scale), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("name", STARTING)
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("img_range", [1.0, 255.0])
def test_an_untrained_network_interpolates(name, scale, img_range):
    torch.manual_seed(0)
    network: Any = ARCHITECTURES[name].build({"upscale": scale, "img_range": img_range})
    image = smooth_image()
    expected = inside(bilinear(image, scale), scale)
    with torch.no_grad():
        random = inside(network(image), scale) - expected
        network.start_bilinear()
        error = inside(network(image), scale) - expected
    assert float(random.pow(2).mean().sqrt()) > 0.1
    assert float(error.pow(2).mean().sqrt()) < 0.03


@pytest.mark.parametrize(
    ("name", "last", "to_pixels"),
    [
        ("LRFDN", "LR_conv", "upsampler.0"),
        ("RFDN", "LR_conv", "upsampler.0"),
        ("RLFN", "conv_2", "upsampler.0"),
        ("EFDN", "local_fuse.2", "tail.0"),
    ],
)
def test_without_the_scaled_rest_it_interpolates_exactly(name, last, to_pixels):
    assert name in STARTING
    torch.manual_seed(0)
    network: Any = ARCHITECTURES[name].build({"upscale": 3})
    network.start_bilinear()
    with torch.no_grad():
        network.get_parameter(f"{to_pixels}.weight")[:, 3:] = 0
        network.get_parameter(f"{last}.weight")[:3] = 0
        network.get_parameter(f"{last}.bias")[:3] = 0
        made = network(smooth_image())
    torch.testing.assert_close(
        inside(made, 3), inside(bilinear(smooth_image(), 3), 3), atol=2e-6, rtol=0
    )


def test_channels_that_do_not_match_are_refused():
    first, skipped = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)
    with pytest.raises(ValueError, match="as many output channels as input channels"):
        start_bilinear(first, skipped, nn.Conv2d(8, 3 * 4, 3))
    with pytest.raises(ValueError, match="2 features"):
        start_bilinear(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 12, 3))
