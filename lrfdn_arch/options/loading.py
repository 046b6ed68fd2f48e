"""From a file and the command line to checked options."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lrfdn_arch.extensions import import_extensions
from lrfdn_arch.options.consistency import contradictions
from lrfdn_arch.options.faults import Fault, KeyPath, OptionsError, pydantic_faults
from lrfdn_arch.options.root import KNOWN_MODELS, Logger, Metric, Options, Paths, Val
from lrfdn_arch.options.training import Train
from lrfdn_arch.options.yaml_file import read_value, read_yaml

OVERRIDE = "--force_yml"
AnyOptions = TypeVar("AnyOptions", bound=Options)


def load_options(
    file: str | Path, kind: type[AnyOptions], overrides: Sequence[str] = ()
) -> AnyOptions:
    """Read option file ``file``, set ``overrides`` (``a:b=value``) and check everything.

    Files and modules under ``imports`` are imported; so is BasicSR, for the names and arguments of
    what its registries contain.

    Raises:
        OSError: the file cannot be read.
        OptionsError: with all faults, each with line, key path, what was expected and what was
            found.
    """
    data, lines = read_yaml(Path(file))
    data = _override(data, overrides, lines)
    faults = _import(data, Path(file).parent)
    imports_failed = bool(faults)
    known_model = data.get("model_type", KNOWN_MODELS[0]) in KNOWN_MODELS
    if not known_model:
        data.setdefault("scale", 1)  # other tasks than super-resolution have none
    try:
        options = kind.model_validate(data, context=known_model)
    except ValidationError as error:
        options, found = None, pydantic_faults(error)
    else:
        found = contradictions(options)
    found = [_with_place(fault, kind) for fault in found]
    if imports_failed:  # an unknown name may be one that was to be registered
        found = [fault for fault in found if fault.key[-1:] not in (("type",), ("model_type",))]
    faults += found
    if options is None or faults:
        raise OptionsError(str(file), faults, lines)
    return options


def _with_place(fault: Fault, kind: type[Options]) -> Fault:
    """Return ``fault``; if its key is unknown in its section, with the section that has it."""
    sections = {"val:metrics": Metric, "path": Paths, "val": Val, "logger": Logger, "train": Train}
    places = {
        name: f"under {place}" for place, cls in sections.items() for name in cls.model_fields
    }
    places |= dict.fromkeys(kind.model_fields, "at the top level") | {"type": "", "model_type": ""}
    place = places.get(str(fault.key[-1])) if fault.key else None
    if not place or not fault.expected.startswith(("unknown key", "unknown argument")):
        return fault
    return replace(fault, expected=f"unknown here; it belongs {place}")


def _override(
    data: dict[str, Any], overrides: Sequence[str], lines: dict[KeyPath, int | str]
) -> dict[str, Any]:
    """Return ``data`` with ``overrides`` set, which are noted in ``lines``."""
    data, faults = deepcopy(data), []
    for override in overrides:
        path, equals, value = override.partition("=")
        key = tuple(part.strip() for part in path.split(":"))
        try:
            if not equals or not all(key):
                raise ValueError("expected key:key=value, for example train:optim_g:lr=1e-4")
            _set(data, key, read_value(value.strip()))
        except ValueError as error:
            faults.append(Fault((override,), str(error)))
        lines[key] = OVERRIDE
    if faults:
        raise OptionsError(OVERRIDE, faults)
    return data


def _set(data: dict[str, Any], key: Sequence[str], value: Any) -> None:
    section: Any = data
    for number, part in enumerate(key[:-1], start=1):
        if section.get(part) is None:
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            raise ValueError(f"{':'.join(key[:number])} is {section!r}, not a section")
    section[key[-1]] = value


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
