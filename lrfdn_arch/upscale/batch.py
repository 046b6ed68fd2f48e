"""Upscale pictures one after the other so that one bad file does not affect the others."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lrfdn_arch.files import remove_unfinished
from lrfdn_arch.text import error_message
from lrfdn_arch.upscale.formats import Format, check_holds
from lrfdn_arch.upscale.jobs import Job
from lrfdn_arch.upscale.picture import Picture
from lrfdn_arch.upscale.picture_files import STREAM, read_picture, write_picture


@dataclass(frozen=True)
class Outcome:
    """The result of a job.

    Attributes:
        job: the job.
        state: "done", "skipped" (the target exists already) or "failed".
        reason: why it was skipped or failed; a warning for one that is done, or "".
    """

    job: Job
    state: str
    reason: str = ""


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
        jobs: from :func:`lrfdn_arch.upscale.jobs.plan`.
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
        to_file = job.target != STREAM
        try:
            if to_file and job.target.exists() and not overwrite:
                outcome = Outcome(job, "skipped", f"{job.target} exists (--overwrite replaces it)")
            elif to_file and os.path.realpath(job.target) in sources:
                reason = f"{job.name}: would overwrite {job.target}, which is also an input"
                outcome = Outcome(job, "failed", reason)
            else:
                picture = prepare(read_picture(job.source))
                # Errors that can be found before the work should not come after it.
                check_holds(format, picture, scale)
                if to_file:
                    _make_writable(job.target.parent)
                write_picture(job.target, upscale(picture), format)
                outcome = Outcome(job, "done", _warning(job, picture))
        except (ValueError, OSError, MemoryError) as error:
            outcome = Outcome(job, "failed", _one_line(job, error))
        yield outcome


def _make_writable(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "the folder is not writable", str(folder))


def _warning(job: Job, picture: Picture) -> str:
    return f"{job.name}: {'; '.join(picture.omitted)}" if picture.omitted else ""


def _one_line(job: Job, error: Exception) -> str:
    text = " ".join(error_message(error).split())
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text}); give a smaller --tile"
    return text if job.name in text else f"{job.name}: {text}"
