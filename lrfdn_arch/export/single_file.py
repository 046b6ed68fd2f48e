"""A network's sources as one Python file that imports only torch, for kits that take one file.

It is assembled from this package's own modules: the requested class and everything it uses, each
definition before its first use.
"""

import ast
import inspect
from importlib import import_module
from types import ModuleType

from torch import nn

_PACKAGE = "lrfdn_arch"


class _Collected:
    """Definitions by name with their source, and import statements by the name they bind."""

    def __init__(self) -> None:
        self.definitions: dict[str, tuple[ast.stmt, str]] = {}
        self.imports: dict[str, str] = {}
        self._seen: set[str] = set()

    def add(self, module: ModuleType) -> None:
        """Add ``module`` after the modules of this package that it imports."""
        if module.__name__ in self._seen:
            return
        self._seen.add(module.__name__)
        source = inspect.getsource(module)
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_PACKAGE):
                self.add(import_module(node.module or ""))
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (
                        f"from {node.module} import {ast.unparse(alias)}"
                    )
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = f"import {ast.unparse(alias)}"
            elif name := _defined_name(node):
                if isinstance(node, ast.ClassDef | ast.FunctionDef):
                    node.decorator_list = [d for d in node.decorator_list if not _registers(d)]
                source = "\n".join(lines[_first(node) : node.end_lineno])
                self.definitions.setdefault(name, (node, source))


def single_file(network: type[nn.Module], docstring: str) -> str:
    """Return the source of a module that defines ``network`` without importing this package.

    Args:
        network: a class of this package, or of an outside module that imports from it.
        docstring: of the file.
    """
    collected = _Collected()
    collected.add(import_module(network.__module__))
    used = _reachable(network.__name__, collected)
    imports = sorted({line for name, line in collected.imports.items() if name in used})
    parts = [source for name, (_, source) in collected.definitions.items() if name in used]
    # Annotations stay text, so that Python versions older than this package's can run the file.
    head = [f'"""{docstring}"""', "from __future__ import annotations", "\n".join(imports)]
    return "\n\n".join(head) + "\n\n\n" + "\n\n\n".join(parts) + "\n"


def _reachable(name: str, collected: _Collected) -> set[str]:
    used, waiting = set(), [name]
    while waiting:
        name = waiting.pop()
        if name in used:
            continue
        used.add(name)
        if name in collected.definitions:
            node, _ = collected.definitions[name]
            waiting += [child.id for child in ast.walk(node) if isinstance(child, ast.Name)]
    return used


def _defined_name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def _registers(decorator: ast.expr) -> bool:
    """Return whether a decorator puts its class into a registry, which a kit does not have."""
    names = (child.id for child in ast.walk(decorator) if isinstance(child, ast.Name))
    return any(name.endswith("REGISTRY") for name in names)


def _first(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1
