"""What an iteration costs besides forward, backward and optimizer, at the quickstart's size.

The quickstart's option file and photographs, on the CPU. Measured inside one run: the loop's
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

from lrfdn_arch.options import Placement, TrainOptions, load_options
from lrfdn_arch.prepare.image_folders import find_photos
from lrfdn_arch.prepare.packing import PackOptions, Target, pack
from lrfdn_arch.training.peers import Peers
from lrfdn_arch.training.run import build_trainer
from lrfdn_arch.training.stop_signal import StopSignal

WARM_UP = 10
QUICKSTART = Path(__file__).parents[1] / "options/train/LRFDN/train_LRFDN_x4_demo.yml"


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
        for split in ("train", "valid"):
            targets = [
                Target(root / f"photos/{split}_HR.lmdb"),
                Target(root / f"photos/{split}_LR_x4.lmdb", 4),
            ]
            pack(find_photos(split), targets, PackOptions(multiple=4))
        options = load_options(QUICKSTART, TrainOptions, overrides=_overrides(root, iterations))
        whole, parts = _measure(options, iterations, root)
    print(machine(), f"{torch.get_num_threads()} threads", sep=", ")
    core = sum(watch.seconds for watch in parts.values())
    rows = [
        [name, 1e3 * w.seconds / iterations, 100 * w.seconds / whole] for name, w in parts.items()
    ]
    rows.append(["everything else", 1e3 * (whole - core) / iterations, 100 * (1 - core / whole)])
    rows.append(["iteration", 1e3 * whole / iterations, 100.0])
    print(table(rows, ("part", "ms", "%")))


def _overrides(root: Path, iterations: int) -> list[str]:
    keys = {
        "num_gpu": 0,
        "train:total_iter": iterations + WARM_UP,
        "val:val_freq": 10**6,
        "logger:print_freq": 10,
    }
    for split, short in (("train", "train"), ("valid", "val")):
        keys[f"datasets:{short}:dataroot_gt"] = root / f"photos/{split}_HR.lmdb"
        keys[f"datasets:{short}:dataroot_lq"] = root / f"photos/{split}_LR_x4.lmdb"
    return [f"{key}={value}" for key, value in keys.items()]


def _measure(
    options: TrainOptions, iterations: int, root: Path
) -> tuple[float, dict[str, Stopwatch]]:
    """Return the seconds of all iterations after the warm-up, and of their parts."""
    parts = {name: Stopwatch() for name in ("forward", "backward", "optimizer")}
    with contextlib.redirect_stdout(io.StringIO()):
        trainer = build_trainer(options, Placement(), root, False, Peers())
        model = trainer.model
        model.bare.forward = parts["forward"].around(model.bare.forward)
        model.optimizer_g.step = parts["optimizer"].around(model.optimizer_g.step)
        backward, torch.Tensor.backward = (
            torch.Tensor.backward,
            parts["backward"].around(torch.Tensor.backward),
        )
        start = [0.0]
        tick = trainer.log.tick

        def begin(iteration: int) -> None:
            tick(iteration)
            if iteration == WARM_UP:
                for watch in parts.values():
                    watch.seconds = 0.0
                start[0] = time.perf_counter()

        trainer.log.tick = begin
        trainer.save = trainer.validate = lambda: None  # rare, and not what this is about
        end = [0.0]
        trainer.finish = lambda stop: end.__setitem__(0, time.perf_counter()) or 0
        trainer.train(StopSignal())
        torch.Tensor.backward = backward
    return end[0] - start[0], parts


if __name__ == "__main__":
    main()
