"""The option files that come with the package, by name.

A checkout has them in ``options/``, an installed package in ``lrfdn_arch/recipes``, where the
build (setup.py) copies them.
"""

import re
from pathlib import Path
from typing import Literal

from lrfdn_arch.text import nearest

_PACKAGE = Path(__file__).parents[1]
_INSTALLED, _CHECKOUT = _PACKAGE / "recipes", _PACKAGE.parent / "options"
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


def recipes() -> dict[str, Path]:
    """Return every recipe by its name, e.g. ``train_LRFDN_x4_DF2K``, in order of names."""
    return {file.stem: file for file in sorted(FOLDER.glob("*/*/*.yml"))}


def summary(file: Path) -> str:
    """Return what recipe ``file`` is for: the first comment in it."""
    lines = file.read_text(encoding="utf-8").splitlines()
    comments = (line.removeprefix("# ") for line in lines if line.startswith("# "))
    return next((line for line in comments if "$schema=" not in line), "")


def find_option_file(name: str, kind: Literal["train", "test"]) -> Path:
    """Return the option file that ``-opt name`` means: a path, or a recipe's name.

    A recipe of this ``kind`` may be called without it (``LRFDN_x4_DF2K``).
    """
    known = recipes()
    if Path(name).is_file():
        return Path(name)
    return known.get(name) or known.get(f"{kind}_{name}") or Path(name)


def find_recipe(name: str) -> Path:
    """Return the recipe called ``name``, with or without its kind.

    Raises:
        ValueError: there is none, or one for training and one for testing.
    """
    known = recipes()
    found = [n for n in (name, f"train_{name}", f"test_{name}") if n in known]
    if len(found) == 1:
        return known[found[0]]
    if found:
        raise ValueError(f"{name} is the name of {' and '.join(found)}; give one of the two")
    near = nearest(name, [*known, *(n.partition("_")[2] for n in known)])
    hint = f"did you mean {near}?" if near else "`lrfdn recipes` lists them"
    raise ValueError(f"no recipe is called {name}; {hint}")


def copy_text(recipe: Path, target: Path | None) -> str:
    """Return ``recipe``'s text for a file elsewhere.

    Its schema is given by an absolute path, and the command lines in its comments name ``target``.
    """
    text = re.sub(
        r"(?<=\$schema=)\.\S+",
        lambda link: str((recipe.parent / link[0]).resolve()),
        recipe.read_text(encoding="utf-8"),
    )
    own = f"-opt {recipe.stem}"
    return re.sub(rf"{own}\b", lambda _: f"-opt {target}" if target else own, text)
