"""From a file and the command line to checked options, and to those of each of its stages."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lrfdn_arch.extensions import import_extensions
from lrfdn_arch.options.consistency import contradictions
from lrfdn_arch.options.faults import Fault, OptionsError, pydantic_faults
from lrfdn_arch.options.root import KNOWN_MODELS, Logger, Metric, Options, Paths, TrainOptions, Val
from lrfdn_arch.options.training import Train
from lrfdn_arch.options.yaml_file import Lines, read_value, read_yaml

OVERRIDE = "--force_yml"
_FIRST_STAGE_ONLY = ("init", "param_key_g", "resume_state")  # keys of path
_SECTIONS = {"val:metrics": Metric, "path": Paths, "val": Val, "logger": Logger, "train": Train}
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
    _override(data, overrides, lines)
    faults = _import(data, Path(file).parent)
    imports_failed = bool(faults)
    known_model = data.get("model_type", KNOWN_MODELS[0]) in KNOWN_MODELS
    if not known_model:
        data.setdefault("scale", 1)  # other tasks than super-resolution have none
    try:
        options = kind.model_validate(data, context=known_model)
        found = _contradictions(options)
    except ValidationError as error:
        options, found = None, pydantic_faults(error)
    found = [_with_place(fault, kind) for fault in found]
    if imports_failed:  # an unknown name may be one that was to be registered
        found = [fault for fault in found if fault.key[-1:] not in (("type",), ("model_type",))]
    faults += found
    if options is None or faults:
        raise OptionsError(str(file), faults, lines)
    return options


def stage_options(options: TrainOptions) -> list[TrainOptions]:
    """Return the options of each stage; of a file without ``stages``, the file's own.

    Stage N of NAME is a run called NAME_stageN that starts from the weights of the one before. It
    has the keys of the file, replaced by those of the stage; a section that gives ``type`` replaces
    the file's section as a whole.

    Raises:
        OptionsError: a stage does not make valid options.
    """
    if not options.stages:
        return [options]
    known_model = options.model_type in KNOWN_MODELS
    file = options.model_dump(mode="json", exclude_unset=True)
    stages, faults, before = [], list[Fault](), ""
    for number, stage in enumerate(file.pop("stages")):
        data = _replaced(file, stage) | {"name": f"{options.name}_stage{number + 1}"}
        start_from = data.pop("start_from", "latest")
        if before:
            kept = {k: v for k, v in file.get("path", {}).items() if k not in _FIRST_STAGE_ONLY}
            weights = f"experiments/{before}/models/net_g_{start_from}.pth"
            data["path"] = kept | {"pretrain_network_g": weights}
        before = data["name"]
        try:
            stages.append(TrainOptions.model_validate(data, context=known_model))
        except ValidationError as error:
            faults += _in_stage(number, pydantic_faults(error))
    if faults:
        raise OptionsError(options.name, faults)
    return stages


def _contradictions(options: Options) -> list[Fault]:
    """Return the contradictions in ``options`` and in each of its stages."""
    faults = contradictions(options)
    if isinstance(options, TrainOptions) and options.stages:
        try:
            stages = stage_options(options)
        except OptionsError as error:
            return [*faults, *error.faults]
        for number, stage in enumerate(stages):
            faults += _in_stage(number, contradictions(stage))
    return faults


def _in_stage(number: int, faults: Sequence[Fault]) -> list[Fault]:
    return [replace(fault, key=("stages", number, *fault.key)) for fault in faults]


def _replaced(section: Mapping[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
    if "type" in by:
        return dict(by)
    inner = {
        key: _replaced(section[key], value)
        for key, value in by.items()
        if isinstance(value, Mapping) and isinstance(section.get(key), Mapping)
    }
    return {**section, **by, **inner}


def _with_place(fault: Fault, kind: type[Options]) -> Fault:
    """Return ``fault``; if its key is unknown in its section, with the section that has it."""
    places = {n: f"under {place}" for place, cls in _SECTIONS.items() for n in cls.model_fields}
    places |= dict.fromkeys(kind.model_fields, "at the top level") | {"type": "", "model_type": ""}
    place = places.get(str(fault.key[-1])) if fault.key else None
    if not place or not fault.expected.startswith(("unknown key", "unknown argument")):
        return fault
    return replace(fault, expected=f"unknown here; it belongs {place}")


def _override(data: dict[str, Any], overrides: Sequence[str], lines: Lines) -> None:
    """Set ``overrides`` in ``data`` and note them in ``lines``."""
    faults = []
    for override in overrides:
        path, equals, value = override.partition("=")
        key = tuple(part.strip() for part in path.split(":"))
        try:
            if not equals or not all(key):
                raise ValueError("expected key:key=value, for example train:optim_g:lr=1e-4")
            section: Any = data
            for number, part in enumerate(key[:-1], start=1):
                if section.get(part) is None:
                    section[part] = {}
                section = section[part]
                if not isinstance(section, dict):
                    raise ValueError(f"{':'.join(key[:number])} is {section!r}, not a section")
            section[key[-1]] = read_value(value.strip())
        except ValueError as error:
            faults.append(Fault((override,), str(error)))
        lines[key] = OVERRIDE
    if faults:
        raise OptionsError(OVERRIDE, faults)


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
