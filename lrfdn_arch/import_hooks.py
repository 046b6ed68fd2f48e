"""Hooks that run when a module is imported, or when it cannot be found.

wrapt has such hooks too, but importing it takes 80 ms (it imports asyncio and ssl), most of the
budget for ``import lrfdn_arch``; with the standard library, two small classes are enough.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class _AfterImport:
    """A finder that lets the other finders find ``name`` and calls ``action`` once it has run."""

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self.name = name
        self.action = action

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        specs = (f.find_spec(fullname, path, target) for f in sys.meta_path if f is not self)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self.action()

            spec.loader.exec_module = exec_module  # this import's own loader object
        return spec


class _Substitute:
    """A finder and loader that supplies module ``name`` where no other finder has it."""

    def __init__(self, name: str, fill: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.fill = fill

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == self.name else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Return None, so that Python creates the module."""

    def exec_module(self, module: ModuleType) -> None:
        self.fill(module)


def after_import(name: str, action: Callable[[], None]) -> None:
    """Call ``action`` right after top-level module ``name`` was imported; at once if it already is.

    Exceptions from ``action`` propagate to the code that imports ``name``.
    """
    if name in sys.modules:
        action()
    elif not _installed(_AfterImport, name):
        sys.meta_path.insert(0, _AfterImport(name, action))


def supply_if_missing(name: str, fill: Callable[[ModuleType], None]) -> None:
    """Let ``fill`` populate module ``name`` when it is imported and nothing else provides it."""
    if not _installed(_Substitute, name):
        sys.meta_path.append(_Substitute(name, fill))


def _installed(kind: type, name: str) -> bool:
    return any(isinstance(f, kind) and getattr(f, "name", None) == name for f in sys.meta_path)
