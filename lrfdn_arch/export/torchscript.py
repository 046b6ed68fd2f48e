"""A fused network as TorchScript: traced, inside a scripted shell that pads and crops."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.fused import FusedNetwork
from lrfdn_arch.archs.padding import MIN_SIZE


class _Padded(nn.Module):
    """Padding depends on the image's size, which a trace would fix; a script keeps it."""

    def __init__(self, inner: nn.Module, upscale: int) -> None:
        super().__init__()
        self.inner = inner
        self.upscale = upscale
        self.minimum = MIN_SIZE

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


def scripted(network: FusedNetwork) -> torch.jit.ScriptModule:
    """Return ``network`` as TorchScript; the same contract, any size."""
    example = torch.rand(1, network.num_in_ch, 24, 32)
    with torch.no_grad():
        traced = torch.jit.trace(_Unpadded(network), example)
    assert isinstance(traced, nn.Module)
    return torch.jit.script(_Padded(traced, network.upscale))
