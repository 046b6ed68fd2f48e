"""``lrfdn upscale``: the arguments; the work is :mod:`lrfdn_arch.upscale.folder`'s."""

import argparse
from pathlib import Path
from typing import Any

from lrfdn_arch.commands.arguments import add_network, network_of


def add(commands: Any) -> None:
    """Add the subcommand to ``lrfdn``."""
    parser = commands.add_parser("upscale", help="make pictures larger: files and folders")
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="IMAGE_OR_FOLDER", help="folders with all below"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where results go (default: beside the pictures)"
    )
    parser.add_argument(
        "--format", default="png", metavar="FORMAT", help="png (default), jpg, webp, tif or bmp"
    )
    parser.add_argument(
        "--weights",
        metavar="FILE_OR_NAME",
        help="BasicSR .pth, plain state dict, .safetensors, .onnx, or the name of shipped weights "
        "(default: the environment variable LRFDN_WEIGHTS, else the shipped lrfdn_x4)",
    )
    parser.add_argument(
        "--tile",
        type=int,
        metavar="PIXELS",
        help="side of tiles, 0 for whole pictures (default: what fits half of the free memory)",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        default=128,
        metavar="PIXELS",
        help="what neighbouring tiles share (default: %(default)s, below a tenth of a colour step "
        "from the untiled result)",
    )
    parser.add_argument("--depth", type=int, choices=(8,), help="round 16-bit pictures to 8 bits")
    parser.add_argument("--drop-alpha", action="store_true", help="leave transparency out")
    parser.add_argument("--overwrite", action="store_true", help="replace results already there")
    add_network(parser)
    add_runtime_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=_run)


def add_runtime_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --runtime, --precision and --device."""
    parser.add_argument(
        "--runtime",
        choices=("auto", "eager", "compiled", "onnx", "openvino"),
        default="auto",
        help="what computes (default: the fastest here, measured once and remembered)",
    )
    parser.add_argument("--precision", choices=("fp32", "fp16", "bf16"), help="of the arithmetic")
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        help="cpu, cuda or cuda:N (default: a GPU that the runtime can use, else the CPU)",
    )


def _run(arguments: argparse.Namespace) -> int:
    from lrfdn_arch.upscale.folder import Request, upscale

    arguments.network = network_of(arguments)
    taken = vars(arguments)
    return upscale(Request(**{name: taken[name] for name in Request.__dataclass_fields__}))
