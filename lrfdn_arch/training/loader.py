"""Training batches, endless, in an order that is a function of the seed and the position.

A sample is a function of (seed, epoch, index), so batches do not depend on the number of workers,
and resuming at any position costs nothing.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from math import ceil
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset, collate, to_device
from lrfdn_arch.data.resident import ResidentPairs
from lrfdn_arch.data.sampler import EndlessSampler, SampleKey
from lrfdn_arch.options import Placement, TrainOptions
from lrfdn_arch.training.random_state import seeded
from lrfdn_arch.training.workers import batches_of_workers, ignore_stop_signals

_ITERATIONS_AHEAD = 2  # of the host before the GPU


class SeededSamples(Dataset):
    """A dataset of BasicSR, which takes an index and draws from the global generators.

    They are seeded for each sample and restored afterwards, so that a sample is a function of
    (seed, epoch, index).
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __getitem__(self, key: SampleKey) -> Any:
        """Return sample ``key.index`` as it is in ``key.epoch``.

        Raises:
            ValueError: it cannot be read; the message names its files.
        """
        epoch, index = key
        try:
            with seeded(self.seed, epoch, index):
                return self.dataset[index]
        except Exception as error:  # OpenCV returns None for a damaged file: anything can follow
            paths = getattr(self.dataset, "paths", None)
            files = paths[index] if isinstance(paths, list) else type(self.dataset).__name__
            files = ", ".join(files.values()) if isinstance(files, dict) else files
            raise ValueError(
                f"image {index} of the dataset ({files}) cannot be used: "
                f"{type(error).__name__}: {error}"
            ) from error


def global_batch(options: TrainOptions, placement: Placement) -> int:
    """Return the number of samples of one iteration, over all processes."""
    train = options.train_set
    assert train.batch_size_per_gpu is not None, "checked with the options"
    return train.batch_size_per_gpu * train.accum_iter * placement.world_size


def basicsr_epoch(options: TrainOptions, length: int, world_size: int, iteration: int) -> int:
    """Return the epoch from which BasicSR's loop can continue after ``iteration``.

    BasicSR trains for a number of epochs that it computes from ``total_iter``, so a state with too
    high an epoch makes it train nothing. It rounds the iterations of an epoch up to compute that
    number, but its loader drops the last incomplete batch; the epoch is lowered where the
    difference would end the run before ``total_iter``. The training set has ``length`` images.
    """
    train, total = options.train_set, options.train.total_iter
    assert train.batch_size_per_gpu is not None, "checked with the options"
    samples = length * train.dataset_enlarge_ratio
    counted = ceil(samples / (train.batch_size_per_gpu * world_size))
    trained = max(1, ceil(samples / world_size) // train.batch_size_per_gpu)
    epochs = ceil(total / counted) + 1
    return max(0, min(iteration // counted, epochs - ceil((total - iteration) / trained)))


def training_loader(
    dataset: Dataset, sampler: EndlessSampler, options: TrainOptions, placement: Placement
) -> DataLoader:
    """Return the loader of this process's part of each iteration, all accumulated parts of it.

    An item has ``lq`` (N, C, h, w) and ``gt`` (N, C, h*scale, w*scale), N being
    ``batch_size_per_gpu * accum_iter``.
    """
    train = options.train_set
    pin = train.pin_memory if train.pin_memory is not None else placement.num_gpu > 0
    count = train.num_worker_per_gpu
    collate_fn: Callable[..., Any] | None = None
    if not isinstance(dataset, PairedLMDBDataset):
        dataset = SeededSamples(dataset, options.manual_seed)
    elif not train.resident:
        collate_fn = collate
    else:
        dataset = ResidentPairs(dataset, torch.device("cuda" if placement.num_gpu else "cpu"))
        collate_fn, count = dict, 0  # it returns whole batches, which are on the device
    return DataLoader(
        dataset,
        batch_size=global_batch(options, placement) // placement.world_size,
        sampler=sampler,  # type: ignore[arg-type]
        num_workers=count,
        collate_fn=collate_fn,
        pin_memory=pin and placement.num_gpu > 0 and not train.resident,
        drop_last=True,
        generator=torch.Generator(),  # its seed for workers must not come from the global one
        prefetch_factor=4 if count else None,
        worker_init_fn=ignore_stop_signals,
    )


def without_workers(loader: DataLoader) -> DataLoader:
    """Return a loader of the same batches that makes them in this process."""
    return DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        sampler=loader.sampler,
        collate_fn=loader.collate_fn,
        generator=torch.Generator(),
    )


def batches_on_device(
    loader: DataLoader, device: torch.device, memory_format: torch.memory_format
) -> Iterator[Mapping[str, Any]]:
    """Yield the loader's batches on ``device``, images as float32 in [0, 1].

    On a GPU each one is copied while the one before it is used, and the host is at most two
    iterations ahead of the device, which bounds the batches held there.
    """
    batches, layout = batches_of_workers(loader), {"memory_format": memory_format}
    if device.type == "cuda" and not isinstance(loader.dataset, ResidentPairs):
        moved = _copied_ahead(batches, device, layout)
    else:
        moved = (to_device(batch, device, **layout) for batch in batches)
    used: deque[Any] = deque()  # events
    for batch in moved:
        yield batch
        if device.type == "cuda":
            used.append(torch.cuda.current_stream(device).record_event())
            if len(used) > _ITERATIONS_AHEAD:
                used.popleft().synchronize()


def _copied_ahead(
    batches: Iterator[Mapping[str, Any]], device: torch.device, layout: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield ``batches`` on a GPU, where a stream of its own copies each before it is needed."""
    stream = torch.cuda.Stream(device)
    previous: dict[str, Any] | None = None
    for batch in batches:
        with torch.cuda.stream(stream):
            copied = to_device(batch, device, **layout)
        if previous is not None:
            yield previous
        torch.cuda.current_stream(device).wait_stream(stream)
        for value in copied.values():
            if isinstance(value, torch.Tensor):
                value.record_stream(torch.cuda.current_stream(device))
        previous = copied
