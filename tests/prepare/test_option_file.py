"""The line that `lrfdn prepare` prints for the next step runs as it is printed."""

import shlex
from pathlib import Path

import cv2
import pytest
from small_lmdbs import photograph

from lrfdn_arch import entry
from lrfdn_arch.cli import main

# Fewer and smaller steps, nothing else, so that the line ends within seconds.
SHORT = [
    "--force_yml", "train:total_iter=1", "train:warmup_iter=-1", "train:scheduler:periods=[1]",
    "network_g:num_feat=8", "network_g:num_block=1", "num_gpu=0", "logger:use_tb_logger=false",
    "datasets:train:batch_size_per_gpu=1", "datasets:train:num_worker_per_gpu=0",
]  # fmt: skip


def prepare(folder: Path, sizes: list[tuple[int, int]], capsys, *arguments: object) -> list[str]:
    """Return the command that ``lrfdn prepare folder`` prints for photographs of these sizes."""
    folder.mkdir()
    for number, size in enumerate(sizes):
        cv2.imwrite(str(folder / f"{number}.png"), photograph(*size, seed=number))
    argv = ["prepare", "folder", folder, "--out", "data/my set", *arguments]
    assert entry.run(main, [str(argument) for argument in argv]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("next: ")]
    command = shlex.split(line.removeprefix("next: "))
    assert command[0] == "lrfdn"
    return command[1:]


SMALL, LARGE = [(64, 79), (90, 101), (120, 66)], [(640, 650), (644, 800)]


def test_data_in_its_usual_place_is_trained_by_the_recipe(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert entry.run(main, ["prepare", "photos"]) == 0
    assert "\nnext: lrfdn train -opt train_LRFDN_x4_demo\n" in capsys.readouterr().out
    assert not list((tmp_path / "datasets").rglob("*.yml"))


@pytest.mark.usefixtures("plain_runs")
@pytest.mark.parametrize(
    ("sizes", "arguments"),
    [
        (SMALL, []),
        (SMALL, ["--hold-out", 1]),
        (SMALL, ["--scale", 2, 3, "--hold-out", 1]),
        (SMALL, ["--grey", "--hold-out", 1]),
        (LARGE, []),
        (LARGE, ["--hold-out", 1]),
    ],
)
def test_the_next_line_trains(tmp_path, monkeypatch, capsys, sizes, arguments):
    monkeypatch.chdir(tmp_path)
    command = prepare(tmp_path / "photos", sizes, capsys, *arguments)
    assert entry.run(main, [*command, *SHORT]) == 0, capsys.readouterr()
    (run,) = (tmp_path / "experiments").iterdir()
    scale = arguments[2] if "--scale" in arguments else 4
    assert run.name == f"train_LRFDN_x{scale}_my set"
    assert (run / "models/net_g_latest.pth").exists()
    assert ("psnr_rgb" in (run / "metrics.jsonl").read_text()) == ("--hold-out" in arguments)
