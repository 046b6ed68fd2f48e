"""Folding a network into its deployed form, after checking that it is as its class builds it."""

import torch
from torch import nn

from lrfdn_arch.archs.architecture import Architecture
from lrfdn_arch.archs.fused import FusedNetwork
from lrfdn_arch.archs.lookup import architecture_of


def can_fuse(network: nn.Module) -> bool:
    """Return whether the class of ``network`` has a fused form, or ``network`` is already fused."""
    architecture = architecture_of(network)
    return isinstance(network, FusedNetwork) or bool(architecture and architecture.fuse)


def fuse(network: nn.Module) -> FusedNetwork:
    """Return a fused copy of ``network``; an already fused network is returned unchanged.

    The outputs of the two differ only by floating-point rounding.

    Raises:
        ValueError: its class has no fused form, or a module differs from what its class builds.
    """
    if isinstance(network, FusedNetwork):
        return network
    architecture = architecture_of(network)
    if architecture is None or architecture.fuse is None:
        raise ValueError(f"cannot fuse {type(network).__name__}: it has no fused form")
    _check_structure(network, architecture)
    with torch.no_grad():
        fused = architecture.fuse(network).eval()
    assert isinstance(fused, FusedNetwork), "by the record's contract"
    fused.overlap = architecture.overlap
    return fused


def _check_structure(network: nn.Module, architecture: Architecture) -> None:
    """Compare ``network``, module by module, with a new one of its class and arguments.

    Classes, settings (kernel, stride, padding and its mode, ...) and the parameters' names and
    shapes must be equal, and no hook or replaced forward may change what a module computes.
    """
    with torch.device("meta"):  # its shapes are enough
        built = architecture.build(architecture.arguments_of(network))
    expected, found = (dict(m.named_modules(remove_duplicate=False)) for m in (built, network))
    for name in {**found, **expected}:
        if name not in expected:
            raise _refusal(name, f"{architecture.name} has no such module")
        if name not in found:
            raise _refusal(name, "it is missing")
        _check_module(name or architecture.name, found[name], expected[name])


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
