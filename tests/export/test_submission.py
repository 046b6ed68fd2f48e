"""The zip for the server and the files for the kit."""

import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lrfdn_arch.archs import LRFDN, RFDN
from lrfdn_arch.cli import main
from lrfdn_arch.evaluation.images import write_png
from lrfdn_arch.export.submission import check_archive, file_names


@pytest.fixture
def model(tmp_path: Path) -> str:
    torch.manual_seed(0)
    torch.save(LRFDN(num_feat=8, num_block=1, upscale=2).state_dict(), tmp_path / "net.pth")
    return f"--model=Mine={tmp_path / 'net.pth'}"


@pytest.fixture
def lr(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, (height, width) in {"0901x2": (20, 24), "0902x2": (17, 31)}.items():
        image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        write_png(tmp_path / "LR" / f"{name}.png", image)
    return tmp_path / "LR"


def submit(model: str, lr: Path, out: Path, *more: str) -> Path:
    assert main(["submit", model, "--lr", str(lr), "--out", str(out), *more]) == 0
    return out


def test_the_zip_has_the_images_at_its_root_and_the_readme(
    model: str, lr: Path, tmp_path: Path
) -> None:
    out = submit(model, lr, tmp_path / "a.zip", "--runtime=10.43", "--description=free text")
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == ["0901.png", "0902.png", "readme.txt"]
        assert archive.read("readme.txt").decode() == (
            "runtime per image [s] : 10.43\n"
            "CPU[1] / GPU[0] : 1\n"
            "Extra Data [1] / No Extra Data [0] : 1\n"
            "Other description : free text\n"
        )
        data = np.frombuffer(archive.read("0902.png"), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_UNCHANGED).shape == (34, 62, 3)


def test_the_images_are_the_ones_that_the_challenge_judges(
    model: str, lr: Path, tmp_path: Path
) -> None:
    out = submit(model, lr, tmp_path / "a.zip")
    command = ["challenge", model, "--lr", str(lr), "--out", str(tmp_path / "results")]
    assert main([*command, "--no-fair-timing"]) == 0
    with zipfile.ZipFile(out) as archive:
        judged = tmp_path / "results/images/Mine"
        for name in ("0901.png", "0902.png"):
            assert archive.read(name) == (judged / name).read_bytes(), name


def test_the_bytes_are_the_same_every_time(model: str, lr: Path, tmp_path: Path) -> None:
    first, second = (submit(model, lr, tmp_path / f"{n}.zip", "--runtime=1") for n in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_runtime_is_measured_where_none_is_given(model: str, lr: Path, tmp_path: Path) -> None:
    out = submit(model, lr, tmp_path / "a.zip", "--no-extra-data", "--name", "img_{name}_sr.png")
    with zipfile.ZipFile(out) as archive:
        lines = archive.read("readme.txt").decode().splitlines()
        assert "img_0901_sr.png" in archive.namelist()
    label, _, seconds = lines[0].partition(" : ")
    assert label == "runtime per image [s]"
    assert 0 <= float(seconds) < 60
    assert lines[2].endswith(": 0")


def test_an_existing_zip_is_replaced_only_on_request(model: str, lr: Path, tmp_path: Path) -> None:
    out = submit(model, lr, tmp_path / "a.zip")
    with pytest.raises(FileExistsError, match="--overwrite"):
        submit(model, lr, out)
    submit(model, lr, out, "--overwrite")


def test_a_zip_is_a_file_with_that_ending(model: str, lr: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a name that ends in \.zip"):
        submit(model, lr, tmp_path / "a")
    (tmp_path / "a.zip").mkdir()
    with pytest.raises(IsADirectoryError, match=r"a\.zip is a folder"):
        submit(model, lr, tmp_path / "a.zip", "--overwrite")


def test_a_damaged_image_leaves_no_zip(model: str, lr: Path, tmp_path: Path) -> None:
    (lr / "0902x2.png").write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match=r"1 of the 2 images(.|\n)*0902x2\.png: (not|damaged)"):
        submit(model, lr, tmp_path / "a.zip")
    assert not [p for p in tmp_path.iterdir() if "zip" in p.name]


@pytest.mark.parametrize(
    ("names", "pattern", "message"),
    [
        (["a"], "x.png", r"expected \{name\} in it"),
        (["a"], "{name}.jpg", r"\.png behind"),
        (["a"], "results/{name}.png", r"at the root .*: results/a\.png"),
        (["a", "a"], "{name}.png", r"more than one image would be called a\.png"),
    ],
)
def test_names_that_no_server_takes_are_refused(
    names: list[str], pattern: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        file_names(names, pattern)


def test_the_check_finds_what_is_wrong_in_a_zip(tmp_path: Path) -> None:
    grey = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", grey)
        archive.writestr("stray.png", grey)
    with pytest.raises(ValueError) as caught:
        check_archive(tmp_path / "a.zip", {"a.png": (4, 4), "b.png": (4, 4)})
    message = str(caught.value)
    assert "2 missing: b.png, readme.txt" in message
    assert "1 unexpected: stray.png" in message
    assert "a.png: expected uint8 (4, 4, 3), found uint8 (4, 4)" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either images .--lr or --data. for a zip"),
        (["--kit", "--lr", "x"], "either images .--lr or --data. for a zip"),
        (["--kit"], "--kit needs --team"),
        (["--kit", "--team", "100"], "numbers teams from 0 to 99"),
    ],
)
def test_arguments_that_make_no_sense_are_named(
    model: str, tmp_path: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        main(["submit", model, "--out", str(tmp_path / "out"), *arguments])


ALONE = """
import sys
sys.path.insert(0, sys.argv[1])
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("lrfdn_arch", "basicsr"):
            raise ImportError(f"{name} is not part of the kit")
sys.meta_path.insert(0, Absent())
import torch
from models.team07_Mine import NETWORK as Network
model = Network(ARGUMENTS)
model.load_state_dict(torch.load("model_zoo/team07_mine.pth"), strict=True)
with torch.no_grad():
    torch.save(model.eval()(torch.load("input.pt")), "output.pt")
assert "lrfdn_arch" not in sys.modules
"""


@pytest.mark.parametrize("network", [LRFDN, RFDN])
def test_the_kit_s_file_runs_alone_and_gives_the_same_output(
    tmp_path: Path, network: type[LRFDN | RFDN]
) -> None:
    torch.manual_seed(1)
    ours = network(num_feat=16, num_block=2, upscale=3).eval()
    torch.save({"params_ema": ours.state_dict()}, tmp_path / "net_g.pth")
    model = f"--model=Mine={tmp_path / 'net_g.pth'}"
    kit = tmp_path / "kit"
    assert main(["submit", model, "--kit", "--team", "7", "--out", str(kit)]) == 0
    source = (kit / "models/team07_Mine.py").read_text()
    call = next(line for line in source.splitlines() if line.strip().startswith("model = "))
    arguments = call.partition("(")[2].rpartition(")")[0]
    lq = torch.rand(1, 3, 20, 23)
    torch.save(lq, kit / "input.pt")
    script = ALONE.replace("NETWORK", network.__name__).replace("ARGUMENTS", arguments)
    done = subprocess.run(
        [sys.executable, "-c", script, str(kit)], cwd=kit, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = ours(lq)
    assert torch.equal(torch.load(kit / "output.pt"), expected)
    other = RFDN if network is LRFDN else LRFDN
    assert f"class {other.__name__}(" not in source, "only what the network uses is in the file"
    with pytest.raises(FileExistsError, match=r"team07_Mine\.py, .*team07_mine\.pth exist:"):
        main(["submit", model, "--kit", "--team", "7", "--out", str(kit)])
