"""Kills a training at random moments and resumes it; prints what came of it as JSON.

A run that ends before its kill counts for nothing and another takes its place, because how long
runs take changes with what else the machine does.

A program of its own, because every run is a fork of a process that has imported everything but
started no thread: python killed_runs.py FOLDER KILLS
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from training_runs import differing, make_images, options, run, weights

from lrfdn_arch.training import metric_writers, summary, trainer

TOTAL = 16

# Neither is what this is about, and both take longer than the training.
summary._network = lambda options, network: "not counted"
metric_writers.draw_curves = lambda *_: False
STEPS = "steps.txt"  # in a run's folder: the iterations of its last process


def child(opt: dict, root: Path) -> int:
    """Start ``train.py --auto_resume`` in a child process and return its number."""
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        note_steps(root)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 1
        try:
            code = run(opt, root, "--auto_resume")
        finally:
            os._exit(code)
    return number


def note_steps(root: Path) -> None:
    """Write the number of every iteration that this process makes."""
    step = trainer.step
    root.mkdir(parents=True, exist_ok=True)
    file = (root / STEPS).open("w")

    def step_and_note(session, batch, iteration):
        print(iteration, file=file, flush=True)
        step(session, batch, iteration)

    trainer.step = step_and_note


def exit_code(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def main(folder: Path, kills: int) -> None:
    import basicsr  # noqa: F401 (once here, not in every child; after lrfdn_arch)

    torch.set_num_threads(1)
    make_images(folder)
    opt = options(
        folder, train__total_iter=TOTAL, logger__save_checkpoint_freq=1, logger__keep_last=2
    )
    began = time.monotonic()
    assert exit_code(child(opt, folder / "whole")) == 0
    length = time.monotonic() - began
    expected = weights(folder / "whole", TOTAL)
    generator, trials, attempts = random.Random(0), [], 0
    while len(trials) < kills:
        attempts += 1
        assert attempts <= 3 * kills, "most runs ended before they could be killed"
        root = folder / str(attempts)
        running = child(opt, root)
        delay = generator.uniform(0.05, 0.95) * length
        time.sleep(delay)
        os.kill(running, signal.SIGKILL)
        if exit_code(running) != -signal.SIGKILL:
            length = delay  # it was through already, faster than those before it: not a trial
            continue
        states = [int(p.stem) for p in (root / STATES).glob("[0-9]*.state")]
        resumed = exit_code(child(opt, root))
        steps = [int(line) for line in (root / STEPS).read_text().split()]
        trials.append(
            {
                "reached": max(states, default=0),
                "resumed": resumed,
                "steps_after": steps,
                "differing": differing(expected, weights(root, TOTAL)),
                "left_over": [p.name for p in root.glob("experiments/**/.*")],
            }
        )
    print(json.dumps(trials))


STATES = "experiments/run/training_states"

if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
