"""``lrfdn export``: the arguments; see :mod:`lrfdn_arch.export.files`."""

import argparse
from pathlib import Path
from typing import Any

from lrfdn_arch.commands import export_page
from lrfdn_arch.commands.arguments import add_network, add_weights_key, network_of
from lrfdn_arch.extras import require

_KINDS = {
    "onnx": "ONNX, fused, dynamic batch, height and width",
    "openvino": "OpenVINO's .xml and .bin, fused, dynamic batch, height and width",
    "ncnn": ".param and .bin for ncnn, fused, as realesrgan-ncnn-vulkan and Upscayl load them",
    "torchscript": "TorchScript, fused, for torch.jit.load",
    "safetensors": "plain weights with metadata, names as released",
    "fused": "the fused network's weights as safetensors",
}
_OWN_EXTRA = ("onnx", "openvino", "ncnn")
_HALF = {"onnx": "float16 inside", "openvino": "store the weights in float16"}


def add(commands: Any) -> None:
    """Add the subcommand to ``lrfdn``."""
    parser = commands.add_parser("export", help="weights as files for other programs")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, what in _KINDS.items():
        one = kinds.add_parser(kind, help=what, description=what)
        one.add_argument(
            "--weights", metavar="FILE_OR_NAME", help="as in `lrfdn upscale`, except .onnx"
        )
        one.add_argument(
            "--out", type=Path, metavar="FILE", help="default: the weights' name in this folder"
        )
        add_weights_key(one)
        one.add_argument(
            "--licence",
            default="",
            help="of the weights, for the file's metadata (default: from the weights' metadata)",
        )
        add_network(one)
        one.add_argument("--overwrite", action="store_true", help="replace an existing file")
        if kind in _HALF:
            one.add_argument("--half", action="store_true", help=_HALF[kind])
        one.set_defaults(run=_run, half=False)
    export_page.add(kinds)


def _run(arguments: argparse.Namespace) -> None:
    require("torch", extra=arguments.kind if arguments.kind in _OWN_EXTRA else "torch")
    from lrfdn_arch.export.files import export

    files = export(
        arguments.kind,
        arguments.weights,
        arguments.out,
        key=arguments.weights_key,
        half=arguments.half,
        licence=arguments.licence,
        overwrite=arguments.overwrite,
        network_g=network_of(arguments),
    )
    for file in files:
        print(f"{file} ({file.stat().st_size / 1e6:.2f} MB)")
