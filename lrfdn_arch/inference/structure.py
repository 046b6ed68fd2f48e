"""Whether a network is what its class builds: what folding relies on."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lrfdn_arch.archs.distillation_network import FeatureDistillationNetwork


def check_as_built(network: FeatureDistillationNetwork) -> None:
    """Compare ``network``, module by module, with a new one of its class and arguments.

    Classes, settings (kernel, stride, padding and its mode, ...) and the parameters' names and
    shapes must be equal, and nothing may step in between a module and its caller.

    Raises:
        ValueError: a module differs; the message names it.
    """
    found = dict(network.named_modules(remove_duplicate=False))
    expected = dict(_built_like(network, found).named_modules(remove_duplicate=False))
    for name, module in found.items():
        if name not in expected:
            raise _refusal(name, f"{type(network).__name__} has no such module")
        _check_module(name or type(network).__name__, module, expected[name])
    for name in expected:
        if name not in found:
            raise _refusal(name, "it is missing")


def _built_like(network: FeatureDistillationNetwork, modules: Mapping[str, nn.Module]) -> nn.Module:
    first, last = (_convolution(name, modules) for name in ("fea_conv", "upsampler.0"))
    arguments: dict[str, Any] = {
        "num_in_ch": first.in_channels,
        "num_out_ch": last.out_channels // network.upscale**2,
        "num_feat": first.out_channels,
        "num_block": network.num_block,
        "upscale": network.upscale,
        "img_range": network.img_range,
    }
    if getattr(modules.get("B1"), "block_shortcut", False):
        arguments["block_shortcut"] = True
    with torch.device("meta"):  # its shapes are enough
        return type(network)(**arguments)


def _convolution(name: str, modules: Mapping[str, nn.Module]) -> nn.Conv2d:
    conv = modules.get(name)
    if not isinstance(conv, nn.Conv2d):
        raise _refusal(name, f"expected Conv2d, found {type(conv).__name__}")
    return conv


def _check_module(name: str, found: nn.Module, expected: nn.Module) -> None:
    if type(found) is not type(expected):
        raise _refusal(name, f"expected {type(expected).__name__}, found {type(found).__name__}")
    for setting, value in vars(expected).items():
        if setting.startswith("_") or setting == "training":
            continue
        other = getattr(found, setting, None)
        if other != value:
            raise _refusal(name, f"expected {setting} {value}, found {other}")
    shapes, wanted = _shapes(found), _shapes(expected)
    if shapes != wanted:
        raise _refusal(name, f"expected the parameters {wanted}, found {shapes}")
    if found._forward_hooks or found._forward_pre_hooks:
        raise _refusal(name, "it has a forward hook")
    if "forward" in vars(found):
        raise _refusal(name, "its forward is replaced")


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    named = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return {name: tuple(tensor.shape) for name, tensor in named}


def _refusal(name: str, reason: str) -> ValueError:
    return ValueError(f"cannot fuse {name}: {reason}")
