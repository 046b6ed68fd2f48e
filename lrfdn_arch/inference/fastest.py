"""From weights to a runtime; ``auto`` is what starts fast, or what is fastest on this machine."""

import hashlib
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from platformdirs import user_cache_path

from lrfdn_arch import __version__
from lrfdn_arch.device import choose_device, device_name, uses_cpu
from lrfdn_arch.extras import is_installed, require
from lrfdn_arch.files import write_whole
from lrfdn_arch.inference.runtimes import (
    RUNTIMES,
    Floats,
    Runtime,
    check_runtime,
    open_runtime,
    runs_on_gpus,
)
from lrfdn_arch.weights import find_weights
from lrfdn_arch.weights.shipped import SHIPPED

if TYPE_CHECKING:
    from lrfdn_arch.weights import LoadedNetwork

_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino", "eager": "torch"}
_ROUNDS = 3
_WORTH = 1.3  # how many times faster a lower precision must be
# dB of PSNR between its result and that of float32. bfloat16 reaches 53 to 58 on photographs, which
# costs 0.005 dB of PSNR against the originals, at most 0.018.
_CLOSE = 55.0


class Candidate(NamedTuple):
    """A runtime in a precision."""

    name: str
    precision: str


class Measured(NamedTuple):
    """The median time of a candidate on a sample, and its result."""

    seconds: float
    sr: Floats


class WeightsFile:
    """The network in a weights file, loaded by torch only if something asks for that.

    The folded graph of shipped weights comes with the package. That of other weights is written to
    the user's cache folder, under the checksum of the file, when torch has loaded them once.

    Args:
        path: of the weights.
        network_g: as :func:`lrfdn_arch.weights.load_network`.
    """

    def __init__(self, path: Path, network_g: Mapping[str, Any] | None = None) -> None:
        self._path, self._network_g = path, network_g

    @cached_property
    def network(self) -> "LoadedNetwork":
        """The network in torch.

        Raises:
            ValueError: as :func:`lrfdn_arch.weights.load_network`, or torch is not installed.
        """
        require("torch", extra="torch")
        from lrfdn_arch.weights import load_network

        return load_network(self._path, network_g=self._network_g)

    @cached_property
    def graph(self) -> bytes | None:
        """The network as an ONNX graph in float32; None if it has no fused form."""
        stored = self._stored()
        if stored is not None and stored.is_file():
            return stored.read_bytes()
        from lrfdn_arch.inference.fuse import can_fuse, fuse
        from lrfdn_arch.inference.onnx_graph import build_model

        if not can_fuse(self.network.network):
            return None
        graph = build_model(fuse(self.network.network)).SerializeToString()
        if stored is not None:
            with suppress(OSError):  # the cache is not writable: build it again next time
                write_whole(stored, graph)
        return graph

    def _stored(self) -> Path | None:
        """Where the graph is stored; None if the file alone does not tell what network it is."""
        if self._network_g is not None:
            return None
        shipped = self._path.with_suffix(".onnx")
        if self._path.parent == SHIPPED and shipped.is_file():
            return shipped
        checksum = hashlib.sha256(self._path.read_bytes()).hexdigest()
        return user_cache_path("lrfdn") / "graphs" / f"{checksum}-{__version__}.onnx"


def open_weights(
    weights: str | None = None,
    name: str = "auto",
    *,
    device: str | None = None,
    precision: str | None = None,
    network_g: Mapping[str, Any] | None = None,
    sample: Floats | None = None,
    measure: bool = True,
) -> Runtime:
    """Return the network of some weights in a runtime.

    "auto" on the CPU is ONNX Runtime or else OpenVINO, which start without torch. Given a sample,
    it is what is fastest: the first call on a machine measures for a few seconds and writes the
    choice to :func:`default_cache`; later calls read it, and measure again if that file is not
    writable. Another version, thread count or network is measured again.

    Args:
        weights: as :func:`lrfdn_arch.weights.find_weights`.
        name: one of RUNTIMES, or "auto".
        device: as :func:`open_runtime`.
        precision: as :func:`open_runtime`. None is fp32, or with a sample also a lower one that is
            at least 1.3 times as fast and differs from fp32 by more than 55 dB of PSNR.
        network_g: as :func:`lrfdn_arch.weights.load_network`.
        sample: part of an image that is to be upscaled, (1, C, H, W) float32 in [0, 1].
        measure: whether to measure ``sample`` if no choice is stored.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: they cannot be read, or the arguments do not fit them.
    """
    if name != "auto":
        check_runtime(name, precision or "fp32")
    path = find_weights(weights)
    if path.suffix.lower() == ".onnx":
        if name not in ("auto", "onnx"):
            raise ValueError(f"{path} is an ONNX model: --runtime {name} cannot run it")
        from lrfdn_arch.inference.onnx_runtime import OnnxRuntime

        place = "cpu" if uses_cpu(device) else choose_device(device, gpu=runs_on_gpus("onnx"))
        return OnnxRuntime(path, device=str(place))
    file = WeightsFile(path, network_g)
    if name != "auto":
        return _open(file, Candidate(name, precision or "fp32"), device)
    place = "cpu" if uses_cpu(device) else str(choose_device(device))
    choices = candidates(place, precision)
    if any(choice.name != "eager" for choice in choices) and file.graph is None:
        # Without torch this fails, and the error names the extra.
        choices = [choice for choice in choices if choice.name == "eager"]
        choices = choices or [Candidate("eager", precision or "fp32")]
    if sample is None or len(choices) == 1:
        return _open(file, choices[0], place)
    key, known = _situation(file, place, choices), _read_choices()
    for choice in choices:
        if known.get(key) == " ".join(choice):
            return _open(file, choice, place)
    if not measure:
        return _open(file, choices[0], place)
    runtimes = {}
    for choice in choices:
        try:
            runtimes[choice] = _open(file, choice, place)
        except ValueError:  # e.g. onnxruntime-gpu whose CUDA libraries do not load
            if not runtimes and choice == choices[-1]:
                raise
    best = fastest({choice: timed(runtime, sample) for choice, runtime in runtimes.items()})
    with suppress(OSError):  # not writable: measure again next time
        content = json.dumps({**known, key: " ".join(best)}, indent=1)
        write_whole(default_cache(), content.encode())
    return runtimes[best]


def candidates(device: str, precision: str | None = None) -> list[Candidate]:
    """Return what ``auto`` considers on ``device``, the one that starts fastest first.

    "compiled" is left out: it compiles again in every process, which takes longer than it saves
    unless the images take hours.

    Raises:
        ValueError: no runtime has ``precision``.
    """
    on_gpu = device != "cpu"
    order = ("eager", "onnx") if on_gpu else ("onnx", "openvino", "eager")
    names = [name for name in order if is_installed(_PACKAGES[name])]
    names = [name for name in names if not on_gpu or runs_on_gpus(name)]
    lower = {"eager": "fp16", "onnx": "fp16"} if on_gpu else {"openvino": "bf16"}
    found = [Candidate(name, "fp32") for name in names]
    found += [Candidate(name, lower[name]) for name in names if name in lower]
    if precision is not None:
        found = [Candidate(name, precision) for name in names if precision in RUNTIMES[name]]
    if not found:
        here = ", ".join(names)
        raise ValueError(f"no runtime installed here ({here}) has --precision {precision}")
    return found


def _open(file: WeightsFile, choice: Candidate, device: str | None) -> Runtime:
    name, precision = choice
    stored = name in ("onnx", "openvino") and precision != "fp16" and uses_cpu(device)
    network = (file.graph if stored else None) or file.network
    return open_runtime(network, name, precision=precision, device=device)


def timed(runtime: Runtime, sample: Floats) -> Measured:
    """Run ``sample`` several times after a warm-up; return the median time and the result."""
    times, sr = [], sample
    for _ in range(1 + _ROUNDS):
        start = time.perf_counter()
        result = runtime(sample)
        sr = result if isinstance(result, np.ndarray) else result.cpu().numpy()
        times.append(time.perf_counter() - start)
    return Measured(statistics.median(times[1:]), sr)


def fastest(measured: Mapping[Candidate, Measured]) -> Candidate:
    """Return the fastest candidate in float32, or a lower precision that is worth it."""
    by_time = sorted(measured, key=lambda choice: measured[choice].seconds)
    full = next((choice for choice in by_time if choice.precision == "fp32"), by_time[0])
    for choice in by_time:
        worth = measured[choice].seconds * _WORTH <= measured[full].seconds
        if worth and _psnr(measured[choice].sr, measured[full].sr) > _CLOSE:
            return choice
    return full


def _psnr(one: Floats, other: Floats) -> float:
    error = np.mean((one.clip(0, 1) - other.clip(0, 1)) ** 2, dtype=np.float64)
    return float(-10 * np.log10(error + 1e-30))


def default_cache() -> Path:
    """Return the file in which choices are remembered."""
    return user_cache_path("lrfdn") / "runtimes.json"


def _situation(file: WeightsFile, device: str, choices: Sequence[Candidate]) -> str:
    """Return what the choice depends on, as one line."""
    packages = sorted({_PACKAGES[choice.name] for choice in choices})
    if file.graph is None:
        size = f"{sum(p.numel() for p in file.network.network.parameters())} parameters"
    else:
        size = f"graph of {len(file.graph) // 1000} kB"
    names = "+".join("-".join(choice) for choice in choices)
    return " | ".join([device_name(device), *map(_version, packages), size, names])


def _version(package: str) -> str:
    from importlib import metadata  # not at the start, which it would delay

    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:  # onnxruntime is also a part of onnxruntime-gpu
        return f"{package} {import_module(package).__version__}"


def _read_choices() -> dict[str, str]:
    try:
        content = json.loads(default_cache().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
