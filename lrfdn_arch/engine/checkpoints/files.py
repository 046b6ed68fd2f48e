"""Files that are either whole or not there, whatever happens while they are written."""

import os
import zipfile
from copy import copy
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

_UNFINISHED = ".unfinished"


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, to the disk, and rename it onto ``path``.

    Killed or failed at any moment, ``path`` is what it was or the whole new content.

    Raises:
        OSError: it could not be written, e.g. the disk is full; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}{_UNFINISHED}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"cannot write {path} ({error.strerror or error}, {len(content):,} bytes); what was "
            "saved before is intact. Make room or allow writing, then go on with --auto_resume",
        ) from error
    _sync_folder(path.parent)


def save_torch(path: Path, content: Any) -> None:
    """``torch.save`` as :func:`write_whole` does it: plain values and tensors, moved to the CPU.

    Raises:
        OSError: it could not be written.
    """
    buffer = BytesIO()
    torch.save(on_cpu(content), buffer)
    write_whole(path, buffer.getvalue())


def is_whole(path: Path) -> bool:
    """Return whether ``path``, made by ``torch.save``, is complete and its checksums agree."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # changed bytes can make it fail in any way, which is the answer
        return False


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left half-written in ``folder``, if there is such a folder."""
    for path in folder.glob(f".*{_UNFINISHED}"):
        path.unlink(missing_ok=True)


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


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
