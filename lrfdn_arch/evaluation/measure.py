"""Measuring a network on images: per image, averaged, over as many processes as there are."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from lrfdn_arch.data.batches import to_unit_float


@dataclass(frozen=True)
class ImageResult:
    """One image: its name (of the LR file, without folder and ending) and its metrics by name."""

    name: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class ValidationResult:
    """All images in the order of the dataset, and the mean of each metric over them."""

    images: tuple[ImageResult, ...]

    @property
    def averages(self) -> dict[str, float]:
        """Mean of the per-image values, by metric."""
        names = self.images[0].metrics if self.images else {}
        return {n: float(np.mean([image.metrics[n] for image in self.images])) for n in names}


def validation_loader(
    dataset: Dataset, *, rank: int = 0, world_size: int = 1, num_workers: int = 0
) -> DataLoader:
    """Return a loader of one image at a time: the images rank, rank + world_size, ...

    No image is given twice, whatever their number, so averages need no correction.
    """
    indices = range(rank, len(dataset), world_size)  # type: ignore[arg-type]
    generator = torch.Generator()  # DataLoader would draw from the global one, which training uses
    return DataLoader(
        Subset(dataset, indices), batch_size=1, num_workers=num_workers, generator=generator
    )


def validate(
    upscale: Callable[[Tensor], Tensor],
    loader: Iterable[Mapping[str, Any]],
    metrics: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    device: torch.device | str = "cpu",
    save: Callable[[str, np.ndarray], None] | None = None,
    on_image: Callable[[ImageResult], None] | None = None,
) -> ValidationResult:
    """Upscale every image of ``loader`` and measure it.

    With more than one process all of them must call this, each with its part of the images
    (:func:`validation_loader`); all get the whole result.

    Args:
        upscale: maps (1, C, H, W) float32 RGB in [0, 1] on ``device`` to (1, C, H*s, W*s), not
            necessarily clamped; see :func:`lrfdn_arch.evaluation.validation_upscaler.upscaler`.
        loader: yields dicts with ``lq`` (1, C, H, W), float in [0, 1] or uint8, ``lq_path`` (a
            list of one) and, for metrics, ``gt`` (1, C, H*s, W*s).
        metrics: name -> ``{type: calculate_psnr, crop_border: 4, ...}`` of BasicSR's registry,
            computed on uint8 images.
        device: where ``upscale`` wants its input.
        save: called with the image's name and (H*s, W*s, C) uint8 in BGR, as OpenCV writes it.
        on_image: called after each of this process's images.

    Raises:
        ValueError: the loader is empty in all processes, an image has no ground truth although
            metrics are asked for, or their sizes differ.
    """
    results: list[ImageResult] = []
    with torch.inference_mode():
        for data in loader:
            name = Path(data["lq_path"][0]).stem
            sr = to_image(upscale(to_unit_float(data["lq"].to(device))))
            if save is not None:
                save(name, sr)
            result = ImageResult(name, _measure(name, sr, data.get("gt"), metrics or {}))
            results.append(result)
            if on_image is not None:
                on_image(result)
    whole = ValidationResult(_from_all_processes(results))
    if not whole.images:
        raise ValueError("there is no image to validate or test on; check the dataset's folders")
    return whole


def to_image(tensor: Tensor) -> np.ndarray:
    """Return (1, C, H, W), float in [0, 1] or uint8, as (H, W, C) uint8, BGR; clamped, rounded.

    A single channel gives (H, W).
    """
    from basicsr.utils import tensor2img

    return tensor2img([to_unit_float(tensor)])  # type: ignore[return-value]


def save_under(folder: Path, ending: str) -> Callable[[str, np.ndarray], None]:
    """Return a ``save`` for :func:`validate` that writes ``folder/NAME_ENDING.png``.

    The folder may contain ``{name}``, which becomes the image's name.
    """

    def save(name: str, image: np.ndarray) -> None:
        path = Path(str(folder).replace("{name}", name)) / f"{name}_{ending}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), image):
            raise OSError(f"cannot write {path}; is the disk full or the folder read-only?")

    return save


def _measure(
    name: str, sr: np.ndarray, gt: Tensor | None, metrics: Mapping[str, Mapping[str, Any]]
) -> dict[str, float]:
    from basicsr.metrics import calculate_metric

    data = {"img": sr}
    if gt is not None:
        data["img2"] = to_image(gt)
        if data["img2"].shape != sr.shape:
            raise ValueError(
                f"image {name}: the network made {_size(sr)} (width x height x channels), the "
                f"ground truth has {_size(data['img2'])}; do LR, HR and scale belong together?"
            )
    elif metrics:
        raise ValueError(f"image {name} has no ground truth (dataroot_gt) to compute metrics with")
    return {key: float(calculate_metric(data, dict(opt))) for key, opt in metrics.items()}


def _size(image: np.ndarray) -> str:
    channels = 1 if image.ndim == 2 else image.shape[2]
    return f"{image.shape[1]}x{image.shape[0]}x{channels}"


def _from_all_processes(mine: list[ImageResult]) -> tuple[ImageResult, ...]:
    """Return the images of all processes in the dataset's order (dealt out one by one)."""
    if not (dist.is_available() and dist.is_initialized()):
        return tuple(mine)
    parts: list[list[ImageResult]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, mine)
    longest = max(map(len, parts))
    return tuple(part[row] for row in range(longest) for part in parts if row < len(part))
