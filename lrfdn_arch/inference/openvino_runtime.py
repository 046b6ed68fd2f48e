"""OpenVINO as a runtime: runs the ONNX graphs on the CPU; the fastest runtime measured on x86."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from lrfdn_arch.archs.window import Window
from lrfdn_arch.extras import require
from lrfdn_arch.inference.fuse import fuse
from lrfdn_arch.inference.onnx_runtime import window_inputs


class OpenVinoRuntime:
    """A network in OpenVINO, in float32 on the CPU, with as many threads as torch has.

    A second graph that supports windows is built at the first tile.

    Args:
        network: LRFDN, RFDN or a fused one.

    Raises:
        ValueError: openvino or onnx is missing.
    """

    def __init__(self, network: nn.Module) -> None:
        require("openvino", extra="openvino")
        require("onnx", extra="openvino")
        self._fused = fuse(network)
        self.name = "openvino"
        self.precision = "fp32"
        self.device = torch.device("cpu")
        self.scale = self._fused.upscale
        self.channels = self._fused.num_in_ch
        self.num_feat = self._fused.num_feat
        self.overlap = self._fused.overlap
        self.knows_windows = True
        self._whole = self._open(windows=False)
        self._windowed: Any = None

    def __call__(self, lq: Tensor, window: Window | None = None) -> Tensor:
        """Upscale; see :class:`lrfdn_arch.inference.runtimes.Runtime`."""
        from lrfdn_arch.inference.onnx_graph import INPUT

        request, inputs = self._whole, {INPUT: lq.float().cpu().contiguous().numpy()}
        if window is not None and self._fused.uses_window:
            self._windowed = self._windowed or self._open(windows=True)
            request, inputs = self._windowed, inputs | window_inputs(lq, window)
        (sr,) = request.infer(inputs, share_inputs=True).values()  # the result is a copy
        return torch.from_numpy(sr)

    def _open(self, *, windows: bool) -> Any:
        # Compiling replaces the signal stack of the calling thread. Releasing two models in the
        # order of creation leaves a freed stack behind, and the next signal (SIGCHLD, which
        # torch's data loader handles) kills the process. So a separate thread compiles.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self._compile, windows).result()

    def _compile(self, windows: bool) -> Any:
        import openvino

        from lrfdn_arch.inference.onnx_graph import build_model

        core = openvino.Core()
        model = core.read_model(build_model(self._fused, windows=windows).SerializeToString())
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # CPUs with bf16 would use it by default
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        return core.compile_model(model, "CPU", settings).create_infer_request()
