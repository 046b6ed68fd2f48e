"""``lrfdn export``: a network as a file for others to run, each checked before it is kept."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrfdn_arch import __version__
from lrfdn_arch.archs.fused import FusedNetwork
from lrfdn_arch.extras import require
from lrfdn_arch.files import replacing
from lrfdn_arch.inference.fuse import fuse
from lrfdn_arch.inference.loading import build_network, load_network
from lrfdn_arch.weights import find_weights, identify, read_metadata, usual_img_range

CHECKED_SIZES = ((1, 24, 32), (2, 15, 40), (1, 7, 9))  # batch, height, width; the last is padded
_TOLERANCE, _HALF_TOLERANCE = 1e-4, 3e-2  # on noise, which the networks amplify


def export(
    kind: str,
    weights: str | None,
    out: Path | None = None,
    *,
    suffix: str,
    key: str | None = None,
    half: bool = False,
    licence: str = "",
    overwrite: bool = False,
) -> Path:
    """Export ``weights`` as "onnx", "torchscript", "safetensors" or "fused"; return the file.

    Args:
        kind: what to write.
        weights: as :func:`lrfdn_arch.weights.find_weights`.
        out: the file; the weights' name with ``suffix`` in the working folder without it.
        suffix: of the default name.
        key: "params" or "params_ema" of a checkpoint.
        half: float16 inside, ONNX alone.
        licence: of the weights, for the metadata; by default what ``weights`` says itself.
        overwrite: replace an existing file.

    Raises:
        FileExistsError: the file is there already.
        ValueError: as the function of that kind, or the weights are none of our networks', or
            ``out`` is a folder.
        OSError: the weights are not there, or the file cannot be written.
    """
    source = find_weights(weights)
    if source.suffix.lower() == ".onnx":
        raise ValueError(f"{source} is an export already: give .pth or .safetensors weights")
    out = out or Path(f"{source.stem}{'_fused' if kind == 'fused' else ''}{suffix}")
    if out.is_dir():
        raise ValueError(f"{out} is a folder: give --out FILE")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} is there already: give another --out, or --overwrite")
    network = load_network(source, key)
    origin = {"licence": licence or read_metadata(source).get("licence", ""), "source": source.name}
    out.parent.mkdir(parents=True, exist_ok=True)
    if kind == "onnx":
        export_onnx(network, out, half=half, **origin)
    elif kind == "torchscript":
        export_torchscript(network, out, **origin)
    elif kind == "safetensors":
        export_safetensors(network.state_dict(), out, **origin)
    else:
        assert kind == "fused", kind
        export_fused(network, out, **origin)
    return out


def export_onnx(
    network: nn.Module, path: Path, *, half: bool = False, licence: str = "", source: str = ""
) -> None:
    """Write ``network``, fused, as ONNX with free batch, height and width (opset 17).

    ONNX Runtime runs it at three sizes and must agree with torch before the file is kept.

    Args:
        network: LRFDN, RFDN or a fused one, on the CPU.
        path: of the file; an existing one is replaced.
        half: float16 inside; images stay float32.
        licence: of the weights, for the metadata.
        source: name of the weights' file, for the metadata.

    Raises:
        ValueError: onnx or onnxruntime is missing, or the file does not compute what torch does.
        OSError: it cannot be written.
    """
    require("onnx", extra="onnx")
    require("onnxruntime", extra="onnx")
    import onnx

    from lrfdn_arch.inference.onnx_graph import OPSET, build_model
    from lrfdn_arch.inference.onnx_runtime import OnnxRuntime

    fused = fuse(network)
    model = build_model(fused, half=half)
    model.producer_name, model.producer_version = "lrfdn-arch", __version__
    precision = "fp16" if half else "fp32"
    properties = metadata(fused, licence, source) | {"precision": precision, "opset": str(OPSET)}
    onnx.helper.set_model_props(model, properties)
    with replacing(path) as beside:
        onnx.save_model(model, beside)
        _check(OnnxRuntime(beside), network, _HALF_TOLERANCE if half else _TOLERANCE)


def export_torchscript(
    network: nn.Module, path: Path, *, licence: str = "", source: str = ""
) -> None:
    """Write ``network``, fused, as TorchScript for ``torch.jit.load``, any size from 1x1 on.

    The metadata is in the extra file "metadata.json". Checked like :func:`export_onnx`.

    Raises:
        ValueError: the file does not compute what torch does.
        OSError: it cannot be written.
    """
    import json
    import warnings

    from lrfdn_arch.export.torchscript import scripted

    fused = fuse(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit is old and still widely read
        warnings.simplefilter("ignore", DeprecationWarning)
        module: Any = scripted(fused)
        with replacing(path) as beside:
            extra = {"metadata.json": json.dumps(metadata(fused, licence, source))}
            torch.jit.save(module, str(beside), _extra_files=extra)
            _check(torch.jit.load(str(beside)), network, _TOLERANCE)


def export_safetensors(
    state: Mapping[str, Tensor], path: Path, *, licence: str = "", source: str = ""
) -> None:
    """Write plain weights, names as released, as safetensors with metadata.

    Args:
        state: of an LRFDN or RFDN.
        path: of the file; an existing one is replaced.
        licence: of the weights, for the metadata.
        source: name of the weights' file, for the metadata.

    Raises:
        ValueError: the state dict belongs to neither network.
        OSError: it cannot be written.
    """
    network = build_network(state)
    described = metadata(network, licence, source) | {
        "format": "pt",
        "img_range": str(usual_img_range(type(network).__name__)),  # build_network's
    }
    _save_safetensors(network.state_dict(), path, described)


def export_fused(network: nn.Module, path: Path, *, licence: str = "", source: str = "") -> None:
    """Write the fused network's weights as safetensors.

    The names are FusedNetwork's: for other programs that rebuild its straight line. What ``lrfdn``
    itself loads are the plain weights, which fuse in milliseconds.

    Raises:
        ValueError: the network cannot be fused.
        OSError: it cannot be written.
    """
    fused = fuse(network)
    described = metadata(fused, licence, source) | {"format": "pt", "fused": "1"}
    _save_safetensors(fused.state_dict(), path, described)


def metadata(network: nn.Module, licence: str = "", source: str = "") -> dict[str, str]:
    """Return what a file says about its network; all values are text."""
    if isinstance(network, FusedNetwork):
        name, scale, features = network.network, network.upscale, network.num_feat
        blocks, channels = len(list(network.get_submodule("blocks").children())), network.num_in_ch
    else:
        identity = identify(network.state_dict())
        assert identity is not None, "built from an identified state dict"
        name, scale, features = identity.network, identity.upscale, identity.num_feat
        blocks, channels = identity.num_block, identity.num_in_ch
    described = {
        "architecture": name,
        "scale": str(scale),
        "num_feat": str(features),
        "num_block": str(blocks),
        "num_in_ch": str(channels),
        "input": "float32 RGB in [0, 1], (N, C, H, W)",
        "output": "float32 RGB in [0, 1], not clamped",
        "source": f"lrfdn-arch {__version__}" + (f", from {source}" if source else ""),
    }
    return described | ({"licence": licence} if licence else {})


def _save_safetensors(state: Mapping[str, Tensor], path: Path, described: dict[str, str]) -> None:
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with replacing(path) as beside:
        beside.write_bytes(save(tensors, described))  # its save_file hides the file from others


@torch.no_grad()
def _check(run: Callable[[Tensor], Tensor], network: nn.Module, tolerance: float) -> None:
    """Compare a file's results with torch's on noise of three sizes.

    Raises:
        ValueError: they differ by more than ``tolerance`` times the results' size.
    """
    channels = fuse(network).num_in_ch
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in CHECKED_SIZES:
        lq = torch.rand(batch, channels, height, width, generator=generator)
        expected, found = network(lq), run(lq)
        allowed = tolerance * max(1.0, float(expected.abs().max()))
        difference = float(np.abs(found.numpy() - expected.numpy()).max())
        if not difference <= allowed:
            raise ValueError(
                f"the exported file differs from torch by {difference:.2e} at {height}x{width} "
                f"(allowed {allowed:.1e}), so it was not kept"
            )
