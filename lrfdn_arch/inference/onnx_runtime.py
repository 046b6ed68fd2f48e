"""ONNX Runtime as a runtime: graphs of this package, and other models from files."""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from lrfdn_arch.device import cpu_threads
from lrfdn_arch.inference.runtimes import CUDA, Floats, runs_on_gpus
from lrfdn_arch.inference.windowed_graph import window_inputs, with_windows
from lrfdn_arch.text import first_line
from lrfdn_arch.window import Window

_TRIED_SIDE = 24  # of the image that measures a model's scale in milliseconds
_MOST_SECONDS = 20.0  # time limit for that image


class OnnxRuntime:
    """An ONNX model on the CPU, or on CUDA where onnxruntime-gpu is installed.

    A model of this package, also one that ``lrfdn export onnx`` wrote, supports windows: a second
    graph for them is made at the first tile. Any other model stretches whatever it stretches over
    the tile that it receives, so its tiles are not exact.

    Args:
        model: a path, or the bytes of a model.
        device: "cpu" or a GPU.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: this onnxruntime lacks CUDA support or cannot read the model; or the model does
            not upscale images.
    """

    def __init__(self, model: Path | bytes, *, device: str = "cpu") -> None:
        what = str(model) if isinstance(model, Path) else "this ONNX model"
        self.name = "onnx"
        self.device = device
        self._model = model if isinstance(model, bytes) else _content(model)
        self._session = _open(self._model, device, what)
        self._windowed: Any = None
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.precision = self.metadata.get("precision", "fp32")
        self.num_feat = _number(self.metadata.get("num_feat")) or 64
        self.overlap = _number(self.metadata.get("overlap"))
        self.knows_windows = "windows" in self.metadata
        try:
            self._input, self.channels = _image_input(self._session)
            self.scale = self._measured_scale()
        except ValueError as error:
            raise ValueError(f"{what} does not map an image to a larger one: {error}") from error

    def __call__(self, lq: Floats, window: Window | None = None) -> Floats:
        """Upscale; see :class:`lrfdn_arch.inference.runtimes.Runtime`.

        Raises:
            ValueError: the model does not accept an image of this size.
        """
        images = {self._input: np.ascontiguousarray(lq)}
        if window is None or self.metadata["windows"] == "0":  # where a tile is makes no difference
            sr = _run(self._session, images)
        else:
            if self._windowed is None:
                self._windowed = _open(
                    with_windows(self._model), self.device, "the model for tiles"
                )
            sr = _run(self._windowed, images | window_inputs(lq, window))
        batch, channels, height, width = lq.shape
        expected = (batch, channels, height * self.scale, width * self.scale)
        if sr.shape != expected:
            raise ValueError(
                f"the ONNX model makes {sr.shape} of {tuple(lq.shape)}, expected {expected}"
            )
        return sr

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


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _run(session: Any, inputs: dict[str, Any], options: Any = None) -> Floats:
    try:
        (sr,) = session.run(None, inputs, options)
    except Exception as error:  # its exceptions share no public base class
        raise ValueError(f"ONNX Runtime fails on the image ({first_line(error)})") from error
    return np.asarray(sr)


def _open(model: bytes, device: str, what: str) -> Any:
    import onnxruntime

    providers: list[Any] = ["CPUExecutionProvider"]
    if device != "cpu":
        if not runs_on_gpus("onnx"):
            raise ValueError(
                "this onnxruntime lacks CUDA support: pip install onnxruntime-gpu, or choose "
                "--device cpu or --runtime eager"
            )
        # The default, an exhaustive search of algorithms, is repeated for every size of image.
        number = int(device.partition(":")[2] or 0)
        search = {"device_id": number, "cudnn_conv_algo_search": "HEURISTIC"}
        providers.insert(0, (CUDA, search))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised as exceptions
    options.intra_op_num_threads = cpu_threads()
    # Waiting threads must not spin: other threads read, write and crop images meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # its exceptions share no public base class
        raise ValueError(f"ONNX Runtime cannot read {what} ({first_line(error)})") from error
    if device != "cpu" and CUDA not in session.get_providers():
        raise ValueError(  # it continues on the CPU without an error
            "ONNX Runtime cannot use the GPU: its CUDA libraries do not load. Install the "
            "onnxruntime-gpu for this CUDA and cuDNN, or choose --device cpu or --runtime eager"
        )
    return session


def _content(path: Path) -> bytes:
    """Read a model and the weights beside it.

    ONNX Runtime before 1.24 reads weights from any path that a model names, onnx does not.
    """
    import onnx

    if not path.is_file():
        raise FileNotFoundError(f"no ONNX model at {path}")
    try:
        return onnx.load(path).SerializeToString()
    except Exception as error:  # its exceptions share no public base class
        raise ValueError(f"ONNX Runtime cannot read {path} ({first_line(error)})") from error
