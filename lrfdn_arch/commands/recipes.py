"""``lrfdn recipes``: lists the option files of the package, and copies one out."""

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "recipes",
        help="list the option files that come with the package, or copy one",
        description="Lists the option files that come with the package. `lrfdn train -opt NAME` "
        "and `lrfdn test -opt NAME` take their names; to change one, copy it.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this one")
    parser.add_argument("--out", type=Path, metavar="FILE.yml", help="write it to this file")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.yml")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from lrfdn_arch.files import check_new, write_whole
    from lrfdn_arch.options.recipes import copy_text, find_recipe, recipes, summary

    if arguments.name is None:
        if arguments.out is not None:
            raise ValueError("--out: expected the NAME of a recipe before it")
        width = max(map(len, recipes()), default=0)
        for name, file in recipes().items():
            print(f"{name:{width}}  {summary(file)}")
        return
    recipe, out = find_recipe(arguments.name), arguments.out
    if out is None:
        print(copy_text(recipe, None), end="")
        return
    check_new(out, overwrite=arguments.overwrite)
    write_whole(out, copy_text(recipe, out).encode())
    print(f"{recipe.stem} copied to {out}")
