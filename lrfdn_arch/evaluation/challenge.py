"""The protocol of the NTIRE 2023 Efficient SR kit: one network over one set of images.

The small image is scaled to the network's range, run whole, and the output clamped, scaled to 255,
rounded and made uint8. HR is cut to a multiple of the scale. PSNR has one mean square error over
all three channels, ``scale`` pixels cut from each side; the score is the mean of the images'
values. Source: https://github.com/ofsoundof/NTIRE2023_ESR.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from lrfdn_arch.evaluation import complexity, metrics
from lrfdn_arch.evaluation.competitor import Competitor
from lrfdn_arch.evaluation.image_set import ImageSet, Pair
from lrfdn_arch.evaluation.images import (
    Image,
    crop_to_multiple,
    to_image,
    to_network,
    write_png,
)
from lrfdn_arch.evaluation.progress import Progress
from lrfdn_arch.evaluation.results import (
    Counts,
    Environment,
    ImageScore,
    KitTiming,
    NetworkResult,
    Protocol,
)
from lrfdn_arch.evaluation.timing import MIB, kit_arithmetic, timed


def upscale(
    network: nn.Module, lr: Image, data_range: float, device: torch.device
) -> tuple[Image, float]:
    """Return what ``network`` makes of ``lr``, both (H, W, 3) uint8 RGB, and the milliseconds.

    Args:
        network: on ``device``, in evaluation mode, from and to [0, data_range].
        lr: the small image.
        data_range: 1 or 255.
        device: where the network is.
    """
    lq = to_network(lr, data_range, device)
    with torch.inference_mode():
        output, milliseconds = timed(network, lq)
    return to_image(output, data_range), milliseconds


def score(name: str, sr: Image, hr: Image | None, protocol: Protocol) -> ImageScore:
    """Measure ``sr`` against ``hr`` (cut to size), (H, W, 3) uint8 RGB; no HR, no metrics.

    Raises:
        ValueError: the image is too small for the metrics.
    """
    if hr is None:
        return ImageScore(name=name)
    hr, border = crop_to_multiple(hr, protocol.scale), protocol.crop_border
    try:
        return ImageScore(
            name=name,
            psnr_rgb=metrics.psnr_rgb(sr, hr, border),
            psnr_y=metrics.psnr_y(sr, hr, border),
            ssim_rgb=metrics.ssim_rgb(sr, hr, border) if protocol.ssim else None,
            ssim_y=metrics.ssim_y(sr, hr, border) if protocol.ssim else None,
        )
    except ValueError as error:
        raise ValueError(f"image {name}: {error}") from error


def judge(
    competitor: Competitor,
    image_set: ImageSet,
    protocol: Protocol,
    device: torch.device,
    progress: Progress,
    images: Path | None,
    on_image: Callable[[ImageScore], None],
) -> NetworkResult:
    """Run one network over the set; what ``progress`` already has is not run again.

    Args:
        competitor: the network.
        image_set: the images.
        protocol: how they are judged.
        device: where the network runs; it is moved back to the CPU afterwards.
        progress: what is finished, and where to note more.
        images: the folder to write outputs to as ``NAME.png``, or None.
        on_image: called after each image.
    """
    network = competitor.network.to(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with kit_arithmetic(protocol.tf32):
        for pair in image_set.pairs:
            if pair.name not in progress.scores:
                sr, milliseconds = upscale(network, pair.read_lr(), competitor.data_range, device)
                measured = _finish(pair, sr, protocol, images)
                measured = measured.model_copy(update={"runtime_ms": milliseconds})
                progress.add(measured, kit_memory_mib(device))
            on_image(progress.scores[pair.name])
    network.to("cpu")
    scores = tuple(progress.scores[pair.name] for pair in image_set.pairs)
    counts = complexity.count(network)
    return NetworkResult(
        label=competitor.label,
        network=competitor.loaded.architecture.name,
        arguments=dict(competitor.loaded.arguments),
        data_range=competitor.data_range,
        weights=competitor.weights,
        counts=Counts(**{name: getattr(counts, name) for name in Counts.model_fields}),
        images=scores,
        kit_timing=KitTiming(
            clock="CUDA events" if device.type == "cuda" else "CPU clock",
            mean_ms=sum(s.runtime_ms or 0 for s in scores) / len(scores),
            memory_mib=progress.memory_mib if device.type == "cuda" else None,
            interruptions=progress.interruptions,
        ),
    )


def judge_bicubic(image_set: ImageSet, protocol: Protocol, images: Path) -> tuple[ImageScore, ...]:
    """Write bicubic and HR images beside the networks' and measure the bicubic ones.

    Bicubic is MATLAB's ``imresize``, what every table of the field starts with.
    """
    from lrfdn_arch.data.bicubic import imresize
    from lrfdn_arch.evaluation.results import BICUBIC, HR

    scores = []
    for pair in image_set.pairs:
        scores.append(
            _finish(pair, imresize(pair.read_lr(), protocol.scale), protocol, images / BICUBIC)
        )
        if pair.read_hr is not None:
            hr = crop_to_multiple(pair.read_hr(), protocol.scale)
            write_png(images / HR / f"{pair.name}.png", hr)
    return tuple(scores)


def kit_memory_mib(device: torch.device) -> float | None:
    """Return the kit's memory figure so far: the peak that torch allocated on the GPU, in MiB."""
    return torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else None


def identity_of(
    competitor: Competitor, protocol: Protocol, set_sha256: str, environment: Environment
) -> dict[str, str]:
    """Return everything that an image's score depends on, for :class:`Progress`."""
    return {
        "weights": competitor.weights.sha256,
        "key": str(competitor.weights.key),
        "images": set_sha256,
        "protocol": protocol.model_dump_json(),
        "device": environment.device,
        "torch": environment.torch,
    }


def _finish(pair: Pair, sr: Image, protocol: Protocol, images: Path | None) -> ImageScore:
    if images is not None:
        write_png(images / f"{pair.name}.png", sr)
    hr = pair.read_hr() if pair.read_hr is not None else None
    return score(pair.name, sr, hr, protocol)
