"""A training set in the memory of the device, where one gather cuts out a batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset
from lrfdn_arch.data.sampler import SampleKey
from lrfdn_arch.device import free_memory


class ResidentPairs(Dataset):
    """All images of a training set on ``device``; batches equal those of the loader, bit for bit.

    The pixels of all LR images and then of all HR images are the rows of one uint8 tensor. Samples
    are drawn as in :class:`PairedLMDBDataset`; there are no workers, and neither shared nor
    page-locked memory.

    Args:
        dataset: for training; all its images have the same number of channels.
        device: where the images are kept, 31.5 GB for DF2K.

    Raises:
        ValueError: the images do not fit into the free memory, are damaged, or differ in channels.
    """

    def __init__(self, dataset: PairedLMDBDataset, device: torch.device) -> None:
        self.dataset, self.device = dataset, device
        self._sizes = [  # of the LR images; not every ``meta_info.txt`` has them
            dataset.images(index)[0].shape[:2] if 0 in info.size else info.size
            for index, info in enumerate(dataset.infos)
        ]
        self._starts = np.cumsum([0, *(height * width for height, width in self._sizes)])
        self._channels = dataset.images(0)[0].shape[2]
        pixels = int(self._starts[-1]) * (1 + dataset.scale**2)
        needed, free = pixels * self._channels, free_memory(device)
        if needed > free:
            raise ValueError(
                f"datasets:train:resident needs {needed / 1e9:,.1f} GB on {device}, "
                f"{free / 1e9:,.1f} GB are free; read the images with --force_yml "
                "datasets:train:resident=false"
            )
        self._pixels = torch.empty(pixels, self._channels, dtype=torch.uint8, device=device)
        for index in range(len(dataset)):
            for image, scale in zip(dataset.images(index), (1, dataset.scale), strict=True):
                self._put(index, image, scale)
        dataset.close()

    def _start(self, index: int, scale: int) -> int:
        """Return the first row of an LR (scale 1) or HR image."""
        before = int(self._starts[index]) * scale**2
        return before if scale == 1 else int(self._starts[-1]) + before

    def _put(self, index: int, image: np.ndarray, scale: int) -> None:
        height, width = (side * scale for side in self._sizes[index])
        if image.shape != (height, width, self._channels):
            raise ValueError(
                f"datasets:train:resident: image {self.dataset.infos[index].key!r} has the size "
                f"{image.shape} (height, width, channels), expected "
                f"{(height, width, self._channels)}"
            )
        rows = torch.from_numpy(np.array(image)).view(-1, self._channels)
        self._pixels[self._start(index, scale) :][: height * width].copy_(rows)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        """Return one sample."""
        return {name: value[0] for name, value in self.__getitems__([key]).items()}

    def __getitems__(self, keys: Sequence[SampleKey]) -> dict[str, Any]:
        """Return a batch on the device, as a loader of the dataset collates it."""
        names = [self.dataset.infos[index].key for _, index in keys]
        lq, gt = (self._crops(keys, scale) for scale in (1, self.dataset.scale))
        return {"lq": lq, "gt": gt, "lq_path": names, "gt_path": names}

    def _crops(self, keys: Sequence[SampleKey], scale: int) -> Tensor:
        """Return the crops of LR (scale 1) or HR images, (N, C, size, size), channels_last.

        Row i and column j of a crop is the pixel ``first + i * down + j * along``: a flip makes a
        step negative, and a transposition swaps the two.
        """
        size, steps = self.dataset.gt_size // self.dataset.scale * scale, []
        for epoch, index in keys:
            drawn = self.dataset.draw(epoch, index, self._sizes[index])
            width = self._sizes[index][1] * scale
            top = drawn.top * scale + drawn.vflip * (size - 1)
            left = drawn.left * scale + drawn.hflip * (size - 1)
            first = self._start(index, scale) + top * width + left
            down, along = -width if drawn.vflip else width, -1 if drawn.hflip else 1
            steps.append((first, along, down) if drawn.transpose else (first, down, along))
        # asynchronous: so few bytes are copied before the call returns
        moved = torch.tensor(steps).to(self.device, non_blocking=True)
        first, down, along = moved.T[..., None, None]  # (N, 1, 1) each
        position = torch.arange(size, device=self.device)
        pixels = first + down * position[:, None] + along * position  # (N, size, size)
        crops = self._pixels.index_select(0, pixels.flatten())
        return crops.view(len(keys), size, size, self._channels).permute(0, 3, 1, 2)
