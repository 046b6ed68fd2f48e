"""Trains with one and two processes; prints losses and results as JSON.

A program of its own, because every run is a fork of a process that has imported everything but
started no thread: python process_groups.py FOLDER
"""

import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from training_runs import make_images, options, write

from lrfdn_arch.commands import train
from lrfdn_arch.training import metric_writers, summary, trainer

summary._network = lambda options, network: "not counted"
metric_writers.draw_curves = lambda *_: False
TOTAL = 20


def start(rank: int, world_size: int, port: int, file: Path, root: Path, *arguments: str) -> int:
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        output = os.open(root / f"output_{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        torchrun = {"RANK": rank, "WORLD_SIZE": world_size, "LOCAL_RANK": rank}
        os.environ |= {key: str(value) for key, value in torchrun.items()}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        code = train.main(["-opt", str(file), "--launcher", "pytorch", *arguments], root=root)
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def run(
    opt: dict[str, Any], root: Path, processes: int, *arguments: str, signal_after: float = 0
) -> list[int]:
    """Train with ``processes`` processes and return their exit codes."""
    file = write(opt, root / "options_of_test.yml")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [start(r, processes, port, file, root, *arguments) for r in range(processes)]
    if signal_after:
        wait_for_iteration(root, signal_after)
        os.kill(children[-1], signal.SIGTERM)  # one of them; all stop at the same iteration
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def wait_for_iteration(root: Path, iteration: float) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if len(lines(root, "train")) >= iteration:
            return
        time.sleep(0.02)


def lines(root: Path, kind: str, name: str = "run") -> list[dict[str, Any]]:
    file = root / f"experiments/{name}/metrics.jsonl"
    text = file.read_text() if file.is_file() else ""
    return [line for line in map(json.loads, text.splitlines()) if line["kind"] == kind]


def losses(root: Path, name: str = "run") -> list[float]:
    return [line["l_pix"] for line in lines(root, "train", name)]


def main(folder: Path) -> None:
    import basicsr  # noqa: F401 (once here, not in every child; after lrfdn_arch)

    torch.set_num_threads(1)
    make_images(folder, count=5)
    whole = {"logger__save_checkpoint_freq": 10, "train__total_iter": TOTAL, "val__val_freq": 20}

    def opt(batch: int, **changes: Any) -> dict[str, Any]:
        return options(folder, **whole, datasets__train__batch_size_per_gpu=batch, **changes)

    results: dict[str, Any] = {}

    def note(name: str, codes: list[list[int]]) -> None:
        root = folder / name
        results[name] = {
            "codes": codes,
            "losses": losses(root),
            "psnr": [line["metrics"]["psnr"] for line in lines(root, "validation")],
            "logs": len(list(root.glob("experiments/run/*.log"))),
            "output_of_last": (root / f"output_{len(codes[-1]) - 1}.txt").read_text(),
        }

    note("one", [run(opt(4), folder / "one", 1)])
    note("two", [run(opt(2), folder / "two", 2)])
    parts = {"datasets__train__accum_iter": 2}
    note("two_parts", [run(opt(1, **parts), folder / "two_parts", 2)])
    first = run(short(opt(2)), folder / "two_one", 2)
    note("two_one", [first, run(opt(4), folder / "two_one", 1, "--auto_resume")])
    first = run(short(opt(4)), folder / "one_two", 1)
    note("one_two", [first, run(opt(2), folder / "one_two", 2, "--auto_resume")])
    long = {"train__total_iter": 1000, "logger__print_freq": 1}
    stopped = options(folder, datasets__train__batch_size_per_gpu=2, **long, val__val_freq=5000)
    note("stopped", [run(stopped, folder / "stopped", 2, signal_after=15)])
    states = (folder / "stopped/experiments/run/training_states").glob("*.state")
    results["stopped"]["states"] = sorted(int(state.stem) for state in states)
    levers = {
        "optim_g": {"type": "Muon", "lr": 0.005, "adam_lr": 0.004},
        "reparameterize": {"kind": "rep"},
        "patch_sizes": [30, 32],
    }
    stages = [{}, {"train": {"total_iter": 6, **levers}}]
    for name, batch, processes in (("one_staged", 4, 1), ("two_staged", 2, 2)):
        staged = options(folder, datasets__train__batch_size_per_gpu=batch, stages=stages)
        codes = run(staged, folder / name, processes)
        results[name] = {"codes": codes, "losses": losses(folder / name, "run_stage2")}
    trainer.step = spoil_in_last_process(at=5)
    note("spoiled", [run(opt(2), folder / "spoiled", 2)])
    results["spoiled"]["output_of_first"] = (folder / "spoiled/output_0.txt").read_text()
    print(json.dumps(results))


def spoil_in_last_process(at: int) -> Callable[..., None]:
    """Return a ``step`` whose images are no numbers in one process, and fine in the other."""
    step = trainer.step

    def spoil(session: Any, batch: Any, iteration: int) -> None:
        if iteration == at and session.placement.rank == 1:
            batch = {**batch, "gt": batch["gt"] * float("nan")}
        step(session, batch, iteration)

    return spoil


def short(opt: dict[str, Any]) -> dict[str, Any]:
    return opt | {"train": opt["train"] | {"total_iter": 10}}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
