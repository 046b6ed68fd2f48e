"""Ways to run a network, behind one call: torch eager or compiled, ONNX Runtime, OpenVINO.

    run = open_runtime(network, "onnx")
    sr = run(lq)

A runtime maps (N, C, H, W) float32 in [0, 1] to (N, C, H*scale, W*scale) float32, not clamped. It
handles fusing, memory layout and device transfers. A network without a fused form runs unfused, in
"eager" or "compiled". "onnx" and "openvino" run ONNX graphs and do not import torch.
"""

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from numpy.typing import NDArray

from lrfdn_arch.device import choose_device
from lrfdn_arch.window import Window

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lrfdn_arch.weights import LoadedNetwork

CUDA = "CUDAExecutionProvider"  # of ONNX Runtime
Floats: TypeAlias = NDArray[Any]  # of float32
Result: TypeAlias = Any  # Floats, or the same as a torch tensor on a GPU
RUNTIMES: dict[str, tuple[str, ...]] = {  # with the precisions each supports
    "eager": ("fp32", "fp16", "bf16"),
    "compiled": ("fp32", "fp16", "bf16"),
    "onnx": ("fp32", "fp16"),  # its convolutions do not support bf16
    "openvino": ("fp32", "bf16"),  # on CPUs, its fp16 is bf16
}


class Runtime(Protocol):
    """The interface of every runtime.

    Attributes:
        name: one of RUNTIMES.
        precision: "fp32", "fp16" or "bf16", of the internal arithmetic.
        device: "cpu", "cuda:1", ...: where it computes.
        scale: the upscaling factor.
        channels: of the input and output images.
        num_feat: channels of the features, for estimating how much memory an image needs.
        knows_windows: whether ``window`` may be given, which makes tiles exact.
        overlap: LR pixels that tiles must share to be exact with windows; None where unknown.
    """

    name: str
    precision: str
    device: str
    scale: int
    channels: int
    num_feat: int
    knows_windows: bool
    overlap: int | None

    def __call__(self, lq: Floats, window: Window | None = None) -> Result:
        """Upscale (N, channels, H, W), float32 in [0, 1]; the result is float32, not clamped.

        torch's results on a GPU stay there.
        """
        ...


def open_runtime(
    network: "LoadedNetwork | nn.Module | bytes",
    name: str = "eager",
    *,
    precision: str = "fp32",
    device: "str | torch.device | None" = None,
) -> Runtime:
    """Return ``network`` in the runtime called ``name``.

    Args:
        network: any loaded network; a module that has a fused form or is fused; or for "onnx" and
            "openvino" on the CPU the graph of :func:`lrfdn_arch.inference.onnx_graph.build_model`,
            which needs no torch.
        name: "eager" (fused, channels_last; on the CPU oneDNN's fused kernels), "compiled"
            (torch.compile on top; the first image takes a minute or so, the first one of another
            size as well, later ones do not), "onnx" (ONNX Runtime) or "openvino" (on the CPU;
            needs the extra ``openvino``).
        precision: "fp16" and "bf16" halve the features' memory; benchmarks/RESULTS.md has what
            they lose on Set5.
        device: "cpu", "cuda", "cuda:1", ...; by default the first GPU if the runtime can use it,
            otherwise the CPU.

    Raises:
        ValueError: the name is unknown, a package or GPU is not available, the runtime does not
            support the precision, or the network lacks the fused form that "onnx" and
            "openvino" require.
    """
    check_runtime(name, precision)
    if isinstance(network, bytes):
        graph, place = network, "cpu"
    else:
        chosen = choose_device(device, gpu=runs_on_gpus(name))
        if name in ("eager", "compiled"):
            from lrfdn_arch.inference.torch_runtime import TorchRuntime

            compiled = name == "compiled"
            return TorchRuntime(network, precision=precision, device=chosen, compiled=compiled)
        graph, place = _graph(network, name, half=precision == "fp16"), str(chosen)
    if name == "onnx":
        from lrfdn_arch.inference.onnx_runtime import OnnxRuntime

        return OnnxRuntime(graph, device=place)
    if place != "cpu":
        raise ValueError(f"the runtime openvino is for --device cpu, got {place}")
    from lrfdn_arch.inference.openvino_runtime import OpenVinoRuntime

    return OpenVinoRuntime(graph, precision=precision)


def _graph(network: "LoadedNetwork | nn.Module", name: str, *, half: bool) -> bytes:
    from lrfdn_arch.inference.fuse import can_fuse, fuse
    from lrfdn_arch.inference.onnx_graph import build_model
    from lrfdn_arch.weights import LoadedNetwork

    module = network.network if isinstance(network, LoadedNetwork) else network
    if not can_fuse(module):
        raise ValueError(
            f"the runtime {name} runs networks with a fused form, which {type(module).__name__} "
            "lacks; choose --runtime eager or compiled"
        )
    return build_model(fuse(module), half=half).SerializeToString()


def check_runtime(name: str, precision: str) -> None:
    """Raise ValueError unless there is a runtime of that name and precision."""
    if name not in RUNTIMES:
        raise ValueError(f"runtime {name!r} is not known; choose {', '.join(RUNTIMES)} or auto")
    if precision not in RUNTIMES[name]:
        has = " and ".join(RUNTIMES[name])
        raise ValueError(f"the runtime {name} has no --precision {precision}, only {has}")


def runs_on_gpus(runtime: str) -> bool:
    """Return whether the installed ``runtime``, one of RUNTIMES, can use a GPU."""
    if runtime == "onnx":
        import onnxruntime

        return CUDA in onnxruntime.get_available_providers()
    return runtime != "openvino"
