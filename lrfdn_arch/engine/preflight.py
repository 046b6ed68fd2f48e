"""What must be right before the first iteration and no option file can tell alone."""

import os
from collections.abc import Sized
from pathlib import Path
from typing import Any

import torch

from lrfdn_arch.engine.loader import global_batch
from lrfdn_arch.options import Placement, TrainOptions

# More loader processes than this many for each core only take each other's time.
WORKERS_PER_CORE = 4


def check_data_is_there(opt: dict[str, Any]) -> None:
    """Check that every folder and file the datasets and weights name exists.

    Raises:
        FileNotFoundError: naming all that do not.
    """
    missing = [
        f"  datasets:{phase}:{key}: {path}"
        for phase, dataset in opt["datasets"].items()
        for key in ("dataroot_gt", "dataroot_lq", "dataroot", "meta_info_file")
        for path in _listed(dataset.get(key))
        if not Path(path).exists()
    ]
    weights = opt["path"].get("pretrain_network_g")
    if weights and not Path(weights).is_file():
        missing.append(f"  path:pretrain_network_g: {weights}")
    if missing:
        raise FileNotFoundError(
            "not found:\n" + "\n".join(missing) + "\nThe first lines of the option file say what "
            "it needs and which command makes it; datasets/README.md says more"
        )


def check_workers(options: TrainOptions) -> None:
    """Check that the number of loader processes makes sense on this machine.

    Raises:
        ValueError: it does not.
    """
    cores = os.cpu_count() or 1
    workers = options.train_set.num_worker_per_gpu
    if workers > WORKERS_PER_CORE * cores:
        raise ValueError(
            f"datasets:train:num_worker_per_gpu is {workers}, but this machine has {cores} cores; "
            f"expected at most {WORKERS_PER_CORE * cores}, and {cores} is a good start"
        )


def check_device(options: TrainOptions, placement: Placement) -> None:
    """Check that the model can run where it is asked to.

    Raises:
        ValueError: BasicSR's own models need GPUs when there are many processes.
    """
    many_on_cpu = placement.distributed and placement.num_gpu == 0
    if many_on_cpu and options.model_type != "LRFDNModel":
        raise ValueError(
            f"{options.model_type} of BasicSR runs in many processes on GPUs only; use model_type: "
            "LRFDNModel, or one process"
        )


def check_dataset(dataset: Sized, options: TrainOptions, placement: Placement) -> None:
    """Check that there is something to make batches of.

    Raises:
        ValueError: the dataset is empty, or a batch takes more samples than an epoch has.
    """
    train, batch = options.train_set, global_batch(options, placement)
    if len(dataset) == 0:
        raise ValueError(
            f"datasets:train ({train.name}) holds no images: {train.dataroot_gt} is empty"
        )
    epoch = len(dataset) * train.dataset_enlarge_ratio
    if batch > epoch:
        ratio = -(-batch // len(dataset))
        raise ValueError(
            f"one batch takes {batch} images ({train.batch_size_per_gpu} a process x "
            f"{train.accum_iter} parts x {placement.world_size} processes), but datasets:train "
            f"({train.name}) has {epoch}. Lower batch_size_per_gpu to {epoch} or less, or set "
            f"dataset_enlarge_ratio: {ratio} to see images several times an epoch"
        )


def check_resume(state: dict[str, Any], path: Path, options: TrainOptions) -> None:
    """Check that a state is of a run no longer than this one.

    Raises:
        ValueError: it is newer than ``total_iter``.
    """
    total = options.train.total_iter
    if state["iter"] > total:
        raise ValueError(
            f"{path} is of iteration {state['iter']}, but train:total_iter is {total}; raise "
            "total_iter to go on, or give an earlier state with path:resume_state"
        )


def check_patch(network: torch.nn.Module, options: TrainOptions) -> None:
    """Check that the network takes patches of the size the options ask for, by trying one.

    Raises:
        ValueError: it does not, or does not enlarge them by ``scale``.
    """
    train = options.train_set
    if train.gt_size is None:
        return
    side, expected = train.gt_size // options.scale, train.gt_size
    parameter = next(network.parameters())
    channels = options.network_g.arguments().get("num_in_ch", 3)
    lq = torch.zeros(1, channels, side, side, device=parameter.device, dtype=parameter.dtype)
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            found = network(lq).shape[-1]
    except RuntimeError as error:
        raise ValueError(
            f"network_g: {options.network_g.type} cannot take LR patches of {side}x{side} "
            f"(datasets:train:gt_size {expected} at scale {options.scale}): {error}"
        ) from error
    if found != expected:
        raise ValueError(
            f"network_g: {options.network_g.type} makes {found}x{found} of {side}x{side}, scale "
            f"{options.scale} needs {expected}x{expected}; set its upscale to {options.scale}"
        )


def _listed(paths: str | list[str] | None) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths or [])
