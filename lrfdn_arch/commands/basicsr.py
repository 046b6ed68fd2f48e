"""``lrfdn basicsr-train`` and ``basicsr-test``: BasicSR's own pipelines, with this plugin.

``python -m basicsr.train`` fails on a current torchvision, does not know this plugin, and writes
its experiments into site-packages. ``--launcher slurm`` is not offered: BasicSR passes the
scheduler's node list to a shell (CVE-2024-27763).
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from lrfdn_arch.commands.arguments import add_option_file


def add(commands: Any) -> None:
    """Declare both commands."""
    train = commands.add_parser("basicsr-train", help="train by BasicSR's own train_pipeline")
    train.add_argument("--launcher", choices=("none", "pytorch"), default="none")
    train.add_argument("--auto_resume", action="store_true", help="resume from the newest state")
    train.set_defaults(run=run_train)
    test = commands.add_parser("basicsr-test", help="test by BasicSR's own test_pipeline")
    test.set_defaults(run=run_test, launcher="none", auto_resume=False)
    for parser in (train, test):
        add_option_file(parser, "train:optim_g:lr=1e-4")
        parser.add_argument("--debug", action="store_true", help="BasicSR's; shows tracebacks too")
        parser.add_argument("--local_rank", "--local-rank", default="0", help=argparse.SUPPRESS)


def run_train(arguments: argparse.Namespace) -> None:
    """Run BasicSR's ``train_pipeline``; ``experiments/`` is in the working directory."""
    sys.argv = _basicsr_arguments(arguments, "train")
    from basicsr.train import train_pipeline

    train_pipeline(str(Path.cwd()))


def run_test(arguments: argparse.Namespace) -> None:
    """Run BasicSR's ``test_pipeline``; ``results/`` is in the working directory."""
    sys.argv = _basicsr_arguments(arguments, "test")
    from basicsr.test import test_pipeline

    test_pipeline(str(Path.cwd()))


def _basicsr_arguments(arguments: argparse.Namespace, kind: Any) -> list[str]:
    """Import what the option file asks for and return the command line that BasicSR parses."""
    from lrfdn_arch.extensions import import_extensions
    from lrfdn_arch.options.recipes import find_option_file
    from lrfdn_arch.options.yaml_file import read_yaml

    file = find_option_file(arguments.opt, kind)
    import_extensions(read_yaml(file)[0].get("imports") or [], file.parent)
    argv = ["basicsr", "-opt", str(file), "--launcher", arguments.launcher]
    argv += ["--local_rank", arguments.local_rank]
    argv += ["--auto_resume"] if arguments.auto_resume else []
    argv += ["--debug"] if arguments.debug else []
    return argv + (["--force_yml", *arguments.force_yml] if arguments.force_yml else [])
