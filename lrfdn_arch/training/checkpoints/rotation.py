"""Which checkpoints of a run there are: the last few, the best and the latest.

A checkpoint is ``models/net_g_N.pth`` and ``training_states/N.state``. The state is written last,
so where there is a state there are the weights.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrfdn_arch.files import remove_unfinished
from lrfdn_arch.training.checkpoints.checkpoint import save_state, save_weights, weights_of


class Keeper:
    """Writes checkpoints and removes those that are not kept.

    Args:
        models: folder of the weights.
        states: folder of the training states.
        keep_last: how many checkpoints stay; None for all. Best and latest weights always stay.
    """

    def __init__(self, models: Path, states: Path, keep_last: int | None = None) -> None:
        self.models = models
        self.states = states
        self.keep_last = keep_last

    def tidy(self) -> None:
        """Remove what a killed process left half-written."""
        for folder in (self.models, self.states):
            remove_unfinished(folder)

    def save(self, model: Any, epoch: int, iteration: int, more: Mapping[str, Any]) -> None:
        """Write the checkpoint of ``iteration``, then remove the oldest.

        Raises:
            OSError: it could not be written; all earlier ones are still there.
        """
        self._save_all_weights(model, str(iteration))
        save_state(model, self.states / f"{iteration}.state", epoch, iteration, **more)
        self._remove_old(iteration)

    def save_best(self, model: Any) -> Path:
        """Write the weights as ``net_g_best.pth`` and return its path.

        Raises:
            OSError: they could not be written; the former best are still there.
        """
        self._save_all_weights(model, "best")
        return self.models / "net_g_best.pth"

    def save_latest(self, model: Any) -> Path:
        """Write the weights as ``net_g_latest.pth``, as BasicSR does at the end."""
        self._save_all_weights(model, "latest")
        return self.models / "net_g_latest.pth"

    def _save_all_weights(self, model: Any, label: str) -> None:
        for network in weights_of(model):
            save_weights(model, self.models / f"{network}_{label}.pth", network)

    def _remove_old(self, iteration: int) -> None:
        """Remove all but the last ``keep_last`` checkpoints up to ``iteration``."""
        if self.keep_last is None:
            return
        saved = sorted(int(p.stem) for p in self.states.glob("*.state") if p.stem.isdigit())
        for old in [number for number in saved if number <= iteration][: -self.keep_last]:
            (self.states / f"{old}.state").unlink(missing_ok=True)
            for weights in self.models.glob(f"net_*_{old}.pth"):
                weights.unlink(missing_ok=True)
