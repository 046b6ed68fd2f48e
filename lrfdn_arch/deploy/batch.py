"""Which files to upscale into which, and doing it so that one bad file spoils nothing else."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrfdn_arch.deploy.formats import Format, check_holds
from lrfdn_arch.deploy.image_files import SUFFIXES, read_picture, write_picture
from lrfdn_arch.deploy.picture import Picture


@dataclass(frozen=True)
class Job:
    """One picture to make."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job: "done", "skipped" (the target is there already) or "failed"."""

    job: Job
    state: str
    reason: str = ""


def plan(
    inputs: Sequence[Path], out: Path | None, format: Format, ending: str
) -> tuple[list[Job], list[str]]:
    """Return what to make of ``inputs``, and one line for each input there is nothing to make of.

    Args:
        inputs: image files, and folders that are searched with all their subfolders.
        out: a folder that takes the results, subfolders kept; beside the sources without it.
        format: of the results.
        ending: added to the names, e.g. "_x4"; in folders, files that end so are results of an
            earlier run and not taken again when results go beside their sources.
    """
    jobs: dict[Path, Job] = {}
    faults: list[str] = []
    for entry in inputs:
        if not entry.exists():
            faults.append(f"{entry}: no such file or folder")
            continue
        sources = _pictures_in(entry, ending, beside=out is None) if entry.is_dir() else [entry]
        if not sources:
            faults.append(f"{entry}: no images in this folder ({', '.join(SUFFIXES)})")
        root = entry if entry.is_dir() else entry.parent
        for source in sources:
            folder = source.parent if out is None else out / source.parent.relative_to(root)
            job = Job(source, folder / f"{source.stem}{ending}{format.suffix}")
            other = jobs.setdefault(job.target, job)
            if other.source != source:
                faults.append(f"{source}: would be {job.target}, as {other.source} will be")
    return list(jobs.values()), faults


def _pictures_in(folder: Path, ending: str, *, beside: bool) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    found = [path for path in found if path.is_file() and not path.name.startswith(".")]
    if not beside:
        return found
    stems = {(path.parent, path.stem) for path in found}
    return [
        path
        for path in found
        if not (
            path.stem.endswith(ending) and (path.parent, path.stem.removesuffix(ending)) in stems
        )
    ]


def work_off(
    jobs: Iterable[Job],
    upscale: Callable[[Picture], Picture],
    format: Format,
    *,
    prepare: Callable[[Picture], Picture] = lambda picture: picture,
    overwrite: bool = False,
) -> Iterator[Outcome]:
    """Do the jobs one after the other and tell what became of each; faults of one stay its own.

    Results appear whole or not at all, so after an interruption the same call goes on where it
    stopped.

    Args:
        jobs: from :func:`plan`.
        upscale: maps a picture to a larger one.
        format: of the results.
        prepare: changes a picture before it is upscaled (drops alpha, reduces depth).
        overwrite: replace results that are there already.
    """
    for job in jobs:
        if job.target.exists() and not overwrite:
            yield Outcome(job, "skipped", f"{job.target} is there already (--overwrite)")
            continue
        try:
            picture = prepare(read_picture(job.source))
            check_holds(format, picture)  # before the work, not after
            result = upscale(picture)
            job.target.parent.mkdir(parents=True, exist_ok=True)
            write_picture(job.target, result, format)
        except (ValueError, OSError, MemoryError) as error:
            yield Outcome(job, "failed", _one_line(job, error))
        else:
            yield Outcome(job, "done")


def _one_line(job: Job, error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text}); give a smaller --tile"
    return text if str(job.source) in text else f"{job.source}: {text}"
