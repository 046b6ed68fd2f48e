"""``lrfdn upscale``: files and folders of pictures, made larger."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from lrfdn_arch.device import choose_device, keep_freed_memory
from lrfdn_arch.inference.fastest import open_fastest
from lrfdn_arch.inference.runtimes import Runtime, open_runtime, runs_on_gpus
from lrfdn_arch.inference.tiling import DEFAULT_OVERLAP, SMALLEST_TILE
from lrfdn_arch.progress import progress_bar
from lrfdn_arch.upscale.batch import Outcome, run_jobs
from lrfdn_arch.upscale.formats import format_of
from lrfdn_arch.upscale.jobs import Job, plan
from lrfdn_arch.upscale.picture import Picture
from lrfdn_arch.upscale.upscaler import PictureUpscaler
from lrfdn_arch.weights import find_weights, load_network

EXIT_FAILURES = 2
Shown = Callable[[Iterable[Outcome]], Iterator[Outcome]]


@dataclass(frozen=True)
class Request:
    """What the user asked for; the fields are the command's arguments.

    Attributes:
        inputs: image files and folders.
        out: folder of the results; beside the sources without it.
        format: png, jpg, webp, tif or bmp.
        weights: a file or a shipped name; see :func:`lrfdn_arch.weights.find_weights`.
        network: see :func:`lrfdn_arch.weights.load_network`.
        runtime: eager, compiled, onnx, openvino or auto.
        precision: fp32, fp16 or bf16; the runtime's choice without it.
        device: cpu, cuda, cuda:N; the first GPU where there is one that the runtime can use.
        tile: side of tiles in pixels, 0 for none, None to choose by free memory.
        overlap: pixels that tiles share.
        depth: 8 rounds 16-bit pictures; None keeps what comes.
        drop_alpha: leave alpha out.
        overwrite: replace results that are there already.
    """

    inputs: Sequence[Path]
    out: Path | None = None
    format: str = "png"
    weights: str | None = None
    network: Mapping[str, Any] | None = None
    runtime: str = "auto"
    precision: str | None = None
    device: str | None = None
    tile: int | None = None
    overlap: int = DEFAULT_OVERLAP
    depth: int | None = None
    drop_alpha: bool = False
    overwrite: bool = False


def upscale(request: Request, report: TextIO | None = None) -> int:
    """Do what was asked and return the exit code: 0, or 2 after any failure.

    Progress, a summary and a line for each failure go to ``report``, stderr by default.

    Raises:
        ValueError: nothing can be done at all: weights, runtime, format or tiles are wrong.
        OSError: likewise: no weights file.
    """
    told = sys.stderr if report is None else report
    keep_freed_memory()
    target = format_of(request.format)
    _check_tiles(request)
    _check_out(request.out)
    runtime = open_for(request)
    jobs, failures = plan(request.inputs, request.out, target, f"_x{runtime.scale}")
    outcomes = run_jobs(
        jobs,
        PictureUpscaler(runtime, request.tile, request.overlap),
        target,
        scale=runtime.scale,
        prepare=lambda picture: _prepared(picture, request),
        overwrite=request.overwrite,
    )
    done = skipped = 0
    notes: list[str] = []
    with _progress(told, jobs) as shown:
        for outcome in shown(outcomes):
            done += outcome.state == "done"
            skipped += outcome.state == "skipped"
            if outcome.state == "failed":
                failures.append(outcome.reason)
            elif outcome.state == "done" and outcome.reason:
                notes.append(outcome.reason)
    print(_summary(done, skipped, notes, failures), file=told)
    return EXIT_FAILURES if failures else 0


def open_for(request: Request) -> Runtime:
    """Open the weights asked for in the runtime asked for.

    Raises:
        ValueError: as :func:`lrfdn_arch.inference.runtimes.open_runtime`, or the weights are none.
        FileNotFoundError: there are no such weights.
    """
    path = find_weights(request.weights)
    if path.suffix.lower() == ".onnx":
        return _open_onnx(path, request)
    network = load_network(path, network_g=request.network)
    if request.runtime == "auto":
        return open_fastest(network, device=request.device, precision=request.precision)
    return open_runtime(
        network, request.runtime, precision=request.precision or "fp32", device=request.device
    )


def _open_onnx(path: Path, request: Request) -> Runtime:
    from lrfdn_arch.inference.onnx_runtime import OnnxRuntime

    if request.runtime not in ("auto", "onnx"):
        raise ValueError(f"{path} is an ONNX model: --runtime {request.runtime} cannot run it")
    return OnnxRuntime(path, device=choose_device(request.device, gpu=runs_on_gpus("onnx")))


def _check_tiles(request: Request) -> None:
    if request.overlap < 0:
        raise ValueError(f"--overlap must not be negative, got {request.overlap}")
    if request.tile is None or request.tile == 0:
        return
    if request.tile < max(SMALLEST_TILE, request.overlap + SMALLEST_TILE // 4):
        raise ValueError(
            f"--tile {request.tile} is too small: at least {SMALLEST_TILE}, and "
            f"{SMALLEST_TILE // 4} more than --overlap, which is {request.overlap}"
        )


def _check_out(out: Path | None) -> None:
    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file: give a folder")


def _prepared(picture: Picture, request: Request) -> Picture:
    pixels = picture.pixels
    if request.drop_alpha and picture.has_alpha:
        pixels = pixels[..., :-1]
    if request.depth == 8 and picture.is_16_bit:
        pixels = np.round(pixels / 257.0).astype(np.uint8)
    return replace(picture, pixels=np.ascontiguousarray(pixels))


@contextmanager
def _progress(report: TextIO, jobs: Sequence[Job]) -> Iterator[Shown]:
    """Give a function that passes outcomes on and shows them: a bar, or a line each into a file."""
    if not report.isatty():

        def lines(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
            for number, outcome in enumerate(outcomes, start=1):
                text = str(outcome.job.target) if outcome.state == "done" else outcome.reason
                print(f"[{number}/{len(jobs)}] {outcome.state}: {text}", file=report, flush=True)
                yield outcome

        yield lines
        return
    with progress_bar(len(jobs), "upscaling", file=report) as bar:

        def shown(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
            for outcome in outcomes:
                bar.set_postfix_str(outcome.job.source.name)
                bar.update()
                yield outcome

        yield shown


def _summary(done: int, skipped: int, notes: Sequence[str], failures: Sequence[str]) -> str:
    counts = [f"{done} upscaled"]
    if skipped:
        counts.append(f"{skipped} exist already (--overwrite replaces them)")
    if failures:
        counts.append(f"{len(failures)} failed:")
    lines = [f"warning: {line}" for line in notes] + [f"error: {line}" for line in failures]
    return "\n".join([", ".join(counts), *lines])
