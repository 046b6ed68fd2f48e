"""Files of tensors: written whole, checked whole."""

import zipfile
from copy import copy
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from lrfdn_arch.files import write_whole


def save_torch(path: Path, content: Any) -> None:
    """``torch.save`` as :func:`write_whole` does it: plain values and tensors, moved to the CPU.

    Raises:
        OSError: it could not be written.
    """
    buffer = BytesIO()
    torch.save(on_cpu(content), buffer)
    try:
        write_whole(path, buffer.getvalue())
    except OSError as error:
        hint = "earlier checkpoints are intact. Make room or allow writing, then use --auto_resume"
        raise OSError(error.errno, f"{error.strerror}; {hint}") from error


def is_whole(path: Path) -> bool:
    """Return whether ``path``, made by ``torch.save``, is complete and its checksums agree."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # changed bytes can make it fail in any way, which is the answer
        return False


def on_cpu(value: Any) -> Any:
    """Return ``value`` with every tensor in its dicts, lists and tuples detached, on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        result = copy(value)  # of its own kind: a scheduler's Counter must stay one
        for key, inner in value.items():
            result[key] = on_cpu(inner)
        return result
    if isinstance(value, list | tuple):
        return type(value)(on_cpu(v) for v in value)
    return value
