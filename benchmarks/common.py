"""What the benchmarks of the data path share: images, timing, tables, the machine's name."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from tabulate import tabulate

HEIGHT, WIDTH = 1404, 2040  # the commonest size in DIV2K
PHOTOS = ("coffee.png", "rocket.jpg", "astronaut.png", "chelsea.png", "motorcycle_left.png")
DATA_PACKAGES = ("torch", "numpy", "opencv-python", "imagecodecs", "lmdb", "basicsr")


def photographs(count: int) -> list[np.ndarray]:
    """Return ``count`` images, uint8 (1404, 2040, 3) RGB, that compress like photographs do.

    They are scikit-image's photographs, enlarged and mirrored, with a camera's noise added.
    """
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    images = []
    for i in range(count):
        photo = cv2.imread(str(folder / PHOTOS[i % len(PHOTOS)]))
        assert photo is not None
        photo = cv2.resize(photo, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        photo = cv2.flip(photo, 1) if i // len(PHOTOS) % 2 else photo
        noise = np.random.default_rng(i).normal(0, 2, photo.shape)
        rgb = cv2.cvtColor(np.clip(photo + noise, 0, 255).astype(np.uint8), cv2.COLOR_BGR2RGB)
        images.append(rgb)
    return images


def write_pngs(images: Sequence[np.ndarray], folder: Path) -> dict[str, Path]:
    """Write ``images`` as PNGs, compressed as published ones are, and return them by name."""
    folder.mkdir(parents=True)
    paths = {}
    for i, image in enumerate(images):
        paths[f"{i:04d}"] = folder / f"{i:04d}.png"
        level = [cv2.IMWRITE_PNG_COMPRESSION, 6]
        cv2.imwrite(str(paths[f"{i:04d}"]), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), level)
    return paths


def in_turns(repeats: int, **functions: Callable[[], object]) -> dict[str, float]:
    """Return the median seconds of each function, run in turns so that all meet the same noise."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def machine(packages: Sequence[str] = DATA_PACKAGES) -> str:
    """Return processor, cores in use and versions, one line."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.partition(":")[2].strip() for x in lines if "model name" in x), model)
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def table(rows: Sequence[Sequence[object]], headers: Sequence[str], digits: int = 1) -> str:
    """Return a table for RESULTS.md."""
    return tabulate(rows, headers=headers, tablefmt="github", floatfmt=f".{digits}f")
