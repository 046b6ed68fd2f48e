"""Arguments that several commands share: which networks, on which device."""

import argparse
from pathlib import Path


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add ``--model`` (any number of times), ``--weights-key`` and ``--device``."""
    parser.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="LABEL=FILE",
        help="a weights file (.pth, .safetensors, net_g_*.pth of a training) and what to call it; "
        "the network and its scale are read off the weights",
    )
    parser.add_argument(
        "--weights-key",
        choices=("params_ema", "params"),
        help="which weights of a training checkpoint (default: params_ema where there are any)",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: a GPU if there is one)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_out(parser: argparse.ArgumentParser, help: str) -> None:
    """Add ``--out`` and ``--overwrite``."""
    parser.add_argument("--out", type=Path, required=True, help=help)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what an earlier run left there"
    )
