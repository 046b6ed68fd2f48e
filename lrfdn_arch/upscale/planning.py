"""Which files to upscale into which."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrfdn_arch.upscale.pictures.files import SUFFIXES
from lrfdn_arch.upscale.pictures.formats import Format


@dataclass(frozen=True)
class Job:
    """One picture to make."""

    source: Path
    target: Path


def plan(
    inputs: Sequence[Path], out: Path | None, format: Format, ending: str
) -> tuple[list[Job], list[str]]:
    """Return what to make of ``inputs``, and one line for each input there is nothing to make of.

    Args:
        inputs: image files, and folders that are searched with all their subfolders but ``out``.
        out: a folder that takes the results, subfolders kept; beside the sources without it.
        format: of the results.
        ending: added to the names, e.g. "_x4"; in folders, files that end so are results of an
            earlier run and not taken again when results go beside their sources.
    """
    jobs: dict[Path, Job] = {}
    faults: list[str] = []
    for entry in inputs:
        try:
            sources, unreadable = _sources(entry, out, ending)
            root = entry if entry.is_dir() else entry.parent
        except OSError as error:  # a name that is too long, a folder that may not be entered
            faults.append(f"{entry}: {error.strerror}")
            continue
        faults += unreadable
        for source in sources:
            folder = source.parent if out is None else out / source.parent.relative_to(root)
            job = Job(source, folder / f"{source.stem}{ending}{format.suffix}")
            other = jobs.setdefault(job.target, job)
            if other.source != source:
                faults.append(f"{source}: would be {job.target}, as {other.source} will be")
    return list(jobs.values()), faults


def _sources(entry: Path, out: Path | None, ending: str) -> tuple[list[Path], list[str]]:
    """Return the pictures ``entry`` stands for, and a line for what could not be searched."""
    if not entry.exists():
        return [], [f"{entry}: no such file or folder"]
    if not entry.is_dir():
        return [entry], []
    results = None if out is None else os.path.realpath(out)
    errors: list[OSError] = []
    found: list[Path] = []
    for folder, folders, names in os.walk(entry, onerror=errors.append):
        folders[:] = [f for f in folders if os.path.realpath(Path(folder, f)) != results]
        found += [path for path in (Path(folder, name) for name in names) if _is_picture(path)]
    if results in (None, os.path.realpath(entry)):
        found = _without_results(found, ending)
    faults = [f"{error.filename}: {error.strerror}" for error in errors]
    if not found and not faults:
        faults = [f"{entry}: no images in this folder ({', '.join(SUFFIXES)})"]
    return sorted(found), faults


def _is_picture(path: Path) -> bool:
    if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
        return False
    try:
        return path.is_file()
    except OSError:
        return True  # reading it will say why it cannot be


def _without_results(found: Sequence[Path], ending: str) -> list[Path]:
    """Leave out what an earlier run made beside its source."""
    stems = {(path.parent, path.stem) for path in found}
    return [
        path
        for path in found
        if not (
            path.stem.endswith(ending) and (path.parent, path.stem.removesuffix(ending)) in stems
        )
    ]
