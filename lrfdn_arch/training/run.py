"""From checked options to a finished run."""

import time
from contextlib import ExitStack
from pathlib import Path

from lrfdn_arch.device import deterministic_algorithms
from lrfdn_arch.locks import locked
from lrfdn_arch.options import Placement, TrainOptions
from lrfdn_arch.options.stages import stage_options
from lrfdn_arch.training import distributed
from lrfdn_arch.training.build import build_trainer
from lrfdn_arch.training.distributed import Launcher
from lrfdn_arch.training.loop import device_errors, train
from lrfdn_arch.training.metric_writers import draw_curves
from lrfdn_arch.training.peers import Peers
from lrfdn_arch.training.run_logger import duration, stop_logging
from lrfdn_arch.training.stop_signal import StopSignal
from lrfdn_arch.training.summary import write_test_file
from lrfdn_arch.training.trainer import Trainer


def run_training(
    options: TrainOptions, *, launcher: Launcher, root: Path, auto_resume: bool
) -> int:
    """Train as ``options`` specify, one stage after the other.

    With ``auto_resume`` complete stages are left as they are, and the first that is not resumes.

    Args:
        options: the checked options.
        launcher: what started this process.
        root: folder of ``experiments/`` and ``tb_logger/``.
        auto_resume: resume from the newest checkpoint, if there is one.

    Returns:
        0 when the run is complete, 130 or 143 when it was asked to stop and saved.
    """
    stages = stage_options(options)
    with (
        StopSignal() as stop,
        distributed.joined(launcher, options, auto_resume) as (placement, peers),
    ):
        for stage in stages:
            code = _run(stage, placement, peers, stop, root, auto_resume)
            if stop.requested and stage is not stages[-1]:
                code = stop.exit_code
            # A next stage begins when process 0 has written the weights it starts from.
            if code := max(distributed.gather(code, placement)):
                return code
        return 0


def _run(
    options: TrainOptions,
    placement: Placement,
    peers: Peers,
    stop: StopSignal,
    root: Path,
    auto_resume: bool,
) -> int:
    began, stop.deferred = time.monotonic(), False
    with ExitStack() as stack:
        if placement.rank == 0:
            folder = root / "experiments" / options.name
            stack.enter_context(locked(folder, "choose another name: --force_yml name=OTHER"))
        stack.callback(stop_logging)
        stack.enter_context(device_errors(options.train_set))
        stack.enter_context(deterministic_algorithms(options.deterministic))
        trainer = build_trainer(options, placement, root=root, auto_resume=auto_resume, peers=peers)
        stack.callback(trainer.log.close)
        code = train(trainer, stop)
        if code == 0 and placement.rank == 0:
            _conclude(trainer, time.monotonic() - began)
        return code


def _conclude(trainer: Trainer, seconds: float) -> None:
    """Draw the curves, and print where the results are and how to test them."""
    options, folder, note = trainer.options, trainer.folder, trainer.log.note
    note(f"{options.train.total_iter:,} iterations complete, {duration(seconds)} in this run")
    curves, file = folder.path / "curves.png", folder.path / "test.yml"
    if draw_curves(folder.path / "metrics.jsonl", curves, options.name):
        note(f"curves   {curves}")
    best, latest = folder.weights("best"), folder.weights("latest")
    weights = best if trainer.best and best.is_file() else latest
    note(f"weights  {weights}")
    if write_test_file(options, weights, file):
        note(f"test it  lrfdn test -opt {file}")
    else:
        note("test it  lrfdn test -opt FILE --force_yml path:pretrain_network_g=WEIGHTS")
