"""Both networks as torch modules: sizes, scales, gradients, arguments."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lrfdn_arch.archs import EFSA, ESA, LRFDB, LRFDN, RFDB, RFDN, SRB

NETWORKS = [LRFDN, RFDN]
BLOCKS = [SRB, EFSA, ESA, LRFDB, RFDB]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("upscale", [1, 2, 3, 4, 5])
def test_any_whole_scale_gives_that_size(network: type[LRFDN | RFDN], upscale: int) -> None:
    net = network(num_feat=8, num_block=1, upscale=upscale)
    assert net(torch.rand(2, 3, 17, 20)).shape == (2, 3, 17 * upscale, 20 * upscale)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (14, 14), (3, 15), (15, 2)])
@torch.inference_mode()
def test_small_images_are_padded_by_replication_and_cropped(
    network: type[LRFDN | RFDN], size: tuple[int, int]
) -> None:
    net = network(num_feat=8, num_block=2, upscale=3).eval()
    h, w = size
    lq = torch.rand(1, 3, h, w)
    padded = F.pad(lq, (0, max(0, 15 - w), 0, max(0, 15 - h)), mode="replicate")
    expected = net(padded)[..., : 3 * h, : 3 * w]
    torch.testing.assert_close(net(lq), expected, rtol=0, atol=0)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("size", [(1, 1), (9, 30), (15, 15), (16, 33)])
def test_blocks_keep_the_shape_at_any_size(block: type[nn.Module], size: tuple[int, int]) -> None:
    x = torch.rand(2, 16, *size)
    assert block(16)(x).shape == x.shape


@pytest.mark.parametrize("network", NETWORKS)
def test_every_parameter_gets_a_gradient(network: type[LRFDN | RFDN]) -> None:
    torch.manual_seed(0)
    net = network(num_feat=16, num_block=2, upscale=2)
    net(torch.rand(2, 3, 24, 24)).square().mean().backward()
    without = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_the_block_shortcut_adds_each_block_s_input() -> None:
    x = torch.rand(1, 8, 16, 16)
    plain, shortcut = LRFDB(8), LRFDB(8, block_shortcut=True)
    shortcut.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(shortcut(x), plain(x) + x)


@pytest.mark.parametrize("network", NETWORKS)
def test_img_range_scales_the_input_and_the_output(network: type[LRFDN | RFDN]) -> None:
    plain = network(num_feat=8, num_block=1, img_range=1.0)
    ranged = network(num_feat=8, num_block=1, img_range=255.0)
    ranged.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(ranged(x), plain(x * 255) / 255)
        assert not torch.allclose(ranged(x), plain(x))


@pytest.mark.parametrize("network", NETWORKS)
def test_channels_in_and_out_are_honest(network: type[LRFDN | RFDN]) -> None:
    net = network(num_in_ch=1, num_out_ch=2, num_feat=8, num_block=1, upscale=2)
    assert net(torch.rand(1, 1, 16, 16)).shape == (1, 2, 32, 32)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LRFDN(num_feat=12), "divisible by 8, got 12"),
        (lambda: LRFDN(num_feat=0), "divisible by 8, got 0"),
        (lambda: LRFDN(num_block=0), "LRFDN needs num_block of at least 1"),
        (lambda: LRFDN(upscale=0), "LRFDN needs upscale of at least 1, got 0"),
        (lambda: RFDN(img_range=0), "RFDN needs img_range above 0, got 0"),
        (lambda: RFDN(num_feat=7), "even num_feat of at least 4, got 7"),
        (lambda: EFSA(6), "divisible by 4, got 6"),
        (lambda: ESA(3), "at least 4, got 3"),
    ],
)
def test_impossible_arguments_are_refused(build: "type[nn.Module]", message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
