"""``auto``: the fastest runtime on this machine, measured once and remembered."""

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_cache_path
from torch import nn

from lrfdn_arch.device import choose_device, device_name
from lrfdn_arch.extras import is_installed
from lrfdn_arch.files import replacing
from lrfdn_arch.inference.fuse import can_fuse
from lrfdn_arch.inference.runtimes import (
    RUNTIMES,
    Runtime,
    open_runtime,
    runs_on_gpus,
)
from lrfdn_arch.weights import LoadedNetwork, find_weights, load_network

Candidate = tuple[str, str]  # runtime, precision
_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}  # they run the ONNX graphs
# Side of the measured image: large enough to leave the caches, small enough for seconds. On a GPU
# small images measure only how fast the CPU starts kernels.
_SIDE, _SIDE_ON_GPU = 192, 768
_ROUNDS = 3


def candidates(device: torch.device) -> list[Candidate]:
    """Return what ``auto`` measures on ``device``.

    "compiled" is left out: it compiles again in every process, which takes longer than it saves
    unless the images take hours. fp16 is measured on GPUs and changes PSNR by less than 0.01 dB;
    bf16, which can change it by more, is used only on request.
    """
    on_gpu = device.type == "cuda"
    names = ["eager"]
    if is_installed("onnx"):
        names += [name for name, package in _PACKAGES.items() if is_installed(package)]
    return [
        (name, precision)
        for name in names
        if not on_gpu or runs_on_gpus(name)
        for precision in (("fp32", "fp16") if on_gpu else ("fp32",))
    ]


def open_fastest(
    network: LoadedNetwork | nn.Module,
    *,
    device: str | torch.device | None = None,
    precision: str | None = None,
    cache: Path | None = None,
    among: Sequence[Candidate] | None = None,
    seconds: Callable[[Runtime], float] | None = None,
) -> Runtime:
    """Return ``network`` in the runtime that is fastest here.

    The first call on a machine measures for a few seconds and writes the choice to a cache file;
    later calls read it. A different version, thread count or network size is measured again.

    Args:
        network: as in :func:`open_runtime`; one without a fused form runs only in torch.
        device: as :func:`lrfdn_arch.inference.runtimes.open_runtime`.
        precision: measure only this precision, in the runtimes that support it.
        cache: the file that stores the choices; by default ``lrfdn/runtimes.json`` in the user's
            cache folder. If it is not writable, the choice is measured at each start.
        among: what to measure instead of :func:`candidates`.
        seconds: measures the time of one runtime; by default the median over a few images.

    Raises:
        ValueError: as :func:`open_runtime`.
    """
    place = choose_device(device)
    module = network.network if isinstance(network, LoadedNetwork) else network
    choices = list(among or candidates(place))
    if not can_fuse(module):
        choices = [choice for choice in choices if choice[0] in ("eager", "compiled")]
    if precision is not None:
        choices = _in_precision(precision, choices)
    if len(choices) == 1:
        return open_runtime(network, choices[0][0], precision=choices[0][1], device=place)
    cache = cache or default_cache()
    key = _situation(module, place, choices)
    known = _read(cache)
    remembered = known.get(key)
    for name, kind in choices:
        if remembered == f"{name} {kind}":
            return open_runtime(network, name, precision=kind, device=place)
    runtimes = []
    for name, kind in choices:
        try:
            runtimes.append(open_runtime(network, name, precision=kind, device=place))
        except ValueError:  # e.g. onnxruntime-gpu whose CUDA libraries do not load
            if not runtimes and (name, kind) == choices[-1]:
                raise
    fastest = min(runtimes, key=seconds or _measured_seconds)
    _write(cache, {**known, key: f"{fastest.name} {fastest.precision}"})
    return fastest


def open_weights(
    weights: str | None,
    name: str = "auto",
    *,
    device: str | None = None,
    precision: str | None = None,
    network_g: Mapping[str, Any] | None = None,
) -> Runtime:
    """Return the network of some weights in a runtime.

    Args:
        weights: as :func:`lrfdn_arch.weights.find_weights`.
        name: one of RUNTIMES, or "auto" for :func:`open_fastest`.
        device: as :func:`open_runtime`.
        precision: as :func:`open_runtime`; None for fp32, or what is fastest with "auto".
        network_g: as :func:`lrfdn_arch.weights.load_network`.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: they cannot be read, or the arguments do not fit them.
    """
    path = find_weights(weights)
    if path.suffix.lower() == ".onnx":
        from lrfdn_arch.inference.onnx_runtime import OnnxRuntime

        if name not in ("auto", "onnx"):
            raise ValueError(f"{path} is an ONNX model: --runtime {name} cannot run it")
        return OnnxRuntime(path, device=choose_device(device, gpu=runs_on_gpus("onnx")))
    network = load_network(path, network_g=network_g)
    if name == "auto":
        return open_fastest(network, device=device, precision=precision)
    return open_runtime(network, name, precision=precision or "fp32", device=device)


def _in_precision(precision: str, choices: Sequence[Candidate]) -> list[Candidate]:
    names = list(dict.fromkeys(name for name, _ in choices))
    found = [(name, precision) for name in names if precision in RUNTIMES[name]]
    if not found:
        raise ValueError(f"no runtime among {', '.join(names)} has --precision {precision}")
    return found


def default_cache() -> Path:
    """Return the file in which choices are remembered."""
    return user_cache_path("lrfdn") / "runtimes.json"


def _measured_seconds(runtime: Runtime) -> float:
    side = _SIDE_ON_GPU if runtime.device.type == "cuda" else _SIDE
    lq = torch.rand(1, runtime.channels, side, side, device=runtime.device)
    times = []
    for _ in range(1 + _ROUNDS):
        start = time.perf_counter()
        runtime(lq).cpu()  # on a GPU, wait for the result
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first run is a warm-up


def _situation(network: nn.Module, device: torch.device, choices: Sequence[Candidate]) -> str:
    """Return what the choice depends on, as one line."""
    versions = [f"torch {torch.__version__}"]
    packages = [_PACKAGES[name] for name, _ in choices if name in _PACKAGES]
    versions += [f"{package} {_version(package)}" for package in packages]
    size = sum(p.numel() for p in network.parameters())
    names = "+".join(f"{name}-{kind}" for name, kind in choices)
    capability = torch.backends.cpu.get_cpu_capability()
    return " | ".join([device_name(device), capability, *versions, f"{size} parameters", names])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # onnxruntime is also a part of onnxruntime-gpu
        return import_module(package).__version__


def _read(cache: Path) -> dict[str, str]:
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(cache: Path, choices: dict[str, str]) -> None:
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with replacing(cache) as beside:
            beside.write_text(json.dumps(choices, indent=1), encoding="utf-8")
    except OSError:
        return  # the cache is not writable: measure again next time
