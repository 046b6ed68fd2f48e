"""Workarounds that BasicSR 1.4.2 needs with current packages, and when each can be removed.

None acts at import time; each takes effect when BasicSR requests what is missing.
"""

import sys
from types import ModuleType
from typing import Any

from lrfdn_arch.import_hooks import after_import, supply_if_missing


def install() -> None:
    """Install all workarounds; calling it again changes nothing."""
    supply_if_missing("torchvision.transforms.functional_tensor", functional_tensor)
    after_import("basicsr.train", _repair_resuming)


def functional_tensor(module: ModuleType) -> None:
    """Fill the private torchvision module that ``import basicsr`` asks for.

    torchvision 0.17 removed it (https://github.com/XPixelGroup/BasicSR/issues/533 and 663). Can be
    removed once BasicSR imports ``rgb_to_grayscale``, the only name it needs, from
    ``torchvision.transforms.functional``.
    """
    from torchvision.transforms.functional import rgb_to_grayscale

    module.__dict__["rgb_to_grayscale"] = rgb_to_grayscale


def _repair_resuming() -> None:
    sys.modules["basicsr.train"].__dict__["load_resume_state"] = load_resume_state


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """Read the training state from which BasicSR's ``train_pipeline`` resumes, if any.

    BasicSR's own function reads it onto the current CUDA device, which fails without a GPU, and
    looks for it relative to the working directory instead of ``opt["path"]["training_states"]``.
    Can be removed once BasicSR passes a ``map_location`` for any device.

    Args:
        opt: BasicSR's options; ``auto_resume`` puts the newest state into ``path: resume_state``.
    """
    from pathlib import Path  # imported here: it would double the time of `import lrfdn_arch`

    import torch
    from basicsr.utils.misc import check_resume

    if opt["auto_resume"]:
        states = Path(opt["path"]["training_states"]).glob("*.state")
        newest = max(states, key=lambda state: float(state.stem), default=None)
        opt["path"]["resume_state"] = newest and str(newest)
    file = opt["path"].get("resume_state")
    if not file:
        return None
    state = torch.load(file, map_location="cpu", weights_only=True)
    check_resume(opt, state["iter"])
    return state
