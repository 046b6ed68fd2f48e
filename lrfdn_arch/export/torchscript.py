"""A network as TorchScript: traced, a fused one inside a scripted module that pads and crops."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.fused import FusedNetwork
from lrfdn_arch.inference.fuse import can_fuse, fuse
from lrfdn_arch.weights import LoadedNetwork


class _Padded(nn.Module):
    """Padding depends on the image's size, which a trace would fix; a script keeps it."""

    def __init__(self, inner: nn.Module, upscale: int, min_size: int) -> None:
        super().__init__()
        self.inner = inner
        self.upscale = upscale
        self.minimum = min_size

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2], x.shape[3]
        bottom, right = max(0, self.minimum - height), max(0, self.minimum - width)
        out = self.inner(F.pad(x, [0, right, 0, bottom], mode="replicate"))
        return out[:, :, : height * self.upscale, : width * self.upscale]


class _Unpadded(nn.Module):
    def __init__(self, network: FusedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.upscale_padded(x)


def scripted(loaded: LoadedNetwork) -> torch.jit.ScriptModule:
    """Return a network as TorchScript, for any size that its trace allows."""
    example = torch.rand(1, loaded.channels, 24, 32)
    fused = fuse(loaded.network) if can_fuse(loaded.network) else None
    with torch.no_grad():
        traced = torch.jit.trace(loaded.network if fused is None else _Unpadded(fused), example)
    assert isinstance(traced, nn.Module)
    if fused is None:
        return traced  # type: ignore[return-value]
    return torch.jit.script(_Padded(traced, loaded.scale, fused.min_size))  # type: ignore[return-value]
