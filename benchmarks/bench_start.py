"""How long upscaling a small picture takes, from the command to its end, against importing torch.

    python benchmarks/bench_start.py [--rounds 7]

Every command is a process of its own; they take turns, so that all meet the same noise. "Ratio" is
the median over the rounds of its time over that of ``import torch``, by the clock and by processor
time. A run counts as first if its cache folder is empty.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine, table
from PIL import Image

from lrfdn_arch.weights import find_weights

TORCH = "import torch"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        pixels = np.random.default_rng(0).integers(0, 256, (72, 72, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "small.png")
        for number in range(3):
            (root / "folder").mkdir(exist_ok=True)
            shutil.copy(root / "small.png", root / "folder" / f"{number}.png")
        weights = shutil.copy(find_weights("lrfdn_x4"), root / "own.safetensors")
        upscale = ["-m", "lrfdn_arch", "upscale", str(root / "small.png"), "--overwrite"]
        folder_of_3 = [*upscale[:3], str(root / "folder"), "--out", str(root / "results")]
        python = (
            "import lrfdn_arch, PIL.Image as i; "
            f"lrfdn_arch.Upscaler()(i.open({str(root / 'small.png')!r}))"
        )
        commands = {
            TORCH: ["-c", TORCH],
            "upscale": upscale,
            "upscale --scale 2": [*upscale, "--scale", "2"],
            "upscale, folder of 3": [*folder_of_3, "--overwrite"],
            "Upscaler() on a PIL image": ["-c", python],
            "upscale --runtime openvino": [*upscale, "--runtime", "openvino"],
            "upscale, own weights, first": [*upscale, "--weights", weights],
            "upscale, own weights, later": [*upscale, "--weights", weights],
            "upscale --runtime eager": [*upscale, "--runtime", "eager"],
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            shutil.rmtree(root / "cache", ignore_errors=True)
            for name, command in commands.items():
                measured = _run(command, root / "cache")
                if number:  # the first round reads files from the disk
                    seconds[name].append(measured)
    packages = ("torch", "onnxruntime", "openvino", "numpy", "pillow")
    print(machine(packages), f"72x72 pixels, {rounds} rounds", sep=", ", end="\n\n")
    rows = []
    for name, pairs in seconds.items():
        clock, processor = zip(*pairs, strict=True)
        rows.append([name, statistics.median(clock), min(clock)])
        for times, base in zip((clock, processor), zip(*seconds[TORCH], strict=True), strict=True):
            rows[-1].append(statistics.median(a / b for a, b in zip(times, base, strict=True)))
    headers = ["", "median s", "least s", "ratio", "ratio of processor time"]
    print(table(rows, headers, digits=2))


def _run(arguments: list[str], cache: Path) -> tuple[float, float]:
    """Return the seconds of a command by the clock and of processor time."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    clock, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
