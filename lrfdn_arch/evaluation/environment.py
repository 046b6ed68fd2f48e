"""The environment of an evaluation: device, library versions, commit."""

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import torch

from lrfdn_arch import __version__
from lrfdn_arch.device import cpu_name, device_name
from lrfdn_arch.evaluation.results import Environment


def describe_environment(device: torch.device) -> Environment:
    """Return the hardware, library versions and commit in use."""
    return Environment(
        device=device_name(device),
        cpu=cpu_name(),
        threads=torch.get_num_threads(),
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=str(torch.backends.cudnn.version()) if torch.cuda.is_available() else None,
        numpy=np.__version__,
        opencv=cv2.__version__,
        lrfdn=__version__,
        git_commit=_git_commit(Path(__file__).parent),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _git_commit(folder: Path) -> str | None:
    """Return the commit of the checkout that contains ``folder``; None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", os.fspath(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        tracked = git("ls-files", "--", Path(__file__).name)
        changed = "+" if git("status", "--porcelain", "--untracked-files=no") else ""
        return git("rev-parse", "HEAD") + changed if tracked else None
    except (OSError, subprocess.SubprocessError):
        return None
