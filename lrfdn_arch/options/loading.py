"""From a file and the command line to checked options."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lrfdn_arch.extensions import import_extensions
from lrfdn_arch.options.arguments import argument_faults
from lrfdn_arch.options.contradictions import contradictions
from lrfdn_arch.options.faults import Fault, KeyPath, OptionsError
from lrfdn_arch.options.overrides import apply_overrides
from lrfdn_arch.options.root import Options
from lrfdn_arch.options.unknown_keys import unknown_keys
from lrfdn_arch.options.yaml_file import read_yaml

AnyOptions = TypeVar("AnyOptions", bound=Options)


def load_options(
    file: str | Path, kind: type[AnyOptions], overrides: Sequence[str] = ()
) -> AnyOptions:
    """Read option file ``file``, put ``overrides`` (``a:b=value``) over it and check everything.

    Raises:
        OSError: the file cannot be read.
        OptionsError: with every fault there is, each with line, key path, what was expected and
            what was found.
    """
    data, lines = read_yaml(Path(file))
    data, origins = apply_overrides(data, overrides)
    lines |= origins
    faults = _import(data, Path(file).parent)
    faults += unknown_keys(data, kind) + argument_faults(data)
    try:
        options = kind.model_validate(data)
    except ValidationError as error:
        reported = {fault.key for fault in faults}
        structural = _join_alternatives([_fault(e) for e in error.errors()])
        faults += [fault for fault in structural if fault.key not in reported]
        raise OptionsError(str(file), _in_file_order(faults, lines), lines) from None
    faults += contradictions(options)
    if faults:
        raise OptionsError(str(file), _in_file_order(faults, lines), lines)
    return options


def _import(data: dict[str, Any], folder: Path) -> list[Fault]:
    """Import the ``imports`` of a file in ``folder``; make their paths in ``data`` absolute."""
    names, faults = data.get("imports"), []
    if not isinstance(names, list):
        return faults
    for number, name in enumerate(names):
        if isinstance(name, str):
            try:
                names[number] = import_extensions([name], folder)[0]
            except (ValueError, OSError) as error:
                faults.append(Fault(("imports", number), str(error)))
    return faults


def _fault(error: ErrorDetails) -> Fault:
    key = tuple(part for part in error["loc"] if part != "[key]" and not _is_union_branch(part))
    if error["type"] == "missing":
        return Fault(key, "this key is needed")
    if "[key]" in error["loc"]:
        return Fault(key, "expected a phase: train, val, val_2, ..., test, test_1, ...")
    message = error["msg"].replace("Input should be", "expected").replace("a valid ", "a ")
    message = message.replace("a integer", "a whole number").replace("a boolean", "true or false")
    message = message.replace("a dictionary or instance of", "a section of keys,")
    message = message.replace("a tuple", "a list such as [1, 2]")
    return Fault(key, message, error["input"])


def _join_alternatives(faults: list[Fault]) -> list[Fault]:
    """Return one fault for each key where pydantic reports one for each type it tried."""
    by_key: dict[KeyPath, Fault] = {}
    for fault in faults:
        first = by_key.get(fault.key)
        expected = fault.expected
        if first is not None:
            expected = f"{first.expected} or {expected.removeprefix('expected ')}"
        by_key[fault.key] = replace(fault, expected=expected)
    return list(by_key.values())


def _is_union_branch(part: str | int) -> bool:
    """Pydantic adds which alternative it tried: int, str, literal['auto'], list[str], ..."""
    return isinstance(part, str) and (
        part in ("int", "str", "constrained-int") or "[" in part or part.startswith("function-")
    )


def _in_file_order(faults: list[Fault], lines: dict) -> list[Fault]:
    """Return ``faults`` without doubles, in the file's order; those with no line come last."""

    def line(fault: Fault) -> int:
        for end in range(len(fault.key), 0, -1):
            if isinstance(lines.get(fault.key[:end]), int):
                return lines[fault.key[:end]]
        return 10**9

    unique = {(fault.key, fault.expected): fault for fault in faults}
    return sorted(unique.values(), key=line)
