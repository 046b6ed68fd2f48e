"""torch as a runtime, eager or compiled."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from lrfdn_arch.archs.fused import FusedNetwork
from lrfdn_arch.device import compiler_errors, float32_arithmetic
from lrfdn_arch.inference.fuse import can_fuse, fuse
from lrfdn_arch.inference.onednn import with_onednn
from lrfdn_arch.inference.runtimes import Floats, Result
from lrfdn_arch.weights import LoadedNetwork
from lrfdn_arch.window import Window

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


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
        self._dtype = _DTYPES[precision]
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
