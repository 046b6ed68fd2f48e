"""Several runs from one option file, each from the weights of the one before."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from lrfdn_arch.options.faults import Fault, OptionsError, pydantic_faults
from lrfdn_arch.options.root import KNOWN_MODELS, TrainOptions

_FIRST_ONLY = ("init", "param_key_g", "resume_state")  # keys of path


def stage_options(options: TrainOptions) -> list[TrainOptions]:
    """Return the options of each stage; of a file without ``stages``, the file's own.

    Stage N of NAME is a run called NAME_stageN. It has the keys of the file, replaced by those of
    the stage; a section that gives ``type`` replaces the file's section as a whole.

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
            kept = {k: v for k, v in file.get("path", {}).items() if k not in _FIRST_ONLY}
            weights = f"experiments/{before}/models/net_g_{start_from}.pth"
            data["path"] = kept | {"pretrain_network_g": weights}
        before = data["name"]
        try:
            stages.append(TrainOptions.model_validate(data, context=known_model))
        except ValidationError as error:
            found = pydantic_faults(error)
            faults += [replace(fault, key=("stages", number, *fault.key)) for fault in found]
    if faults:
        raise OptionsError(options.name, faults)
    return stages


def _replaced(section: Mapping[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
    if "type" in by:
        return dict(by)
    inner = {
        key: _replaced(section[key], value)
        for key, value in by.items()
        if isinstance(value, Mapping) and isinstance(section.get(key), Mapping)
    }
    return {**section, **by, **inner}
