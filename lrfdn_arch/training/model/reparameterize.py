"""Convolutions trained as sums of branches and saved as the plain convolutions they equal.

Branches without normalization are linear, so their sum is one kernel. It is composed from the
branches' weights in every forward pass, which gives the output and the gradients of running the
branches side by side, at the image's borders too, for a fraction of their cost on feature maps.
Branches have no biases: the convolution's bias is that of the sum.
"""

from collections.abc import Iterator
from fnmatch import fnmatch
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lrfdn_arch.options.training import Reparameterize

_SOBEL = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
_LAPLACIAN = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
_AVERAGE = torch.full((3, 3), 1 / 9)


class _Chain(nn.Module):
    """Convolutions one after the other, at most one of them larger than 1x1, as one kernel."""

    def __init__(self, channels: list[int], sizes: list[int]) -> None:
        super().__init__()
        self.kernels = nn.ParameterList(
            nn.Conv2d(before, after, size, bias=False).weight
            for before, after, size in zip(channels, channels[1:], sizes, strict=False)
        )

    def forward(self) -> Tensor:  # (out, in, k, k)
        chain = self.kernels[0]
        for kernel in list(self.kernels)[1:]:
            if kernel.shape[-1] == 1:
                chain = torch.einsum("om,miyx->oiyx", kernel[..., 0, 0], chain)
            else:
                chain = torch.einsum("omyx,mi->oiyx", kernel, chain[..., 0, 0])
        return chain


class _Filtered(nn.Module):
    """A 1x1 convolution, then a fixed filter and a learned factor for each channel."""

    def __init__(self, channels: int, out_channels: int, taps: Tensor) -> None:
        super().__init__()
        self.kernel = nn.Conv2d(channels, out_channels, 1, bias=False).weight
        self.factor = nn.Parameter(torch.randn(out_channels) * 1e-3)  # as in ECBSR
        self.taps: Tensor
        self.register_buffer("taps", taps, persistent=False)

    def forward(self) -> Tensor:  # (out, in, 3, 3)
        return self.factor.view(-1, 1, 1, 1) * self.kernel * self.taps


class _Identity(nn.Module):
    """The input times a learned factor for each channel, 1 at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(channels))

    def forward(self) -> Tensor:  # (channels, channels, 1, 1)
        return torch.diag(self.factor)[..., None, None]


def _rep(inputs: int, outputs: int, size: int, wide: int) -> Iterator[nn.Module]:
    """1x1 - kxk - 1x1, 1x1 and identity."""
    yield _Chain([inputs, wide, wide, outputs], [1, size, 1])
    yield _Chain([inputs, outputs], [1])
    if inputs == outputs:
        yield _Identity(inputs)


def _ecb(inputs: int, outputs: int, size: int, wide: int) -> Iterator[nn.Module]:
    """Edge-oriented block of ECBSR (Zhang et al., ACM MM 2021); at 1x1 it has no filters."""
    yield _Chain([inputs, wide, outputs], [1, size])
    if size == 3:
        for taps in (_SOBEL, _SOBEL.T, _LAPLACIAN):
            yield _Filtered(inputs, outputs, taps)
    if inputs == outputs:
        yield _Identity(inputs)


def _dbb(inputs: int, outputs: int, size: int, wide: int) -> Iterator[nn.Module]:
    """Diverse branch block (Ding et al., CVPR 2021) without its batch normalization."""
    yield _Chain([inputs, outputs], [1])
    yield _Chain([inputs, wide, outputs], [1, size])
    if size == 3:
        yield _Filtered(inputs, outputs, _AVERAGE)


class Branches(nn.Module):
    """The parametrization of a kernel as itself plus the kernels of its branches."""

    def __init__(self, kind: str, convolution: nn.Conv2d, expansion: int) -> None:
        super().__init__()
        inputs, outputs = convolution.in_channels, convolution.out_channels
        self.size = convolution.kernel_size[0]
        make = {"rep": _rep, "ecb": _ecb, "dbb": _dbb}[kind]
        self.branches = nn.ModuleList(make(inputs, outputs, self.size, expansion * inputs))
        self.branches.to(convolution.weight.device, convolution.weight.dtype)

    def added(self) -> Tensor:
        """Return the sum of the branches' kernels, (out, in, k, k)."""
        kernels = [branch() for branch in self.branches]
        margins = [(self.size - kernel.shape[-1]) // 2 for kernel in kernels]
        padded = [F.pad(k, (m, m, m, m)) for k, m in zip(kernels, margins, strict=True)]
        return torch.stack(padded).sum(dim=0)

    def forward(self, kernel: Tensor) -> Tensor:
        """Return the kernel that is convolved with, in full precision under autocast too."""
        with torch.autocast(kernel.device.type, enabled=False):
            return kernel + self.added()

    def right_inverse(self, merged: Tensor) -> Tensor:
        """Return the kernel that makes ``merged`` with the branches as they are."""
        return merged - self.added()


def reparameterize(network: nn.Module, section: Reparameterize) -> None:
    """Add branches to the chosen convolutions of ``network``; its function stays the same.

    From then on ``network.state_dict()`` has the names of the network as its class builds it, with
    merged kernels, and ``load_state_dict`` takes such a state: checkpoints, moving average,
    validation and export see a plain network. :func:`branch_state` has the rest.

    Raises:
        ValueError: no convolution was chosen.
    """
    names = list(network.state_dict())
    chosen = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
        and module.groups == 1
        and module.kernel_size in [(size, size) for size in section.kernel_sizes]
        and any(fnmatch(name, pattern) for pattern in section.layers)
    ]
    if not chosen:
        raise ValueError(
            "train:reparameterize: layers and kernel_sizes match none of the ungrouped "
            f"convolutions of {type(network).__name__}"
        )
    for name, convolution in chosen:
        branches = Branches(section.kind, convolution, section.expansion)
        try:
            parametrize.register_parametrization(convolution, "weight", branches)
        except ValueError as error:
            raise ValueError(f"train:reparameterize: {name}: {error}") from error

    def merge(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
        own = {key: state.pop(key) for key in list(state) if key.startswith(prefix)}
        for name in names:
            value = own.get(prefix + name)
            state[prefix + name] = attrgetter(name)(module).detach() if value is None else value

    def split(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        for name, branches in module.named_modules():
            if not isinstance(branches, Branches):
                continue
            at = prefix + name.removesuffix(".0")  # ...parametrizations.weight
            own = at.replace(".parametrizations.weight", ".weight")
            if own in state:
                merged = state.pop(own).to(next(branches.parameters()).device)
                state[f"{at}.original"] = branches.right_inverse(merged).detach()
            for key, value in branches.state_dict(prefix=f"{at}.0.").items():
                state.setdefault(key, value)

    network.register_state_dict_post_hook(merge)
    network.register_load_state_dict_pre_hook(split)


def branch_state(network: nn.Module) -> dict[str, Tensor]:
    """Return every weight that :func:`reparameterize` made, by its name; empty without."""
    return {n: p.detach() for n, p in network.named_parameters() if ".parametrizations." in n}
