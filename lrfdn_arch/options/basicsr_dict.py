"""The border to BasicSR, whose classes take the options as a plain dict and change it."""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lrfdn_arch.options.faults import OptionsError, pydantic_faults
from lrfdn_arch.options.root import Options, TrainOptions
from lrfdn_arch.options.training import Train

_DATA_PATHS = ("dataroot", "dataroot_gt", "dataroot_lq", "meta_info_file")
# BasicSR passes these to the constructor of its loader in any phase.
_TRAINING_ONLY = ("batch_size_per_gpu", "num_worker_per_gpu", "accum_iter")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Placement:
    """Where a process runs: by default the only one, on the CPU."""

    rank: int = 0
    world_size: int = 1
    num_gpu: int = 0  # of this process, 0 or 1; 0 is the CPU
    distributed: bool = False  # whether the processes form a group (with --launcher)


def to_basicsr(
    options: Options,
    *,
    root: Path,
    placement: Placement = Placement(),
    auto_resume: bool = False,
) -> dict[str, Any]:
    """Return what BasicSR's ``parse_options`` would have made from the file, as a fresh dict.

    ``root`` is the folder of ``experiments/``, ``results/`` and ``tb_logger/``. Relative paths of
    data and weights start from the working directory or, where they do not exist there, from it.
    """
    is_train = isinstance(options, TrainOptions)
    opt = options.model_dump(mode="json")
    for phase, dataset in opt["datasets"].items():
        kind = phase.split("_")[0]
        dataset |= {"phase": kind, "scale": options.scale, "manual_seed": options.manual_seed}
        for key in _TRAINING_ONLY if kind != "train" else ():
            dataset.pop(key, None)
        for key in _DATA_PATHS:
            if dataset.get(key) is not None:
                dataset[key] = _resolve(dataset[key], root)
    path = opt["path"]
    for key, value in path.items():
        if isinstance(value, str) and ("pretrain_network" in key or "resume_state" in key):
            path[key] = _named_weights(value) or _resolve(value, root)
    folder = root / ("experiments" if is_train else "results") / options.name
    folders = {"log": folder, "visualization": folder / "visualization"}
    if is_train:
        inner = {name: folder / name for name in ("models", "training_states")}
        folders |= {"experiments_root": folder, **inner}
    else:
        folders["results_root"] = folder
    defaults = {"pretrain_network_g": None, "resume_state": None}
    return opt | {
        "path": defaults | path | {key: str(folder) for key, folder in folders.items()},
        "is_train": is_train,
        "root_path": str(root),
        "auto_resume": auto_resume,
        "dist": placement.distributed,
        "rank": placement.rank,
        "world_size": placement.world_size,
        "num_gpu": placement.num_gpu,
    }


def check_files(opt: Mapping[str, Any], ignore: Collection[str] = ()) -> None:
    """Check that every folder and file that the datasets and ``path`` name exists.

    The weights of the keys of ``path`` in ``ignore`` are not needed.

    Raises:
        FileNotFoundError: naming all that do not.
    """
    named = {
        f"datasets:{phase}:{key}": dataset.get(key)
        for phase, dataset in opt["datasets"].items()
        for key in _DATA_PATHS
    }
    for key, value in opt["path"].items():
        if key.startswith("pretrain_network") and key not in ignore:
            named[f"path:{key}"] = value
    missing = [
        f"  {key}: {path}"
        for key, value in named.items()
        for path in ([value] if isinstance(value, str) else value or [])
        if not Path(path).exists()
    ]
    if missing:
        raise FileNotFoundError(
            "not found:\n" + "\n".join(missing) + "\nThe first lines of the option file name the "
            "command that prepares the data; `lrfdn recipes NAME` prints a recipe"
        )


def train_section(section: Mapping[str, Any]) -> Train:
    """Return the ``train`` section of BasicSR's dict, checked.

    BasicSR's own reader leaves numbers such as ``1e-4`` text.

    Raises:
        OptionsError: it is not what :class:`Train` expects.
    """
    try:
        return Train.model_validate(_with_numbers(section), context=True)
    except ValidationError as error:
        raise OptionsError("train", pydantic_faults(error)) from None


def _resolve(path: Any, root: Path) -> Any:
    """Return ``path``, or each of a list, from where it exists."""
    if isinstance(path, list):
        return [_resolve(p, root) for p in path]
    expanded = Path(os.path.expanduser(path))  # noqa: PTH111 (Path's raises for unknown users)
    below_root = root / expanded
    return str(below_root if not expanded.exists() and below_root.exists() else expanded)


def _named_weights(value: str) -> str | None:
    """Return the file of weights that are given by name, as on the command line, else None."""
    if "/" in value or value.endswith((".pth", ".safetensors", ".state")):
        return None
    from lrfdn_arch.weights import find_weights  # imports torch

    return str(find_weights(value))


def _with_numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _with_numbers(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_with_numbers(v) for v in value]
    is_number = isinstance(value, str) and _NUMBER.fullmatch(value)
    return float(value) if is_number else value
