"""What is in the wheel and the source archive, and that the wheel alone is enough."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from repository import REPOSITORY

NOT_SOURCE = shutil.ignore_patterns(
    ".*", "__pycache__", "build", "dist", "*.egg-info", "experiments", "results", "tb_logger"
)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive, built from a copy of the repository."""
    folder = tmp_path_factory.mktemp("archives")
    source = shutil.copytree(REPOSITORY, folder / "source", ignore=NOT_SOURCE)
    shutil.rmtree(source / "datasets")
    (source / "datasets").mkdir()
    shutil.copy(REPOSITORY / "datasets/README.md", source / "datasets")
    code = (
        "from setuptools import build_meta; "
        f"build_meta.build_wheel({str(folder)!r}); build_meta.build_sdist({str(folder)!r})"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


def wheel(archives: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(archives.glob("*.whl")))


def test_the_wheel_has_the_recipes_and_their_schemas(archives: Path) -> None:
    prefix = "lrfdn_arch/recipes/"
    packed = {n.removeprefix(prefix) for n in wheel(archives).namelist() if n.startswith(prefix)}
    options = REPOSITORY / "options"
    assert packed == {p.relative_to(options).as_posix() for p in options.rglob("*") if p.is_file()}


def test_the_source_archive_has_what_a_checkout_has(archives: Path) -> None:
    with tarfile.open(next(archives.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"train.py", "test.py", "datasets/README.md", "tests/repository.py"} <= names
    recipes = (REPOSITORY / "options").glob("*/*/*.yml")
    assert {recipe.relative_to(REPOSITORY).as_posix() for recipe in recipes} <= names


def test_the_page_of_a_package_index_has_no_dead_links_or_pictures(archives: Path) -> None:
    files = wheel(archives)
    metadata = next(name for name in files.namelist() if name.endswith("/METADATA"))
    page = files.read(metadata).decode()
    assert "# LRFDN" in page
    targets = re.findall(r"\]\(([^)]*)\)", page)
    assert targets
    assert [target for target in targets if not target.startswith("https://")] == []


def test_the_readme_names_no_placeholder() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^(?:git clone|pip install|lrfdn|make) .*", readme, re.M)
    assert commands
    assert not [command for command in commands if "REPOSITORY" in command]


@pytest.mark.slow
def test_the_installed_wheel_trains_tests_and_upscales_in_an_empty_folder(
    archives: Path, tmp_path: Path
) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    wheel(archives).extractall(site)

    def lrfdn(*arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(site)}
        command = [sys.executable, "-m", "lrfdn_arch", *arguments]
        result = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert "train_LRFDN_x4_demo" in lrfdn("recipes")
    lrfdn("prepare", "photos")
    short = ("train:total_iter=2", "val:val_freq=2", "logger:print_freq=1", "num_gpu=0")
    said = lrfdn("train", "-opt", "LRFDN_x4_demo", "--force_yml", *short)
    command = re.search(r"lrfdn (test -opt \S+)", said)
    assert command, said
    lrfdn(*command[1].split())
    results = list((work / "results").rglob("*.png"))
    assert results
    lrfdn("upscale", str(results[0]), "--out", "larger", "--runtime", "eager")
    assert list((work / "larger").glob("*.png"))
