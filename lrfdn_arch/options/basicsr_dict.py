"""Options as the plain dict BasicSR's classes take; a fresh one each time, theirs to change."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrfdn_arch.options.dataset import written_or_defaulted
from lrfdn_arch.options.root import Options, TrainOptions

_ROOTS = ("dataroot", "dataroot_gt", "dataroot_lq", "meta_info_file")


@dataclass(frozen=True)
class Placement:
    """Where a process runs.

    Args:
        rank: number of this process, from 0.
        world_size: number of processes.
        num_gpu: GPUs of this process, 0 or 1; 0 is the CPU.
        distributed: whether the processes form a group (with ``--launcher``).
    """

    rank: int = 0
    world_size: int = 1
    num_gpu: int = 0
    distributed: bool = False


def to_basicsr(
    options: Options, *, root: Path, placement: Placement | None = None, auto_resume: bool = False
) -> dict[str, Any]:
    """Return what BasicSR's ``parse_options`` would have made of the file, as a fresh dict.

    Args:
        options: checked options.
        root: the folder that holds ``experiments/``, ``results/`` and ``tb_logger/``. Relative
            paths of data and weights count from the working directory, and from ``root`` where
            they are not there.
        placement: where this process runs; one process on the CPU by default.
        auto_resume: what ``--auto_resume`` said.
    """
    placement = placement or Placement()
    opt = written_or_defaulted(options)
    opt |= {
        "is_train": isinstance(options, TrainOptions),
        "root_path": str(root),
        "auto_resume": auto_resume,
        "dist": placement.distributed,
        "rank": placement.rank,
        "world_size": placement.world_size,
        "num_gpu": placement.num_gpu,
    }
    opt["datasets"] = {
        phase: dataset.to_plain(phase.split("_")[0], options.scale, options.manual_seed)
        for phase, dataset in options.datasets.items()
    }
    for dataset in opt["datasets"].values():
        for key in _ROOTS:
            if dataset.get(key) is not None:
                dataset[key] = _resolve_all(dataset[key], root)
    opt["path"] = _paths(opt["path"], options.name, root, opt["is_train"])
    return opt


def resolve(path: str, root: Path) -> str:
    """Return ``path`` from the working directory or, where nothing is there, from ``root``."""
    expanded = Path(path).expanduser()
    below_root = root / expanded
    return str(below_root if not expanded.exists() and below_root.exists() else expanded)


def _resolve_all(paths: str | list[str], root: Path) -> str | list[str]:
    return resolve(paths, root) if isinstance(paths, str) else [resolve(p, root) for p in paths]


def _paths(path: dict[str, Any], name: str, root: Path, is_train: bool) -> dict[str, Any]:
    for key, value in path.items():
        if isinstance(value, str) and ("pretrain_network" in key or "resume_state" in key):
            path[key] = resolve(value, root)
    for key in ("pretrain_network_g", "strict_load_g", "resume_state"):
        path.setdefault(key, True if key == "strict_load_g" else None)
    if not is_train:
        results = root / "results" / name
        return path | {
            "results_root": str(results),
            "log": str(results),
            "visualization": str(results / "visualization"),
        }
    experiment = root / "experiments" / name
    return path | {
        "experiments_root": str(experiment),
        "models": str(experiment / "models"),
        "training_states": str(experiment / "training_states"),
        "log": str(experiment),
        "visualization": str(experiment / "visualization"),
    }
