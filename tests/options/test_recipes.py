"""The option files by name: `lrfdn recipes`, and names where an option file is expected."""

from pathlib import Path

import pytest
from repository import REPOSITORY

from lrfdn_arch import cli
from lrfdn_arch.options import TrainOptions, load_options
from lrfdn_arch.options.recipes import copy_text, find_option_file, recipes

DEMO = REPOSITORY / "options/train/LRFDN/train_LRFDN_x4_demo.yml"


def test_every_option_file_is_listed_with_what_it_is_for(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["recipes"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert listed.keys() == {file.stem for file in (REPOSITORY / "options").glob("*/*/*.yml")}
    assert all(listed.values())
    assert listed["train_LRFDN_x4_demo"].startswith("LRFDN x4 in minutes")


@pytest.mark.parametrize("name", ["train_LRFDN_x4_demo", "LRFDN_x4_demo"])
def test_a_name_means_the_recipe_for_what_the_command_does(name: str) -> None:
    assert find_option_file(name, "train") == DEMO
    assert find_option_file("LRFDN_x4_demo", "test").stem == "test_LRFDN_x4_demo"


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "LRFDN_x4_demo").mkdir()  # a folder, e.g. of results, is not an option file
    assert find_option_file("LRFDN_x4_demo", "train") == DEMO
    (tmp_path / "train_LRFDN_x4_demo").write_text("name: mine")
    assert find_option_file("train_LRFDN_x4_demo", "train") == Path("train_LRFDN_x4_demo")


def test_a_copy_is_the_same_recipe_and_tells_how_to_run_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["recipes", "train_LRFDN_x4_demo", "--out", "own/my.yml"]) == 0
    copy = tmp_path / "own/my.yml"
    assert load_options(copy, TrainOptions) == load_options(DEMO, TrainOptions)
    assert "# Run:      lrfdn train -opt own/my.yml\n" in copy.read_text()
    with pytest.raises(FileExistsError, match="--overwrite"):
        cli.main(["recipes", "train_LRFDN_x4_demo", "--out", "own/my.yml"])
    capsys.readouterr()
    cli.main(["recipes", "LRFDN_x4_DF2K"])
    assert capsys.readouterr().out == copy_text(recipes()["train_LRFDN_x4_DF2K"], None)


def test_the_schema_is_still_found_from_a_copy(tmp_path: Path) -> None:
    recipe = tmp_path / "train/N/train_N.yml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("# yaml-language-server: $schema=../../schema/train.json\nname: n\n")
    first = copy_text(recipe, Path("my.yml")).splitlines()[0]
    assert first == f"# yaml-language-server: $schema={tmp_path / 'schema/train.json'}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LRFDN_x4_demo", "train_LRFDN_x4_demo and test_LRFDN_x4_demo; give one"),
        ("LRFDN_x4_DF2", "did you mean LRFDN_x4_DF2K?"),
        ("nothing", "`lrfdn recipes` lists them"),
    ],
)
def test_a_name_that_is_not_one_recipe_gets_advice(name: str, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        cli.main(["recipes", name])
    assert expected in str(caught.value)
