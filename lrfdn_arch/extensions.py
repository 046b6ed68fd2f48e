"""Code from outside this package that registers networks, models, datasets, losses or metrics.

It enters in three ways: ``imports:`` in an option file, ``--import`` on the command line, and the
entry-point group ``lrfdn_arch.plugins`` of installed packages::

    [project.entry-points."lrfdn_arch.plugins"]
    my_networks = "my_package.networks"

Importing a module runs its code.
"""

import hashlib
import importlib.util
import os
import sys
import traceback
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path

GROUP = "lrfdn_arch.plugins"


def import_extensions(names: Iterable[str], relative_to: Path | None = None) -> list[str]:
    """Import each of ``names``, a Python file, which ends in ``.py``, or a module.

    A file is imported once, whatever path it is given by, and can import modules from its own
    folder. Its module has the file's name, or one made from its path where that name is taken.
    Relative files are looked up in ``relative_to`` first, then in the working directory.

    Returns:
        The names with absolute paths in place of relative ones.

    Raises:
        FileNotFoundError: there is no such file or module.
        ValueError: importing it failed.
    """
    folders = [Path.cwd()] if relative_to is None else [relative_to, Path.cwd()]
    return [_import_one(name, folders) for name in names]


@cache
def import_plugins() -> None:
    """Import what installed packages declare in ``lrfdn_arch.plugins``, once; warn of failures."""
    from importlib.metadata import entry_points  # half of what `import lrfdn_arch` may cost

    for entry in entry_points(group=GROUP):
        try:
            importlib.import_module(entry.module)
        except Exception as error:
            package = entry.dist.name if entry.dist else entry.value
            warnings.warn(
                f"the plugin {entry.name} of {package} was not loaded: {_reason(error)}",
                stacklevel=2,
            )


def _import_one(name: str, folders: Iterable[Path]) -> str:
    file = _find(name, folders) if name.endswith(".py") else None
    try:
        if file is None:
            importlib.import_module(name)
        else:
            _import_file(file)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if file is None and missing and f"{name}.".startswith(f"{missing}."):
            raise FileNotFoundError(
                f"{name}: no such module is installed; the name of a file ends in .py"
            ) from error
        raise ValueError(
            f"{name} cannot be imported: {_line_in(file, error)}{_reason(error)}"
        ) from error
    return name if file is None else str(file)


def _find(name: str, folders: Iterable[Path]) -> Path:
    """Return the absolute path of file ``name`` in the first folder that has it."""
    places = list(dict.fromkeys(folder.resolve() for folder in folders))
    file = Path(os.path.expanduser(name))  # noqa: PTH111 (Path's raises for unknown users)
    for path in (folder / file for folder in places):
        if path.is_file():
            return path.resolve()
    looked = "" if file.is_absolute() else f" in {' or '.join(map(str, places))}"
    raise FileNotFoundError(f"{name}: no such file{looked}")


def _import_file(path: Path) -> None:
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    found = importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None
    if found is not None and found.origin == str(path):
        importlib.import_module(path.stem)  # as spawned processes do, which have the same sys.path
        return
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"lrfdn_extension_{path.stem}_{digest}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "it is a .py file"
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _line_in(file: Path | None, error: BaseException) -> str:
    """Return the line of ``file`` at which ``error`` left it, if it did."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if file and frame.filename == str(file)]
    if isinstance(error, SyntaxError) and file and error.filename == str(file):
        lines.append(error.lineno)
    return f"line {lines[-1]}: " if lines else ""


def _reason(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
