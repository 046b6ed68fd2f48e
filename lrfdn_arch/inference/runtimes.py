"""Ways to run a network, behind one call: torch eager or compiled, ONNX Runtime, OpenVINO.

    run = open_runtime(network, "onnx")
    sr = run(lq)

A runtime maps (N, C, H, W) float32 in [0, 1] to (N, C, H*scale, W*scale) float32 on the CPU or on
its device, not clamped. It handles fusing, memory layout and device transfers. A network without a
fused form runs unfused, in "eager" or "compiled".
"""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lrfdn_arch.archs.fused import FusedNetwork
from lrfdn_arch.archs.window import Window
from lrfdn_arch.device import choose_device, compiler_errors, float32_arithmetic
from lrfdn_arch.inference.fuse import can_fuse, fuse
from lrfdn_arch.inference.onednn import with_onednn
from lrfdn_arch.weights import LoadedNetwork

PRECISIONS: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
RUNTIMES: dict[str, tuple[str, ...]] = {  # with the precisions each supports
    "eager": ("fp32", "fp16", "bf16"),
    "compiled": ("fp32", "fp16", "bf16"),
    "onnx": ("fp32", "fp16"),  # its convolutions do not support bf16
    "openvino": ("fp32",),
}


class Runtime(Protocol):
    """The interface of every runtime.

    Attributes:
        name: one of RUNTIMES.
        precision: "fp32", "fp16" or "bf16", of the internal arithmetic.
        device: where it computes; images may be on any device.
        scale: the upscaling factor.
        channels: of the input and output images.
        num_feat: channels of the features, for estimating how much memory an image needs.
        knows_windows: whether ``window`` may be given, which makes tiles exact.
        overlap: LR pixels that tiles must share to be exact with windows; None where unknown.
    """

    name: str
    precision: str
    device: torch.device
    scale: int
    channels: int
    num_feat: int
    knows_windows: bool
    overlap: int | None

    def __call__(self, lq: Tensor, window: Window | None = None) -> Tensor:
        """Upscale (N, channels, H, W), float32 in [0, 1]; the result is float32, not clamped."""
        ...


def open_runtime(
    network: LoadedNetwork | nn.Module,
    name: str = "eager",
    *,
    precision: str = "fp32",
    device: str | torch.device | None = None,
) -> Runtime:
    """Return ``network`` in the runtime called ``name``.

    Args:
        network: any loaded network, or a module that has a fused form or is fused.
        name: "eager" (fused, channels_last; on the CPU oneDNN's fused kernels), "compiled"
            (torch.compile on top; the first image takes a minute or so, the first one of another
            size as well, later ones do not), "onnx"
            (ONNX Runtime; needs the extra ``onnx``) or "openvino" (on the CPU in fp32; needs the
            extra ``openvino``).
        precision: "fp16" and "bf16" halve the features' memory and lose less than 0.01 dB on Set5,
            as measured in benchmarks/RESULTS.md.
        device: "cpu", "cuda", "cuda:1", ...; by default the first GPU if the runtime can use it,
            otherwise the CPU.

    Raises:
        ValueError: the name is unknown, a package or GPU is not available, the runtime does not
            support the precision, or the network lacks the fused form that "onnx" and
            "openvino" require.
    """
    if name not in RUNTIMES:
        raise ValueError(f"runtime {name!r} is not known; choose {', '.join(RUNTIMES)} or auto")
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is not known; choose {', '.join(PRECISIONS)}")
    if precision not in RUNTIMES[name]:
        has = " and ".join(RUNTIMES[name])
        raise ValueError(f"the runtime {name} has no --precision {precision}, only {has}")
    place = choose_device(device, gpu=runs_on_gpus(name))
    if name in ("eager", "compiled"):
        return TorchRuntime(network, precision=precision, device=place, compiled=name == "compiled")
    module = network.network if isinstance(network, LoadedNetwork) else network
    if not can_fuse(module):
        raise ValueError(
            f"the runtime {name} runs networks with a fused form, which {type(module).__name__} "
            "lacks; choose --runtime eager or compiled"
        )
    if name == "onnx":
        from lrfdn_arch.inference.onnx_runtime import OnnxRuntime

        return OnnxRuntime.from_network(module, precision=precision, device=place)
    if place.type != "cpu":
        raise ValueError(f"the runtime openvino is for --device cpu, got {place}")
    from lrfdn_arch.inference.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(module)


def runs_on_gpus(runtime: str) -> bool:
    """Return whether the installed ``runtime``, one of RUNTIMES, can use a GPU."""
    if runtime == "onnx":
        from lrfdn_arch.inference.onnx_runtime import has_cuda

        return has_cuda()
    return runtime != "openvino"


class TorchRuntime:
    """A network in torch, eager or compiled, fused if possible; see :func:`open_runtime`."""

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
        self.precision: str = precision
        self.device = device
        self._dtype = PRECISIONS[precision]
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
                # Its 8-bit significand cannot separate neighbouring colours, so the layers that
                # read and write pixels stay in float32. Otherwise LRFDN loses up to 0.016 dB
                # on an image of Set5.
                module.fea_conv.float()
                module.upsampler.float()
            if not compiled and device.type == "cpu" and precision == "fp32":
                module = with_onednn(module)
        bf16_inside = isinstance(module, FusedNetwork) and precision == "bf16"
        self._reads = torch.float32 if bf16_inside else self._dtype
        self._forward: Callable[..., Any] = _compile(module, device) if compiled else module

    @torch.inference_mode()
    def __call__(self, lq: Tensor, window: Window | None = None) -> Tensor:
        """Upscale; see :class:`Runtime`."""
        lq = lq.to(self.device, self._reads, memory_format=torch.channels_last)
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
