"""torch as a runtime, eager or compiled; on x86 CPUs with activations inside the convolutions.

torch's eager mode runs a convolution and then reads and writes its output again for the activation.
oneDNN, which is part of torch, can do both in one pass and keep the weights in the layout its
kernels prefer; ``torch.compile`` uses the operators below for that. They are not public, so they
are tested once and not used if they are missing or give different results.
"""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs.fused import SLOPE, FusedConv, FusedNetwork
from lrfdn_arch.device import compiler_errors, float32_arithmetic
from lrfdn_arch.inference.fuse import can_fuse, fuse
from lrfdn_arch.inference.runtimes import Floats, Result
from lrfdn_arch.weights import LoadedNetwork
from lrfdn_arch.window import Window

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# activation: (oneDNN's name, its numbers, its algorithm)
_POST_OPS: dict[str, tuple[str, list[float], str]] = {
    "none": ("none", [], ""),
    "gelu": ("gelu", [], "none"),
    "leaky_relu": ("leaky_relu", [SLOPE], ""),
    "relu": ("relu", [], ""),
    "relu6": ("hardtanh", [0.0, 6.0], ""),
    "sigmoid": ("sigmoid", [], ""),
    "silu": ("swish", [], ""),
    "prelu": ("none", [], ""),  # oneDNN's operator has no slope per channel: F.prelu follows
}
_TYPICAL_SIZE = 256  # the packed layout is chosen for images of about this side length


class TorchRuntime:
    """A network in torch, fused if possible.

    See :func:`lrfdn_arch.inference.runtimes.open_runtime`.
    """

    def __init__(
        self,
        network: LoadedNetwork | nn.Module,
        *,
        precision: str,
        device: torch.device,
        compiled: bool,
    ) -> None:
        module = network.network if isinstance(network, LoadedNetwork) else network
        self.name = "compiled" if compiled else "eager"
        self.precision = precision
        self.device = str(device)
        self._dtype = DTYPES[precision]
        self.knows_windows = can_fuse(module) and not compiled  # each would be a new program
        # float32 is not TF32, so that tiles and fusion are exact on a GPU, too
        self._arithmetic = float32_arithmetic if precision == "fp32" else nullcontext
        if can_fuse(module):
            fused = fuse(module)
            self.scale, self.channels = fused.upscale, fused.num_in_ch
            self.num_feat, self.overlap = fused.num_feat, fused.overlap
            module = copy.deepcopy(fused) if fused is module else fused  # moved and cast below
        else:
            assert isinstance(network, LoadedNetwork), "only that knows the scale"
            self.scale, self.channels = network.scale, network.channels
            self.num_feat, self.overlap = int(network.arguments.get("num_feat", 64)), None
            module = copy.deepcopy(module)
        module = module.to(device, self._dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if isinstance(module, FusedNetwork):
            if precision == "bf16":
                # Its 8-bit significand cannot separate neighboring colors, so the layers that
                # read and write pixels stay in float32. Otherwise LRFDN loses up to 0.016 dB
                # on an image of Set5.
                module.fea_conv.float()
                module.upsampler.float()
            if not compiled and device.type == "cpu" and precision == "fp32":
                module = with_onednn(module)
        bf16_inside = isinstance(module, FusedNetwork) and precision == "bf16"
        self._reads = torch.float32 if bf16_inside else self._dtype
        self._forward: Callable[..., Any] = _compile(module, device) if compiled else module

    def __call__(self, lq: Floats, window: Window | None = None) -> Result:
        """Upscale; see :class:`lrfdn_arch.inference.runtimes.Runtime`."""
        sr = self.on_device(torch.from_numpy(lq).to(self.device), window)
        return sr.numpy() if self.device == "cpu" else sr

    @torch.inference_mode()
    def on_device(self, lq: Tensor, window: Window | None = None) -> Tensor:
        """Upscale (N, channels, H, W) on the runtime's device; the result stays there."""
        lq = lq.to(self._reads, memory_format=torch.channels_last)
        with self._arithmetic():
            if self.name == "eager":
                arguments = (lq, window) if self.knows_windows else (lq,)
                return self._forward(*arguments).float()
            with compiler_errors("choose --runtime eager or onnx"):
                # A copy: CUDA graphs write every result to the same place.
                return self._forward(lq).to(torch.float32, copy=True)


def _compile(network: nn.Module, device: torch.device) -> Callable[..., Any]:
    """Compile ``network`` for the size of its first image, then once for all other sizes.

    With a program for each size, torch would run every size after the eighth eagerly.
    """
    if device.type == "cuda":
        return torch.compile(network, mode="reduce-overhead")  # CUDA graphs
    # Freezing lets the compiler pack weights and put activations into oneDNN's convolutions.
    return torch.compile(network, options={"freezing": True})


class OneDnnConv(nn.Module):
    """A :class:`FusedConv` as one oneDNN call; (N, C, H, W) in channels_last, like its result."""

    weight: Tensor

    def __init__(self, conv: FusedConv) -> None:
        super().__init__()
        operators: Any = torch.ops.mkldnn
        self.convolution = operators._convolution_pointwise
        self.geometry = [list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups]
        self.post_op = _POST_OPS[conv.activation]
        size = [1, conv.in_channels, _TYPICAL_SIZE, _TYPICAL_SIZE]
        weight = conv.weight.detach().contiguous(memory_format=torch.channels_last)
        # No buffer: a packed tensor cannot be copied, moved or saved.
        self.packed = operators._reorder_convolution_weight(weight, *self.geometry, size)
        self.bias, self.slope = conv.bias, conv.slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in, H, W) to (N, out, H', W')."""
        out = self.convolution(x, self.packed, self.bias, *self.geometry, *self.post_op)
        return out if self.slope is None else F.prelu(out, self.slope)


def with_onednn(network: FusedNetwork) -> FusedNetwork:
    """Return a copy of ``network`` with oneDNN convolutions, or ``network`` if unavailable.

    The copy is for inference on the CPU in float32 and channels_last.
    """
    if not onednn_works():
        return network
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, FusedConv):
                setattr(parent, name, OneDnnConv(child))
    return network


@cache
def onednn_works() -> bool:
    """Return whether oneDNN's fused convolution is available and correct for every activation."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkldnn.enabled:
        return False
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 8, 16, 16, generator=generator).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(8, 8, 3, 3, generator=generator)
    try:
        with torch.no_grad():
            for activation in _POST_OPS:
                slope = torch.rand(8, generator=generator) if activation == "prelu" else None
                conv = FusedConv((weight, torch.ones(8)), activation, slope)
                if not torch.allclose(OneDnnConv(conv)(x), conv(x), atol=1e-4):
                    return False
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False  # this torch version has no such operator, or a different signature
    return True
