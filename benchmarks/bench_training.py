"""Iterations per second of whole trainings: ours on PPM LMDBs, BasicSR's train_pipeline on PNG.

On a GPU the factsheet's recipe (batch 64, 640-pixel HR patches) and, for ours, a sweep over
precision, memory layout, compilation and workers. On a CPU the same at a size it can do.

Run: python benchmarks/bench_training.py [--iterations N] [--workers N]
"""

import argparse
import contextlib
import gc
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from common import machine
from tabulate import tabulate
from training_files import make_lmdbs, option_file

from lrfdn_arch.commands.train import main as train_ours

RECIPE = 54_000  # iterations
BFLOAT16 = {"use_amp": True, "amp_bf16": True}
SWEEP: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16": BFLOAT16,
    "bfloat16, channels_last": BFLOAT16 | {"use_channels_last": True},
    "bfloat16, compiled": BFLOAT16 | {"use_compile": True},
    "bfloat16, channels_last, compiled": BFLOAT16
    | {"use_channels_last": True, "use_compile": True},
    "bfloat16, channels_last, CUDA graphs": BFLOAT16
    | {"use_channels_last": True, "use_compile": True, "compile_mode": "reduce-overhead"},
    "float32, channels_last, compiled": {"use_channels_last": True, "use_compile": True},
}
CPU_SWEEP = {"float32": {}, "float32, channels_last": {"use_channels_last": True}}


def main() -> None:
    """Print rates and losses of both sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--workers", type=int, nargs="+")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=1, help="in turns; the best counts")
    arguments = parser.parse_args()
    gpu = torch.cuda.is_available()
    sizes = {"gt_size": 640, "batch": 64} if gpu else {"gt_size": 96, "batch": 8}
    total = arguments.iterations or (500 if gpu else 60)
    workers = arguments.workers or ([4, 8, 12] if gpu else [0])
    print(machine(), torch.cuda.get_device_name() if gpu else "no GPU", sep=", ")
    print(f"{sizes}, {total} iterations, {arguments.images} images of 2040x1404\n")
    best: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_lmdbs(root, arguments.images)

        def measure(label: str, start: Callable[[Path], None], **changes: Any) -> None:
            file = option_file(root, "run", total=total, num_gpu=int(gpu), **sizes, **changes)
            rate, loss = _timed(start, file, total)
            print(f"  {label}: {rate:.2f} iterations a second", flush=True)
            best[label] = max(best.get(label, (0.0, 0.0)), (rate, loss))

        def theirs(file: Path) -> None:
            _train_theirs(file, root)

        def ours(file: Path) -> None:
            train_ours(["-opt", str(file)], root=root)

        for _ in range(arguments.repeats):
            for count in workers:
                label = f"BasicSR, SRModel, PNG, {count} workers"
                measure(label, theirs, codec="png", workers=count)
                measure(label.replace("PNG", "PPM"), theirs, codec="ppm", workers=count)
            model = {"model_type": "LRFDNModel", "codec": "ppm"}
            for label, settings in (SWEEP if gpu else CPU_SWEEP).items():
                measure(f"ours, {label}", ours, workers=workers[0], **model, **settings)
            for count in workers[1:]:
                settings = SWEEP["bfloat16, channels_last, compiled"]
                measure(f"ours, {count} workers", ours, workers=count, **model, **settings)
    headers = ("", "iterations/s", "mean loss of the last fifth", "54,000 iterations, minutes")
    rows = [[n, f"{r:.2f}", f"{x:.4f}", f"{RECIPE / r / 60:.0f}"] for n, (r, x) in best.items()]
    print("\n" + tabulate(rows, headers, tablefmt="github", disable_numparse=True))


def _timed(start: Callable[[Path], None], file: Path, total: int) -> tuple[float, float]:
    """Return iterations per second after the first fifth, and the mean loss of the last fifth."""
    from basicsr.models.sr_model import SRModel

    from lrfdn_arch.training.model.lrfdn_model import LRFDNModel

    moments: list[float] = []
    losses: list[float] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        for model in (SRModel, LRFDNModel):
            stack.enter_context(_watched(model, moments, losses))
        start(file)
    gc.collect()  # closes the LMDBs, which a process may open only once at a time
    first, last = len(moments) // 5, moments[total - 1]
    rate = (total - 1 - first) / (last - moments[first])
    tail = losses[-max(1, len(losses) // 5) :]
    return rate, sum(tail) / len(tail)


@contextlib.contextmanager
def _watched(model: Any, moments: list[float], losses: list[float]) -> Iterator[None]:
    """Note when each update of ``model`` ends, and the losses it reports."""
    update, report = model.optimize_parameters, model.get_current_log

    def timed_update(self: Any, iteration: int) -> None:
        update(self, iteration)
        moments.append(time.perf_counter())

    def kept_report(self: Any) -> Any:
        log = report(self)
        losses.append(log["l_pix"])  # waits for the device, every print_freq iterations
        return log

    model.optimize_parameters, model.get_current_log = timed_update, kept_report
    try:
        yield
    finally:
        model.optimize_parameters, model.get_current_log = update, report


def _train_theirs(file: Path, root: Path) -> None:
    import logging

    from basicsr.train import train_pipeline
    from basicsr.utils import logger

    logger.initialized_logger.clear()
    logging.getLogger("basicsr").handlers.clear()
    before, sys.argv = sys.argv, ["train.py", "-opt", str(file)]
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            train_pipeline(str(root))
    finally:
        sys.argv = before


if __name__ == "__main__":
    main()
