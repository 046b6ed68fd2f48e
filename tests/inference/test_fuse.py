"""Fusion changes nothing but the number of operations."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from repository import RELEASED
from small_networks import FUSED, photo, released, small
from torch import nn
from torch.nn.utils.prune import random_unstructured

from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.archs.fused import FusedConv, FusedNetwork
from lrfdn_arch.archs.lrfdn_arch import FusedLRFDB
from lrfdn_arch.archs.rfdn_arch import FusedRFDB
from lrfdn_arch.inference.fuse import fuse
from lrfdn_arch.inference.torch_runtime import onednn_works, with_onednn
from lrfdn_arch.weights import find_weights, load_network

VARIANTS = [
    ("LRFDN", {}),
    ("LRFDN", {"block_shortcut": True}),
    ("LRFDN", {"upscale": 3, "num_feat": 16, "num_block": 1, "img_range": 255}),
    ("LRFDN", {"num_in_ch": 1, "num_out_ch": 1}),
    ("RFDN", {}),
    ("RFDN", {"img_range": 1, "num_feat": 50, "num_block": 1}),
    ("RLFN", {}),
    ("RLFN", {"num_feat": 10, "mid_channels": 6, "esa_channels": 3, "upscale": 3}),
    ("EFDN", {}),
    ("EFDN", {"num_feat": 10, "img_range": 255, "upscale": 1}),
    ("SPAN", {"img_range": 1}),
    ("SPAN", {"num_block": 3, "num_in_ch": 1, "num_out_ch": 1, "upscale": 3, "img_range": 2}),
    ("MAFFSRN", {}),
    ("MAFFSRN", {"num_in_ch": 1, "num_out_ch": 1, "upscale": 3, "img_range": 255}),
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
@pytest.mark.parametrize("name", RELEASED)
@pytest.mark.parametrize("image", ["bird", "butterfly", "woman"])
def test_released_weights_agree_to_1e_5_on_photographs(shared: Path, name: str, image: str) -> None:
    network, lq = released(shared, name), photo(shared, image)
    expected, fused = network(lq), fuse(network)
    assert (fused(lq) - expected).abs().max() < 1e-5
    faster = with_onednn(fused)(lq.contiguous(memory_format=torch.channels_last))
    assert (faster - expected).abs().max() < 1e-5


def in_half(x: torch.Tensor) -> torch.Tensor:
    """As programs for GPUs keep numbers: float16, smaller ones than it holds in full as 0."""
    return torch.where(x.abs() < 2**-14, 0, x.half().float())


@torch.no_grad()
@pytest.mark.parametrize("weights", ["lrfdn_x2", "lrfdn_x3", "lrfdn_x4", *RELEASED])
def test_float16_holds_the_weights_and_features(
    request: pytest.FixtureRequest, weights: str
) -> None:
    if weights in RELEASED:
        network = released(request.getfixturevalue("shared"), weights)
    else:
        network = load_network(find_weights(weights)).network
    fused = fuse(network)
    features = 0.0

    def keep(conv: nn.Module, inputs: object, out: torch.Tensor) -> torch.Tensor:
        nonlocal features
        features = max(features, float(out.abs().max()))
        return in_half(out)

    for module in fused.modules():
        if isinstance(module, FusedConv):
            module.weight.data = in_half(module.weight)
            module.register_forward_hook(keep)
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    smooth = F.avg_pool2d(noise, 9, stride=1)
    error = (fused(smooth) - network(smooth)).abs().max()
    assert error < 1 / 255, f"{error * 255:.2f} grey levels"
    assert torch.isfinite(fused(noise)).all()
    assert features < 2**15, "half of what float16 holds"


@torch.no_grad()
@pytest.mark.parametrize(("name", "fused"), [("LRFDN", FusedLRFDB), ("RFDN", FusedRFDB)])
def test_every_fused_block_equals_its_block(name: str, fused: type[nn.Module]) -> None:
    x = torch.randn(1, 8, 24, 27)
    for block in small(name).blocks("B"):
        torch.testing.assert_close(fused(block)(x), block(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FUSED)
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
    with pytest.raises(ValueError, match="cannot fuse Conv2d: it has no fused form"):
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


def changed(network: nn.Module, name: str, **settings: object) -> None:
    for setting, value in settings.items():
        setattr(network.get_submodule(name), setting, value)


def reflecting(network: nn.Module) -> None:
    network.LR_conv = nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")


def normed(network: nn.Module) -> None:
    nn.utils.parametrizations.weight_norm(network.get_submodule("c.0"))


def pruned(network: nn.Module) -> None:
    random_unstructured(network.get_submodule("fea_conv"), "weight", amount=0.5)


CHANGES = [
    (reflecting, "LR_conv: expected padding_mode zeros, found reflect"),
    (partial(changed, name="fea_conv", padding_mode="reflect"), "fea_conv: expected padding_mode"),
    (partial(changed, name="B1.c4", dilation=(2, 2), padding=(2, 2)), "B1.c4: expected padding"),
    (partial(changed, name="B2.esa.conv2", stride=(1, 1)), "B2.esa.conv2: expected stride"),
    (partial(changed, name="c.0", groups=2), "c.0: expected groups 1, found 2"),
    (partial(changed, name="B1.c5", bias=None), "B1.c5: expected the parameters"),
    (partial(changed, name="upsampler.1", upscale_factor=1), "upsampler.1: expected upscale_fac"),
    (partial(changed, name="B1.esa", forward=torch.tanh), "B1.esa: its forward is replaced"),
    (partial(changed, name="c.1", more=nn.ReLU()), "c.1.more: LRFDN has no such module"),
    (lambda n: delattr(n.get_submodule("B1.esa"), "conv4"), "B1.esa.conv4: it is missing"),
    (lambda n: setattr(n, "fea_conv", nn.Identity()), "fea_conv: expected Conv2d, found Identity"),
    (lambda n: setattr(n.c, "1", nn.Tanh()), "c.1: expected GELU, found Tanh"),
    (lambda n: n.B2.c4.register_forward_hook(print), "B2.c4: it has a forward hook"),
    (lambda n: n.register_forward_pre_hook(print), "LRFDN: it has a forward hook"),
    (normed, "c.0: expected Conv2d, found ParametrizedConv2d"),
    (pruned, "fea_conv: expected the parameters"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_changed_module_is_refused_by_name(
    change: Callable[[nn.Module], object], message: str
) -> None:
    network = small("LRFDN")
    change(network)
    with pytest.raises(ValueError, match=f"cannot fuse {re.escape(message)}"):
        fuse(network)


def test_rfdn_with_another_slope_is_refused() -> None:
    network = small("RFDN")
    changed(network, "B1.act", negative_slope=0.2)
    with pytest.raises(ValueError, match=r"B1\.act: expected negative_slope 0\.05, found 0\.2"):
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
