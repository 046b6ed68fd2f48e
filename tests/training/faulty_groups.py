"""Trains with two processes of which one fails in some way; prints what the other does as JSON.

A program of its own, because every run is a fork of a process that has imported everything but
started no thread: python faulty_groups.py FOLDER
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from process_groups import lines, start, wait_for_iteration
from training_runs import make_images, options, write

from lrfdn_arch.training import trainer


def begin(root: Path, *changed: dict[str, Any]) -> list[int]:
    """Start a process for each of the options in ``changed``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = [write(opt, root / f"options_{rank}.yml") for rank, opt in enumerate(changed)]
    return [start(rank, 2, port, file, root) for rank, file in enumerate(files)]


def end(root: Path, children: list[int], began: float, within: float = 40) -> dict[str, Any]:
    """Wait for the processes, which are killed if they take too long; return what they said."""
    codes: list[int | None] = []
    for child in children:
        while psutil.Process(child).status() != "zombie":
            if time.monotonic() - began > within:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.02)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    seconds = time.monotonic() - began
    said = [(root / f"output_{rank}.txt").read_text() for rank in range(2)]
    return {"codes": codes, "seconds": seconds, "said": said}


def main(folder: Path) -> None:
    import basicsr  # noqa: F401 (once here, not in every child; after lrfdn_arch)

    torch.set_num_threads(1)
    make_images(folder)
    step, results = trainer.step, {}

    def opt(timeout: int, **changes: Any) -> dict[str, Any]:
        long = {"train__total_iter": 10**6, "train__scheduler": {"type": "ConstantLR"}}
        made = options(folder, **{**long, "val": None, **changes})
        made["datasets"]["train"]["batch_size_per_gpu"] = 2
        return made | {"dist_params": {"timeout": timeout}}

    def run(name: str, timeout: int, **changes: Any) -> tuple[Path, list[int]]:
        root = folder / name
        children = begin(root, opt(timeout, **changes), opt(timeout, **changes))
        wait_for_iteration(root, 5)
        return root, children

    root, children = run("killed", 60)
    os.kill(children[1], signal.SIGKILL)
    results["killed"] = end(root, children, time.monotonic())

    root, children = run("frozen", 3)
    os.kill(children[1], signal.SIGSTOP)
    results["frozen"] = end(root, children[:1], time.monotonic())
    os.kill(children[1], signal.SIGKILL)
    os.waitpid(children[1], 0)

    root, children = run("twice", 600)
    os.kill(children[1], signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(children[0], signal.SIGTERM)
    time.sleep(1.5)
    os.kill(children[0], signal.SIGTERM)
    results["twice"] = end(root, children[:1], time.monotonic())
    os.kill(children[1], signal.SIGKILL)
    os.waitpid(children[1], 0)

    root = folder / "options"
    children = begin(root, opt(60), opt(60, train__total_iter=30))
    results["options"] = end(root, children, time.monotonic())

    root, children = run("worker", 60, datasets__train__num_worker_per_gpu=2)
    victim = psutil.Process(children[1]).children()[0]
    victim.kill()
    results["worker"] = end(root, children, time.monotonic()) | {"victim": victim.pid}
    states = [int(p.stem) for p in root.glob("experiments/run/training_states/*.state")]
    results["worker"] |= {"saved": max(states), "trained": len(lines(root, "train"))}

    def hang_in_second(trainer: Any, batch: Any, iteration: int) -> None:
        if iteration == 5 and trainer.placement.rank == 1:
            time.sleep(600)
        step(trainer, batch, iteration)

    trainer.step = hang_in_second
    root, limits = folder / "stuck", {"dist_params": {"timeout": 2, "stuck_timeout": 5}}
    children = begin(root, opt(2) | limits, opt(2) | limits)
    wait_for_iteration(root, 4)
    results["stuck"] = end(root, children, time.monotonic())

    def fail_in_second(trainer: Any, batch: Any, iteration: int) -> None:
        if iteration == 5 and trainer.placement.rank == 1:
            raise ValueError("image 3 is damaged")
        step(trainer, batch, iteration)

    trainer.step = fail_in_second
    root = folder / "error"
    results["error"] = end(root, begin(root, opt(60), opt(60)), time.monotonic())
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
