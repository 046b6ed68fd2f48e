"""How much faster the deployed networks are than the straightforward ones, on this machine.

    python benchmarks/bench_runtime.py [--rounds 15] [--networks LRFDN RFDN] [--device cuda]

Every contender lives in a process of its own, so that none inherits another's memory or threads,
and they take turns, one image each per round, so that all meet the same noise. "Times faster" is
the median over the rounds of baseline / contender; "CPU ms" the least processor time of all
threads, which other work on the machine stretches least; "MiB" the peak memory beyond what the
process had before it loaded the network; "dB" the PSNR between its result and the baseline's.

The baseline is the network as the paper's authors wrote it: eager, float32, default memory format,
in a process with torch's and the system's defaults. LRFDN has the shipped weights for x4; other
weights are random, which costs the same. On a CPU, the floor is one 3x3 convolution of 64 channels,
at which oneDNN is fastest, with as many multiply-adds as all of the fused network's.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from common import machine, table
from skimage.data import astronaut
from torch import nn
from torch.nn import functional

from lrfdn_arch.archs import ARCHITECTURES
from lrfdn_arch.device import keep_freed_memory
from lrfdn_arch.evaluation.complexity import count
from lrfdn_arch.inference.fuse import fuse
from lrfdn_arch.inference.runtimes import Floats, open_runtime
from lrfdn_arch.inference.torch_runtime import TorchRuntime
from lrfdn_arch.weights import find_weights, load_network

NETWORKS = {name: record.network for name, record in ARCHITECTURES.items() if record.fuse}
BASELINE = "eager, as written (baseline)"
# name: (runtime, precision, whether freed memory is kept)
ON_CPU = {
    BASELINE: ("written", "fp32", False),
    "eager, as written, memory kept": ("written", "fp32", True),
    "lrfdn eager (fused, oneDNN)": ("eager", "fp32", True),
    "lrfdn compiled": ("compiled", "fp32", True),
    "lrfdn onnx": ("onnx", "fp32", True),
    "lrfdn openvino": ("openvino", "fp32", True),
    "lrfdn openvino bf16": ("openvino", "bf16", True),
    "floor, float32": ("floor", "fp32", True),
    "floor, bfloat16": ("floor", "bf16", True),
}
ON_CUDA = {BASELINE: ("written", "fp32", False)} | {
    f"lrfdn {runtime} {precision}": (runtime, precision, False)
    for runtime in ("eager", "compiled")
    for precision in ("fp32", "fp16", "bf16")
}
SIZES = {"cpu": (256, 256), "cuda": (339, 510)}  # CPU: the counters' size; GPU: DIV2K's LR
CHANNELS, ROWS = 64, 256  # of the floor's convolution


def main() -> None:
    """Measure and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--without", nargs="*", default=[], help="words of contenders to leave out")
    parser.add_argument("--contender", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        serve(*arguments.contender, arguments.networks[0], arguments.device)
        return
    contenders = ON_CUDA if arguments.device.startswith("cuda") else ON_CPU
    names = [n for n in contenders if not any(word in n for word in arguments.without)]
    for network in arguments.networks:
        rows = race(names, network, arguments.device, arguments.rounds)
        height, width = SIZES[torch.device(arguments.device).type]
        gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
        load = os.getloadavg()[1]
        print(f"\n{network}, 1x3x{height}x{width}, {arguments.rounds} rounds, load {load:.0f}{gpu}")
        print(machine(("torch", "onnxruntime", "openvino")), end="\n\n")
        headers = ["", "median ms", "least ms", "times faster", "CPU ms", "MiB", "dB"]
        print(table(rows, headers))


def race(names: list[str], network: str, device: str, rounds: int) -> list[list[object]]:
    """Return a row of the table for every contender."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--networks", network, "--device", device]
        workers = {
            name: subprocess.Popen(
                [*command, "--contender", name, folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in names
        }
        answers: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        try:
            for name, worker in workers.items():  # builds, compiles and warms up, one by one
                for _ in range(2):
                    _ask(name, worker)
            for _ in range(rounds):
                for name, worker in workers.items():
                    answers[name].append(_ask(name, worker))
        finally:
            for worker in workers.values():
                worker.kill()
                worker.wait()
        results = {path.stem: np.load(path) for path in Path(folder).iterdir()}
    rows: list[list[object]] = []
    for name, found in answers.items():
        seconds = [answer["seconds"] for answer in found]
        ratios = [
            base["seconds"] / own for base, own in zip(answers[names[0]], seconds, strict=True)
        ]
        decibels: float | str = ""
        if name in results and name != names[0]:
            error = np.mean((results[name].clip(0, 1) - results[names[0]].clip(0, 1)) ** 2)
            decibels = float(-10 * np.log10(error + 1e-15))
        processor = min(answer["processor"] for answer in found)
        times = [1e3 * statistics.median(seconds), 1e3 * min(seconds), statistics.median(ratios)]
        rows.append([name, *times, 1e3 * processor, found[-1]["memory"] / 2**20, decibels])
    return rows


def _ask(name: str, worker: Any) -> dict[str, float]:
    worker.stdin.write("go\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError(f"{name} ended; its message is above")
    return json.loads(line)


def serve(name: str, folder: str, network: str, device: str) -> None:
    """Be one contender: for every line that comes, upscale one image and tell what it took."""
    run: Callable[[], Any] | None = None
    before = 0
    for _ in sys.stdin:
        first = run is None
        if run is None:  # built at the first turn, so that only one process builds at a time
            before = psutil.Process().memory_info().rss
            run = build(name, network, device)
        start, processor = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            sr = run()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        if device.startswith("cuda"):
            torch.cuda.synchronize()
            memory = torch.cuda.max_memory_allocated()
        answer = {
            "seconds": time.perf_counter() - start,
            "processor": time.process_time() - processor,
            "memory": memory,
        }
        if first and not name.startswith("floor"):
            np.save(Path(folder) / name, sr if isinstance(sr, np.ndarray) else sr.float().cpu())
        print(json.dumps(answer), flush=True)


def build(name: str, network_name: str, device: str) -> Callable[[], Any]:
    """Return a contender as a function that upscales one image."""
    runtime, precision, keeps = (ON_CUDA if device.startswith("cuda") else ON_CPU)[name]
    if keeps:
        keep_freed_memory()
    torch.manual_seed(0)
    network: nn.Module = NETWORKS[network_name]().eval().requires_grad_(False)
    if network_name == "LRFDN":
        network = load_network(find_weights("lrfdn_x4")).network.eval()
    height, width = SIZES[torch.device(device).type]
    if runtime == "floor":
        return _convolution(count(fuse(network), (3, height, width)).flops_2023, precision)
    photo = astronaut()[:height, :width].transpose(2, 0, 1)[None] / np.float32(255)
    pixels: Floats = np.ascontiguousarray(photo)
    lq = torch.from_numpy(pixels).to(device)
    if runtime == "written":
        network.to(device)
        return lambda: network(lq)
    opened = open_runtime(network, runtime, precision=precision, device=device)
    if isinstance(opened, TorchRuntime):
        return lambda: opened.on_device(lq)
    return lambda: opened(pixels)


def _convolution(multiply_adds: int, precision: str) -> Callable[[], Any]:
    kind = torch.float32 if precision == "fp32" else torch.bfloat16
    columns = round(multiply_adds / (9 * CHANNELS**2 * ROWS))
    x = torch.rand(1, CHANNELS, ROWS, columns, dtype=kind)
    weight = torch.rand(CHANNELS, CHANNELS, 3, 3, dtype=kind)
    x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    return lambda: functional.conv2d(x, weight, padding=1)


if __name__ == "__main__":
    main()
