"""What the package imports is what pyproject.toml declares, and the lock covers all of it."""

import ast
import re
import sys
from importlib.metadata import distributions

import pytest
from repository import REPOSITORY

OPTIONAL = (
    "torch",
    "train",
    "onnx",
    "openvino",
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
