"""What an HTML page needs to run networks in a browser: their graphs, and ONNX Runtime for WASM."""

import base64
import gzip
import hashlib
import re
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from lrfdn_arch.download import Download, fetch
from lrfdn_arch.export.graphs import to_onnx
from lrfdn_arch.files import write_whole
from lrfdn_arch.inference.fuse import can_fuse, fuse
from lrfdn_arch.inference.tiling import DEFAULT_OVERLAP
from lrfdn_arch.inference.windowed_graph import with_windows
from lrfdn_arch.weights import find_weights, load_network, read_metadata

PACKAGE = Download(
    "https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-1.30.0.tgz",
    "sha256:d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
    size=33_106_585,
)
_FILES = {  # of the package's folder dist: the smallest build, SIMD on the CPU
    "script": "ort.wasm.min.js",
    "factory": "ort-wasm-simd-threaded.mjs",
    "wasm": "ort-wasm-simd-threaded.wasm",
}


def browser_network(
    label: str,
    weights: str | None,
    key: str | None = None,
    network_g: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a network for a page.

    Its graph is that of ``lrfdn export onnx``; if its attention depends on a tile's position, the
    variant that supports windows, so that tiles are exact.

    Args:
        label: its name on the page; "" for the network's own.
        weights: as :func:`lrfdn_arch.weights.find_weights`.
        key: "params" or "params_ema" of a checkpoint.
        network_g: as :func:`lrfdn_arch.weights.load_network`.

    Returns:
        "id", "sha256" of the weights file, "scale", "windows" (whether the graph has inputs for
        windows), "overlap" of tiles in LR pixels, "onnx" (base64 of gzip), "facts" for the reader.

    Raises:
        ValueError: a package is missing, the network is not one for RGB, or torch cannot export it.
    """
    source = find_weights(weights)
    loaded = load_network(source, key, network_g)
    if loaded.channels != 3:
        raise ValueError(f"{source}: {loaded} has {loaded.channels} channels, expected 3 (RGB)")
    fused = fuse(loaded.network) if can_fuse(loaded.network) else None
    graph, windows = to_onnx(loaded, {})[".onnx"], fused is not None and fused.uses_window
    graph = with_windows(graph) if windows else graph
    name = label or loaded.architecture.name
    parameters = sum(p.numel() for p in loaded.network.parameters())
    facts = {
        "Network": str(loaded),
        "Parameters": f"{parameters:,}",
        "Weights": source.name,
        "Papers": "; ".join(loaded.architecture.papers),
        "License": read_metadata(source).get("licence", ""),
    }
    return {
        "id": name,
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "scale": loaded.scale,
        "windows": windows,
        "overlap": (fused and fused.overlap) or DEFAULT_OVERLAP,
        "onnx": _packed(graph),
        "facts": {term: fact for term, fact in facts.items() if fact},
    }


def browser_runtime(
    folder: Path | None = None,
    advance: Callable[[int], object] = lambda count: None,
    *,
    package: Download = PACKAGE,
    cache: Path | None = None,
) -> dict[str, str]:
    """Return the files of ONNX Runtime Web.

    Args:
        folder: the folder ``dist`` of any version of the npm package onnxruntime-web, or the
            package's own; by default the pinned version, which is downloaded once.
        advance: called with numbers of downloaded bytes.
        package: the archive to download.
        cache: folder for the downloaded files, by default in the user's cache folder.

    Returns:
        "script", "factory" and "wasm" (base64 of gzip), and "version".

    Raises:
        ValueError: ``folder`` lacks a file, or the downloaded archive is not the expected one.
        OSError: the archive cannot be downloaded.
    """
    if folder is None:
        place = cache or user_cache_path("lrfdn") / package.name.removesuffix(".tgz")
        if not _is_complete(place):
            _download(package, place, advance)
    else:
        complete = [place for place in (folder, folder / "dist") if _is_complete(place)]
        if not complete:
            raise ValueError(
                f"--runtime {folder}: expected a folder with {', '.join(_FILES.values())}, e.g. "
                "node_modules/onnxruntime-web/dist after `npm install onnxruntime-web`"
            )
        place = complete[0]
    content = {kind: (place / name).read_bytes() for kind, name in _FILES.items()}
    version = re.search(rb"ONNX Runtime Web v([\w.-]+)", content["script"])
    packed = {kind: _packed(data) for kind, data in content.items()}
    return packed | {"version": version[1].decode() if version else ""}


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _FILES.values())


def _download(package: Download, cache: Path, advance: Callable[[int], object]) -> None:
    archive = fetch(package, cache, advance)
    with tarfile.open(archive) as files:
        for name in _FILES.values():
            file = files.extractfile(f"package/dist/{name}")
            assert file is not None, "the archive's checksum is the expected one"
            write_whole(cache / name, file.read())
    archive.unlink()


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()
