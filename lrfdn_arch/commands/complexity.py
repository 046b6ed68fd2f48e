"""``lrfdn complexity``: report the complexity of networks."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from lrfdn_arch.commands.arguments import add_import
from lrfdn_arch.entry import EXIT_MISTAKE


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "complexity", help="count parameters, FLOPs, activations and convolutions of networks"
    )
    parser.add_argument(
        "networks",
        nargs="*",
        default=[],
        metavar="NETWORK",
        help="names in BasicSR's ARCH registry (default: RFDN LRFDN)",
    )
    parser.add_argument("--all", action="store_true", help="count every network of this package")
    parser.add_argument("--size", type=int, nargs=3, default=(3, 256, 256), metavar=("C", "H", "W"))
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a constructor argument, e.g. --set upscale=2",
    )
    parser.add_argument("--format", choices=("github", "simple", "latex", "csv"), default="github")
    add_import(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from lrfdn_arch.archs import ARCHITECTURES
    from lrfdn_arch.evaluation.complexity import complexity_report
    from lrfdn_arch.extensions import import_extensions
    from lrfdn_arch.progress import progress_bar

    import_extensions(arguments.imports)
    names = arguments.networks or ["RFDN", "LRFDN"]
    if arguments.all:
        names = list(dict.fromkeys([*ARCHITECTURES, *arguments.networks]))
    style = "json" if arguments.json else arguments.format
    settings = dict(_assignment(text) for text in arguments.set)
    with progress_bar(len(names), unit="networks", log=False) as bar:

        def shown() -> Iterator[str]:
            for name in names:
                bar.set_description(name)
                yield name
                bar.update()

        text, faults = complexity_report(shown(), tuple(arguments.size), settings, style)
    print(text)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return EXIT_MISTAKE if faults else 0


def _assignment(text: str) -> tuple[str, Any]:
    import yaml

    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"--set {text}: expected NAME=VALUE, e.g. --set upscale=2")
    return name, yaml.safe_load(value)
