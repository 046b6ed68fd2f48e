"""Picture after picture, so that one bad file spoils nothing else."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrfdn_arch.upscale.pictures.files import read_picture, write_picture
from lrfdn_arch.upscale.pictures.formats import Format, check_holds
from lrfdn_arch.upscale.pictures.picture import Picture
from lrfdn_arch.upscale.planning import Job


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: which.
        state: "done", "skipped" (the target is there already) or "failed".
        reason: for being skipped or failed; what the user should know of one that is done.
    """

    job: Job
    state: str
    reason: str = ""


def work_off(
    jobs: Sequence[Job],
    upscale: Callable[[Picture], Picture],
    format: Format,
    *,
    scale: int,
    prepare: Callable[[Picture], Picture] = lambda picture: picture,
    overwrite: bool = False,
) -> Iterator[Outcome]:
    """Do the jobs one after the other and tell what became of each; faults of one stay its own.

    Results appear whole or not at all, so after an interruption the same call goes on where it
    stopped.

    Args:
        jobs: from :func:`lrfdn_arch.upscale.planning.plan`.
        upscale: maps a picture to a larger one.
        format: of the results.
        scale: how much larger ``upscale`` makes a picture.
        prepare: changes a picture before it is upscaled (drops alpha, reduces depth).
        overwrite: replace results that are there already, but no source of another job.
    """
    sources = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        try:
            if job.target.exists() and not overwrite:
                reason = f"{job.target} is there already (--overwrite)"
                outcome = Outcome(job, "skipped", reason)
            elif os.path.realpath(job.target) in sources:
                reason = f"{job.source}: would replace {job.target}, which is to be upscaled too"
                outcome = Outcome(job, "failed", reason)
            else:
                picture = prepare(read_picture(job.source))
                # What would fail at the end should fail before the work.
                check_holds(format, picture, scale)
                _prepare_folder(job.target.parent)
                write_picture(job.target, upscale(picture), format)
                outcome = Outcome(job, "done", _of_note(job, picture))
        except (ValueError, OSError, MemoryError) as error:
            outcome = Outcome(job, "failed", _one_line(job, error))
        yield outcome


def _prepare_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "this folder is not to be written to", str(folder))


def _of_note(job: Job, picture: Picture) -> str:
    if not picture.more:
        return ""
    return f"{job.source}: holds several pages or frames, of which only the first was upscaled"


def _one_line(job: Job, error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text}); give a smaller --tile"
    return text if str(job.source) in text else f"{job.source}: {text}"
