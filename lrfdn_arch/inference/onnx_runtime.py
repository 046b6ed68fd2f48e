"""ONNX Runtime as a runtime: graphs built in memory, or a file from ``lrfdn export onnx``."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lrfdn_arch.archs.padding import MIN_SIZE
from lrfdn_arch.archs.window import Window, sources
from lrfdn_arch.extras import is_installed, require
from lrfdn_arch.inference.fuse import fuse
from lrfdn_arch.inference.onnx_graph import AXES

_CUDA = "CUDAExecutionProvider"
_TRIED_SIDE = 24  # of the image that measures a model's scale in milliseconds
_MOST_SECONDS = 20.0  # time limit for that image


class OnnxRuntime:
    """An ONNX model on the CPU, or on CUDA where onnxruntime-gpu is installed.

    A model from a file stretches its attention map over the image it receives, so its tiles are
    not exact: see :mod:`lrfdn_arch.inference.tiling`. For a network, a second graph that supports
    windows is built at the first tile.

    Args:
        model: a path, or the bytes of a model.
        device: cpu or cuda.
        precision: the precision that the model computes in, for reports.
        num_feat: channels of its features, for estimating memory.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: onnxruntime is missing, lacks CUDA support or cannot read the model; or the
            model does not upscale images.
    """

    def __init__(
        self,
        model: Path | bytes,
        *,
        device: torch.device | None = None,
        precision: str = "fp32",
        num_feat: int = 64,
    ) -> None:
        require("onnxruntime", extra="onnx")
        self.name = "onnx"
        self.device = device or torch.device("cpu")  # images are passed in main memory
        self.precision = precision
        self.num_feat = num_feat
        self.overlap: int | None = None
        self.knows_windows = False
        self._open_windowed: Callable[[], Any] | None = None
        self._windowed: Any = None
        self._uses_window = True
        self._session = _open(model, self.device)
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        try:
            self._input, self.channels = _image_input(self._session)
            self.scale = self._measured_scale()
        except ValueError as error:
            what = model if isinstance(model, Path) else "this ONNX model"
            raise ValueError(f"{what} is not one of image to larger image: {error}") from error

    @classmethod
    def from_network(
        cls, network: nn.Module, *, precision: str = "fp32", device: torch.device | None = None
    ) -> "OnnxRuntime":
        """Export ``network`` in memory and open it, in "fp32" or "fp16".

        Raises:
            ValueError: as the class.
        """
        assert precision in ("fp32", "fp16"), precision
        from lrfdn_arch.inference.onnx_graph import build_model

        fused = fuse(network)
        half, place = precision == "fp16", device or torch.device("cpu")
        model = build_model(fused, half=half).SerializeToString()
        runtime = cls(model, device=place, precision=precision, num_feat=fused.num_feat)
        runtime.knows_windows, runtime.overlap = True, fused.overlap
        runtime._uses_window = fused.uses_window
        runtime._open_windowed = lambda: _open(
            build_model(fused, half=half, windows=True).SerializeToString(), place
        )
        return runtime

    def __call__(self, lq: Tensor, window: Window | None = None) -> Tensor:
        """Upscale; see :class:`lrfdn_arch.inference.runtimes.Runtime`.

        Raises:
            ValueError: the model does not accept an image of this size.
        """
        images = {self._input: lq.float().cpu().contiguous().numpy()}
        if window is None or not self._uses_window:
            sr = _run(self._session, images)
        else:
            assert self._open_windowed is not None, "a model from a file does not support windows"
            self._windowed = self._windowed or self._open_windowed()
            sr = _run(self._windowed, images | window_inputs(lq, window))
        batch, channels, height, width = lq.shape
        expected = (batch, channels, height * self.scale, width * self.scale)
        if sr.shape != expected:
            raise ValueError(
                f"the ONNX model makes {sr.shape} of {tuple(lq.shape)}, expected {expected}"
            )
        return torch.from_numpy(sr)

    def _measured_scale(self) -> int:
        """Return the scale measured on a small image; the metadata may be wrong."""
        import onnxruntime

        tried = (1, self.channels, _TRIED_SIDE, _TRIED_SIDE)
        options = onnxruntime.RunOptions()
        limit = threading.Timer(_MOST_SECONDS, setattr, (options, "terminate", True))
        limit.daemon = True
        limit.start()  # a graph may contain an endless loop
        try:
            sr = _run(self._session, {self._input: np.zeros(tried, dtype=np.float32)}, options)
        finally:
            limit.cancel()
        scale = sr.shape[-1] // _TRIED_SIDE if sr.ndim == 4 else 0
        if scale < 1 or sr.shape != (*tried[:2], _TRIED_SIDE * scale, _TRIED_SIDE * scale):
            raise ValueError(f"it makes {sr.shape} of {tried}, no whole factor")
        said = self.metadata.get("scale", str(scale))
        if said not in (str(scale), f"{scale}.0"):
            raise ValueError(f"its metadata says scale {said}, and it makes {scale}")
        return scale


def _image_input(session: Any) -> tuple[str, int]:
    """Return the name of the input and its channels, 3 if the model does not fix them.

    Raises:
        ValueError: the model does not map one float32 image of any size to one such image.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if (len(inputs), len(outputs)) != (1, 1):
        raise ValueError(f"it has {len(inputs)} inputs and {len(outputs)} outputs")
    for what, value in (("takes", inputs[0]), ("makes", outputs[0])):
        if value.type != "tensor(float)":
            raise ValueError(f"it {what} {value.type}, expected tensor(float)")
    shape = inputs[0].shape
    if len(shape) != 4 or any(isinstance(size, int) for size in shape[2:]):
        raise ValueError(f"it takes {shape}, expected (N, C, H, W) of any H and W")
    return inputs[0].name, shape[1] if isinstance(shape[1], int) else 3


def _run(session: Any, inputs: dict[str, Any], options: Any = None) -> NDArray[Any]:
    try:
        (sr,) = session.run(None, inputs, options)
    except Exception as error:  # its exceptions share no public base class
        raise ValueError(f"ONNX Runtime fails on the image ({_first_line(error)})") from error
    return np.asarray(sr)


def has_cuda() -> bool:
    """Return whether an onnxruntime with CUDA support is installed."""
    if not is_installed("onnxruntime"):
        return False
    import onnxruntime

    return _CUDA in onnxruntime.get_available_providers()


def window_inputs(lq: Tensor, window: Window) -> dict[str, Any]:
    """Return the additional inputs of graphs that support windows, numpy arrays by name."""
    height, width = (max(MIN_SIZE, size) for size in lq.shape[-2:])
    rows = sources(window.top, height, max(MIN_SIZE, window.height))
    columns = sources(window.left, width, max(MIN_SIZE, window.width))
    kinds = ("first", "second", "share")
    named = zip(AXES, (rows, columns), strict=True)
    return {f"{k}_{axis}": t.numpy() for axis, ts in named for k, t in zip(kinds, ts, strict=True)}


def _open(model: Path | bytes, device: torch.device) -> Any:
    import onnxruntime

    if isinstance(model, Path) and not model.is_file():
        raise FileNotFoundError(f"no ONNX model at {model}")
    require("onnx", extra="onnx")
    import onnx

    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda":
        if not has_cuda():
            raise ValueError(
                "this onnxruntime lacks CUDA support: pip install onnxruntime-gpu, or choose "
                "--device cpu or --runtime eager"
            )
        # The default, an exhaustive search of algorithms, is repeated for every size of image.
        search = {"device_id": device.index or 0, "cudnn_conv_algo_search": "HEURISTIC"}
        providers.insert(0, (_CUDA, search))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised as exceptions
    options.intra_op_num_threads = torch.get_num_threads()
    # Waiting threads must not spin: other threads read, write and crop images meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # ONNX Runtime before 1.24 reads weights from any path that a model names, onnx does not.
        content = onnx.load(model).SerializeToString() if isinstance(model, Path) else model
        session = onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # its exceptions share no public base class
        what = model if isinstance(model, Path) else "the model"
        raise ValueError(f"ONNX Runtime cannot read {what} ({_first_line(error)})") from error
    if device.type == "cuda" and _CUDA not in session.get_providers():
        raise ValueError(  # it continues on the CPU without an error
            "ONNX Runtime cannot use the GPU: its CUDA libraries do not load. Install the "
            "onnxruntime-gpu for this CUDA and cuDNN, or choose --device cpu or --runtime eager"
        )
    return session


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
