"""How much faster the deployed networks are than the straightforward ones, on this machine.

    python benchmarks/bench_runtime.py [--rounds 15] [--networks LRFDN RFDN] [--device cuda]

Every contender lives in a process of its own, so that none inherits another's memory or threads,
and they take turns, one image each per round, so that all meet the same noise. Reported are the
median seconds and the median over the rounds of baseline / contender.

The baseline is the network as the paper's authors wrote it: eager, float32, default memory format,
in a process with torch's and the system's defaults. The weights are random, which costs the same.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from lrfdn_arch.archs import ARCHITECTURES
from lrfdn_arch.device import keep_freed_memory
from lrfdn_arch.inference.runtimes import open_runtime
from lrfdn_arch.inference.torch_runtime import TorchRuntime

NETWORKS = {name: record.network for name, record in ARCHITECTURES.items() if record.fuse}
# name: (fused, runtime, precision, keeps freed memory)
ON_CPU = {
    "eager, as written (baseline)": (False, "eager", "fp32", False),
    "eager, as written, memory kept": (False, "eager", "fp32", True),
    "channels_last, memory kept": (False, "channels_last", "fp32", True),
    "fused, plain torch, memory kept": (True, "plain", "fp32", True),
    "lrfdn eager (fused, oneDNN)": (True, "eager", "fp32", True),
    "lrfdn compiled": (True, "compiled", "fp32", True),
    "lrfdn onnx": (True, "onnx", "fp32", True),
    "lrfdn openvino": (True, "openvino", "fp32", True),
}
ON_CUDA = {
    "eager, as written (baseline)": (False, "eager", "fp32", False),
    "lrfdn eager fp32": (True, "eager", "fp32", False),
    "lrfdn eager fp16": (True, "eager", "fp16", False),
    "lrfdn eager bf16": (True, "eager", "bf16", False),
    "lrfdn compiled fp32": (True, "compiled", "fp32", False),
    "lrfdn compiled fp16": (True, "compiled", "fp16", False),
    "lrfdn compiled bf16": (True, "compiled", "bf16", False),
}
SIZES = {"cpu": (256, 256), "cuda": (339, 510)}  # CPU: the counters' size; GPU: DIV2K's LR


def main() -> None:
    """Measure and print tables in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--without", nargs="*", default=[], help="words of contenders to leave out")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        serve(arguments.contender, arguments.networks[0], arguments.device)
        return
    contenders = ON_CUDA if arguments.device.startswith("cuda") else ON_CPU
    names = [n for n in contenders if not any(word in n for word in arguments.without)]
    for network in arguments.networks:
        times, memory = race(names, network, arguments.device, arguments.rounds)
        baseline = times[names[0]]
        rows = [
            [
                name,
                f"{statistics.median(seconds) * 1e3:.1f}",
                f"{min(seconds) * 1e3:.1f}",
                f"{statistics.median([a / b for a, b in zip(baseline, seconds, strict=True)]):.2f}",
                f"{memory[name] / 2**20:.0f}" if memory[name] else "",
            ]
            for name, seconds in times.items()
        ]
        height, width = SIZES[torch.device(arguments.device).type]
        print(f"\n{network}, 1x3x{height}x{width}, {arguments.rounds} rounds, {machine()}\n")
        headers = ["", "median ms", "least ms", "times faster", "peak MiB"]
        print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


def race(
    names: list[str], network: str, device: str, rounds: int
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Return the seconds per round and the peak device memory of every contender."""
    command = [sys.executable, __file__, "--networks", network, "--device", device, "--contender"]
    workers = {
        name: subprocess.Popen(
            [*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    }
    times: dict[str, list[float]] = {name: [] for name in names}
    memory = dict.fromkeys(names, 0)
    try:
        for name, worker in workers.items():  # builds, compiles and warms up, one after the other
            for _ in range(2):
                _ask(name, worker)
        for _ in range(rounds):
            for name, worker in workers.items():
                answer = _ask(name, worker)
                times[name].append(answer["seconds"])
                memory[name] = answer["memory"]
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    return times, memory


def _ask(name: str, worker: Any) -> dict[str, Any]:
    worker.stdin.write("go\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise RuntimeError(f"{name} ended; its message is above")
    return json.loads(line)


def serve(name: str, network: str, device: str) -> None:
    """Be one contender: for every line that comes, upscale one image and tell the seconds."""
    run: Callable[[Tensor], Any] | None = None
    lq = torch.empty(0)
    for _ in sys.stdin:
        if run is None:  # built at the first turn, so that only one process builds at a time
            run, lq = build(name, network, device)
        start = time.perf_counter()
        with torch.inference_mode():
            run(lq)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        memory = torch.cuda.max_memory_allocated() if device.startswith("cuda") else 0
        print(json.dumps({"seconds": seconds, "memory": memory}), flush=True)


def build(name: str, network_name: str, device: str) -> tuple[Callable[[Tensor], Any], Tensor]:
    """Return a contender and its image."""
    from lrfdn_arch.inference.fuse import fuse

    fused, runtime, precision, keeps = (ON_CUDA if device.startswith("cuda") else ON_CPU)[name]
    if keeps:
        keep_freed_memory()
    torch.manual_seed(0)
    network = NETWORKS[network_name]().eval().requires_grad_(False)
    lq = torch.rand(1, 3, *SIZES[torch.device(device).type], device=device)
    if fused and runtime != "plain":
        opened = open_runtime(network, runtime, precision=precision, device=device)
        if isinstance(opened, TorchRuntime):
            return opened.on_device, lq
        pixels = lq.numpy()
        return lambda _: opened(pixels), lq
    network = (fuse(network) if fused else network).to(device)
    if fused or runtime == "channels_last":
        lq = lq.contiguous(memory_format=torch.channels_last)
        return network.to(memory_format=torch.channels_last), lq
    return network, lq


def machine() -> str:
    """Return the processor's threads, the GPU if there is one, and versions."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    threads = f"{torch.get_num_threads()} threads {torch.backends.cpu.get_cpu_capability()}"
    return f"{threads}{gpu}, torch {torch.__version__}"


if __name__ == "__main__":
    main()
