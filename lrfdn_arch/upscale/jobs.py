"""Which files to upscale, where results go, and doing it so that one bad file affects no other."""

import errno
import mimetypes
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lrfdn_arch.files import remove_unfinished
from lrfdn_arch.text import error_message, first_few
from lrfdn_arch.upscale.picture import Picture
from lrfdn_arch.upscale.picture_files import (
    STREAM,
    SUFFIXES,
    Format,
    check_holds,
    read_picture,
    write_picture,
)

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
    """The jobs for some inputs, in their order.

    There is one line in ``failures`` for each input that gives no job, and in ``warnings`` for each
    folder with pictures of formats that are not supported.
    """

    jobs: list[Job] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """The result of a job."""

    job: Job
    state: str  # "done", "skipped" (the target exists already) or "failed"
    reason: str = ""  # why it was skipped or failed; a warning for one that is done, or ""


def is_file_name(out: Path | None) -> bool:
    """Return whether ``out`` is the name of one result rather than a folder."""
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
            if entry != STREAM and not entry.exists():  # raises if e.g. the name is too long
                raise FileNotFoundError(errno.ENOENT, "no such file or folder", str(entry))
            sources = _search(entry, out, ending, made) if entry.is_dir() else [entry]
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


def _search(folder: Path, out: Path | None, ending: str, plan: Plan) -> list[Path]:
    """Return the pictures below ``folder`` outside of ``out``; add faults to ``plan``."""
    results = None if out is None else os.path.realpath(out)
    errors: list[OSError] = []
    found: list[Path] = []
    unsupported: list[str] = []
    for place, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = [f for f in folders if os.path.realpath(Path(place, f)) != results]
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() in SUFFIXES:
                found.append(path)
            elif _is_image_name(path.name):
                unsupported.append(str(path))
    if results in (None, os.path.realpath(folder)):  # without the results of an earlier run
        stems = {(path.parent, path.stem) for path in found}
        made = {(folder, stem + ending) for folder, stem in stems}
        found = [path for path in found if (path.parent, path.stem) not in made]
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


def run_jobs(
    jobs: Sequence[Job],
    upscale: Callable[[Picture], Picture],
    format: Format,
    *,
    scale: int,
    prepare: Callable[[Picture], Picture] = lambda picture: picture,
    overwrite: bool = False,
    on_start: Callable[[Job], object] = lambda job: None,
) -> Iterator[Outcome]:
    """Run the jobs in order and yield the outcome of each; an error ends only its own job.

    Results appear whole or not at all, so after an interruption the same call resumes the work.

    Args:
        jobs: from :func:`plan`.
        upscale: maps a picture to a larger one.
        format: of the results.
        scale: how much larger ``upscale`` makes a picture.
        prepare: changes a picture before it is upscaled (drops alpha, reduces depth).
        overwrite: replace existing results, except those that are the source of another job.
        on_start: called with a job before it runs.
    """
    for folder in {job.target.parent for job in jobs if job.target != STREAM}:
        with suppress(OSError):  # the job reports it
            remove_unfinished(folder)
    sources = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        on_start(job)
        target = job.target
        try:
            if target != STREAM and target.exists() and not overwrite:
                yield Outcome(job, "skipped", f"{target} exists (--overwrite replaces it)")
                continue
            if target != STREAM and os.path.realpath(target) in sources:
                raise ValueError(f"{job.name}: would overwrite {target}, which is also an input")
            picture = prepare(read_picture(job.source))
            # Errors that can be found before the work should not come after it.
            check_holds(format, picture, scale)
            if target != STREAM:
                target.parent.mkdir(parents=True, exist_ok=True)
                if not os.access(target.parent, os.W_OK | os.X_OK):
                    reason = "the folder is not writable"
                    raise PermissionError(errno.EACCES, reason, str(target.parent))
            write_picture(target, upscale(picture), format)
        except (ValueError, OSError, MemoryError) as error:
            yield Outcome(job, "failed", _one_line(job, error))
        else:
            warning = f"{job.name}: {'; '.join(picture.omitted)}" if picture.omitted else ""
            yield Outcome(job, "done", warning)


def _one_line(job: Job, error: Exception) -> str:
    text = " ".join(error_message(error).split())
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text}); give a smaller --tile"
    return text if job.name in text else f"{job.name}: {text}"
