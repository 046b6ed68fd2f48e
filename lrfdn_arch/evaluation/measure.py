"""The evaluation loop used by validation, ``test.py``, ``lrfdn challenge`` and submissions.

Networks and models become functions on images; their results are converted, saved and scored.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from lrfdn_arch.archs import Architecture, architecture_of
from lrfdn_arch.device import float32_arithmetic
from lrfdn_arch.evaluation.images import Image, write_png
from lrfdn_arch.evaluation.metrics import Metric, as_tensor
from lrfdn_arch.evaluation.timing import timed
from lrfdn_arch.inference.tiling import upscale_in_bands
from lrfdn_arch.inference.torch_runtime import DTYPES, TorchRuntime
from lrfdn_arch.weights import LoadedNetwork

Upscale = Callable[[Tensor], Tensor]
_PRECISIONS = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Sample:
    """One image to upscale, and the ``name`` its scores are stored under.

    ``lq`` is (1, C, H, W), RGB, uint8 or float in [0, 1]; ``gt`` (H*scale, W*scale, C) uint8 RGB.
    ``file`` is the name of the saved result without extension, ``name`` if empty.
    """

    name: str
    lq: Tensor
    gt: Image | None = None
    file: str = ""


@dataclass(frozen=True)
class Measured:
    """The metrics of one image by name, and its forward time in milliseconds."""

    name: str
    metrics: Mapping[str, float]
    runtime_ms: float = 0.0


def measure(
    upscale: Upscale,
    samples: Iterable[Sample],
    metrics: Mapping[str, Metric] | None = None,
    *,
    device: torch.device | str = "cpu",
    data_range: float = 1.0,
    save: Callable[[Sample, Image], None] | None = None,
    on_image: Callable[[Measured], None] | None = None,
) -> list[Measured]:
    """Upscale every image, convert the result to uint8, and optionally save and score it.

    Args:
        upscale: maps (1, C, H, W) float32 RGB in [0, data_range] on ``device`` to
            (1, C, H*scale, W*scale), not necessarily clamped.
        samples: the images to upscale.
        metrics: the metrics to compute, by name.
        device: where ``upscale`` expects its input.
        data_range: 1, or 255 for networks that work on gray levels.
        save: called with each sample and its result, (H*scale, W*scale, C) uint8 RGB.
        on_image: called after each image.
    """
    results = []
    for sample in samples:
        lq = to_network(sample.lq, data_range, torch.device(device))
        with torch.inference_mode():
            output, milliseconds = timed(upscale, lq)
        sr = to_pixels(output, data_range, sample.name)
        if save is not None:
            save(sample, sr.cpu().numpy())
        found = apply_metrics(sample.name, sr, sample.gt, metrics or {})
        results.append(Measured(sample.name, found, milliseconds))
        if on_image is not None:
            on_image(results[-1])
    return results


def to_network(image: Tensor, data_range: float, device: torch.device) -> Tensor:
    """Return (1, C, H, W) uint8, or float in [0, 1], as float32 in [0, data_range] on ``device``.

    uint8 images are converted on the device, since transferring them takes a quarter of the memory.
    """
    if image.dtype == torch.uint8:
        return image.to(device).float().div_(255 / data_range)
    return image.to(device, torch.float32) * data_range


def to_pixels(output: Tensor, data_range: float, name: str = "") -> Tensor:
    """Return a network's output (1, C, H, W) as (H, W, C) uint8: clamped, scaled to 255, rounded.

    It stays on its device. Ties are rounded to even, as in NumPy.

    Raises:
        ValueError: the output is not finite.
    """
    if not bool(torch.isfinite(output).all()):
        raise ValueError(
            f"image {name}: the network's output is not finite; the weights may be damaged"
        )
    scaled = output[0].float().clamp(0, data_range).mul_(255)
    scaled = scaled if data_range == 1 else scaled.div_(data_range)
    return scaled.round_().to(torch.uint8).permute(1, 2, 0).contiguous()


def apply_metrics(
    name: str, sr: Image | Tensor, gt: Image | None, metrics: Mapping[str, Metric]
) -> dict[str, float]:
    """Return every metric of one image, (H, W, C) uint8, computed where ``sr`` is if it can be.

    Raises:
        ValueError: the shapes of the image and the ground truth differ, or a metric fails.
    """
    if gt is not None and gt.shape != tuple(sr.shape):
        sizes = ["x".join(map(str, (i.shape[1], i.shape[0], *i.shape[2:]))) for i in (sr, gt)]
        raise ValueError(
            f"image {name}: the network's output is {sizes[0]} (width x height x channels), the "
            f"ground truth {sizes[1]}; check that LR, HR and the scale match"
        )
    sr, found = as_tensor(sr), {}
    truth = None if gt is None else as_tensor(gt).to(sr.device)
    for key, metric in metrics.items():
        try:
            found[key] = metric(sr, truth)
        except (ValueError, ArithmeticError, AssertionError) as error:
            raise ValueError(f"image {name}: {key}: {error}") from error
    return found


def averages(images: Iterable[Measured]) -> dict[str, float]:
    """Return the mean of each metric over the images."""
    images = list(images)
    names = images[0].metrics if images else {}
    return {name: float(np.mean([image.metrics[name] for image in images])) for name in names}


def validation_loader(
    dataset: Dataset, *, rank: int = 0, world_size: int = 1, num_workers: int = 0
) -> DataLoader:
    """Return a loader with batch size 1 of the images rank, rank + world_size, ...

    Every image occurs exactly once across all ranks, so averages need no correction.
    """
    indices = range(rank, len(dataset), world_size)  # type: ignore[arg-type]
    generator = torch.Generator()  # DataLoader would draw from the global one, which training uses
    return DataLoader(
        Subset(dataset, indices), batch_size=1, num_workers=num_workers, generator=generator
    )


def samples_of(loader: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    """Yield the images of a BasicSR dataset's loader with a batch size of 1.

    Its items are dicts with ``lq`` and, for metrics, ``gt``, (1, C, H, W), float in [0, 1] or
    uint8, and ``lq_path``, a list of one path. A sample is named after its ground-truth file if
    there is one, as in ``lrfdn challenge``.
    """
    for data in loader:
        stem = Path(data["lq_path"][0]).stem
        name = Path(data["gt_path"][0]).stem if "gt_path" in data else stem
        gt = data.get("gt")
        if gt is not None:
            gt = (gt[0].permute(1, 2, 0) if gt.dtype == torch.uint8 else to_pixels(gt, 1.0)).numpy()
        yield Sample(name, data["lq"], gt, file=stem)


def save_under(folder: Path, ending: str) -> Callable[[Sample, Image], None]:
    """Return a ``save`` for :func:`measure` that writes ``folder/FILE_ENDING.png``.

    The folder may contain ``{name}``, which is replaced by the image's file name without extension.
    """

    def save(sample: Sample, image: Image) -> None:
        name = sample.file or sample.name
        path = Path(str(folder).replace("{name}", name)) / f"{name}_{ending}.png"
        write_png(path, image, overwrite=True)

    return save


def from_all_processes(mine: list[Measured]) -> list[Measured]:
    """Return the images of all processes, each of which must call this, in the dataset's order.

    Raises:
        ValueError: no process has any images.
    """
    parts: list[list[Measured]] = [mine]
    if dist.is_available() and dist.is_initialized():
        parts = [[] for _ in range(dist.get_world_size())]
        dist.all_gather_object(parts, mine)
    longest = max(map(len, parts))
    if longest == 0:
        raise ValueError("there are no images to validate or test on; check the dataset's folders")
    return [part[row] for row in range(longest) for part in parts if row < len(part)]


def through_network(
    network: nn.Module,
    *,
    scale: int,
    channels: int = 3,
    autocast: torch.dtype | None = None,
    tile_size: int = 0,
    tile_overlap: int = 16,
) -> Upscale:
    """Return ``network`` as a function of images.

    Args:
        network: maps (N, channels, H, W) float32 in [0, 1] to (N, channels, H*scale, W*scale). Its
            mode (training or evaluation) is not changed.
        scale: its upscaling factor.
        channels: its image channels.
        autocast: bfloat16 or float16 for mixed precision; None for float32.
        tile_size: side of the LR tiles that larger images are split into; 0 disables tiling.
        tile_overlap: minimum overlap of neighboring tiles in LR pixels. For networks with a known
            overlap, tiles share at least that and are at least twice as large, so that the result
            is within 1e-5 of the whole image's.

    Returns:
        A function from (N, C, H, W) to (N, C, H*scale, W*scale), both float32, not clamped.
    """
    runtime = None
    if tile_size:
        record = architecture_of(network) or Architecture(type(network).__name__, type(network))
        runtime = TorchRuntime(
            LoadedNetwork(network, record, {}, scale, channels),
            precision=_PRECISIONS[autocast or torch.float32],
            device=next(network.parameters()).device,
            compiled=False,
        )

    def upscale(lq: Tensor) -> Tensor:
        with float32_arithmetic():
            if runtime is not None:
                return _in_tiles(runtime, lq, tile_size, tile_overlap)
            with torch.autocast(lq.device.type, dtype=autocast, enabled=autocast is not None):
                return network(lq).float()

    return upscale


def _in_tiles(runtime: TorchRuntime, lq: Tensor, tile: int, overlap: int) -> Tensor:
    if runtime.overlap is not None and runtime.knows_windows:
        overlap = max(overlap, runtime.overlap)
        tile = max(tile, 2 * overlap)
    if max(lq.shape[-2:]) <= tile:
        return runtime.on_device(lq)
    images = []
    for image in lq.cpu().numpy():
        bands = upscale_in_bands(runtime, image, tile=tile, overlap=overlap)
        images.append(torch.cat([torch.as_tensor(band) for band in bands], 1))
    return torch.stack(images)


def has_own_test(model: type) -> bool:
    """Return whether a class of BasicSR's MODEL_REGISTRY does more than run its network."""
    from basicsr.models.sr_model import SRModel

    return getattr(model, "test", None) is not SRModel.test


def through_model(model: Any) -> Upscale:
    """Return the ``test()`` method of a BasicSR model as a function of images."""

    def upscale(lq: Tensor) -> Tensor:
        model.feed_data({"lq": lq})
        model.test()
        return model.get_current_visuals()["result"].to(lq.device, torch.float32)

    return upscale
