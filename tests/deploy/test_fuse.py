"""Fusion changes nothing but the number of operations."""

from pathlib import Path

import pytest
import torch
from torch import nn

from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.deploy import FusedNetwork, fuse
from lrfdn_arch.deploy.onednn import onednn_works, with_onednn

from .conftest import photo, released, small

VARIANTS = [
    ("LRFDN", {}),
    ("LRFDN", {"block_shortcut": True}),
    ("LRFDN", {"upscale": 3, "num_feat": 16, "num_block": 1, "img_range": 255}),
    ("LRFDN", {"num_in_ch": 1, "num_out_ch": 1}),
    ("RFDN", {}),
    ("RFDN", {"img_range": 1, "num_feat": 50, "num_block": 1}),
]


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), VARIANTS)
@pytest.mark.parametrize("size", [(1, 1), (15, 15), (9, 31), (33, 20)])
def test_fused_equals_unfused(name: str, options: dict[str, int], size: tuple[int, int]) -> None:
    network = small(name, **options)
    lq = torch.rand(2, options.get("num_in_ch", 3), *size)
    expected, found = network(lq), fuse(network)(lq)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["LRFDN", "RFDN"])
@pytest.mark.parametrize("image", ["bird", "butterfly", "woman"])
def test_released_weights_agree_to_1e_5_on_photographs(shared: Path, name: str, image: str) -> None:
    network, lq = released(shared, name), photo(shared, image)
    expected, fused = network(lq), fuse(network)
    assert (fused(lq) - expected).abs().max() < 1e-5
    faster = with_onednn(fused)(lq.contiguous(memory_format=torch.channels_last))
    assert (faster - expected).abs().max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("name", ["LRFDN", "RFDN"])
def test_every_fused_block_equals_its_block(name: str) -> None:
    network = small(name)
    x = torch.randn(1, 8, 24, 27)
    for number, block in enumerate(fuse(network).blocks, start=1):
        expected = network.get_submodule(f"B{number}")(x)
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["LRFDN", "RFDN"])
def test_the_original_is_untouched_and_shares_nothing(name: str) -> None:
    network = small(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fused = fuse(network)
    for parameter in fused.parameters():
        parameter.zero_()
    assert not [k for k, v in network.state_dict().items() if not torch.equal(v, before[k])]
    assert all(p.requires_grad for p in network.parameters())
    assert not any(p.requires_grad for p in fused.parameters())


def test_fusing_twice_is_fusing_once() -> None:
    fused = fuse(small("LRFDN"))
    assert fuse(fused) is fused


def test_strangers_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="cannot fuse Conv2d: expected an LRFDN or an RFDN"):
        fuse(nn.Conv2d(3, 3, 3))

    class Derived(LRFDN):
        pass

    with pytest.raises(ValueError, match="cannot fuse Derived"):
        fuse(Derived(num_feat=8, num_block=1))


def test_a_changed_block_is_refused_by_name() -> None:
    network = small("LRFDN")
    network.B2 = small("RFDN").get_submodule("B1")
    with pytest.raises(ValueError, match="cannot fuse B2: expected LRFDB, found RFDB"):
        fuse(network)


def test_a_changed_convolution_is_refused() -> None:
    network = small("LRFDN")
    network.get_submodule("B1").c4 = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    with pytest.raises(ValueError, match="expected an ungrouped convolution with bias"):
        fuse(network)


def test_a_fused_network_has_fewer_parameters_to_read_and_no_channel_weights() -> None:
    names = fuse(LRFDN()).state_dict()
    assert not [name for name in names if name.endswith("cw")]
    assert isinstance(fuse(RFDN()), FusedNetwork)


def test_onednn_is_used_where_there_is_avx2() -> None:
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX"):
        pytest.skip("no AVX2 here")
    assert onednn_works()
    network = fuse(small("LRFDN"))
    assert type(with_onednn(network).fea_conv).__name__ == "OneDnnConv"
    assert type(network.fea_conv).__name__ == "FusedConv", "the argument is not changed"
