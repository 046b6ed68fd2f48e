"""``lrfdn export``: networks as files for other programs, each checked before it is kept."""

import json
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrfdn_arch import __version__
from lrfdn_arch.extras import require
from lrfdn_arch.files import replacing
from lrfdn_arch.inference.fuse import can_fuse, fuse
from lrfdn_arch.inference.runtimes import Floats
from lrfdn_arch.weights import LoadedNetwork, find_weights, load_network, read_metadata
from lrfdn_arch.weights.img_range import in_usual_range
from lrfdn_arch.weights.loading import PaddedNetwork
from lrfdn_arch.weights.reading import CHECKSUM, NETWORK, checksum_of

CHECKED_SIZES = ((1, 24, 32), (2, 15, 40), (1, 7, 9))  # batch, height, width; the last is padded
TRACED_SIZES = ((1, 24, 32), (2, 40, 31))  # a trace is specific to such sizes
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
    network_g: Mapping[str, Any] | None = None,
) -> Path:
    """Export ``weights`` as "onnx", "torchscript", "safetensors" or "fused"; return the file.

    Args:
        kind: what to write.
        weights: as :func:`lrfdn_arch.weights.find_weights`.
        out: the file; by default the weights' name with ``suffix``, in the working directory.
        suffix: of the default file name.
        key: "params" or "params_ema" of a checkpoint.
        half: compute in float16; ONNX only.
        licence: of the weights, for the metadata; by default that of ``weights``.
        overwrite: replace an existing file.
        network_g: as :func:`lrfdn_arch.weights.load_network`.

    Raises:
        FileExistsError: the file exists.
        ValueError: the weights are an ONNX file, or ``out`` is a folder.
    """
    source = find_weights(weights)
    if source.suffix.lower() == ".onnx":
        raise ValueError(f"{source} is an export already: give .pth or .safetensors weights")
    out = out or Path(f"{source.stem}{'_fused' if kind == 'fused' else ''}{suffix}")
    if out.is_dir():
        raise ValueError(f"{out} is a folder: give --out FILE")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists: give another --out, or --overwrite")
    loaded = load_network(source, key, network_g)
    origin = {"licence": licence or read_metadata(source).get("licence", ""), "source": source.name}
    out.parent.mkdir(parents=True, exist_ok=True)
    if kind == "onnx":
        export_onnx(loaded, out, half=half, **origin)
    elif kind == "torchscript":
        export_torchscript(loaded, out, **origin)
    elif kind == "safetensors":
        export_safetensors(loaded, out, **origin)
    else:
        assert kind == "fused", kind
        export_fused(loaded, out, **origin)
    return out


def export_onnx(
    loaded: LoadedNetwork, path: Path, *, half: bool = False, licence: str = "", source: str = ""
) -> None:
    """Write a network as ONNX with free batch, height and width.

    Networks with a fused form are written by this package (opset 17), others by torch's exporter,
    whose files may refuse images smaller than 24x32 pixels. ONNX Runtime runs the file at several
    sizes and must agree with torch before it is kept.

    Args:
        loaded: the network.
        path: of the file; an existing one is replaced.
        half: compute in float16, for fused networks; images stay float32.
        licence: of the weights, for the metadata.
        source: name of the weights' file, for the metadata.

    Raises:
        ValueError: a package is missing, or the file does not compute what torch does.
        OSError: it cannot be written.
    """
    require("onnx", extra="onnx")
    require("onnxruntime", extra="onnx")
    import onnx

    from lrfdn_arch.inference.onnx_runtime import OnnxRuntime

    if can_fuse(loaded.network):
        from lrfdn_arch.inference.onnx_graph import build_model

        model = build_model(fuse(loaded.network), half=half)
    elif half:
        raise ValueError(f"--half needs a network with a fused form, which {loaded} lacks")
    else:
        model = _exported_by_torch(loaded)
    model.producer_name, model.producer_version = "lrfdn-arch", __version__
    properties = {prop.key: prop.value for prop in model.metadata_props}
    properties["opset"] = str(next(o.version for o in model.opset_import if not o.domain))
    onnx.helper.set_model_props(model, properties | metadata(loaded, licence, source))
    with replacing(path) as temporary:
        onnx.save_model(model, temporary)
        _check(OnnxRuntime(temporary), loaded, _HALF_TOLERANCE if half else _TOLERANCE)


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
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"torch cannot export {loaded} to ONNX: {reason}") from error
    assert program is not None, "returned by the exporter that works on torch.export"
    return program.model_proto


def export_torchscript(
    loaded: LoadedNetwork, path: Path, *, licence: str = "", source: str = ""
) -> None:
    """Write a network, fused if possible, as TorchScript for ``torch.jit.load``.

    The metadata is in the extra file "metadata.json". Checked like :func:`export_onnx`.

    Raises:
        ValueError: the file does not compute what torch does.
        OSError: it cannot be written.
    """
    from lrfdn_arch.export.torchscript import scripted

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated and still widely read
        module: Any = scripted(loaded)
        with replacing(path) as temporary:
            extra = {"metadata.json": json.dumps(metadata(loaded, licence, source))}
            buffer = BytesIO()
            torch.jit.save(module, buffer, _extra_files=extra)
            temporary.write_bytes(
                buffer.getvalue()
            )  # torch.jit.save aborts the process on a full disk
            program = torch.jit.load(str(temporary))
            _check(lambda lq: program(torch.from_numpy(lq)).numpy(), loaded, _TOLERANCE)


def export_safetensors(
    loaded: LoadedNetwork, path: Path, *, licence: str = "", source: str = ""
) -> None:
    """Write plain weights, names as released, in the usual ``img_range``, with metadata.

    Raises:
        OSError: the file cannot be written.
    """
    loaded = in_usual_range(loaded)
    network = loaded.network
    if isinstance(network, PaddedNetwork):
        network = network.network
    described = metadata(loaded, licence, source) | {"format": "pt"}
    _save_safetensors(network.state_dict(), path, described)


def export_fused(loaded: LoadedNetwork, path: Path, *, licence: str = "", source: str = "") -> None:
    """Write the fused network's weights as safetensors.

    The names are those of the fused form, for other programs that rebuild it. ``lrfdn`` itself
    loads only plain weights, which fuse in milliseconds.

    Raises:
        ValueError: the network cannot be fused.
        OSError: the file cannot be written.
    """
    state = fuse(loaded.network).state_dict()
    described = metadata(loaded, licence, source) | {"format": "pt", "fused": "1"}
    _save_safetensors(state, path, described)


def metadata(loaded: LoadedNetwork, licence: str = "", source: str = "") -> dict[str, str]:
    """Return the metadata of an exported file; all values are text."""
    arguments = loaded.arguments
    described = {
        "architecture": loaded.architecture.name,
        NETWORK: json.dumps(loaded.options()),
        "scale": str(loaded.scale),
        "num_in_ch": str(loaded.channels),
        "img_range": str(float(getattr(loaded.network, "img_range", 1.0))),
        "input": "float32 RGB in [0, 1], (N, C, H, W)",
        "output": "float32 RGB in [0, 1], not clamped",
        "source": f"lrfdn-arch {__version__}" + (f", from {source}" if source else ""),
    }
    described |= {n: str(arguments[n]) for n in ("num_feat", "num_block") if n in arguments}
    return described | ({"licence": licence} if licence else {})


def _save_safetensors(state: Mapping[str, Tensor], path: Path, described: dict[str, str]) -> None:
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    described = described | {CHECKSUM: checksum_of(tensors)}
    with replacing(path) as beside:
        beside.write_bytes(
            save(tensors, described)
        )  # save_file makes the file unreadable to other users


@torch.no_grad()
def _check(run: Callable[[Floats], Floats], loaded: LoadedNetwork, tolerance: float) -> None:
    """Compare a file's results with torch's on noise of several sizes.

    Raises:
        ValueError: they differ by more than ``tolerance`` times the results' size.
    """
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in CHECKED_SIZES if can_fuse(loaded.network) else TRACED_SIZES:
        lq = torch.rand(batch, loaded.channels, height, width, generator=generator)
        expected, found = loaded.network(lq).numpy(), run(lq.numpy())
        allowed = tolerance * max(1.0, float(np.abs(expected).max()))
        difference = float(np.abs(found - expected).max())
        if not difference <= allowed:
            raise ValueError(
                f"the exported file differs from torch by {difference:.2e} at {height}x{width} "
                f"(allowed {allowed:.1e}), so it was not kept"
            )
