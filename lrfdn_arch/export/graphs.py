"""Networks as graphs for other runtimes; each is run there and compared with torch.

Every function returns the contents of its files by suffix. ``described`` is their metadata and
``half`` asks for float16; both are left out where the format does not know them.
"""

import json
import re
import subprocess
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from importlib import import_module
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch import __version__
from lrfdn_arch.archs.fused import FusedNetwork
from lrfdn_arch.extras import require
from lrfdn_arch.inference.fuse import can_fuse, fuse
from lrfdn_arch.inference.runtimes import Floats
from lrfdn_arch.text import first_line
from lrfdn_arch.weights import LoadedNetwork

Described = Mapping[str, str]
CHECKED_SIZES = ((1, 24, 32), (2, 15, 40), (1, 7, 9))  # batch, height, width; the last is padded
TRACED_SIZES = ((1, 24, 32), (2, 40, 31))  # a trace is specific to such sizes


def to_onnx(loaded: LoadedNetwork, described: Described, half: bool = False) -> dict[str, bytes]:
    """Return a network as ONNX with dynamic batch, height and width.

    Networks with a fused form are written by this package (opset 17), others by torch's exporter,
    whose files may refuse images smaller than 24x32 pixels. With ``half`` a fused network computes
    in float16; images stay float32.

    Raises:
        ValueError: a package is missing, or the file does not compute what torch does.
    """
    from lrfdn_arch.inference.onnx_runtime import OnnxRuntime

    content = _onnx(loaded, described, half)
    _check(OnnxRuntime(content), loaded, half)
    return {".onnx": content}


def _onnx(loaded: LoadedNetwork, described: Described, half: bool = False) -> bytes:
    from onnx import helper

    from lrfdn_arch.inference.onnx_graph import build_model

    if can_fuse(loaded.network):
        model = build_model(fuse(loaded.network), half=half)
    elif half:
        raise ValueError(f"--half needs a network with a fused form, which {loaded} lacks")
    else:
        model = _exported_by_torch(loaded)
    model.producer_name, model.producer_version = "lrfdn-arch", __version__
    properties = {prop.key: prop.value for prop in model.metadata_props}
    properties["opset"] = str(next(o.version for o in model.opset_import if not o.domain))
    helper.set_model_props(model, properties | dict(described))
    return model.SerializeToString()


def _exported_by_torch(loaded: LoadedNetwork) -> Any:
    require("onnxscript", extra="onnx")
    free = torch.export.Dim.DYNAMIC
    lq = torch.rand(2, loaded.channels, 24, 32)
    try:
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                loaded.network,
                (lq,),
                input_names=["lq"],
                output_names=["sr"],
                dynamic_shapes=({0: free, 2: free, 3: free},),
                dynamo=True,
            )
    except Exception as error:  # the exporter has no error class of its own
        raise ValueError(f"torch cannot export {loaded} to ONNX: {first_line(error)}") from error
    assert program is not None, "returned by the exporter that works on torch.export"
    return program.model_proto


def to_openvino(
    loaded: LoadedNetwork, described: Described, half: bool = False
) -> dict[str, bytes]:
    """Return the graph of :func:`to_onnx` as OpenVINO's IR; ``half`` stores its weights in float16.

    Raises:
        ValueError: a package is missing, or the file does not compute what torch does.
    """
    require("openvino", extra="openvino")
    graph = _onnx(loaded, described)

    def convert() -> dict[str, bytes]:
        import openvino

        core = openvino.Core()
        with TemporaryDirectory() as folder:
            xml = Path(folder) / "network.xml"
            openvino.save_model(core.read_model(graph), xml, compress_to_fp16=half)
            precision = {"INFERENCE_PRECISION_HINT": "f32"}  # by default bf16 where there is
            run = core.compile_model(xml, "CPU", precision)
            _check(lambda lq: run(lq)[0], loaded, half)
            return {file.suffix: file.read_bytes() for file in (xml, xml.with_suffix(".bin"))}

    with ThreadPoolExecutor(1) as pool:  # see OpenVinoRuntime
        return pool.submit(convert).result()


class _Unpadded(nn.Module):
    def __init__(self, network: FusedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.upscale_padded(x)


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


@torch.no_grad()
def _traced(network: nn.Module, channels: int) -> Any:
    """Return a network as TorchScript, a fused one without padding to its smallest size."""
    network = _Unpadded(network) if isinstance(network, FusedNetwork) else network
    return torch.jit.trace(network, torch.rand(1, channels, *TRACED_SIZES[0][1:]))


def to_torchscript(
    loaded: LoadedNetwork, described: Described, half: bool = False
) -> dict[str, bytes]:
    """Return a network, fused if possible, as TorchScript for ``torch.jit.load``.

    The metadata is in the extra file "metadata.json".

    Raises:
        ValueError: the file does not compute what torch does.
    """
    assert not half, "the command has no such option"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated and still widely read
        if can_fuse(loaded.network):
            fused = fuse(loaded.network)
            padded = _Padded(_traced(fused, loaded.channels), loaded.scale, fused.min_size)
            module: Any = torch.jit.script(padded)
        else:
            module = _traced(loaded.network, loaded.channels)
        buffer = BytesIO()
        extra = {"metadata.json": json.dumps(described)}
        torch.jit.save(module, buffer, _extra_files=extra)
        buffer.seek(0)
        program = torch.jit.load(buffer)
    _check(lambda lq: program(torch.from_numpy(lq)).numpy(), loaded)
    return {".pt": buffer.getvalue()}


def to_ncnn(loaded: LoadedNetwork, described: Described, half: bool = False) -> dict[str, bytes]:
    """Return a network, fused if possible, for ncnn: "data" to "output", one image of any size.

    These names, RGB and [0, 1] are what realesrgan-ncnn-vulkan and Upscayl expect. Images must be
    as large as a fused network's ``min_size``; the tiles of these programs have 21 pixels and more.
    The format has no metadata.

    Raises:
        ValueError: a package is missing, ncnn cannot express the network, or the files do not
            compute what torch does.
    """
    assert not half, "the command has no such option: pnnx rounds small weights to 0"
    for package in ("pnnx", "ncnn"):
        require(package, extra="ncnn")
    network = fuse(loaded.network) if can_fuse(loaded.network) else loaded.network
    with TemporaryDirectory() as folder:
        param, weights = (Path(folder) / f"network.ncnn.{kind}" for kind in ("param", "bin"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _traced(network, loaded.channels).save(f"{folder}/network.pt")
        shapes = [
            f"inputshape{number}=[1,{loaded.channels},{height},{width}]"
            for number, (_, height, width) in zip(("", "2"), TRACED_SIZES, strict=True)
        ]
        command = [import_module("pnnx").EXEC_PATH, "network.pt", *shapes, "fp16=0"]
        subprocess.run(command, cwd=folder, capture_output=True, check=False)
        if not param.exists():
            raise ValueError(f"pnnx cannot convert {loaded} to ncnn")
        graph = re.sub(r"\bin0\b", "data", re.sub(r"\bout0\b", "output", param.read_text()))
        # Interp takes the size of its second input, and needs no expression for it, which versions
        # of ncnn before 2025 cannot read. Other expressions, and operations of torch, remain where
        # ncnn has no such layer.
        graph = graph.replace(' 9="1w,1h"', "")
        unknown = sorted(set(re.findall(r'^\w*[.:]\S+|^\w+(?=.*=")', graph, re.MULTILINE)))
        if unknown:
            raise ValueError(f"{loaded} has no form in ncnn: it contains {', '.join(unknown)}")
        param.write_bytes(graph.encode())
        _check(_ncnn_runtime(param, weights), loaded, sizes=TRACED_SIZES)
        return {".param": param.read_bytes(), ".bin": weights.read_bytes()}


def _ncnn_runtime(param: Path, weights: Path) -> Callable[[Floats], Floats]:
    ncnn: Any = import_module("ncnn")  # it has no types
    net = ncnn.Net()
    # The plain arithmetic; shortcuts of convolutions alone cost SPAN 1e-3.
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{option}", False)
    net.opt.use_vulkan_compute = net.opt.use_winograd_convolution = False
    net.load_param(str(param))
    net.load_model(str(weights))

    def upscale(lq: Floats) -> Floats:
        extractor = net.create_extractor()
        extractor.input("data", ncnn.Mat(lq).clone())
        return np.array(extractor.extract("output")[1])

    return lambda batch: np.stack([upscale(lq) for lq in batch])


@torch.no_grad()
def _check(
    run: Callable[[Floats], Floats],
    loaded: LoadedNetwork,
    half: bool = False,
    sizes: tuple[tuple[int, int, int], ...] = (),
) -> None:
    """Compare a file's results with torch's on noise of ``sizes``.

    Raises:
        ValueError: they differ by more than a share of the results' size.
    """
    generator = torch.Generator().manual_seed(0)
    sizes = sizes or (CHECKED_SIZES if can_fuse(loaded.network) else TRACED_SIZES)
    for batch, height, width in sizes:
        lq = torch.rand(batch, loaded.channels, height, width, generator=generator)
        expected, found = loaded.network(lq).numpy(), run(lq.numpy())
        allowed = (3e-2 if half else 1e-4) * max(1.0, float(np.abs(expected).max()))
        difference = float(np.abs(found - expected).max())
        if not difference <= allowed:
            raise ValueError(
                f"the exported file differs from torch by {difference:.2e} at {height}x{width} "
                f"(allowed {allowed:.1e}), so it was not kept"
            )
