"""MkDocs hooks: pages from files outside of docs/, and references generated from the code."""

import argparse
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from lrfdn_arch.cli import build_parser
from lrfdn_arch.options import TestOptions, TrainOptions
from lrfdn_arch.options.json_schema import schema
from lrfdn_arch.options.recipes import recipes, summary

ROOT = Path(__file__).parents[1]
PAGES = {  # files outside of docs/, by their place in the repository
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
    "datasets/README.md": "datasets.md",
    "options/schema/train.json": "options.md",
    "options/schema/test.json": "options.md",
} | {
    card.relative_to(ROOT).as_posix(): card.name
    for card in (ROOT / "lrfdn_arch/weights").glob("*.md")
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    pages = {
        page: with_site_links((ROOT / source).read_text(encoding="utf-8"), source)
        for source, page in PAGES.items()
        if source.endswith(".md")
    }
    pages |= {"commands.md": commands(), "options.md": options(), "recipes.md": recipe_list()}
    for page, text in pages.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Direct links that lead out of docs/ to the pages that these files have on the site."""
    return (
        markdown
        if page.file.generated_by
        else with_site_links(markdown, f"docs/{page.file.src_uri}")
    )


def with_site_links(text: str, source: str) -> str:
    """Return Markdown of a file of the repository with links as they are on the site.

    A link to a file that the site does not contain becomes its text.
    """

    def link(found: re.Match[str]) -> str:
        label, target, anchor = found.groups()
        if "://" in target or not target:
            return found[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        inside = PAGES.get(place) or (
            place.removeprefix("docs/") if place.startswith("docs/") else ""
        )
        return f"[{label}]({inside}{anchor or ''})" if inside else label

    return re.sub(r"\[([^\[\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)", link, text)


def commands() -> str:
    """Return the reference of the command line."""
    parts = ["# Commands", "`lrfdn COMMAND --help` prints the same."]
    for level, parser in _parsers(build_parser()):
        about = parser.description or ""
        usage = parser.format_usage().removeprefix("usage: ")
        parts.append(f"{'#' * level} {parser.prog}\n\n{about}\n\n```text\n{usage}```")
        rows = [
            f"| {_names(action)} | {_cell(action.help % {**vars(action), 'prog': parser.prog})} |"
            for action in parser._actions
            if action.help and action.help != argparse.SUPPRESS and action.dest != "help"
        ]
        if rows:
            parts.append("\n".join(["| argument | meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _parsers(parser: argparse.ArgumentParser, level: int = 2) -> Iterator[tuple[int, Any]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield level, child
                yield from _parsers(child, level + 1)


def _names(action: argparse.Action) -> str:
    value = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
    value = " ".join(value) if isinstance(value, tuple) else value
    if action.choices:
        value = ", ".join(map(str, action.choices))
    if not action.option_strings:
        return f"`{value}`"
    return ", ".join(f"`{f'{name} {value}'.strip()}`" for name in action.option_strings)


def options() -> str:
    """Return the reference of the option files."""
    parts = [
        "# Options",
        "Every key of an option file, with its default. `section:key` on the command line, after "
        "`--force_yml`, sets one. Editors complete and check the keys of files whose first line "
        "names the JSON schema, as in all recipes.",
    ]
    known: dict[str, dict[str, Any]] = {}
    for kind, title in (
        (TrainOptions, "The file, for training"),
        (TestOptions, "The file, for testing"),
    ):
        tree = schema(kind)
        parts.append(_section(title, tree))
        known |= {name: d for name, d in tree["$defs"].items() if "properties" in d}
    parts += [_section(name, definition) for name, definition in known.items()]
    return "\n\n".join(parts)


def _section(title: str, definition: dict[str, Any]) -> str:
    required = definition.get("required", [])
    rows = [
        f"| `{key}` | {_type(field)} | {'required' if key in required else _default(field)} "
        f"| {_cell(field.get('description', ''))} |"
        for key, field in definition["properties"].items()
    ]
    table = "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows])
    return f"## {title}\n\n{definition.get('description', '')}\n\n{table}"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " or ".join(dict.fromkeys(_type(one) for one in field[several]))
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    values = field.get("additionalProperties") or field.get("patternProperties")
    if field.get("type") == "object" and isinstance(values, dict):
        inner = values if "additionalProperties" in field else next(iter(values.values()))
        return f"{_type(inner)} by name"
    names = {"integer": "whole number", "string": "text", "boolean": "true, false", "null": "none"}
    return names.get(field.get("type", ""), field.get("type", "any"))


def _default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default is None or isinstance(default, dict):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def recipe_list() -> str:
    """Return the list of the shipped option files."""
    rows = [f"| `{name}` | {_cell(summary(file))} |" for name, file in recipes().items()]
    return "\n".join(
        [
            "# Recipes",
            "",
            "The option files that come with the package. `lrfdn train -opt NAME` and "
            "`lrfdn test -opt NAME` take their names; `lrfdn recipes NAME --out my.yml` copies one "
            "to change. The comment at the top of each names the data it needs.",
            "",
            "| name | purpose |",
            "|---|---|",
            *rows,
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
