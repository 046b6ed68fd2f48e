"""OpenVINO as a runtime: runs the ONNX graphs on the CPU; the fastest runtime measured on x86."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from lrfdn_arch.device import cpu_threads
from lrfdn_arch.extras import require
from lrfdn_arch.inference.runtimes import Floats
from lrfdn_arch.inference.windowed_graph import window_inputs, with_windows
from lrfdn_arch.window import Window

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoRuntime:
    """A graph in OpenVINO, on the CPU, with as many threads as torch has.

    A second graph that supports windows is made at the first tile.

    Args:
        graph: an ONNX model of :func:`lrfdn_arch.inference.onnx_graph.build_model`.
        precision: "fp32", or "bf16" on CPUs that have it; others compute in float32 nevertheless.

    Raises:
        ValueError: openvino is missing.
    """

    def __init__(self, graph: bytes, *, precision: str = "fp32") -> None:
        require("openvino", extra="openvino")
        self.name = "openvino"
        self.precision = precision
        self.device = "cpu"
        self._graph = graph
        self._whole, known = self._open(graph)
        self._windowed: Any = None
        self.scale, self.channels = int(known["scale"]), int(known["num_in_ch"])
        self.num_feat = int(known["num_feat"])
        self.overlap = int(known["overlap"]) if "overlap" in known else None
        self.knows_windows = True
        self._uses_window = known["windows"] == "1"

    def __call__(self, lq: Floats, window: Window | None = None) -> Floats:
        """Upscale; see :class:`lrfdn_arch.inference.runtimes.Runtime`."""
        request, inputs = self._whole, {"lq": np.ascontiguousarray(lq)}
        if window is not None and self._uses_window:
            self._windowed = self._windowed or self._open(with_windows(self._graph))[0]
            request, inputs = self._windowed, inputs | window_inputs(lq, window)
        (sr,) = request.infer(inputs, share_inputs=True).values()  # the result is a copy
        return sr

    def _open(self, graph: bytes) -> tuple[Any, dict[str, str]]:
        # Compiling replaces the signal stack of the calling thread. Releasing two models in the
        # order of creation leaves a freed stack behind, and the next signal (SIGCHLD, which
        # torch's data loader handles) kills the process. So a separate thread compiles.
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self._compile, graph).result()

    def _compile(self, graph: bytes) -> tuple[Any, dict[str, str]]:
        import openvino

        core = openvino.Core()
        model = core.read_model(graph)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],  # by default bf16 where there is
            "INFERENCE_NUM_THREADS": cpu_threads(),
        }
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        return request, model.get_rt_info("framework").value  # the ONNX model's metadata
