"""A small job starts at once: without torch, and without measuring which runtime is fastest."""

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lrfdn_arch import Upscaler, entry
from lrfdn_arch.cli import main
from lrfdn_arch.inference.fastest import open_weights
from lrfdn_arch.upscale import api

SLOW = {"torch", "basicsr", "torchvision", "matplotlib", "skimage", "onnx", "pydantic", "cv2"}


def save(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)).save(path)
    return path


def imported(code: str) -> set[str]:
    """The modules that a new process has imported after ``code``."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def command(*arguments: object) -> str:
    """Code that upscales on the CPU, wherever there is a GPU."""
    argv = ["upscale", "--device", "cpu", "--overwrite", *map(str, arguments)]
    return f"from lrfdn_arch.cli import main; assert main({argv}) == 0"


@pytest.mark.parametrize(
    "options",
    [
        ["--scale", "2"],
        ["--scale", "3"],
        ["--runtime", "onnx"],
        ["--runtime", "openvino"],
        ["--runtime", "openvino", "--precision", "bf16"],
        ["--weights", "own.onnx"],
    ],
    ids=" ".join,
)
def test_the_command_imports_neither_torch_nor_basicsr(tmp_path: Path, options: list[str]) -> None:
    if "--weights" in options:
        export = ["export", "onnx", "--out", str(tmp_path / options[1])]
        assert entry.run(main, export) == 0
        options = ["--weights", str(tmp_path / options[1])]
    slow = SLOW - ({"onnx"} if "--weights" in options else set())  # reads models of others safely
    assert not slow & imported(command(save(tmp_path / "a.png"), *options))


def test_a_folder_needs_no_torch_either(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "in" / f"{number}.png")
    out = tmp_path / "out"
    assert not SLOW & imported(command(tmp_path / "in", "--out", out))
    assert sorted(path.name for path in out.iterdir()) == [f"{n}_x4.png" for n in range(3)]


def test_tiles_need_no_torch_either(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 70, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    tiles = ["--tile", "48", "--overlap", "12"]
    assert not (SLOW - {"onnx"}) & imported(command(tmp_path / "wide.png", *tiles))


def test_own_weights_need_torch_once(tmp_path: Path, weights: Path) -> None:
    code = command(save(tmp_path / "a.png"), "--weights", weights)
    assert "torch" in imported(code), "it reads the file"
    assert not SLOW & imported(code)


@pytest.mark.parametrize(
    "image", ["Image.new('RGB', (9, 8))", "np.zeros((8, 9, 3), np.uint8)", "np.zeros((8, 9))"]
)
def test_python_needs_no_torch_either(image: str) -> None:
    code = f"""
import numpy as np
from PIL import Image
from lrfdn_arch import Upscaler
image = {image}
assert np.shape(Upscaler(device="cpu")(image))[:2] == (32, 36)
"""
    assert not SLOW & imported(code)


@pytest.fixture
def choices(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each choice of a runtime for much work may measure; much is 100 pixels, or 300."""
    found: list[bool] = []

    def choose(*arguments: Any, sample: Any = None, measure: bool = True, **options: Any) -> Any:
        if sample is not None:
            found.append(measure)
        return open_weights(*arguments, **options)

    monkeypatch.setattr(api, "open_weights", choose)
    monkeypatch.setattr(api, "_MUCH", 100)
    monkeypatch.setattr(api, "_VERY_MUCH", 300)
    return found


def test_only_much_work_looks_for_the_fastest_runtime(weights: Path, choices: list[bool]) -> None:
    upscaler = Upscaler(weights, device="cpu")
    found = []
    for _ in range(5):
        upscaler(np.zeros((8, 10, 3), np.uint8))
        found.append(list(choices))
    once = [False]
    assert found == [[], once, once, [False, True], [False, True]], "at 160 and 320 pixels"


def test_one_large_picture_measures_at_once(weights: Path, choices: list[bool]) -> None:
    upscaler = Upscaler(weights, device="cpu")
    for _ in range(2):
        upscaler(np.zeros((20, 20, 3), np.uint8))
    assert choices == [True]


def test_a_named_runtime_is_not_replaced(weights: Path, choices: list[bool]) -> None:
    Upscaler(weights, device="cpu", runtime="onnx")(np.zeros((20, 20, 3), np.uint8))
    assert choices == []


@pytest.mark.slow
def test_the_command_takes_two_fifths_of_importing_torch(tmp_path: Path) -> None:
    # Processor time, which other work on the machine does not stretch as it does the clock. Python
    # must find bytecode, which `make setup` compiles.
    source = save(tmp_path / "a.png")
    upscale = ["-m", "lrfdn_arch", "upscale", str(source), "--overwrite", "--device", "cpu"]
    times: dict[str, list[float]] = {"torch": [], "upscale": []}
    for name, arguments in [("torch", ["-c", "import torch"]), ("upscale", upscale)] * 3:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times["upscale"]) < 0.4 * min(times["torch"]), times
