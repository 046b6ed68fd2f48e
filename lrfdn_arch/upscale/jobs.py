"""Which files to upscale, and where the results go."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrfdn_arch.upscale.formats import Format
from lrfdn_arch.upscale.image_files import SUFFIXES


@dataclass(frozen=True)
class Job:
    """One picture to upscale."""

    source: Path
    target: Path


def plan(
    inputs: Sequence[Path], out: Path | None, format: Format, ending: str
) -> tuple[list[Job], list[str]]:
    """Return the jobs for ``inputs``, and one line for each input that gives none.

    Args:
        inputs: image files, and folders that are searched with all their subfolders except ``out``.
        out: the folder of the results, with the same subfolders; by default, results go beside
            their sources.
        format: of the results.
        ending: added to the names, e.g. "_x4". Files in a folder that end so are results of an
            earlier run, and left out if results go beside their sources.
    """
    jobs: dict[Path, Job] = {}
    faults: list[str] = []
    for entry in inputs:
        try:
            sources, unreadable = _sources(entry, out, ending)
            root = entry if entry.is_dir() else entry.parent
        except OSError as error:  # the name is too long, or the folder not accessible
            faults.append(f"{entry}: {error.strerror}")
            continue
        faults += unreadable
        for source in sources:
            folder = source.parent if out is None else out / source.parent.relative_to(root)
            job = Job(source, folder / f"{source.stem}{ending}{format.suffix}")
            other = jobs.setdefault(job.target, job)
            if other.source != source:
                faults.append(f"{source}: would be written to {job.target}, as {other.source} is")
    return list(jobs.values()), faults


def _sources(entry: Path, out: Path | None, ending: str) -> tuple[list[Path], list[str]]:
    """Return the pictures in ``entry``, and a line for each folder that could not be searched."""
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
        return True  # reading it will raise the reason


def _without_results(found: Sequence[Path], ending: str) -> list[Path]:
    """Leave out the results of an earlier run."""
    stems = {(path.parent, path.stem) for path in found}
    return [
        path
        for path in found
        if not (
            path.stem.endswith(ending) and (path.parent, path.stem.removesuffix(ending)) in stems
        )
    ]
