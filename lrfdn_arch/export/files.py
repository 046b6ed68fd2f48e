"""``lrfdn export``: networks as files for other programs, each checked before it is kept."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lrfdn_arch import __version__
from lrfdn_arch.export import graphs
from lrfdn_arch.files import check_new, write_whole
from lrfdn_arch.inference.fuse import fuse
from lrfdn_arch.weights import LoadedNetwork, find_weights, load_network, read_metadata
from lrfdn_arch.weights.img_range import in_usual_range
from lrfdn_arch.weights.loading import PaddedNetwork
from lrfdn_arch.weights.reading import CHECKSUM, NETWORK, checksum_of


def export(
    kind: str,
    weights: str | None,
    out: Path | None = None,
    *,
    key: str | None = None,
    half: bool = False,
    licence: str = "",
    overwrite: bool = False,
    network_g: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Export the network that ``weights`` contain; return the files.

    Args:
        kind: one of ``KINDS``.
        weights: as :func:`lrfdn_arch.weights.find_weights`.
        out: the (first) file; by default named after the weights, in the working directory.
        key: "params" or "params_ema" of a checkpoint.
        half: see :func:`export_network`.
        licence: of the weights, for the metadata; by default that of ``weights``.
        overwrite: replace existing files.
        network_g: as :func:`lrfdn_arch.weights.load_network`.

    Raises:
        ValueError: the weights are an ONNX file; and as :func:`export_network`.
        OSError: as :func:`export_network`.
    """
    source = find_weights(weights)
    if source.suffix.lower() == ".onnx":
        raise ValueError(f"{source} is an export already: give .pth or .safetensors weights")
    loaded = load_network(source, key, network_g)
    if out is None:
        ending = "_fused" if kind == "fused" else ""
        if kind == "ncnn" and f"x{loaded.scale}" not in source.stem.lower():
            ending = f"_x{loaded.scale}"  # Upscayl reads the scale from the name
        out = Path(f"{source.stem}{ending}{KINDS[kind][0][0]}")
    return export_network(
        kind,
        loaded,
        out,
        half=half,
        licence=licence or read_metadata(source).get("licence", ""),
        source=source.name,
        overwrite=overwrite,
    )


def export_network(
    kind: str,
    loaded: LoadedNetwork,
    out: Path,
    *,
    half: bool = False,
    licence: str = "",
    source: str = "",
    overwrite: bool = True,
) -> list[Path]:
    """Export a network; return the files, ``out`` and for some kinds a second one beside it.

    Args:
        kind: one of ``KINDS``.
        loaded: the network.
        out: the (first) file.
        half: use float16; only for "onnx" and "openvino".
        licence: of the weights, for the metadata.
        source: name of the weights' file, for the metadata.
        overwrite: replace existing files.

    Raises:
        FileExistsError: a file exists and ``overwrite`` is off.
        ValueError: ``out`` has the wrong suffix, a package is missing, or the network has no such
            form or computes something else in it.
        OSError: a file cannot be written, or ``out`` is a folder.
    """
    suffixes, convert = KINDS[kind]
    if len(suffixes) > 1 and out.suffix != suffixes[0]:
        raise ValueError(f"--out {out}: expected a name that ends in {suffixes[0]}")
    paths = [out, *(out.with_suffix(suffix) for suffix in suffixes[1:])]
    check_new(*paths, overwrite=overwrite)
    if kind == "safetensors":
        loaded = in_usual_range(loaded)  # other programs do not read img_range from the metadata
    files = convert(loaded, metadata(loaded, licence, source), half)
    for path, suffix in reversed([*zip(paths, suffixes, strict=True)]):
        write_whole(path, files[suffix])  # the first one, which programs open, when all are there
    return paths


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
    more = {"papers": "; ".join(loaded.architecture.papers), "licence": licence}
    return described | {name: text for name, text in more.items() if text}


def _to_safetensors(
    loaded: LoadedNetwork, described: Mapping[str, str], half: bool
) -> dict[str, bytes]:
    """Return plain weights, names as released."""
    network = loaded.network
    network = network.network if isinstance(network, PaddedNetwork) else network
    return _packed(network.state_dict(), described)


def _to_fused(loaded: LoadedNetwork, described: Mapping[str, str], half: bool) -> dict[str, bytes]:
    """Return the fused network's weights, for other programs that rebuild it.

    ``lrfdn`` itself loads only plain weights, which fuse in milliseconds.
    """
    return _packed(fuse(loaded.network).state_dict(), {**described, "fused": "1"})


def _packed(state: Mapping[str, Tensor], described: Mapping[str, str]) -> dict[str, bytes]:
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    return {
        ".safetensors": save(tensors, {**described, "format": "pt", CHECKSUM: checksum_of(tensors)})
    }


_Converter = Callable[[LoadedNetwork, Mapping[str, str], bool], dict[str, bytes]]
KINDS: dict[str, tuple[tuple[str, ...], _Converter]] = {  # suffixes, and what writes the files
    "onnx": ((".onnx",), graphs.to_onnx),
    "openvino": ((".xml", ".bin"), graphs.to_openvino),
    "ncnn": ((".param", ".bin"), graphs.to_ncnn),
    "torchscript": ((".pt",), graphs.to_torchscript),
    "safetensors": ((".safetensors",), _to_safetensors),
    "fused": ((".safetensors",), _to_fused),
}
