"""``lrfdn upscale``: enlarge pictures."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrfdn_arch.commands.arguments import add_device, add_network, network_of

if TYPE_CHECKING:
    from lrfdn_arch.upscale.picture import Picture
    from lrfdn_arch.upscale.picture_files import Format

EXIT_FAILURES = 2
_DESCRIPTION = """\
Enlarge pictures by the factor of the weights (x4 by default). Grey, alpha, 16 bits per channel, the
ICC profile and EXIF are kept; the EXIF orientation is applied and reset.

The shipped networks are trained on clean images: they enlarge JPEG artifacts and noise with the
rest, so use the best copy of a picture that you have.
"""


def add(commands: Any) -> None:
    """Add the subcommand to ``lrfdn``."""
    parser = commands.add_parser(
        "upscale",
        help="enlarge pictures: files and folders",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="IMAGE_OR_FOLDER",
        help="image files, folders with their subfolders, or - for stdin",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER_OR_IMAGE",
        help="where results go: a folder; for one picture also a file name, or - for stdout "
        "(default: beside the pictures)",
    )
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        help="png, jpg, webp, tif or bmp (default: that of --out IMAGE, else png)",
    )
    parser.add_argument(
        "--quality", type=int, metavar="1..100", help="of jpg and webp (default: 95)"
    )
    parser.add_argument(
        "--weights",
        metavar="FILE_OR_NAME",
        help="BasicSR .pth, plain state dict, .safetensors, .onnx, or the name of shipped weights "
        "(default: the environment variable LRFDN_WEIGHTS, else shipped ones of --scale)",
    )
    parser.add_argument(
        "--scale",
        type=int,
        metavar="N",
        help="choose the shipped weights of this factor (default: 4); other weights must have it",
    )
    parser.add_argument(
        "--tile",
        type=int,
        metavar="PIXELS",
        help="side of tiles, 0 for whole pictures (default: what fits into half of the free "
        "memory)",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        default=128,
        metavar="PIXELS",
        help="pixels that neighboring tiles share (default: %(default)s, with which the result "
        "differs from the untiled one by less than a tenth of a color step)",
    )
    parser.add_argument("--depth", type=int, choices=(8,), help="round 16-bit pictures to 8 bits")
    parser.add_argument("--drop-alpha", action="store_true", help="leave transparency out")
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    add_network(parser)
    parser.add_argument(
        "--runtime",
        choices=("auto", "eager", "compiled", "onnx", "openvino"),
        default="auto",
        help="what runs the network (default: one that starts fast, and for many or large pictures "
        "the fastest here, measured once and remembered)",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "fp16", "bf16"),
        default="auto",
        help="of the arithmetic; auto (the default) is fp32, or a lower one where that is at least "
        "1.3 times as fast here and within 55 dB of fp32's result",
    )
    add_device(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return 0, or 2 if any picture failed.

    Progress, a line for each failure and a summary go to stderr.
    """
    from lrfdn_arch.device import keep_freed_memory
    from lrfdn_arch.progress import progress_bar, ticking
    from lrfdn_arch.upscale.api import Upscaler
    from lrfdn_arch.upscale.jobs import Job, plan, run_jobs

    keep_freed_memory()
    target, scale = _format(arguments), arguments.scale
    shipped = f"lrfdn_x{scale}" if scale and not os.environ.get("LRFDN_WEIGHTS") else None
    upscaler = Upscaler(
        arguments.weights or shipped,
        device=arguments.device,
        precision=arguments.precision,
        tile=arguments.tile,
        overlap=arguments.overlap,
        runtime=arguments.runtime,
        network_g=network_of(arguments),
    )
    if scale not in (None, upscaler.scale):
        raise ValueError(
            f"--scale {scale}: the weights fix the factor, and these enlarge x{upscaler.scale}. "
            f"Give --weights of a network trained for x{scale}, or shrink the x{upscaler.scale} "
            "result"
        )
    planned = plan(arguments.inputs, arguments.out, target, f"_x{upscaler.scale}")
    total = len(planned.jobs)
    states: list[str] = []
    terminal = sys.stderr.isatty()
    with progress_bar(total, unit="", log=False) as bar, ticking(bar):

        def on_start(job: Job) -> None:
            bar.set_description(f"{len(states) + 1}/{total} {Path(job.name).name}")

        for outcome in run_jobs(
            planned.jobs,
            lambda picture: upscaler.upscale(picture, bar.update),
            target,
            scale=upscaler.scale,
            prepare=lambda picture: _prepared(picture, arguments),
            overwrite=arguments.overwrite,
            on_start=on_start,
        ):
            states.append(outcome.state)
            bar.update(len(states) - bar.n)
            if outcome.state == "failed":
                planned.failures.append(outcome.reason)
            elif outcome.state == "done" and outcome.reason:
                planned.warnings.append(outcome.reason)
            if not terminal:
                text = outcome.job.target if outcome.state == "done" else outcome.reason
                line = f"[{len(states)}/{total}] {outcome.state}: {text}"
                print(line, file=sys.stderr, flush=True)
    how = f"{upscaler.runtime.name} in {upscaler.runtime.precision}"
    print(_summary(states, how, planned.warnings, planned.failures), file=sys.stderr)
    return EXIT_FAILURES if planned.failures else 0


def _format(arguments: argparse.Namespace) -> "Format":
    from lrfdn_arch.upscale.jobs import is_file_name
    from lrfdn_arch.upscale.picture_files import STREAM, format_of

    out, name = arguments.out, arguments.format
    suffix = out.suffix if is_file_name(out) and out != STREAM else None
    if suffix and name and format_of(name) != format_of(suffix):
        raise ValueError(f"--format {name} and --out {out} differ: leave one out")
    return format_of(name or suffix or "png", arguments.quality)


def _prepared(picture: "Picture", arguments: argparse.Namespace) -> "Picture":
    import numpy as np

    pixels = picture.pixels
    if arguments.drop_alpha and picture.has_alpha:
        pixels = pixels[..., :-1]
    if arguments.depth == 8 and picture.is_16_bit:
        pixels = np.round(pixels / 257.0).astype(np.uint8)
    return replace(picture, pixels=np.ascontiguousarray(pixels))


def _summary(
    states: Sequence[str], how: str, warnings: Sequence[str], failures: Sequence[str]
) -> str:
    counts = [f"{states.count('done')} upscaled"]
    if skipped := states.count("skipped"):
        counts.append(f"{skipped} already present (--overwrite to replace)")
    if failures:
        counts.append(f"{len(failures)} failed:")
    lines = [f"warning: {line}" for line in warnings] + [f"error: {line}" for line in failures]
    return "\n".join([f"{how}: {', '.join(counts)}", *lines])
