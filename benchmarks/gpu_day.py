"""Everything to check and measure on a CUDA machine, in one command of under ten minutes.

Parts are kept in OUT/PART.json as they finish and are not repeated, so an interrupted day resumes.
The last line of output is a Markdown table for benchmarks/RESULTS.md.

Run: python benchmarks/gpu_day.py --out gpu_day            # all parts that are missing
     python benchmarks/gpu_day.py --out gpu_day --part training inference
     python benchmarks/gpu_day.py --out x --rehearse       # on the CPU, with tiny sizes
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from common import machine
from tabulate import tabulate
from torch import Tensor
from training_files import make_lmdbs, option_file

from lrfdn_arch.archs import LRFDN
from lrfdn_arch.commands.train import main as train
from lrfdn_arch.device import device_name, float32_arithmetic
from lrfdn_arch.evaluation.timing import PeakMemory, TimingPlan, time_in_turn, timed
from lrfdn_arch.files import write_whole
from lrfdn_arch.inference.runtimes import RUNTIMES, open_runtime
from lrfdn_arch.options import TrainOptions, load_options, to_basicsr
from lrfdn_arch.training.finite import NotFiniteError
from lrfdn_arch.weights import find_weights, load_network

BFLOAT16: dict[str, Any] = {"use_amp": True, "amp_bf16": True}
CHANNELS_LAST: dict[str, Any] = {"use_channels_last": True}
# Iterations a second expected of an H100, from arithmetic: bytes moved, at 2.3 of 3.35 TB/s.
TRAINING: dict[str, tuple[dict[str, Any], str]] = {
    "TF32, eager": ({}, "8 to 10"),
    "bfloat16, channels_last, eager": (BFLOAT16 | CHANNELS_LAST, "16 to 20"),
    "bfloat16, channels_last, compiled": (
        BFLOAT16 | CHANNELS_LAST | {"use_compile": True},
        "20 to 26",
    ),
    "the same with CUDA graphs": (
        BFLOAT16 | CHANNELS_LAST | {"use_compile": True, "compile_mode": "reduce-overhead"},
        "20 to 27",
    ),
}
RECIPE = 54_000  # iterations
RATE = 5e-4  # learning rate of `training_files`, the size of one of Adam's steps
GROUP = [sys.executable, "-m", "torch.distributed.run", "--standalone", "-m", "lrfdn_arch"]


class Row(NamedTuple):
    """One line of the table; ``expected`` is empty where nothing was predicted."""

    what: str
    measured: str
    expected: str = ""


class Day:
    """The device and the sizes: those of the DF2K recipe, or tiny ones for a rehearsal."""

    def __init__(self, device: torch.device, tiny: bool, root: Path) -> None:
        self.device, self.tiny, self.root = device, tiny, root
        self.gt_size, self.batch = (64, 2) if tiny else (640, 64)
        self.iterations, self.warmup = (2, 1) if tiny else (40, 10)
        self.size = (24, 32) if tiny else (339, 510)

    def model(self, name: str, device: torch.device | None = None, **top: Any) -> Any:
        """Return a training model with the same first weights for every call."""
        import basicsr.models

        on = device or self.device
        if not (self.root / "ppm_HR.lmdb").exists():
            make_lmdbs(self.root, 2 if self.tiny else 16, ("ppm",))
        sizes = {"codec": "ppm", "gt_size": self.gt_size, "batch": self.batch, "workers": 0}
        kind = {"model_type": "LRFDNModel", "num_gpu": int(on.type == "cuda")}
        file = option_file(self.root, name, total=100, **sizes, **kind, **top)
        torch.manual_seed(0)
        return basicsr.models.build_model(
            to_basicsr(load_options(file, TrainOptions), root=self.root)
        )

    def images(self, seed: int = 0) -> dict[str, Tensor]:
        """Return a synthetic batch on the device."""
        random, lq = torch.Generator().manual_seed(seed), self.gt_size // 4
        shapes = {"lq": (self.batch, 3, lq, lq), "gt": (self.batch, 3, self.gt_size, self.gt_size)}
        return {
            name: torch.randint(0, 256, shape, dtype=torch.uint8, generator=random).to(self.device)
            for name, shape in shapes.items()
        }

    def wait(self) -> None:
        """Wait until the device has nothing to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def update(model: Any, batch: Mapping[str, Tensor], iteration: int) -> None:
    """Make one training update."""
    model.update_learning_rate(iteration)
    model.feed_data(batch)
    model.optimize_parameters(iteration)


def environment(day: Day) -> list[Row]:
    """Name the machine and measure how fast its memory is copied."""
    source = torch.empty(2**20 if day.tiny else 2**30, dtype=torch.uint8, device=day.device)
    target = torch.empty_like(source)
    milliseconds = [timed(lambda x: target.copy_(x), source)[1] for _ in range(10)]
    rate = 2 * source.nbytes / min(milliseconds) / 1e9  # read and written
    return [
        Row("machine", f"{device_name(day.device)}; {machine()}"),
        Row("copy on the device", f"{rate:.2f} TB/s", "2.3 to 3.0 TB/s"),
    ]


def correctness(day: Day) -> list[Row]:
    """Compare the device with the CPU, and check guard, checkpoints and resuming.

    Raises:
        AssertionError: the device computes something else.
    """
    cpu, rows = torch.device("cpu"), []
    network = load_network(find_weights("lrfdn_x4")).network.eval()
    lq = torch.rand(1, 3, *day.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), float32_arithmetic(tf32=False):
        expected = network(lq)
        found = network.to(day.device)(lq.to(day.device)).cpu()
    rows.append(_bounded("network against the CPU, float32", found - expected, 1e-4))

    one, other = day.model("gpu"), day.model("cpu", cpu)
    with float32_arithmetic(tf32=False):
        update(one, day.images(), 1)
        update(other, {name: image.cpu() for name, image in day.images().items()}, 1)
    pairs = zip(one.net_g.parameters(), other.net_g.parameters(), strict=True)
    # Adam's first step has the size of the rate whatever the gradient, so its sign alone matters.
    apart = torch.cat([(p.detach().cpu() - q.detach()).flatten() for p, q in pairs])
    share = float((apart.abs() > 1e-5).float().mean())
    assert share < 0.01, f"{share:.1%} of the weights differ by more than 1e-5 after one update"
    rows.append(Row("weights over 1e-5 from the CPU's after one update", f"{share:.3%}", "< 1 %"))

    before = [p.detach().clone() for p in one.net_g.parameters()]
    spoiled = {**day.images(), "gt": day.images()["gt"].float() * float("nan")}
    try:
        update(one, spoiled, 2)
        one.guard.raise_if_bad()
    except NotFiniteError:
        pass
    same = all(map(torch.equal, before, one.net_g.parameters()))
    assert same, "an update that is not finite changed the weights"
    rows.append(Row("an update that is not finite is skipped", "yes", "yes"))
    return rows + _resumed(day)


def _resumed(day: Day) -> list[Row]:
    """Train in one go, stopped and resumed, moved to another device, and in a group of processes.

    All trainings have four iterations under ``deterministic``.
    """
    sizes = {"codec": "ppm", "gt_size": 64, "batch": 2, "workers": 0, "model_type": "LRFDNModel"}
    day.model("images")  # makes them
    here = int(day.device.type == "cuda")

    def weights(name: str, *runs: tuple[int, int], group: bool = False) -> Tensor:
        for total, num_gpu in runs:
            more = {"num_gpu": num_gpu, "deterministic": True}
            file = option_file(day.root, name, total=total, **sizes, **more)
            arguments = ["-opt", str(file), "--auto_resume"]
            if group:
                launch = [*GROUP, "train", *arguments, "--launcher", "pytorch"]
                subprocess.run(launch, cwd=day.root, check=True, stdout=subprocess.DEVNULL)
            else:
                assert train(arguments, root=day.root) == 0
        file = day.root / f"experiments/{name}/models/net_g_latest.pth"
        state = torch.load(file, map_location="cpu", weights_only=True)["params"]
        return torch.cat([tensor.flatten() for tensor in state.values()])

    whole = weights("run_whole", (4, here))
    resumed = torch.equal(whole, weights("run_parts", (2, here), (4, here)))
    group = torch.equal(whole, weights("run_group", (4, here), group=True))
    to_cpu, from_cpu = (
        weights(name, (2, first), (4, 1 - first if here else 0)) - whole
        for name, first in (("run_to_cpu", here), ("run_from_cpu", 0))
    )
    return [
        Row("resumed bit for bit under deterministic", "yes" if resumed else "NO", "yes"),
        Row("a group of one process trains the same", "yes" if group else "NO", "yes"),
        _bounded("resumed on the CPU", to_cpu, 4 * RATE),
        _bounded("resumed from the CPU", from_cpu, 4 * RATE),
    ]


def _bounded(what: str, difference: Tensor, bound: float) -> Row:
    largest = float(difference.abs().max())
    assert largest < bound, f"{what}: {largest:.1e}, expected below {bound:.0e}"
    return Row(what, f"{largest:.1e}", f"< {bound:.0e}")


def training(day: Day) -> list[Row]:
    """Measure updates of the recipe's size on a batch that is on the device already."""
    rows, batch = [], day.images()
    compiled = day.device.type == "cuda"  # compiling for a CPU takes minutes
    for name, (settings, expected) in TRAINING.items():
        if not compiled and settings.get("use_compile"):
            continue
        model = day.model("training", **settings)
        memory = PeakMemory(day.device) if compiled else None
        for iteration in range(day.warmup):
            update(model, batch, iteration + 1)
        day.wait()
        start = time.perf_counter()
        for iteration in range(day.iterations):
            update(model, batch, day.warmup + iteration + 1)
        day.wait()
        rate = day.iterations / (time.perf_counter() - start)
        used = f", {(memory.mib() or 0) / 1024:.1f} GiB" if memory else ""
        minutes = RECIPE / rate / 60
        rows.append(
            Row(f"training, {name}", f"{rate:.1f} it/s ({minutes:.0f} min){used}", expected)
        )
        del model
    return rows


def loader(day: Day) -> list[Row]:
    """Measure the loader alone, by number of workers, in samples a second."""
    from torch.utils.data import DataLoader

    from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset, collate
    from lrfdn_arch.data.sampler import EndlessSampler

    day.model("images")  # makes them
    roots = {
        f"dataroot_{x}": str(day.root / f"ppm_{y}.lmdb") for x, y in (("gt", "HR"), ("lq", "LR"))
    }
    options = {"scale": 4, "phase": "train", "gt_size": day.gt_size, "output": "uint8", **roots}
    rows = []
    for workers in (0,) if day.tiny else (4, 8, 12):
        dataset = PairedLMDBDataset(options)
        sampler: Any = EndlessSampler(len(dataset))
        batches = iter(
            DataLoader(dataset, day.batch, sampler=sampler, num_workers=workers, collate_fn=collate)
        )
        for _ in range(day.warmup):
            next(batches)
        start = time.perf_counter()
        for _ in range(day.iterations):
            next(batches)
        rate = day.iterations * day.batch / (time.perf_counter() - start)
        rows.append(Row(f"loader, {workers} workers", f"{rate:.0f} samples/s", "1,440 needed"))
    return rows


def profile(day: Day) -> list[Row]:
    """List the operators that take most of the time of one update."""
    model, batch = day.model("profile", **BFLOAT16, **CHANNELS_LAST), day.images()
    for iteration in range(day.warmup):
        update(model, batch, iteration + 1)
    day.wait()
    with torch.profiler.profile() as profiler:
        update(model, batch, day.warmup + 1)
        day.wait()
    cuda = day.device.type == "cuda"
    key = "self_device_time_total" if cuda else "self_cpu_time_total"
    events = sorted(profiler.key_averages(), key=lambda event: -getattr(event, key))[:10]
    return [Row(f"profile, {x.key}", f"{getattr(x, key) / 1e3:.2f} ms, {x.count}x") for x in events]


def inference(day: Day) -> list[Row]:
    """Measure every runtime and precision on one image of the challenge's size."""
    loaded, rows = load_network(find_weights("lrfdn_x4")), []
    lq = torch.rand(1, 3, *day.size)
    plain = loaded.network.eval().to(day.device)
    with torch.inference_mode(), float32_arithmetic(tf32=False):
        baseline = _median(lambda: timed(plain, lq.to(day.device))[1])
    rows.append(Row("inference, network as written, float32", f"{baseline:.2f} ms"))
    cuda = day.device.type == "cuda"
    for name, precisions in RUNTIMES.items():
        for precision in precisions if cuda else precisions[:1]:
            if not cuda and name == "compiled":
                continue
            try:
                run = open_runtime(loaded, name, precision=precision, device=str(day.device))
            except (ValueError, ImportError) as error:
                rows.append(Row(f"inference, {name} {precision}", str(error).splitlines()[0][:80]))
                continue
            image = lq.numpy()
            run(image)
            milliseconds = _median(lambda run=run, image=image: _seconds(lambda: run(image)) * 1e3)
            ratio = f"{baseline / milliseconds:.1f}x, with transfers"
            rows.append(Row(f"inference, {name} {precision}", f"{milliseconds:.2f} ms, {ratio}"))
    return rows


def kit(day: Day) -> list[Row]:
    """Measure LRFDN as the fair timing of ``lrfdn challenge`` does."""
    plan = TimingPlan(size=day.size, repeats=3 if day.tiny else 50)
    (found,) = time_in_turn({"LRFDN": LRFDN().eval()}, plan, day.device)["LRFDN"]
    return [Row("LRFDN, fair timing, float32", f"{found.median_ms:.2f} ms")]


def _median(measure: Callable[[], float]) -> float:
    measure()
    return statistics.median(measure() for _ in range(10))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


PARTS: dict[str, Callable[[Day], list[Row]]] = {
    part.__name__: part
    for part in (environment, correctness, training, loader, profile, inference, kit)
}


def main(arguments: list[str] | None = None) -> None:
    """Run the parts that are missing and print the table of all that are there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu_day"), help="folder of the parts")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with tiny sizes")
    chosen = parser.parse_args(arguments)
    if not chosen.rehearse and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --rehearse runs on the CPU")
    chosen.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cpu" if chosen.rehearse else "cuda:0")
    with tempfile.TemporaryDirectory() as folder:
        day = Day(device, chosen.rehearse, Path(folder))
        for part in chosen.part:
            target = chosen.out / f"{part}.json"
            if not target.exists():
                print(f"{part} ...", flush=True)
                write_whole(target, json.dumps(PARTS[part](day)).encode())
    found = [chosen.out / f"{part}.json" for part in PARTS]
    rows = [row for file in found if file.exists() for row in json.loads(file.read_text())]
    print(tabulate(rows, ["", "measured", "expected"], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
