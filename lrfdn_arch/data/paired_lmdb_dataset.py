"""LR and HR pairs cropped from LMDBs without decoding whole images, and batches of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from lrfdn_arch.data import augment, pairing
from lrfdn_arch.data.lmdb_reader import ImageInfo, LmdbReader, open_reader
from lrfdn_arch.data.sampler import SampleKey

_UNSUPPORTED = {
    "color": "`lrfdn prepare folder --grey` makes LMDBs of one channel",
    "mean": "networks take images in [0, 1]",
    "std": "networks take images in [0, 1]",
    "meta_info_file": "the LMDB's own meta_info.txt is used",
}


class PairedLMDBDataset(Dataset):
    """BasicSR's ``PairedImageDataset`` for LMDBs, with the same option keys and the same output.

    In training a sample is a square of ``gt_size`` pixels and its LR counterpart, cropped, flipped
    and transposed as a pure function of (``seed``, epoch, index): the same for any number of
    workers, different in every epoch. Otherwise it is the whole image. An item is a dict:

    - ``lq``: (C, h, w) tensor, RGB or grey, float32 in [0, 1] or uint8 (option ``output``), with
      the memory layout (h, w, C) of images and ``channels_last`` batches (`collate`)
    - ``gt``: (C, h * scale, w * scale), likewise
    - ``lq_path``, ``gt_path``: the key of the image

    The LMDBs are opened at the first item, in the process that requests it, so the dataset can be
    pickled and used by forked and spawned workers alike.

    Args:
        opt: ``dataroot_gt``, ``dataroot_lq`` (LMDB folders), ``scale``, ``phase``; in training
            ``gt_size``, ``use_hflip`` and ``use_rot`` (default true); ``output``: ``float32``
            (default) or ``uint8``; ``seed`` or ``manual_seed`` (default 0). ``io_backend``, if
            given, has type ``lmdb``.

    Raises:
        FileNotFoundError: an LMDB is missing.
        ValueError: an LMDB is damaged, LR and HR do not belong together, the patch does not fit, or
            an option is wrong.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        name = opt.get("name", "dataset")
        for key in ("dataroot_gt", "dataroot_lq", "scale", "phase"):
            if opt.get(key) is None:
                raise ValueError(f"{name}: the option {key} is missing.")
        for key, instead in _UNSUPPORTED.items():
            if opt.get(key) is not None:
                raise ValueError(f"{name}: PairedLMDBDataset has no option {key}: {instead}.")
        if (backend := opt.get("io_backend", {}).get("type", "lmdb")) != "lmdb":
            raise ValueError(
                f"{name}: PairedLMDBDataset expects io_backend type lmdb, found {backend!r}. "
                "`lrfdn prepare folder` makes LMDBs of a folder of images."
            )
        self.opt = opt
        self.scale: int = opt["scale"]
        self.train = opt["phase"] == "train"
        self.use_hflip = bool(opt.get("use_hflip", True))
        self.use_rot = bool(opt.get("use_rot", True))
        self.output = str(opt.get("output") or "float32")
        seed = opt.get("seed")
        self.seed: int = int((opt.get("manual_seed") or 0) if seed is None else seed)
        if self.output not in ("float32", "uint8"):
            raise ValueError(f"{name}: output must be float32 or uint8, found {self.output!r}.")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"{name}: seed must be 0 or more and fit 64 bits, found {self.seed}.")

        self.roots = (str(opt["dataroot_lq"]), str(opt["dataroot_gt"]))
        self._readers: tuple[LmdbReader, LmdbReader] | None = None
        self._mapped: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        lq, gt = map(open_reader, self.roots)
        pairing.check_pairs(lq, gt, self.scale, exact=self.train)
        self.infos: Sequence[ImageInfo] = lq.infos
        self.gt_size = 0
        if self.train:
            self.gt_size = pairing.check_patch(opt.get("gt_size"), self.scale, gt, name)
        self.close()

    def __len__(self) -> int:
        return len(self.infos)

    def __getitem__(self, key: SampleKey | int) -> dict[str, Any]:
        """Return sample ``key``.

        A plain index, as BasicSR's samplers yield it, has no epoch; one is drawn from torch's
        generator, which torch seeds differently in every worker and every epoch.
        """
        epoch, index = key if isinstance(key, tuple) else (None, int(key))
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of a dataset of {len(self)}")
        index %= len(self)
        path = self.infos[index].key
        lq, gt = self.images(index)
        if self.train:
            epoch = int(torch.randint(2**62, ())) if epoch is None else epoch
            drawn = self.draw(epoch, index, lq.shape[:2])
            lq = augment.cut(lq, self.gt_size // self.scale, drawn)
            gt = augment.cut(gt, self.gt_size, drawn, self.scale)
        else:
            # as in BasicSR, benchmark images are cropped to a multiple of the scale
            height, width = (side * self.scale for side in lq.shape[:2])
            lq, gt = lq.copy(), gt[:height, :width].copy()  # writable, unlike the memory map
        lq, gt = self._tensor(lq), self._tensor(gt)
        return {"lq": lq, "gt": gt, "lq_path": path, "gt_path": path}

    def images(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the whole LR and HR image, uint8 (H, W, C); PPMs are views into the memory map."""
        if index in self._mapped:
            return self._mapped[index]
        if self._readers is None:
            self._readers = open_reader(self.roots[0]), open_reader(self.roots[1])
        lq, gt = (reader.image(self.infos[index].key) for reader in self._readers)
        if not (lq.flags.writeable or gt.flags.writeable):  # views into the memory map
            self._mapped[index] = lq, gt  # keeping them costs no memory and saves a look-up
        return lq, gt

    def draw(self, epoch: int, index: int, size: tuple[int, ...]) -> augment.Augmentation:
        """Return where sample ``index``, an LR image of ``size``, is cropped and how it is turned.

        Raises:
            ValueError: the image is smaller than a crop.
        """
        slack = [side - self.gt_size // self.scale for side in size]
        if min(slack) < 0:  # only where meta_info.txt has no sizes to check at the start
            height, width = (side * self.scale for side in size)
            raise ValueError(
                f"{self.roots[1]}, image {self.infos[index].key!r}: expected at least "
                f"{self.gt_size} pixels on both sides (gt_size), found {width}x{height}."
            )
        hflip, rot, room = self.use_hflip, self.use_rot, (slack[0], slack[1])
        return augment.draw(self.seed, epoch, index, room, use_hflip=hflip, use_rot=rot)

    def _tensor(self, image: np.ndarray) -> Tensor:
        if self.output == "float32":
            # numpy takes one pass on one thread; torch's threads wait for each other if busy
            image = np.divide(image, np.float32(255), dtype=np.float32)
        return torch.from_numpy(image).permute(2, 0, 1)

    def close(self) -> None:
        """Close the LMDBs; the next item opens them again."""
        self._readers = None
        self._mapped.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": None, "_mapped": {}}


def collate(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a batch of the dataset's samples: ``lq`` (N, C, h, w) and so on, ``channels_last``.

    The values are those of torch's ``default_collate``; the memory layout is kept.
    """
    pixels = [
        {key: v.permute(1, 2, 0) if isinstance(v, Tensor) else v for key, v in sample.items()}
        for sample in samples
    ]
    batch = default_collate(pixels)
    return {k: v.permute(0, 3, 1, 2) if isinstance(v, Tensor) else v for k, v in batch.items()}


def to_device(batch: Mapping[str, Any], device: torch.device, **layout: Any) -> dict[str, Any]:
    """Return ``batch`` with its tensors on ``device``, images as float32 in [0, 1].

    uint8 images are converted on the device: they are a quarter of the size of floats. Copies from
    page-locked memory are asynchronous.
    """
    moved = {k: v.to(device, non_blocking=True) for k, v in batch.items() if isinstance(v, Tensor)}
    return {**batch, **{key: to_unit_float(image, **layout) for key, image in moved.items()}}


def to_unit_float(image: Tensor, **layout: Any) -> Tensor:
    """Return ``image`` as float32: uint8 divided by 255, floats in [0, 1] unchanged."""
    if image.dtype == torch.uint8:  # conversion, division and layout in one kernel
        return torch.div(image, 255, out=torch.empty_like(image, dtype=torch.float32, **layout))
    return image.to(torch.float32, **layout)
