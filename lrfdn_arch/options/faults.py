"""Faults of an option file: each with its place, all of them in one error."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

KeyPath = tuple[str | int, ...]
_NOTHING = object()
# Fields of more than one type: pydantic puts the type it tried behind their names.
_UNIONS = ("num_gpu", "dataroot_gt", "dataroot_lq")
# Pydantic's words -> those of this package's messages.
_WORDS = {
    "Value error, ": "",
    "Input should be": "expected",
    "a valid ": "a ",
    "a integer": "a whole number",
    "a boolean": "true or false",
    "a dictionary or instance of": "a section of keys,",
    "a tuple": "a list such as [1, 2]",
    "Keys should be strings": "expected text as a key",
}


@dataclass(frozen=True)
class Fault:
    """What is wrong at one key, e.g. ``("train", "optim_g", "lr")``.

    In the data that pydantic validates a fault stands for the value at fault, so that pydantic
    reports it together with its own.
    """

    key: KeyPath
    expected: str  # there, or what to do
    found: Any = _NOTHING

    def describe(self, place: int | str = "") -> str:
        """Return one line: place (line number or name), key, what was expected and found."""
        where = f"line {place}, " if isinstance(place, int) else place and f"{place}, "
        name = ":".join(map(str, self.key)) + ": " if self.key else ""
        found = repr(self.found) if len(repr(self.found)) <= 80 else f"{repr(self.found)[:77]}..."
        return f"{where}{name}{self.expected}" + f", found {found}" * (self.found is not _NOTHING)


class OptionsError(ValueError):
    """All faults of an option file, in the file's order.

    ``lines`` has the line number of each key path, or the name of what set it, as far as known.
    """

    def __init__(
        self, file: str, faults: Iterable[Fault], lines: Mapping[KeyPath, int | str] | None = None
    ) -> None:
        def place(key: KeyPath) -> int | str:  # or of the nearest section around it
            inner_first = (key[:end] for end in range(len(key), 0, -1))
            return next((lines[part] for part in inner_first if lines and part in lines), "")

        unique = {(fault.key, fault.expected): fault for fault in faults}.values()
        placed = [(place(fault.key), fault) for fault in unique]
        placed.sort(key=lambda pair: pair[0] if isinstance(pair[0], int) else sys.maxsize)
        self.faults = tuple(fault for _, fault in placed)
        count = "1 fault" if len(placed) == 1 else f"{len(placed)} faults"
        described = [f"  {fault.describe(place)}" for place, fault in placed]
        super().__init__("\n".join([f"{file} has {count}:", *described]))


def pydantic_faults(error: ValidationError) -> list[Fault]:
    """Return the faults pydantic found; one for each key, although it tried several types."""
    by_key: dict[KeyPath, Fault] = {}
    for fault in map(_fault, error.errors(include_url=False)):
        first = by_key.setdefault(fault.key, fault)
        if first.expected != fault.expected:
            expected = f"{first.expected} or {fault.expected.removeprefix('expected ')}"
            by_key[fault.key] = replace(first, expected=expected)
    return list(by_key.values())


def _fault(error: ErrorDetails) -> Fault:
    parts = pairwise(("", *error["loc"]))
    key = tuple(part for before, part in parts if part != "[key]" and before not in _UNIONS)
    found = error["input"]
    if isinstance(found, Fault):
        return replace(found, key=key)
    if error["type"] == "missing":
        return Fault(key, "this key is needed")
    if "[key]" in error["loc"]:
        return Fault(key, "expected a phase: train, val, val_2, ..., test, test_1, ...")
    if error["type"] == "string_pattern_mismatch":
        return Fault(key, "expected a name without slashes that does not start with a dot", found)
    message = error["msg"]
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return Fault(key, message, found)
