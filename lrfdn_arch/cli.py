"""The ``lrfdn`` command: parses the arguments and calls the subcommand."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from lrfdn_arch import __version__, entry
from lrfdn_arch.text import nearest

_COMMANDS = (  # modules of lrfdn_arch.commands, in the order of `lrfdn --help`
    *("prepare", "verify"),
    *("recipes", "train", "soup", "test"),
    *("upscale", "export"),
    *("complexity", "versus_bicubic", "challenge", "compare", "audit", "submit"),
    "basicsr",
)


class _CommandParser(argparse.ArgumentParser):
    """The parser of a subcommand, which suggests an option in place of an unknown one."""

    def parse_known_args(  # type: ignore[override]
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """Refuse unknown arguments here; otherwise the usage of ``lrfdn`` itself is shown."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            near = nearest(unknown[0], self._option_string_actions)
            hint = f"; did you mean {near}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found, unknown


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; every subcommand sets ``run``, a function of the parsed arguments."""
    parser = argparse.ArgumentParser(
        prog="lrfdn", description="LRFDN and other efficient super-resolution networks."
    )
    parser.add_argument("--version", action="version", version=f"lrfdn {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_CommandParser
    )
    for name in _COMMANDS:
        import_module(f"lrfdn_arch.commands.{name}").add(commands)
    for command in _without_subcommands(parser):
        if "--debug" not in command._option_string_actions:  # read by lrfdn_arch.entry
            command.add_argument(
                "--debug", action="store_true", help="show the traceback of an error"
            )
    return parser


def _without_subcommands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    parts = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not parts:
        yield parser
    for choices in parts:
        for command in choices.values():
            yield from _without_subcommands(command)


def main(argv: Sequence[str]) -> int:
    """Run one ``lrfdn`` command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return arguments.run(arguments) or 0


def console() -> None:
    """The installed ``lrfdn`` script."""
    sys.exit(entry.run(main))
