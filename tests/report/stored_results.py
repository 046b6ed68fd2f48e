"""Stored evaluations made up for tests: scores and images, no network run."""

from pathlib import Path

import numpy as np

from lrfdn_arch.evaluation.images import write_png
from lrfdn_arch.evaluation.metrics import psnr_rgb, psnr_y
from lrfdn_arch.evaluation.results import (
    BICUBIC,
    HR,
    Counts,
    Dataset,
    Environment,
    FairTiming,
    ImageScore,
    KitTiming,
    NetworkResult,
    Protocol,
    Results,
    Weights,
)

# Noise in grey levels that a network leaves in each image: c is where LRFDN and RFDN differ most.
NOISE = {
    "LRFDN": {"a": 4, "b": 8, "c": 24},
    "RFDN": {"a": 3, "b": 8, "c": 6},
    BICUBIC: {"a": 20, "b": 30, "c": 30},
}
COUNTS = {
    "LRFDN": Counts(
        params=198_032,
        flops_2023=11_231_835_136,
        flops_fvcore=11_250_000_000,
        activations=86_182_080,
        convolutions=56,
    ),
    "RFDN": Counts(
        params=433_448,
        flops_2023=27_102_623_000,
        flops_fvcore=27_050_000_000,
        activations=112_034_240,
        convolutions=64,
    ),
}
ENVIRONMENT = Environment(
    device="Some CPU, 2 threads",
    cpu="Some CPU",
    threads=2,
    os="Linux",
    python="3.11",
    torch="2.6",
    cuda=None,
    cudnn=None,
    numpy="2.0",
    opencv="4.10",
    lrfdn="0.1.0",
    git_commit="0123456789abcdef+",
    date="2026-01-01T00:00:00+00:00",
)


def truth(name: str, size: int) -> np.ndarray:
    """A ground truth image (size, size + 8, 3) with soft structure."""
    y, x = np.mgrid[:size, : size + 8]
    phase = ord(name[0])
    waves = [np.sin(x / 7 + phase), np.sin(y / 5), np.sin((x + y) / (9 + phase % 5))]
    return np.uint8(np.stack(waves, axis=2) * 80 + 128)  # type: ignore[return-value]


def noisy(image: np.ndarray, level: float, seed: int) -> np.ndarray:
    """``image`` with Gaussian noise of ``level`` grey levels."""
    noise = np.random.default_rng(seed).normal(0, level, image.shape)
    return np.uint8((image + noise).clip(0, 255))  # type: ignore[return-value]


def store(
    folder: Path,
    labels: tuple[str, ...] = ("LRFDN", "RFDN"),
    *,
    scale: int = 4,
    name: str = "Tiny",
    sha256: str = "5e7",
    has_ground_truth: bool = True,
    size: int = 48,
    released: bool = True,
    has_images: bool = True,
    psnr: float | None = None,
    count: int | None = None,
    device: str = ENVIRONMENT.device,
) -> Path:
    """Write an evaluation into ``folder`` and return it."""
    scores: dict[str, list[ImageScore]] = {label: [] for label in (*labels, BICUBIC)}
    for number, image in enumerate("abc"):
        hr = truth(image, size)
        if has_ground_truth and has_images:
            write_png(folder / "images" / HR / f"{image}.png", hr)
        for seed, label in enumerate(scores):
            level = NOISE[label if label in NOISE else "LRFDN"][image]
            sr = noisy(hr, level, 10 * number + seed)
            if has_images:
                write_png(folder / "images" / label / f"{image}.png", sr)
            measured = ImageScore(
                name=image,
                psnr_rgb=(psnr or psnr_rgb(sr, hr, scale)) if has_ground_truth else None,
                psnr_y=psnr_y(sr, hr, scale) if has_ground_truth else None,
                runtime_ms=None if label == BICUBIC else 10.0 + seed,
            )
            scores[label].append(measured)
    results = Results(
        protocol=Protocol(scale=scale, crop_border=scale, ssim=False),
        dataset=Dataset(
            name=name, count=count or 3, has_ground_truth=has_ground_truth, sha256=sha256
        ),
        environment=ENVIRONMENT.model_copy(update={"device": device}),
        networks=tuple(_network(label, tuple(scores[label]), released) for label in labels),
        bicubic=tuple(scores[BICUBIC]) if has_images else (),
        has_images=has_images,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(results.model_dump_json())
    return folder


def _network(label: str, images: tuple[ImageScore, ...], released: bool) -> NetworkResult:
    network = "RFDN" if label.startswith("RFDN") else "LRFDN"
    median = {"LRFDN": 20.0, "RFDN": 40.0}[network]
    return NetworkResult(
        label=label,
        network=network,
        arguments={"num_feat": 64, "upscale": 4},
        data_range=1.0,
        weights=Weights(
            file=f"{label}.pth",
            sha256="ab" * 32,
            key=None,
            released="team 30" if released else None,
        ),
        counts=COUNTS[network],
        images=images,
        kit_timing=KitTiming(clock="CPU clock", mean_ms=median + 2, memory_mib=None),
        fair_timings=(
            FairTiming(
                device=ENVIRONMENT.device,
                precision="fp32",
                compiled=False,
                input_size=(1, 3, 256, 256),
                warmup=5,
                repeats=20,
                median_ms=median,
                p25_ms=median - 1,
                p75_ms=median + 2,
                min_ms=median - 2,
                max_ms=median + 9,
                memory_mib=100.0,
                memory_kind="resident",
            ),
        ),
    )
