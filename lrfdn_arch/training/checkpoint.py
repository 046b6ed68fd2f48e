"""Saving and restoring a model: weights for use, and training states to resume from.

``models/net_g_N.pth`` contains ``params`` and ``params_ema``, as BasicSR writes and reads them, and
``network_g``, the section of the option file that built the network. ``training_states/N.state``
contains BasicSR's keys (``epoch, iter, optimizers, schedulers``), the networks, and everything else
that resuming takes, so one intact file is enough.
"""

import pickle
from collections.abc import Mapping
from copy import copy
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lrfdn_arch.files import write_whole
from lrfdn_arch.training.state_checks import FORMAT, check_contents, check_fits
from lrfdn_arch.weights.reading import is_whole_zip


def networks_of(model: Any) -> dict[str, nn.Module]:
    """Return a BasicSR model's networks, ``net_g``, ``net_g_ema``, ..., without wrappers."""
    return {
        name: model.get_bare_model(network)
        for name, network in vars(model).items()
        if name.startswith("net_") and isinstance(network, nn.Module)
    }


def weights_of(model: Any) -> dict[str, dict[str, Any]]:
    """Return the content of each weights file by network, e.g. ``net_g`` -> ``params``."""
    networks = networks_of(model)
    files: dict[str, dict[str, Any]] = {}
    for name, network in networks.items():
        owner = name.removesuffix("_ema")
        key = "params_ema" if name != owner and owner in networks else "params"
        files.setdefault(owner if key == "params_ema" else name, {})[key] = network.state_dict()
    for name, file in files.items():
        section = name.replace("net_", "network_")
        if section in model.opt:
            file[section] = dict(model.opt[section])
    return files


def save_weights(model: Any, path: str | Path, network: str = "net_g") -> None:
    """Write the weights of ``network`` and of its EMA."""
    save_torch(Path(path), weights_of(model)[network])


def save_state(
    model: Any, path: str | Path, epoch: int, iteration: int, **more: Mapping[str, Any]
) -> None:
    """Write everything about ``model`` that training changes, and ``more`` beside it."""
    state = {
        "format": FORMAT,
        "epoch": epoch,
        "iter": iteration,
        "networks": {name: network.state_dict() for name, network in networks_of(model).items()},
        "optimizer_types": [type(optimizer).__name__ for optimizer in model.optimizers],
        "optimizers": [optimizer.state_dict() for optimizer in model.optimizers],
        "schedulers": [scheduler.state_dict() for scheduler in model.schedulers],
        "model": model.state_dict() if hasattr(model, "state_dict") else {},
    }
    save_torch(Path(path), state | more)


def save_torch(path: Path, content: Any) -> None:
    """Write ``content`` as ``torch.save`` does, whole or not at all, its tensors on the CPU.

    Raises:
        OSError: it cannot be written; an older file of that name is unchanged.
    """
    buffer = BytesIO()
    torch.save(on_cpu(content), buffer)
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        hint = "earlier checkpoints are intact. Make room or allow writing, then use --auto_resume"
        raise OSError(error.errno, f"{error.strerror}; {hint}") from error


def on_cpu(value: Any) -> Any:
    """Return ``value`` with every tensor in its dicts, lists and tuples detached, on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        result = copy(value)  # keeps the class: a scheduler's Counter must stay one
        for key, inner in value.items():
            result[key] = on_cpu(inner)
        return result
    if isinstance(value, list | tuple):
        return type(value)(on_cpu(v) for v in value)
    return value


def load_state(path: str | Path) -> dict[str, Any]:
    """Read a state of BasicSR or of this package onto the CPU without running code in it.

    Raises:
        OSError: there is no such file.
        ValueError: it is damaged, would run code, or has other contents than a state.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such training state (path: resume_state)")
    if not is_whole_zip(path):
        raise ValueError(f"{path} is damaged or not a training state: its checksums do not agree")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it contains more than tensors and plain values and would run "
            "code when read. Use a state that BasicSR or this package saved"
        ) from error
    except Exception as error:  # anything, where bytes outside the checksums were changed
        raise ValueError(f"{path} is damaged or not a training state: {error}") from error
    check_contents(state, path)
    return state


def restore_model(model: Any, state: Mapping[str, Any], path: Path) -> None:
    """Restore ``model`` from ``state``, read from ``path``, once all of it is checked.

    BasicSR's states contain no networks; those are read from ``models/net_g_N.pth`` beside them.

    Raises:
        ValueError: the state does not fit the model.
    """
    networks = networks_of(model)
    saved = state.get("networks") or _networks_beside(path, state["iter"])
    check_fits({**state, "networks": saved}, networks, model, path)
    for name, network in networks.items():
        network.load_state_dict(saved[name])
    model.resume_training(state)
    if hasattr(model, "load_state_dict"):
        model.load_state_dict(state.get("model", {}))


def _networks_beside(path: Path, iteration: int) -> dict[str, Any]:
    from lrfdn_arch.weights import read_state_dict
    from lrfdn_arch.weights.reading import EMA, RAW

    file = path.parent.parent / "models" / f"net_g_{iteration}.pth"
    networks = {"net_g": read_state_dict(file, RAW)}
    content = torch.load(file, map_location="cpu", weights_only=True)
    if EMA in content:
        networks["net_g_ema"] = read_state_dict(file, EMA)
    return networks
