"""Saving and restoring a model: weights for use, and training states to resume from.

``models/net_g_N.pth`` contains ``params`` and ``params_ema``, as BasicSR writes and reads them, and
``network_g``, the section of the option file that built the network. ``training_states/N.state``
contains BasicSR's keys (``epoch, iter, optimizers, schedulers``), the networks, and everything else
that resuming takes, so one intact file is enough.
"""

import time
from collections.abc import Mapping
from copy import copy
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lrfdn_arch.files import remove_unfinished, write_whole
from lrfdn_arch.training.state_checks import FORMAT, check_contents, check_fits
from lrfdn_arch.weights.reading import EMA, RAW, read_state_dict, read_torch


def networks_of(model: Any) -> dict[str, nn.Module]:
    """Return a BasicSR model's networks, ``net_g``, ``net_g_ema``, ..., without wrappers."""
    return {
        name: model.get_bare_model(network)
        for name, network in vars(model).items()
        if name.startswith("net_") and isinstance(network, nn.Module)
    }


def save_weights(model: Any, folder: str | Path, label: str | int) -> None:
    """Write the weights of all networks, each with its EMA, as ``net_g_LABEL.pth`` and so on."""
    networks = networks_of(model)
    for name, network in networks.items():
        average, section = networks.get(f"{name}_ema"), name.replace("net_", "network_")
        if name.endswith("_ema") and name.removesuffix("_ema") in networks:
            continue  # it is in the file of its network
        content: dict[str, Any] = {RAW: network.state_dict()}
        if average is not None:
            content[EMA] = average.state_dict()
        if section in model.opt:
            content[section] = dict(model.opt[section])
        save_torch(Path(folder) / f"{name}_{label}.pth", content)


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
    state = read_torch(path, "Use a state that BasicSR or this package saved")
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


def _networks_beside(path: Path, iteration: int) -> dict[str, Any]:
    file = path.parent.parent / "models" / f"net_g_{iteration}.pth"
    networks = {"net_g": read_state_dict(file, RAW)}
    if EMA in read_torch(file):
        networks["net_g_ema"] = read_state_dict(file, EMA)
    return networks


class RunFolder:
    """Writes, finds and removes the files of a run; earlier runs are renamed, never deleted.

    The state of a checkpoint is written last, so where it exists the weights do. ``opt`` are the
    options as BasicSR's dict.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.path = Path(opt["path"]["experiments_root"])
        self.models = Path(opt["path"]["models"])
        self.states = Path(opt["path"]["training_states"])
        self.tensorboard = Path(opt["root_path"]) / "tb_logger" / opt["name"]
        self.keep_last: int | None = opt["logger"].get("keep_last")
        self.auto_resume: bool = opt["auto_resume"]
        named = opt["path"]["resume_state"]
        self.named_state = Path(named) if named else None

    def state_to_resume(self) -> tuple[Path | None, list[str]]:
        """Return the newest intact state with ``--auto_resume``, else the option file's, if any.

        Beside it there is a warning of each damaged state that was skipped.
        """
        warnings = []
        for _, path in reversed(self._numbered_states() if self.auto_resume else ()):
            try:
                load_state(path)
            except (ValueError, OSError) as error:
                warnings.append(f"warning: {error}; trying the state before it")
            else:
                return path, warnings
        if self.auto_resume and self.named_state is None:
            warnings.append("warning: there is no checkpoint to resume from: starting a new run")
        return self.named_state, warnings

    def prepare(self, state: Path | None) -> list[str]:
        """Create the folders for a new run, or for one that resumes from ``state``.

        An earlier run of the same name is renamed, unless this run resumes it or, with
        ``--auto_resume``, it had not saved anything. If an earlier state of this run is resumed,
        the later ones are moved away: the next ``--auto_resume`` would take them.

        Returns lines that say what was renamed.
        """
        notes, folders = [], (self.path, self.models, self.states)
        for folder in folders:
            remove_unfinished(folder)
        resumes_itself = state is not None and state.resolve().parent == self.states.resolve()
        if state is not None and resumes_itself and not self.auto_resume:
            notes += self._move_later_states(state)
        saved = any(any(folder.glob("*")) for folder in (self.models, self.states))
        if not resumes_itself and (saved or not self.auto_resume):
            archived = [_archive(folder) for folder in (self.path, self.tensorboard)]
            notes += [f"renamed an earlier run to {folder}" for folder in archived if folder]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        return notes

    def save(self, model: Any, epoch: int, iteration: int, more: Mapping[str, Any]) -> None:
        """Write the checkpoint of ``iteration``, then remove those that are not kept."""
        save_weights(model, self.models, iteration)
        save_state(model, self.states / f"{iteration}.state", epoch, iteration, **more)
        if self.keep_last is not None:
            older = [(n, path) for n, path in self._numbered_states() if n <= iteration]
            for number, path in older[: -self.keep_last]:
                path.unlink(missing_ok=True)
                for weights in self.models.glob(f"net_*_{number}.pth"):
                    weights.unlink(missing_ok=True)

    def _numbered_states(self) -> list[tuple[int, Path]]:
        states = self.states.glob("*.state")
        return sorted((int(path.stem), path) for path in states if path.stem.isdecimal())

    def _move_later_states(self, state: Path) -> list[str]:
        after = int(state.stem) if state.stem.isdecimal() else 0
        later = [path for number, path in self._numbered_states() if number > after]
        if not later:
            return []
        folder = self.states / f"after_{after}_archived_{time.strftime('%Y%m%d_%H%M%S')}"
        folder.mkdir()
        for path in later:
            path.rename(folder / path.name)
        return [f"resuming after iteration {after:,}: moved the later states to {folder}"]


def _archive(folder: Path) -> Path | None:
    """Rename ``folder`` as BasicSR renames earlier runs; return the new name, None without it."""
    if not folder.exists():
        return None
    archived = folder.with_name(f"{folder.name}_archived_{time.strftime('%Y%m%d_%H%M%S')}")
    while archived.exists():
        archived = archived.with_name(f"{archived.name}_")
    return folder.rename(archived)
