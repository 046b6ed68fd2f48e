"""What the pages for readers promise: commands that parse, recipes and files that exist."""

import re
import shlex
from pathlib import Path

import pytest
from repository import REPOSITORY

from lrfdn_arch.cli import build_parser
from lrfdn_arch.options.recipes import find_option_file

PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "datasets/README.md")),
    *(REPOSITORY / "docs").glob("*.md"),
    *(REPOSITORY / "lrfdn_arch/weights").glob("*.md"),
]
EXAMPLES = ("my.yml", "x.yml", "FILE")  # option files that a reader would have


def ident(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def commands(page: Path) -> list[list[str]]:
    """The `lrfdn` command lines in code blocks and in backticks, split into words."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)).replace("\\\n", " ")
    lines = re.findall(r"^(?:\$ )?lrfdn (.*)$", blocks, re.M)
    lines += [" ".join(line.split()) for line in re.findall(r"`lrfdn ([^\s`]+ [^`]*-[^`]*)`", text)]
    return [shlex.split(line, comments=True) for line in lines if "..." not in line]


def test_there_are_commands() -> None:
    assert len(commands(REPOSITORY / "README.md")) > 10


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_every_command_on_the_page_is_one(page: Path) -> None:
    for words in commands(page):
        try:
            arguments = build_parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{ident(page)}: lrfdn {shlex.join(words)}")
        file = getattr(arguments, "opt", None)
        if file is not None and file not in EXAMPLES:
            kind = "train" if arguments.command.endswith("train") else "test"
            assert find_option_file(file, kind).is_file(), f"{ident(page)}: {file}"


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []
