"""``lrfdn train`` and ``train.py``: train a network from an option file."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrfdn_arch.commands.arguments import add_option_file


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("train", help="train a network from an option file")
    _declare(parser)
    parser.set_defaults(run=run)


def main(argv: Sequence[str], root: Path | None = None) -> int:
    """Run ``train.py`` with arguments ``argv``; ``root`` gets ``experiments/``."""
    parser = argparse.ArgumentParser(prog="train.py", description="Train a network.")
    _declare(parser)
    return run(parser.parse_args(argv), root)


def run(arguments: argparse.Namespace, root: Path | None = None) -> int:
    """Train and return the exit code: 0 when complete, 130 or 143 when stopped after saving.

    Args:
        arguments: the parsed command line.
        root: folder of ``experiments/`` and ``tb_logger/``, by default the working directory.
    """
    from lrfdn_arch.options import TrainOptions, load_options
    from lrfdn_arch.options.recipes import find_option_file

    # Before torch and BasicSR, which take seconds: a mistake in the file shows at once.
    file = find_option_file(arguments.opt, "train")
    options = load_options(file, TrainOptions, arguments.force_yml)
    if arguments.debug:  # as in BasicSR: short intervals, another name
        name = options.name if options.name.startswith("debug") else f"debug_{options.name}"
        short = [f"name={name}", "logger:print_freq=1", "logger:save_checkpoint_freq=8"]
        short += ["val:val_freq=8"] if options.phases("val") else []
        options = load_options(file, TrainOptions, [*arguments.force_yml, *short])
    from lrfdn_arch.training.run import run_training

    return run_training(
        options,
        launcher=arguments.launcher,
        root=(root or Path.cwd()).resolve(),
        auto_resume=arguments.auto_resume,
    )


def _declare(parser: argparse.ArgumentParser) -> None:
    """Declare BasicSR's arguments."""
    add_option_file(parser, "train:optim_g:lr=1e-4 val:val_freq=500")
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        default="none",
        help="pytorch under torchrun, slurm under srun, for one process per GPU",
    )
    parser.add_argument(
        "--auto_resume", action="store_true", help="resume from the newest checkpoint, if any"
    )
    parser.add_argument(
        "--debug",
        action="store_true",
        help="a short run under the name debug_NAME, with the traceback of an error",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
