"""Evaluation of one network on one image set by the protocol of the Efficient SR kits.

The LR image is scaled to the network's range and processed without tiling; the output is clamped,
scaled to 255, rounded and converted to uint8. HR is cropped to a multiple of the scale. PSNR uses
the mean squared error over all three channels, excluding ``scale`` border pixels on each side. The
reported score is the mean over the images. Source: https://github.com/ofsoundof/NTIRE2023_ESR.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.device import float32_arithmetic
from lrfdn_arch.evaluation.competitor import Competitor
from lrfdn_arch.evaluation.complexity import count
from lrfdn_arch.evaluation.image_set import ImageSet, samples
from lrfdn_arch.evaluation.images import Image, crop_to_multiple, write_png
from lrfdn_arch.evaluation.kits.client import KitNetwork
from lrfdn_arch.evaluation.measure import Measured, Sample, apply_metrics, measure
from lrfdn_arch.evaluation.metrics import Metric, challenge_metrics
from lrfdn_arch.evaluation.results import (
    BICUBIC,
    HR,
    ImageScore,
    KitTiming,
    NetworkResult,
    Protocol,
)
from lrfdn_arch.evaluation.timing import MIB
from lrfdn_arch.files import write_whole, writing


class Progress:
    """The finished images of one network, stored in a file until the evaluation is complete.

    The file contains JSON lines, the first of which is the ``identity``: everything that the scores
    depend on, as strings by name.

    Raises:
        ValueError: the file is damaged or belongs to another evaluation.
    """

    def __init__(self, file: Path, identity: Mapping[str, str]) -> None:
        self._file = file
        stored = file.read_bytes().splitlines(keepends=True) if file.is_file() else []
        # An incomplete last line is left when the process is interrupted.
        stored = [line for line in stored if line.endswith(b"\n")]
        try:
            first, *rest = [json.loads(line) for line in stored] or [{"identity": dict(identity)}]
            found = first["identity"]
            scores = [ImageScore.model_validate(line["score"]) for line in rest if "score" in line]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is damaged; use --overwrite to start from scratch") from error
        different = [key for key in identity if found.get(key) != identity[key]]
        if different:
            differences = (f"{k} was {found.get(k)}, is now {identity[k]}" for k in different)
            raise ValueError(
                f"{file.parent.parent} contains a different unfinished evaluation: "
                f"{'; '.join(differences)}. Choose another --out, or use --overwrite to start from "
                "scratch"
            )
        self.scores = {score.name: score for score in scores}
        self.memory_mib = max((line.get("memory_mib") or 0 for line in rest), default=0.0)
        self.interruptions = sum("continued" in line for line in rest)
        self._is_resumed = bool(scores)
        write_whole(file, b"".join(stored) or json.dumps(first).encode() + b"\n")

    def add(self, score: ImageScore, memory_mib: float | None) -> None:
        """Record the score of a finished image and the peak memory so far in MiB."""
        if self._is_resumed:
            self._is_resumed = False
            self.interruptions += 1
            self._append({"continued": True})
        self.scores[score.name] = score
        self.memory_mib = max(self.memory_mib, memory_mib or 0)
        self._append({"score": score.model_dump(mode="json"), "memory_mib": memory_mib})

    def _append(self, line: Mapping[str, object]) -> None:
        with writing(self._file), self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def judge(
    competitor: Competitor,
    image_set: ImageSet,
    protocol: Protocol,
    device: torch.device,
    progress: Progress,
    images: Path | None,
    on_image: Callable[[str], None],
) -> NetworkResult:
    """Evaluate one network on the set, skipping images that ``progress`` already contains.

    The network runs on ``device`` and is moved back to the CPU afterwards. Its outputs are written
    to the folder ``images`` as ``NAME.png``, unless that is None. ``on_image`` is called with the
    name of each image after it.
    """
    network = competitor.network.to(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    def save_in(folder: Path) -> Callable[[Sample, Image], None]:
        return lambda sample, image: write_png(folder / f"{sample.name}.png", image)

    def keep(image: Measured) -> None:
        memory = torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else None
        if isinstance(network, KitNetwork):
            memory = network.memory_mib
        score = ImageScore(name=image.name, runtime_ms=image.runtime_ms, **image.metrics)
        progress.add(score, memory)
        on_image(image.name)

    for name in progress.scores:
        on_image(name)
    left = [pair for pair in image_set.pairs if pair.name not in progress.scores]
    with float32_arithmetic(protocol.tf32):
        measure(
            network,
            samples(left, protocol.scale),
            _metrics(image_set, protocol),
            device=device,
            data_range=competitor.data_range,
            save=save_in(images) if images else None,
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
        counts=network.counts if isinstance(network, KitNetwork) else count(network),
        images=tuple(scores),
        kit_timing=kit_timing(scores, device, progress.memory_mib, progress.interruptions),
    )


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


def _metrics(image_set: ImageSet, protocol: Protocol) -> dict[str, Metric]:
    if not image_set.has_hr:
        return {}
    return challenge_metrics(protocol.crop_border, ssim=protocol.ssim)
