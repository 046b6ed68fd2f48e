"""Every shipped option file says how to use it, is valid, and builds its network."""

import json
import shlex
from pathlib import Path

import jsonschema
import pytest
from repository import REPOSITORY

from lrfdn_arch import archs
from lrfdn_arch.options import Options, TestOptions, TrainOptions, load_options
from lrfdn_arch.options.yaml_file import read_yaml

FILES = sorted((REPOSITORY / "options").glob("*/*/*.yml"))


def ident(file: Path) -> str:
    return file.stem


def kind(file: Path) -> type[Options]:
    return TrainOptions if file.parts[-3] == "train" else TestOptions


def header(file: Path, label: str) -> str:
    """The text after ``# label:`` at the top of the file."""
    lines = [line for line in file.read_text().splitlines() if line.startswith(f"# {label}:")]
    assert len(lines) == 1, f"{file.name} has {len(lines)} lines '# {label}:'"
    return lines[0].partition(":")[2].strip()


def test_there_are_files_for_every_network_and_for_three_scales_of_the_entry() -> None:
    names = {file.stem for file in FILES}
    assert {f"train_{network}_x4_DF2K" for network in archs.ARCHITECTURES} <= names
    for network in ("LRFDN", "RFDN"):
        for scale in (2, 3, 4):
            assert {f"train_{network}_x{scale}_DF2K", f"test_{network}_x{scale}"} <= names


@pytest.mark.parametrize("file", FILES, ids=ident)
def test_the_first_line_links_the_schema_and_the_schema_accepts_the_file(file: Path) -> None:
    first = file.read_text(encoding="utf-8").splitlines()[0]
    label, _, link = first.partition("$schema=")
    assert label == "# yaml-language-server: "
    schema = json.loads((file.parent / link).read_text(encoding="utf-8"))
    content, _ = read_yaml(file)
    jsonschema.Draft202012Validator(schema).validate(content)
    wrong = {**content, "manual_sed": 1, "val": {**content["val"], "val_frek": 1}}
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(wrong))
    assert len(errors) == 2, errors


@pytest.mark.parametrize("file", FILES, ids=ident)
def test_the_file_says_what_it_needs_how_to_run_it_and_how_to_override(file: Path) -> None:
    assert header(file, "Needs")
    command = "train" if kind(file) is TrainOptions else "test"
    assert shlex.split(header(file, "Run")) == ["lrfdn", command, "-opt", file.stem]
    override = shlex.split(header(file, "Override"))
    assignments = override[override.index("--force_yml") + 1 :]
    load_options(file, kind(file), assignments)


@pytest.mark.parametrize("file", FILES, ids=ident)
def test_the_file_is_valid_named_after_itself_and_builds_its_network(file: Path) -> None:
    options = load_options(file, kind(file))
    assert options.name.removeprefix("train_").removeprefix("test_") in file.stem
    network = getattr(archs, options.network_g.type)(**options.network_g.arguments())
    assert network.upscale == options.scale


def flat(section: object, prefix: str = "") -> dict[str, object]:
    """Nested dicts as one, keys joined by colons."""
    if not isinstance(section, dict):
        return {prefix: section}
    parts = (flat(value, f"{prefix}:{key}".lstrip(":")) for key, value in section.items())
    return {key: value for part in parts for key, value in part.items()}


@pytest.mark.parametrize(
    ("network", "recipe", "own"),
    [
        ("RFDN", "x2_DF2K", set()),
        ("RFDN", "x3_DF2K", set()),
        *((network, "x4_DF2K", set()) for network in archs.ARCHITECTURES if network != "LRFDN"),
        ("RFDN", "x4_291", {"train:optim_g:lr"}),  # RFDN diverged at LRFDN's
    ],
)
def test_networks_are_trained_alike(network: str, recipe: str, own: set[str]) -> None:
    files = [REPOSITORY / f"options/train/{n}/train_{n}_{recipe}.yml" for n in ("LRFDN", network)]
    lrfdn, other = (flat(load_options(f, TrainOptions).model_dump()) for f in files)
    missing = object()
    differing = {k for k in {**lrfdn, **other} if lrfdn.get(k, missing) != other.get(k, missing)}
    differing -= own
    assert {k.partition(":")[0] for k in differing} == {"name", "network_g"}
