"""Which files to upscale, and where the results go."""

import errno
import mimetypes
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrfdn_arch.text import first_few
from lrfdn_arch.upscale.formats import Format
from lrfdn_arch.upscale.picture_files import STREAM, SUFFIXES

# Pictures that are not supported, besides those that the operating system's list knows.
_OTHER_SUFFIXES = (".heic", ".heif", ".jxl", ".jp2", ".exr", ".dng", ".cr2", ".cr3", ".nef", ".arw")


@dataclass(frozen=True)
class Job:
    """One picture to upscale, :data:`STREAM` for stdin and stdout."""

    source: Path
    target: Path

    @property
    def name(self) -> str:
        """The source as messages name it."""
        return "stdin" if self.source == STREAM else str(self.source)


@dataclass
class Plan:
    """The jobs for some inputs.

    Attributes:
        jobs: in the order of the inputs.
        failures: one line for each input that gives no job.
        warnings: one line for each folder with pictures of formats that are not supported.
    """

    jobs: list[Job] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def is_file_name(out: Path | None) -> bool:
    """Whether ``out`` is the name of one result rather than a folder."""
    return out is not None and (out == STREAM or (_is_image_name(out.name) and not out.is_dir()))


def plan(inputs: Sequence[Path], out: Path | None, format: Format, ending: str) -> Plan:
    """Decide what to upscale.

    Args:
        inputs: image files, and folders that are searched with all their subfolders except ``out``;
            or :data:`STREAM` alone.
        out: the folder of the results, with the same subfolders; for one picture also its file
            name, see :func:`is_file_name`. By default, results go beside their sources, and stdin
            goes to stdout.
        format: of the results.
        ending: added to the names, e.g. "_x4". Files in a folder that end so are results of an
            earlier run, and left out if results go beside their sources.

    Raises:
        ValueError: ``out`` is a file name for several pictures, or a file that is not an image.
    """
    if STREAM in inputs and len(inputs) > 1:
        raise ValueError("- (stdin) must be the only input")
    if out is None and STREAM in inputs:
        out = STREAM
    if out is not None and is_file_name(out):
        if len(inputs) > 1 or inputs[0].is_dir():
            raise ValueError(f"--out {out} is the name of one result: give a folder for several")
        return Plan([Job(inputs[0], out)])
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file, but not an image: give a folder")
    made, jobs = Plan(), dict[Path, Job]()
    for entry in inputs:
        try:
            sources = _search(entry, out, ending, made) if entry.is_dir() else [_existing(entry)]
        except OSError as error:
            made.failures.append(f"{entry}: {error.strerror}")
            continue
        root = entry if entry.is_dir() else entry.parent
        for source in sources:
            folder = source.parent if out is None else out / source.parent.relative_to(root)
            stem = "stdin" if source == STREAM else source.stem
            job = Job(source, folder / f"{stem}{ending}{format.suffix}")
            other = jobs.setdefault(job.target, job)
            if other != job:
                made.failures.append(
                    f"{source}: would be written to {job.target}, as {other.source} is"
                )
    made.jobs = list(jobs.values())
    return made


def _existing(entry: Path) -> Path:
    if entry != STREAM and not entry.exists():  # raises OSError if e.g. the name is too long
        raise FileNotFoundError(errno.ENOENT, "no such file or folder", str(entry))
    return entry


def _search(folder: Path, out: Path | None, ending: str, plan: Plan) -> list[Path]:
    """Return the pictures below ``folder`` outside of ``out``; add faults to ``plan``."""
    results = None if out is None else os.path.realpath(out)
    errors: list[OSError] = []
    found: list[Path] = []
    unsupported: list[str] = []
    for place, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = [f for f in folders if os.path.realpath(Path(place, f)) != results]
        paths = [Path(place, name) for name in names if not name.startswith(".")]
        found += [path for path in paths if path.suffix.lower() in SUFFIXES]
        others = [path for path in paths if path.suffix.lower() not in SUFFIXES]
        unsupported += [str(path) for path in others if _is_image_name(path.name)]
    if results in (None, os.path.realpath(folder)):
        found = _without_results(found, ending)
    plan.failures += [f"{error.filename}: {error.strerror}" for error in errors]
    if unsupported:
        names = first_few(sorted(unsupported))
        plan.warnings.append(f"{len(unsupported)} pictures of unsupported formats: {names}")
    if not found and not errors:
        plan.failures.append(f"{folder}: no images in this folder ({', '.join(SUFFIXES)})")
    return sorted(found)


def _is_image_name(name: str) -> bool:
    suffix = Path(name).suffix.lower()
    kind = mimetypes.guess_type(name)[0] or ""
    return suffix in SUFFIXES + _OTHER_SUFFIXES or kind.startswith("image/")


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
