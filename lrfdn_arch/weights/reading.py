"""Weights files of BasicSR, plain state dicts and safetensors, read without running their code."""

import contextlib
import hashlib
import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lrfdn_arch.text import first_line

# The weights in a training checkpoint: raw, and their exponential moving average.
RAW, EMA = "params", "params_ema"
CHECKSUM = "sha256"  # of the tensors, in the metadata of this package's safetensors
NETWORK = "network_g"  # in this package's checkpoints: the option file's section of that name
_PLAIN = (
    "Save a plain state dict, torch.save(network.state_dict(), path), in an environment where you "
    "trust the file, and use that"
)


def read_state_dict(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """Read the weights in ``path`` onto the CPU.

    Args:
        path: a ``.safetensors`` file, or a ``torch.save`` file with BasicSR's ``params`` and
            ``params_ema`` or a plain state dict, as released for the challenges.
        key: which of a checkpoint's weights to read; by default ``params_ema`` if present, else
            ``params``. Ignored for a plain state dict.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: it cannot be read.
        ValueError: it is damaged, would run code when read, does not contain the requested
            weights, or some of them are not finite.
    """
    return read_with_options(path, key)[0]


def read_with_options(
    path: str | Path, key: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read weights as :func:`read_state_dict` does, and the ``network_g`` section they come from.

    Checkpoints and safetensors of this package contain that section; for other files it is empty.
    Prefixes of names that DistributedDataParallel and torch.compile add are removed.
    """
    path = Path(path)
    content = _read(path)
    available = [name for name in (EMA, RAW) if isinstance(content.get(name), Mapping)]
    if available and key is not None and key not in available:
        raise ValueError(f"{path} has no {key!r}; it has {' and '.join(available)}")
    state = content[key or available[0]] if available else content
    if not state or not all(isinstance(n, str) and isinstance(v, Tensor) for n, v in state.items()):
        raise ValueError(f"{path} holds no network weights (a mapping from names to tensors)")
    named = {n.removeprefix("module.").removeprefix("_orig_mod."): v for n, v in state.items()}
    _check_values(named, path)
    return named, _options(content, path)


def checksum_of(state: Mapping[str, Tensor]) -> str:
    """Return the sha256 of names, types, shapes and values of weights, in hexadecimal."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _check_values(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that are larger than the file, sparse or quantized ones, and NaN or infinity.

    A view can claim any size: ``torch.zeros(1).expand(10**10)`` takes a few bytes in a file.
    """
    size, limit = 0, 2 * path.stat().st_size + 2**20
    for name, value in state.items():
        if value.layout is not torch.strided or value.is_quantized or value.is_meta:
            raise ValueError(f"{path}: {name} is not a plain dense tensor")
        size += value.numel() * value.element_size()
        if size > limit:
            raise ValueError(f"{path} is damaged: its tensors claim more than the file can hold")
    for name, value in state.items():
        if value.is_complex():
            raise ValueError(f"{path}: {name} is complex, expected floating-point weights")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{path}: {name} contains NaN or infinity: the file is damaged, or was saved by a "
                "training that diverged"
            )


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a valid safetensors file; {} for other files."""
    from safetensors import safe_open

    if path.suffix.lower() != ".safetensors":
        return {}
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def _options(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    options = content.get(NETWORK)
    if not isinstance(options, Mapping):
        return {}
    if not all(isinstance(name, str) for name in (*options, options.get("type", ""))):
        raise ValueError(f"{path} is damaged: its {NETWORK} is not a section of an option file")
    img_range = options.get("img_range", 1.0)
    is_number = isinstance(img_range, int | float) and not isinstance(img_range, bool)
    if not is_number or not 0 < img_range < inf:
        raise ValueError(f"{path} has an img_range of {img_range!r}, expected a number above 0")
    return dict(options)


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights file at {path}. Check the path (path: pretrain_network_g in an option "
            "file); released weights must be fetched first, trained ones are in "
            "experiments/NAME/models"
        )
    with path.open("rb") as file:  # safetensors reports "no such file" for an unreadable file
        start = file.read(1)
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    if start not in (b"P", b"\x80"):  # a zip archive; before torch 1.6 a pickle
        raise ValueError(
            f"{path} is not a weights file: it is neither a torch.save file nor a .safetensors"
        )
    content = read_torch(path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected a state dict")
    return content


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            described = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a complete safetensors file ({error})") from error
    if "fused" in described:
        raise ValueError(
            f"{path} is a fused export, which other programs read: give the plain weights it was "
            "made from"
        )
    if CHECKSUM in described and described[CHECKSUM] != checksum_of(state):
        raise ValueError(f"{path} is damaged: its tensors do not match its checksum")
    if NETWORK in described:
        try:
            return {RAW: state, NETWORK: json.loads(described[NETWORK])}
        except ValueError as error:
            raise ValueError(f"{path} has damaged metadata: {NETWORK} is not JSON") from error
    if "architecture" not in described or "img_range" not in described:
        return state
    network = {"type": described["architecture"], "img_range": described["img_range"]}
    with contextlib.suppress(ValueError):  # values that are not numbers are refused below
        network["img_range"] = float(network["img_range"])
    return {RAW: state, NETWORK: network}


def _check_zip(path: Path) -> None:
    """Check sizes and checksums of an archive, which ``torch.load`` does not compare."""
    try:
        fault = _zip_fault(path)
    except Exception as error:  # damaged bytes can raise any exception in zipfile
        raise _damaged(path, error) from error
    if fault is not None:
        raise ValueError(f"{path} {fault}")


def _zip_fault(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.filename.endswith("/constants.pkl") for entry in entries):
            return (
                "is a TorchScript program: give the weights it was made from (.pth or .safetensors)"
            )
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            return "was refused: torch stores weights without compression"
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            return "is damaged: its parts claim more than the file can hold"
        damaged = archive.testzip()
    return None if damaged is None else f"is damaged: the checksum of {damaged} does not match"


def read_torch(path: Path, advice: str = _PLAIN) -> Any:
    """Return the content of a ``torch.save`` file, on the CPU, without running code in it.

    Raises:
        ValueError: it is damaged, or would run code; the message ends in ``advice``.
    """
    with path.open("rb") as file:
        is_archive = file.read(1) != b"\x80"  # before torch 1.6 a pickle
    if is_archive:
        _check_zip(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unreadable files raise as well
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it is not a torch file, or it holds more than tensors and "
            f"would run code when read. {advice}"
        ) from error
    except Exception as error:  # damaged bytes can raise any exception
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is damaged or not a torch file ({first_line(error)})")
