"""Evaluation of one network on one image set by the protocol of the Efficient SR kits.

The LR image is scaled to the network's range and processed without tiling; the output is clamped,
scaled to 255, rounded and converted to uint8. HR is cropped to a multiple of the scale. PSNR uses
the mean squared error over all three channels, excluding ``scale`` border pixels on each side. The
reported score is the mean over the images. Source: https://github.com/ofsoundof/NTIRE2023_ESR.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from lrfdn_arch.device import float32_arithmetic
from lrfdn_arch.evaluation.competitor import Competitor
from lrfdn_arch.evaluation.complexity import count
from lrfdn_arch.evaluation.image_set import ImageSet, samples
from lrfdn_arch.evaluation.images import Image, crop_to_multiple, write_png
from lrfdn_arch.evaluation.kits.client import KitNetwork
from lrfdn_arch.evaluation.measure import Measured, Sample, apply_metrics, measure
from lrfdn_arch.evaluation.metrics import Metric, challenge_metrics
from lrfdn_arch.evaluation.progress import Progress
from lrfdn_arch.evaluation.results import (
    BICUBIC,
    HR,
    Counts,
    Environment,
    ImageScore,
    KitTiming,
    NetworkResult,
    Protocol,
)
from lrfdn_arch.evaluation.timing import MIB


def judge(
    competitor: Competitor,
    image_set: ImageSet,
    protocol: Protocol,
    device: torch.device,
    progress: Progress,
    images: Path | None,
    on_image: Callable[[ImageScore], None],
) -> NetworkResult:
    """Evaluate one network on the set, skipping images that ``progress`` already contains.

    Args:
        competitor: the network to evaluate.
        image_set: the images to evaluate it on.
        protocol: the evaluation protocol.
        device: device to run the network on; it is moved back to the CPU afterwards.
        progress: record of the finished images, to which new scores are added.
        images: folder that outputs are written to as ``NAME.png``, or None to discard them.
        on_image: called after each image.
    """
    network = competitor.network.to(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def keep(measured: Measured) -> None:
        score = ImageScore(name=measured.name, runtime_ms=measured.runtime_ms, **measured.metrics)
        progress.add(score, kit_memory_mib(network, device))
        on_image(score)

    left = []
    for pair in image_set.pairs:
        if pair.name in progress.scores:
            on_image(progress.scores[pair.name])
        else:
            left.append(pair)
    with float32_arithmetic(protocol.tf32):
        measure(
            network,
            samples(left, protocol.scale),
            _metrics(image_set, protocol),
            device=device,
            data_range=competitor.data_range,
            save=_save_in(images),
            on_image=keep,
        )
    network.to("cpu")
    scores = [progress.scores[pair.name] for pair in image_set.pairs]
    return NetworkResult(
        label=competitor.label,
        network=competitor.loaded.architecture.name,
        arguments=dict(competitor.loaded.arguments),
        data_range=competitor.data_range,
        weights=competitor.weights,
        counts=counts_of(network),
        images=tuple(scores),
        kit_timing=kit_timing(scores, device, progress.memory_mib, progress.interruptions),
    )


def counts_of(network: nn.Module) -> Counts:
    """Return the complexity of a network as it is stored."""
    return network.counts if isinstance(network, KitNetwork) else count(network)


def kit_timing(
    scores: Sequence[ImageScore],
    device: torch.device,
    memory_mib: float | None = None,
    interruptions: int = 0,
) -> KitTiming:
    """Return the timing of the kits from the images' forward times on ``device``."""
    on_gpu = device.type == "cuda"
    return KitTiming(
        clock="CUDA events" if on_gpu else "CPU clock",
        mean_ms=sum(score.runtime_ms or 0 for score in scores) / len(scores),
        memory_mib=memory_mib if on_gpu else None,
        interruptions=interruptions,
    )


def judge_bicubic(image_set: ImageSet, protocol: Protocol, images: Path) -> tuple[ImageScore, ...]:
    """Save bicubic and HR images next to the networks' outputs and score the bicubic ones.

    Bicubic upscaling follows MATLAB's ``imresize``, the usual reference in super-resolution papers.
    """
    from lrfdn_arch.data.bicubic import imresize

    scores, metrics = [], _metrics(image_set, protocol)
    for pair in image_set.pairs:
        bicubic = imresize(pair.read_lr(), protocol.scale)
        write_png(images / BICUBIC / f"{pair.name}.png", bicubic)
        hr = None
        if pair.read_hr is not None:
            hr = crop_to_multiple(pair.read_hr(), protocol.scale)
            write_png(images / HR / f"{pair.name}.png", hr)
        scores.append(ImageScore(name=pair.name, **apply_metrics(pair.name, bicubic, hr, metrics)))
    return tuple(scores)


def kit_memory_mib(network: nn.Module, device: torch.device) -> float | None:
    """Return the peak memory that torch has allocated on the GPU in MiB, as the kit reports it."""
    if isinstance(network, KitNetwork):
        return network.memory_mib
    return torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else None


def identity_of(
    competitor: Competitor, protocol: Protocol, set_sha256: str, environment: Environment
) -> dict[str, str]:
    """Return everything that the scores depend on, for :class:`Progress`."""
    return {
        "weights": competitor.weights.sha256,
        "key": str(competitor.weights.key),
        "images": set_sha256,
        "protocol": protocol.model_dump_json(),
        "device": environment.device,
        "torch": environment.torch,
    }


def _metrics(image_set: ImageSet, protocol: Protocol) -> dict[str, Metric]:
    if not image_set.has_hr:
        return {}
    return challenge_metrics(protocol.crop_border, ssim=protocol.ssim)


def _save_in(folder: Path | None) -> Callable[[Sample, Image], None] | None:
    if folder is None:
        return None
    return lambda sample, image: write_png(folder / f"{sample.name}.png", image)
