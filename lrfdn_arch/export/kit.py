"""An entry for the organisers' kit: ``models/teamNN_Name.py`` and ``model_zoo/teamNN_name.pth``.

The network's file imports only torch. It is assembled from this package's own modules: the class
and everything it uses, each definition before its first use.
"""

import ast
import inspect
import io
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from lrfdn_arch import __version__
from lrfdn_arch.evaluation.competitor import Competitor
from lrfdn_arch.files import check_new, write_whole


def write_kit(
    competitor: Competitor, out: Path, team: int, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write network and weights in the kit's layout, and return both files.

    The network maps [0, 1] to [0, 1] (``data_range`` 1.0 in the kit); its file says at the top
    which lines to add to the kit's ``select_model``.

    Args:
        competitor: the network; its label names the files.
        out: the kit's folder, or a new one.
        team: the number that the organisers assigned.
        overwrite: replace existing files.

    Raises:
        FileExistsError: a file exists and ``overwrite`` is off; nothing was written.
        ValueError: the label cannot be part of a Python module's name, or the team number is not
            from 0 to 99.
    """
    label = competitor.label
    if not f"team_{label}".isidentifier():
        raise ValueError(f"{label!r} names a Python file of the kit: use letters, digits and '_'")
    if not 0 <= team <= 99:
        raise ValueError(f"--team {team}: the kit numbers teams from 0 to 99")
    network_file = out / "models" / f"team{team:02}_{label}.py"
    weights_file = out / "model_zoo" / f"team{team:02}_{label.lower()}.pth"
    check_new(network_file, weights_file, overwrite=overwrite)
    docstring = _docstring(competitor, network_file.stem, weights_file.name)
    source = _single_file(competitor.loaded.architecture.network, docstring)
    compile(source, network_file.name, "exec")
    write_whole(network_file, source.encode())
    weights = io.BytesIO()
    torch.save({name: t.cpu() for name, t in competitor.network.state_dict().items()}, weights)
    write_whole(weights_file, weights.getvalue())
    return network_file, weights_file


def _docstring(competitor: Competitor, module: str, weights_name: str) -> str:
    loaded, label = competitor.loaded, competitor.label
    name, defaults = loaded.architecture.name, loaded.architecture.parameters
    call = ", ".join(
        f"{argument}={value!r}"
        for argument, value in loaded.arguments.items()
        if defaults[argument].default != value
    )
    return (
        f"{loaded} for the challenge's kit, written by lrfdn_arch {__version__}.\n\n"
        "SPDX-License-Identifier: Apache-2.0\n\n"
        "In the kit's select_model:\n\n"
        f"    from models.{module} import {name}\n"
        f'    name, data_range = f"{{model_id:02}}_{label}", 1.0\n'
        f'    model_path = os.path.join("model_zoo", "{weights_name}")\n'
        f"    model = {name}({call})\n"
        "    model.load_state_dict(torch.load(model_path), strict=True)\n"
    )


def _single_file(network: type[nn.Module], docstring: str) -> str:
    """Return the source of a module that defines ``network`` without importing this package."""
    definitions: dict[str, tuple[ast.stmt, str]] = {}
    imports: dict[str, str] = {}
    _collect(network.__module__, definitions, imports, set())
    used, waiting = set(), [network.__name__]
    while waiting:
        name = waiting.pop()
        if name not in used and name in definitions:
            nodes = ast.walk(definitions[name][0])
            waiting += [node.id for node in nodes if isinstance(node, ast.Name)]
        used.add(name)
    head = "\n".join(sorted({line for name, line in imports.items() if name in used}))
    parts = [source for name, (_, source) in definitions.items() if name in used]
    # Annotations stay text, so that Python versions older than this package's can run the file.
    future = "from __future__ import annotations"
    return f'"""{docstring}"""\n\n{future}\n\n{head}\n\n\n' + "\n\n\n".join(parts) + "\n"


def _collect(
    module: str,
    definitions: dict[str, tuple[ast.stmt, str]],
    imports: dict[str, str],
    seen: set[str],
) -> None:
    """Add a module's definitions with their sources, after those of the modules it imports.

    ``imports`` gets the statements that import other packages, by the name that they bind, and
    ``seen`` the modules: an outside network may import from `lrfdn_arch.archs`, whose modules
    import one another.
    """
    if module in seen:
        return
    seen.add(module)
    source = inspect.getsource(import_module(module))
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lrfdn_arch"):
            _collect(node.module or "", definitions, imports, seen)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            origin = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                name = alias.asname or alias.name
                imports[name] = f"{origin}import {ast.unparse(alias)}"
        elif name := _defined_name(node):
            lines = [node.lineno]
            if isinstance(node, ast.ClassDef | ast.FunctionDef):  # a kit has no registries
                kept = [d for d in node.decorator_list if "REGISTRY" not in ast.unparse(d)]
                node.decorator_list = kept
                lines += [decorator.lineno for decorator in kept]
            text = "\n".join(source.splitlines()[min(lines) - 1 : node.end_lineno])
            definitions.setdefault(name, (node, text))


def _defined_name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None
