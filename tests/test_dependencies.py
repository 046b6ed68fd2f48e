"""What the package imports is what pyproject.toml declares, and the lock covers all of it."""

import ast
import json
import os
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from repository import REPOSITORY

OPTIONAL = (
    "torch",
    "train",
    "onnx",
    "openvino",
    "ncnn",
    "spandrel",
    "wandb",
)  # extras; `dev` is not for the package


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> dict[str, set[str]]:
    """The distributions that pyproject.toml requires: `dependencies`, and each extra."""
    result: dict[str, set[str]] = {}
    key = ""
    for line in (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].rstrip()
        start = re.match(r"([\w-]+) = \[", line)
        key = start.group(1) if start else key
        if key in ("dependencies", "dev", *OPTIONAL):
            names = re.findall(r'"([A-Za-z][\w.-]*)[<>=~!"]', line)
            result.setdefault(key, set()).update(canonical(name) for name in names)
        if line.endswith("]"):
            key = ""
    return result


def imported() -> dict[str, str]:
    """Every top-level module the package imports, with one file that does."""
    modules: dict[str, str] = {}
    for file in (REPOSITORY / "lrfdn_arch").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            modules |= {name.partition(".")[0]: str(file.relative_to(REPOSITORY)) for name in names}
    own = {*sys.stdlib_module_names, "lrfdn_arch"}
    return {name: file for name, file in modules.items() if name not in own}


def providers() -> dict[str, str]:
    """The distribution of every installed module; Python 3.10 finds only some of them itself."""
    return {
        file.parts[0].removesuffix(".py"): distribution.metadata["Name"]
        for distribution in distributions()
        for file in distribution.files or []
    }


@pytest.mark.slow
def test_every_import_is_declared_and_every_requirement_imported() -> None:
    names = providers()
    found = {
        canonical(names.get(module, module)): f"{module} in {file}"
        for module, file in imported().items()
    }
    extras = declared()
    required = extras.pop("dependencies")
    del extras["dev"]
    allowed = required.union(*extras.values(), {"setuptools"})  # basicsr_wheel asks for it
    assert not {how for name, how in found.items() if name not in allowed}
    needed = required | extras["torch"] | extras["train"]
    assert needed - found.keys() <= {"torchvision"}  # BasicSR needs it and does not pin it


def test_the_lock_has_every_dependency_and_no_address() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    locked = {canonical(name) for name in re.findall(r"^([\w.-]+)==", lock, re.M)}
    tested = {name for key, names in declared().items() if key != "wandb" for name in names}
    assert tested <= locked
    assert "://" not in lock


LIGHT = """
import json, sys

missing, finders = set(json.loads(sys.argv[1])), list(sys.meta_path)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in missing:
            specs = (finder.find_spec(name, path, target) for finder in finders)
            return next((spec for spec in specs if spec), None)

sys.meta_path[:] = [Finder()]
from lrfdn_arch.cli import main
for command in json.loads(sys.argv[2]):
    assert main(command) == 0, command
from lrfdn_arch import Upscaler
import numpy as np
assert Upscaler()(np.zeros((24, 20, 3), np.uint8)).shape == (96, 80, 3)
for wrong, expected in (
    ({"weights": "gone"}, "shipped are lrfdn_x2"),
    ({"weights": "released:LRFDN"}, "lrfdn-arch[torch]"),
    ({"device": "cuda"}, "lrfdn-arch[torch]"),
):
    try:
        Upscaler(**wrong)
    except (ValueError, OSError) as error:
        assert expected in str(error), error
    else:
        raise AssertionError(wrong)
print(*({"torch", "cv2"} & set(sys.modules)))
"""


def test_without_extras_pictures_of_every_kind_are_upscaled(tmp_path: Path) -> None:
    names = {"PIL": "pillow", "yaml": "pyyaml"}
    light = declared()["dependencies"]
    missing = [name for name in imported() if canonical(names.get(name, name)) not in light]
    assert {"torch", "cv2", "safetensors", "openvino"} <= set(missing)
    noise = np.random.default_rng(0).integers(0, 256, (96, 130, 4), dtype=np.uint8)
    noise[:9, :, 3] = 0
    Image.fromarray(noise).save(tmp_path / "alpha.png")
    Image.fromarray(noise[..., :3]).save(tmp_path / "plain.tif")
    model = str(REPOSITORY / "lrfdn_arch/weights/lrfdn_x2.onnx")
    out = str(tmp_path / "out")
    tiles = ("--tile", "64", "--overlap", "16")
    commands = [
        ["upscale", str(tmp_path / "alpha.png"), "--out", out],
        ["upscale", str(tmp_path / "plain.tif"), "--out", out, *tiles],
        ["upscale", str(tmp_path / "alpha.png"), "--out", out, "--weights", model, *tiles],
        ["upscale", str(tmp_path / "alpha.png"), "--out", out, "--scale", "3"],
    ]
    arguments = [json.dumps(missing), json.dumps(commands)]
    result = subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "", "torch or OpenCV was imported"
    sizes = {path.name: Image.open(path).size for path in Path(out).iterdir()}
    assert sizes == {
        "alpha_x4.png": (520, 384),
        "plain_x4.png": (520, 384),
        "alpha_x2.png": (260, 192),
        "alpha_x3.png": (390, 288),
    }
