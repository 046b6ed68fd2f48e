"""One thing wrong with an option file, and all of them as one error."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

KeyPath = tuple[str | int, ...]
_NOTHING = object()


@dataclass(frozen=True)
class Fault:
    """What is wrong at one key.

    Args:
        key: the path to it, e.g. ``("train", "optim_g", "lr")``.
        expected: what was expected there, or what to do.
        found: what was there; left out where there was nothing.
    """

    key: KeyPath
    expected: str
    found: Any = _NOTHING

    def describe(self, where: str) -> str:
        """Return one line that says where, at which key, what was expected and what was found."""
        found = "" if self.found is _NOTHING else f", found {shorten(self.found)}"
        name = ":".join(map(str, self.key)) + ": " if self.key else ""
        return f"{where}{name}{self.expected}{found}"


class OptionsError(ValueError):
    """Everything wrong with an option file, at once.

    Args:
        file: the file as the user named it.
        faults: at least one.
        lines: key path -> line number, or the name of what set it, for as many keys as known.
    """

    def __init__(
        self, file: str, faults: Sequence[Fault], lines: dict[KeyPath, int | str] | None = None
    ) -> None:
        self.file = file
        self.faults = tuple(faults)
        lines = lines or {}
        described = [f"  {fault.describe(_where(fault.key, lines))}" for fault in self.faults]
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{file} has {count}:", *described]))


def shorten(value: Any, length: int = 80) -> str:
    """Return ``repr(value)``, cut in the middle of nowhere if it is long."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def _where(key: KeyPath, lines: dict[KeyPath, int | str]) -> str:
    """Return the line of ``key``, or of the nearest section around it that was written."""
    for end in range(len(key), 0, -1):
        if key[:end] in lines:
            line = lines[key[:end]]
            return f"line {line}, " if isinstance(line, int) else f"{line}, "
    return ""
