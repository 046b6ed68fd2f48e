"""Checks before the first iteration that an option file alone does not allow."""

from collections.abc import Iterable, Mapping, Sized
from pathlib import Path
from shutil import disk_usage
from typing import Any

import torch
from torch.utils.data import DataLoader

from lrfdn_arch.data.lmdb_damage import check_pages
from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset, to_unit_float
from lrfdn_arch.device import memory_errors
from lrfdn_arch.options import Placement, TrainOptions
from lrfdn_arch.text import first_few
from lrfdn_arch.training.loader import global_batch

_SHARED_MEMORY = Path("/dev/shm")


def check_device(options: TrainOptions, placement: Placement) -> None:
    """Raise ValueError if the model needs GPUs that the processes do not have."""
    many_on_cpu = placement.distributed and placement.num_gpu == 0
    if many_on_cpu and options.model_type != "LRFDNModel":
        raise ValueError(
            f"{options.model_type} of BasicSR runs in many processes on GPUs only; use model_type: "
            "LRFDNModel, or one process"
        )


def check_dataset(dataset: Sized, options: TrainOptions, placement: Placement) -> None:
    """Raise ValueError if the dataset is empty or an epoch is smaller than one batch."""
    train, batch = options.train_set, global_batch(options, placement)
    if len(dataset) == 0:
        raise ValueError(
            f"datasets:train ({train.name}) contains no images: {train.dataroot_gt} is empty"
        )
    epoch = len(dataset) * train.dataset_enlarge_ratio
    if batch > epoch:
        ratio = -(-batch // len(dataset))
        raise ValueError(
            f"one batch takes {batch} images ({train.batch_size_per_gpu} per process x "
            f"{train.accum_iter} parts x {placement.world_size} processes), but datasets:train "
            f"({train.name}) has {epoch}. Lower batch_size_per_gpu to {epoch} or less, or set "
            f"dataset_enlarge_ratio: {ratio} to see images several times per epoch"
        )


def check_readable(datasets: Iterable[Any]) -> None:
    """Raise ValueError if reading an LMDB of one of ``datasets`` would end this process."""
    found = [dataset for dataset in datasets if isinstance(dataset, PairedLMDBDataset)]
    check_pages(Path(root) for dataset in found for root in dataset.roots)


def check_length(state: Mapping[str, Any], path: Path, options: TrainOptions) -> None:
    """Raise ValueError if a state was saved after the last iteration of this run."""
    total = options.train.total_iter
    if state["iter"] > total:
        raise ValueError(
            f"{path} was saved at iteration {state['iter']}, but train:total_iter is {total}; "
            "raise total_iter, or choose an earlier state with path:resume_state"
        )


def check_start(network: torch.nn.Module, name: str) -> None:
    """Raise ValueError if a network starts from values that are not finite; files are checked."""
    bad = [key for key, value in network.state_dict().items() if not value.isfinite().all()]
    if bad:
        raise ValueError(
            f"network_g: the new {name} has values that are not finite in {first_few(bad)}; "
            "training cannot start from them"
        )


def check_patch(network: torch.nn.Module, sample: Mapping[str, Any], name: str) -> None:
    """Check, by trying it, that the network maps a training sample to its ground truth's shape.

    Of samples without ``lq`` and ``gt`` nothing is checked.

    Raises:
        ValueError: it does not accept the sample, or returns another shape.
        MemoryError: memory ran out.
    """
    if not {"lq", "gt"} <= sample.keys():
        return
    parameter = next(network.parameters())
    lq = to_unit_float(sample["lq"][None].to(parameter.device)).to(parameter.dtype)
    taken, expected = _size(lq[0]), _size(sample["gt"])
    try:
        with memory_errors(), torch.no_grad(), torch.compiler.set_stance("force_eager"):
            found = _size(network(lq)[0])
    except RuntimeError as error:
        raise ValueError(
            f"network_g: {name} cannot take the training images, {taken} (channels x height x "
            f"width): {error}"
        ) from error
    if found != expected:
        raise ValueError(
            f"network_g: {name} returns {found} for {taken}, the ground truth has {expected} "
            "(channels x height x width); set the network's upscale to scale, and its channels to "
            "the images'"
        )


def check_shared_memory(sample: Mapping[str, Any], loader: DataLoader) -> None:
    """Raise ValueError if the workers' batches do not fit into shared memory.

    Workers would be ended by SIGBUS, at the earliest in the first iteration. Containers often have
    no more than 64 MiB.
    """
    if not loader.num_workers or not _SHARED_MEMORY.is_dir():
        return
    image_bytes = sum(v.nbytes for v in sample.values() if isinstance(v, torch.Tensor))
    per_worker = image_bytes * (loader.batch_size or 1) * (loader.prefetch_factor or 1)
    needed, free = per_worker * loader.num_workers, disk_usage(_SHARED_MEMORY).free
    if needed > free:
        raise ValueError(
            f"the batches of {loader.num_workers} data workers take {needed / 1e6:,.0f} MB of "
            f"shared memory, {_SHARED_MEMORY} has {free / 1e6:,.0f} MB free: start the container "
            f"with --shm-size={needed // 10**9 + 1}g or --ipc=host, or --force_yml "
            f"datasets:train:num_worker_per_gpu={free // per_worker}"
        )


def check_validation_set(phase: str, dataset: Any, options: TrainOptions) -> None:
    """Check by its first image that a validation set can be measured, before hours of training.

    Raises:
        ValueError: it is empty, lacks the ground truth that metrics need, or has another scale.
    """
    if len(dataset) == 0:
        raise ValueError(f"datasets:{phase} contains no images; check its folders")
    first = dataset[0]
    if "gt" not in first:
        if options.val and options.val.metrics:
            raise ValueError(f"datasets:{phase} has no dataroot_gt, which val:metrics need")
        return
    height, width = (side * options.scale for side in first["lq"].shape[-2:])
    found = tuple(first["gt"].shape[-2:])
    if found != (height, width):
        raise ValueError(
            f"datasets:{phase}: HR of the first image is {found[1]}x{found[0]}, LR times scale "
            f"{options.scale} is {width}x{height}; do LR, HR and scale belong together?"
        )


def _size(image: torch.Tensor) -> str:
    return "x".join(map(str, image.shape))
