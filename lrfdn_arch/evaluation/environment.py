"""Where a result was computed: device, versions, commit."""

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import torch

from lrfdn_arch import __version__
from lrfdn_arch.evaluation.results import Environment


def choose_device(name: str | None) -> torch.device:
    """Return the device called ``name`` (``cpu``, ``cuda``, ``cuda:1``), by default a GPU if any.

    Raises:
        ValueError: there is no such device here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name} is not to be had here ({reason}); try cpu") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device {name}: timings are defined for cpu and cuda")
    return device


def describe_environment(device: torch.device) -> Environment:
    """Describe this machine, the libraries and the checkout of this package."""
    return Environment(
        device=device_name(device),
        cpu=_cpu_name(),
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


def device_name(device: torch.device) -> str:
    """Return the GPU's name, or the CPU's with the number of threads torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_cpu_name()}, {threads} thread{'' if threads == 1 else 's'}"


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _git_commit(folder: Path) -> str | None:
    """Return the commit of the checkout ``folder`` is in; None for an installed package."""

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
