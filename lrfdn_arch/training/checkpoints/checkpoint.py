"""What is saved of a model, under which names, and how it comes back.

Weights are ``models/net_g_N.pth`` with ``params`` and ``params_ema``, as BasicSR writes and reads
them, and ``network_g``, the option file's section that built the network.
``training_states/N.state`` has BasicSR's keys (``epoch, iter, optimizers, schedulers``) and all
else that is needed to go on, the networks included, so that one whole file is enough.
"""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lrfdn_arch.training.checkpoints.files import is_whole, save_torch

FORMAT = 1  # of our own keys in a state


def networks_of(model: Any) -> dict[str, nn.Module]:
    """Return a BasicSR model's networks, ``net_g``, ``net_g_ema``, ..., without wrappers."""
    return {
        name: model.get_bare_model(network)
        for name, network in vars(model).items()
        if name.startswith("net_") and isinstance(network, nn.Module)
    }


def weights_of(model: Any) -> dict[str, dict[str, Any]]:
    """Return what goes into each weights file: ``net_g`` -> ``params`` and so on."""
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
    """Write the weights of ``network`` and its EMA.

    Raises:
        OSError: they could not be written; an older file of that name is as it was.
    """
    save_torch(Path(path), weights_of(model)[network])


def state_of(model: Any, epoch: int, iteration: int) -> dict[str, Any]:
    """Return everything about ``model`` that training changes, after ``iteration``."""
    own = model.state_dict() if hasattr(model, "state_dict") else {}
    return {
        "format": FORMAT,
        "epoch": epoch,
        "iter": iteration,
        "networks": {name: network.state_dict() for name, network in networks_of(model).items()},
        "optimizer_types": [type(optimizer).__name__ for optimizer in model.optimizers],
        "optimizers": [optimizer.state_dict() for optimizer in model.optimizers],
        "schedulers": [scheduler.state_dict() for scheduler in model.schedulers],
        "model": own,
    }


def save_state(
    model: Any, path: str | Path, epoch: int, iteration: int, **more: Mapping[str, Any]
) -> None:
    """Write the state of ``model`` and ``more`` beside it (random states, sampler, ...).

    Raises:
        OSError: it could not be written; nothing else changed.
    """
    save_torch(Path(path), state_of(model, epoch, iteration) | more)


def load_state(path: str | Path) -> dict[str, Any]:
    """Read a state onto the CPU, BasicSR's or ours, running none of its code.

    Raises:
        OSError: there is no such file.
        ValueError: it is damaged, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such training state (path: resume_state)")
    if not is_whole(path):
        raise ValueError(f"{path} is damaged or no training state: cut short, or bytes changed")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it holds more than tensors and plain values and would run code "
            "when read. Take a state that this project or BasicSR saved"
        ) from error
    except Exception as error:  # bytes changed outside the checksums can make it fail in any way
        raise ValueError(f"{path} is damaged or no training state: {error}") from error
    if not isinstance(state, dict) or not {"iter", "optimizers"} <= state.keys():
        raise ValueError(f"{path} is no training state: 'iter' and 'optimizers' are missing")
    if not isinstance(state["iter"], int):
        raise ValueError(f"{path} is no training state: its 'iter' is no whole number")
    return state


def restore_model(model: Any, state: Mapping[str, Any], path: Path) -> None:
    """Put ``model`` back to what it was when ``state``, read from ``path``, was saved.

    A state of BasicSR holds no networks; they come from ``models/net_g_N.pth`` beside it.

    Raises:
        ValueError: the state is of other networks or optimizers.
    """
    networks = networks_of(model)
    saved = state.get("networks") or _networks_beside(path, state["iter"])
    for name, network in networks.items():
        if name not in saved:
            raise ValueError(f"{path} has no {name}; was it saved with other options (EMA)?")
        _load_network(network, saved[name], name, path)
    here = [type(optimizer).__name__ for optimizer in model.optimizers]
    if state.get("optimizer_types", here) != here:
        raise ValueError(
            f"{path} was saved with {', '.join(state['optimizer_types'])}, the option file has "
            f"{', '.join(here)} (train:optim_g:type). To go on with another optimizer start a new "
            "run from the weights (path:pretrain_network_g)"
        )
    try:
        model.resume_training(state)
    except (ValueError, AssertionError, KeyError) as error:
        raise ValueError(f"{path} is of another optimizer or scheduler: {error}") from error
    if hasattr(model, "load_state_dict"):
        model.load_state_dict(state.get("model", {}))


def _load_network(network: nn.Module, state: Mapping[str, Any], name: str, path: Path) -> None:
    from lrfdn_arch.archs import recognize

    own = network.state_dict()
    differing = [k for k in own if k not in state or own[k].shape != state[k].shape]
    differing += [k for k in state if k not in own]
    if differing:
        found = recognize(state)
        raise ValueError(
            f"{path}: its {name} is not the network of the option file ({len(differing)} weights "
            f"differ, the first is {differing[0]})"
            + (f"; it seems to be {found[0].describe(found[1])}" if found else "")
            + ". Give the option file this state was made with, or start anew under another name"
        )
    network.load_state_dict(state)


def _networks_beside(path: Path, iteration: int) -> dict[str, Any]:
    from lrfdn_arch.weights import read_state_dict
    from lrfdn_arch.weights.reading import EMA, RAW

    file = path.parent.parent / "models" / f"net_g_{iteration}.pth"
    networks = {"net_g": read_state_dict(file, RAW)}
    content = torch.load(file, map_location="cpu", weights_only=True)
    if EMA in content:
        networks["net_g_ema"] = read_state_dict(file, EMA)
    return networks


def newest_whole_state(folder: Path, warn: Callable[[str], None]) -> Path | None:
    """Return the state of the highest iteration in ``folder`` that is whole, or None.

    Args:
        folder: ``training_states``; need not exist.
        warn: told of every damaged state that was passed over.
    """
    numbered = [path for path in folder.glob("*.state") if path.stem.isdigit()]
    for path in sorted(numbered, key=lambda path: int(path.stem), reverse=True):
        try:
            load_state(path)
        except (ValueError, OSError) as error:
            warn(f"{error}; trying the state before it")
        else:
            return path
    return None
