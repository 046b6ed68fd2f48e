"""Every repair BasicSR 1.4.2 needs on today's stack: what breaks, where it is reported, when to go.

A repair does nothing at import time; it takes effect the moment BasicSR asks for what is missing.
"""

import sys
from types import ModuleType
from typing import Any

from lrfdn_arch.import_hooks import after_import, supply_if_missing


def install() -> None:
    """Install all repairs; calling it again changes nothing."""
    supply_if_missing("torchvision.transforms.functional_tensor", functional_tensor)
    after_import("basicsr.train", _repair_resuming)


def functional_tensor(module: ModuleType) -> None:
    """Fill the private torchvision module that ``import basicsr`` asks for.

    torchvision 0.17 removed it (https://github.com/XPixelGroup/BasicSR/issues/533 and 663). Can go
    with the first BasicSR release that takes ``rgb_to_grayscale``, the one name it needs, from
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
    Can go with the first BasicSR release that passes a ``map_location`` for any device.

    Args:
        opt: BasicSR's options; ``auto_resume`` puts the newest state into ``path: resume_state``.
    """
    from pathlib import Path  # not above: it is half of what `import lrfdn_arch` would cost

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
