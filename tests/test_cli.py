"""The command line: what it costs to start, and the ways to start it."""

import subprocess
import sys

import pytest

from lrfdn_arch.cli import build_parser


def test_the_module_runs_the_command() -> None:
    command = [sys.executable, "-m", "lrfdn_arch", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("lrfdn ")


def test_help_loads_no_library_that_takes_long_to_import() -> None:
    code = (
        "import sys, lrfdn_arch.cli as cli; parser = cli.build_parser(); print(*sys.modules); "
        "parser.print_help()"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded, _, text = result.stdout.partition("\n")
    assert not {"torch", "basicsr", "numpy", "pydantic", "yaml"} & set(loaded.split())
    assert "train " in text and "test " in text


@pytest.mark.parametrize(
    "command", ["audit a", "complexity", "prepare photos", "export onnx", "export page --out a"]
)
def test_every_command_can_show_the_traceback_of_an_error(command: str) -> None:
    assert build_parser().parse_args([*command.split(), "--debug"]).debug


def test_an_unknown_option_shows_the_usage_of_its_command_and_the_nearest_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["export", "onnx", "--oout", "a.onnx"])
    said = capsys.readouterr().err
    assert said.startswith("usage: lrfdn export onnx")
    assert "unrecognized arguments: --oout a.onnx; did you mean --out?" in said


@pytest.mark.parametrize("command", ["train", "test"])
def test_a_mistake_in_an_option_file_is_one_line_from_any_folder(command: str, tmp_path) -> None:
    arguments = [sys.executable, "-m", "lrfdn_arch", command, "-opt", "gone.yml"]
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: gone.yml")
    assert len(result.stderr.splitlines()) == 1
