"""Kills data workers of trainings at random moments, and starts a second run of a name.

A program of its own, because every run is a fork of a process that has imported everything but
started no thread: python killed_workers.py FOLDER KILLS
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import psutil
import torch
from killed_runs import STATES, TOTAL, exit_code
from training_runs import differing, make_images, options, run, weights

from lrfdn_arch import entry


def child(opt: dict, root: Path, *arguments: str, output: str = "output.txt") -> int:
    """Train in a child process, as the command does, and return its number."""
    root.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        file = os.open(root / output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code = 1
        try:
            code = entry.run(lambda _: run(opt, root, *arguments), [])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return number


def iterations(root: Path) -> int:
    """Return how many iterations the run has printed."""
    file = root / "experiments/run/metrics.jsonl"
    return file.read_text().count('"train"') if file.is_file() else 0


def wait_for(root: Path, iteration: int, running: int) -> None:
    while iterations(root) < iteration and psutil.Process(running).status() != "zombie":
        time.sleep(0.01)


def kill_worker(folder: Path, opt: dict, trial: int, generator: random.Random) -> dict[str, Any]:
    """Kill one worker of a run at a random moment, then resume; return what came of it."""
    root = folder / str(trial)
    running = child(opt, root, "--auto_resume")
    wait_for(root, generator.randrange(TOTAL - 4), running)
    workers: list[psutil.Process] = []
    # While it checks its LMDBs a run has one child at a time.
    while len(workers) < 2 and psutil.Process(running).status() != "zombie":
        workers = psutil.Process(running).children()
    time.sleep(generator.random() * 0.02)
    victim = generator.choice(workers)
    victim.kill()
    began = time.monotonic()
    code = exit_code(running)
    seconds = time.monotonic() - began
    states = [int(p.stem) for p in (root / STATES).glob("[0-9]*.state")]
    said = (root / "output.txt").read_text()
    result = {"code": code, "seconds": seconds, "said": said, "victim": victim.pid}
    result |= {"trained": iterations(root), "saved": max(states, default=0)}
    resumed = exit_code(child(opt, root, "--auto_resume"))
    return result | {
        "resumed": resumed,
        "differing": differing(weights(folder / "whole", TOTAL), weights(root, TOTAL)),
    }


def second_run(folder: Path, opt: dict) -> dict[str, Any]:
    """Start a run of a name that is in use, then one after its holder was killed."""
    root, long = folder / "twice", opt | {"train": opt["train"] | {"total_iter": 10**6}}
    first = child(long, root)
    wait_for(root, 3, first)
    before = sorted(p.name for p in root.glob("experiments/*"))
    codes = [
        exit_code(child(long, root, *arguments, output="second.txt"))
        for arguments in ((), ("--auto_resume",))
    ]
    said = (root / "second.txt").read_text()
    untouched = before == sorted(p.name for p in root.glob("experiments/*"))
    os.kill(first, signal.SIGKILL)
    exit_code(first)
    after = exit_code(child(opt, root, "--auto_resume"))
    return {"codes": codes, "said": said, "first": first, "after": after, "untouched": untouched}


def main(folder: Path, kills: int) -> None:
    import basicsr  # noqa: F401 (once here, not in every child; after lrfdn_arch)

    torch.set_num_threads(1)
    make_images(folder)
    opt = options(
        folder,
        train__total_iter=TOTAL,
        train__scheduler={"type": "ConstantLR"},
        logger__save_checkpoint_freq=1000,
        datasets__train__num_worker_per_gpu=2,
    )
    assert exit_code(child(opt, folder / "whole")) == 0
    generator = random.Random(0)
    trials = [kill_worker(folder, opt, number, generator) for number in range(kills)]
    print(json.dumps({"trials": trials, "second": second_run(folder, opt)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
