"""The folder of a run, ``experiments/NAME``: checkpoints in it, and those of earlier runs."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lrfdn_arch.files import remove_unfinished
from lrfdn_arch.training.checkpoint import load_state, save_state, save_weights, weights_of


class RunFolder:
    """Writes, finds and removes the files of a run; earlier runs are renamed, never deleted.

    A checkpoint is ``models/net_g_N.pth`` and ``training_states/N.state``. The state is written
    last, so where it exists the weights do.

    Args:
        opt: the options as BasicSR's dict.
        keep_last: how many checkpoints are kept besides the best and the latest weights; None for
            all.
    """

    def __init__(self, opt: Mapping[str, Any], keep_last: int | None = None) -> None:
        self.path = Path(opt["path"]["experiments_root"])
        self.models = Path(opt["path"]["models"])
        self.states = Path(opt["path"]["training_states"])
        self.tensorboard = Path(opt["root_path"]) / "tb_logger" / opt["name"]
        self.keep_last = keep_last

    def newest_state(self, warn: Callable[[str], None]) -> Path | None:
        """Return the intact state of the highest iteration, or None.

        Args:
            warn: called with a line for every damaged state that is skipped.
        """
        for _, path in reversed(self._numbered_states()):
            try:
                load_state(path)
            except (ValueError, OSError) as error:
                warn(f"{error}; trying the state before it")
            else:
                return path
        return None

    def prepare(self, state: Path | None, auto_resume: bool) -> list[str]:
        """Create the folders for a new run, or for one that resumes from ``state``.

        An earlier run of the same name is renamed, unless this run resumes it or, with
        ``auto_resume``, it had not saved anything. If an earlier state of this run is resumed, the
        later ones are moved away: the next ``--auto_resume`` would take them.

        Returns:
            Lines that say what was renamed.
        """
        notes = []
        resumes_itself = state is not None and state.resolve().parent == self.states.resolve()
        if state is not None and resumes_itself and not auto_resume:
            notes += self._move_later_states(state)
        if not resumes_itself and (not auto_resume or self._has_checkpoints()):
            archived = [_archive(folder) for folder in (self.path, self.tensorboard)]
            notes += [f"renamed an earlier run to {folder}" for folder in archived if folder]
        for folder in (self.path, self.models, self.states):
            folder.mkdir(parents=True, exist_ok=True)
            remove_unfinished(folder)
        return notes

    def save(self, model: Any, epoch: int, iteration: int, more: Mapping[str, Any]) -> None:
        """Write the checkpoint of ``iteration``, then remove those that are not kept.

        Raises:
            OSError: it cannot be written; all earlier ones still exist.
        """
        self.save_weights(model, str(iteration))
        save_state(model, self.states / f"{iteration}.state", epoch, iteration, **more)
        if self.keep_last is not None:
            older = [(n, path) for n, path in self._numbered_states() if n <= iteration]
            for number, path in older[: -self.keep_last]:
                path.unlink(missing_ok=True)
                for weights in self.models.glob(f"net_*_{number}.pth"):
                    weights.unlink(missing_ok=True)

    def save_weights(self, model: Any, label: str) -> None:
        """Write the weights of all networks as ``net_g_LABEL.pth`` and so on.

        Raises:
            OSError: they cannot be written; older files of these names are unchanged.
        """
        for network in weights_of(model):
            save_weights(model, self.weights(label, network), network)

    def weights(self, label: str, network: str = "net_g") -> Path:
        """Return the path of the weights saved as ``label``: an iteration, best or latest."""
        return self.models / f"{network}_{label}.pth"

    def _numbered_states(self) -> list[tuple[int, Path]]:
        states = self.states.glob("*.state")
        return sorted((int(path.stem), path) for path in states if path.stem.isdecimal())

    def _has_checkpoints(self) -> bool:
        return any(True for folder in (self.models, self.states) for _ in folder.glob("*"))

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
