"""What an iteration costs besides forward, backward and optimizer, at the quickstart's size.

LRFDN x4, batches of 8 patches of 24x24 LR pixels, on the CPU. Measured inside one run: the loop's
time less the time spent in the network, in backward and in the optimizer's step.

Run: python benchmarks/bench_overhead.py
"""

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import machine, table
from training_files import make_lmdbs, option_file

from lrfdn_arch.engine.assembly import assemble
from lrfdn_arch.engine.distributed import set_up
from lrfdn_arch.engine.loop import train
from lrfdn_arch.options import TrainOptions, load_options

WARM_UP = 10


class Stopwatch:
    """Adds up the seconds spent in the functions it wraps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function``, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


def main() -> None:
    """Print the share of each part of an iteration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=100)
    iterations = parser.parse_args().iterations
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_lmdbs(root, 8, ("ppm",))
        file = option_file(
            root,
            "overhead",
            codec="ppm",
            gt_size=96,
            batch=8,
            workers=0,
            total=iterations + WARM_UP,
            model_type="LRFDNModel",
            use_channels_last=True,
            num_gpu=0,
        )
        whole, parts = _measure(file, root)
    print(machine(), f"{torch.get_num_threads()} threads", sep=", ")
    core = sum(watch.seconds for watch in parts.values())
    rows = [
        [name, 1e3 * w.seconds / iterations, 100 * w.seconds / whole] for name, w in parts.items()
    ]
    rows.append(["everything else", 1e3 * (whole - core) / iterations, 100 * (1 - core / whole)])
    rows.append(["iteration", 1e3 * whole / iterations, 100.0])
    print(table(rows, ("part", "ms", "%")))


def _measure(file: Path, root: Path) -> tuple[float, dict[str, Stopwatch]]:
    """Return the seconds of all iterations after the warm-up, and of their parts."""
    options = load_options(file, TrainOptions)
    parts = {name: Stopwatch() for name in ("forward", "backward", "optimizer")}
    with contextlib.redirect_stdout(io.StringIO()):
        session = assemble(
            options, set_up("none", options), root=root, file=str(file), auto_resume=False
        )
        model = session.model
        model.bare.forward = parts["forward"].around(model.bare.forward)
        model.optimizer_g.step = parts["optimizer"].around(model.optimizer_g.step)
        backward, torch.Tensor.backward = (
            torch.Tensor.backward,
            parts["backward"].around(torch.Tensor.backward),
        )
        start = [0.0]
        tick = session.log.tick

        def begin(iteration: int) -> None:
            tick(iteration)
            if iteration == WARM_UP:
                for watch in parts.values():
                    watch.seconds = 0.0
                start[0] = time.perf_counter()

        session.log.tick = begin
        session.save = lambda iteration: None  # rare, and not what this is about
        end = [0.0]
        session.finish = lambda stop: end.__setitem__(0, time.perf_counter()) or 0
        train(session)
        torch.Tensor.backward = backward
    return end[0] - start[0], parts


if __name__ == "__main__":
    main()
