"""Exact folding: the same function with fewer operations.

Everything a network does between two convolutions that is linear goes into the convolutions:

- SRB's shortcut is +1 on the centre tap of its own channel.
- The channel weights and the hard sigmoid's 1/6 scale the rows of c5, its +3 adds to conv4's bias.
- The attention's conv1 (and RFDN's conv_f) follow c5 with nothing in between, so they can read what
  c5 reads, and c5 is free to be scaled.
- img_range multiplies the first convolution's weights and divides the last one's.
"""

import torch
from torch import Tensor, nn

from lrfdn_arch.archs import LRFDB, LRFDN, RFDB, RFDN
from lrfdn_arch.archs.distillation_network import FeatureDistillationNetwork
from lrfdn_arch.inference.fused_network import FusedConv, FusedLRFDB, FusedNetwork, FusedRFDB
from lrfdn_arch.inference.structure import check_as_built


def fuse(network: nn.Module) -> FusedNetwork:
    """Return a copy of ``network`` with all that can be folded folded; the network is untouched.

    The folding is done in float64, so the result differs from the network by float rounding alone.
    A fused network is returned as it is.

    Args:
        network: an LRFDN or RFDN on any device.

    Raises:
        ValueError: it is neither, or a module of it is not the one its class builds.
    """
    if isinstance(network, FusedNetwork):
        return network
    if type(network) not in (LRFDN, RFDN):
        raise ValueError(f"cannot fuse {type(network).__name__}: expected an LRFDN or an RFDN")
    assert isinstance(network, FeatureDistillationNetwork)
    check_as_built(network)
    is_lrfdn = isinstance(network, LRFDN)
    with torch.no_grad():
        blocks = [
            _fuse_block(network.get_submodule(f"B{i}")) for i in range(1, network.num_block + 1)
        ]
        fused = FusedNetwork(
            type(network).__name__,
            _fuse_frame(network, "gelu" if is_lrfdn else "leaky_relu"),
            blocks,
            network.upscale,
        )
    return fused


def _fuse_frame(network: FeatureDistillationNetwork, activation: str) -> dict[str, FusedConv]:
    fea_conv, c, to_pixels = network.fea_conv, network.c[0], network.upsampler[0]
    range_ = torch.tensor(network.img_range, dtype=torch.float64, device=_exact(c)[0].device)
    return {
        "fea_conv": _conv(_scaled_input(fea_conv, range_)),
        "c": _conv(_exact(c), activation),
        "LR_conv": _conv(_exact(network.LR_conv)),
        "upsampler": _conv(_scaled_output(to_pixels, 1 / range_)),
    }


def _fuse_block(block: nn.Module) -> nn.Module:
    if isinstance(block, LRFDB):
        return _fuse_lrfdb(block)
    assert isinstance(block, RFDB), "as built"
    return _fuse_rfdb(block)


def _fuse_lrfdb(block: LRFDB) -> FusedLRFDB:
    esa = block.esa
    low, dilated = esa.conv_max[0], esa.conv3[0]
    conv4_weight, conv4_bias = _exact(esa.conv4)
    convs = {
        "c1_d": _conv(_exact(block.c1_d), "gelu"),
        "c1_r": _conv(_with_shortcut(block.c1_r), "gelu"),
        "c2_d": _conv(_exact(block.c2_d), "gelu"),
        "c2_r": _conv(_with_shortcut(block.c2_r), "gelu"),
        "c3_d": _conv(_exact(block.c3_d), "gelu"),
        "c3_r": _conv(_with_shortcut(block.c3_r), "gelu"),
        "c4": _conv(_exact(block.c4), "gelu"),
        "c5": _conv(_scaled_output(block.c5, block.cw.flatten().double() / 6)),
        "conv1": _conv(_one_by_ones(block.c5, esa.conv1)),
        "conv2": _conv(_exact(esa.conv2), stride=2, padding=0),
        "conv_max": _conv(_exact(low), "leaky_relu"),
        "conv3": _conv(_exact(dilated), "leaky_relu", padding=2, dilation=2),
        "conv4": _conv((conv4_weight, conv4_bias + 3), "relu6"),
    }
    return FusedLRFDB(convs, block.block_shortcut)


def _fuse_rfdb(block: RFDB) -> FusedRFDB:
    esa = block.esa
    return FusedRFDB(
        {
            "c1_d": _conv(_exact(block.c1_d), "leaky_relu"),
            "c1_r": _conv(_with_shortcut(block.c1_r), "leaky_relu"),
            "c2_d": _conv(_exact(block.c2_d), "leaky_relu"),
            "c2_r": _conv(_with_shortcut(block.c2_r), "leaky_relu"),
            "c3_d": _conv(_exact(block.c3_d), "leaky_relu"),
            "c3_r": _conv(_with_shortcut(block.c3_r), "leaky_relu"),
            "c4": _conv(_exact(block.c4), "leaky_relu"),
            "c5": _conv(_exact(block.c5)),
            "conv1": _conv(_one_by_ones(block.c5, esa.conv1)),
            "conv_f": _conv(_one_by_ones(block.c5, esa.conv1, esa.conv_f)),
            "conv2": _conv(_exact(esa.conv2), stride=2, padding=0),
            "conv_max": _conv(_exact(esa.conv_max), "relu"),
            "conv3": _conv(_exact(esa.conv3), "relu"),
            "conv3_": _conv(_exact(esa.conv3_)),
            "conv4": _conv(_exact(esa.conv4), "sigmoid"),
        }
    )


Folded = tuple[Tensor, Tensor]  # weight and bias, float64


def _exact(conv: nn.Module) -> Folded:
    assert isinstance(conv, nn.Conv2d), "as built"
    assert conv.bias is not None, "as built"
    return conv.weight.double(), conv.bias.double()


def _with_shortcut(conv: nn.Module) -> Folded:
    """``conv3x3(x) + x`` as one convolution."""
    weight, bias = _exact(conv)
    weight = weight.clone()
    weight[range(len(weight)), range(len(weight)), 1, 1] += 1
    return weight, bias


def _scaled_input(conv: nn.Module, factor: Tensor) -> Folded:
    weight, bias = _exact(conv)
    return weight * factor, bias


def _scaled_output(conv: nn.Module, factor: Tensor) -> Folded:
    """Scale each output channel; ``factor`` has one value, or one per channel."""
    weight, bias = _exact(conv)
    return weight * factor.view(-1, 1, 1, 1), bias * factor


def _one_by_ones(first: nn.Module, *others: nn.Module) -> Folded:
    """1x1 convolutions that follow each other, as one."""
    weight, bias = _exact(first)
    for conv in others:
        matrix, offset = _exact(conv)
        weight = torch.einsum("oi,icyx->ocyx", matrix[:, :, 0, 0], weight)
        bias = matrix[:, :, 0, 0] @ bias + offset
    return weight, bias


def _conv(
    folded: Folded,
    activation: str = "none",
    *,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
) -> FusedConv:
    weight, bias = folded[0].float(), folded[1].float()
    return FusedConv(weight, bias, activation, stride=stride, padding=padding, dilation=dilation)
