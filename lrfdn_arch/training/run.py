"""``train.py``: from the command line to a finished run."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from lrfdn_arch.options import TrainOptions, load_options
from lrfdn_arch.training import distributed
from lrfdn_arch.training.assembly import assemble
from lrfdn_arch.training.log.curves import draw_curves
from lrfdn_arch.training.log.progress_line import duration
from lrfdn_arch.training.log.run_log import stop_logging
from lrfdn_arch.training.log.summary import write_test_file
from lrfdn_arch.training.loop import train
from lrfdn_arch.training.session import Session


def parser() -> argparse.ArgumentParser:
    """Return the command line of ``train.py``: BasicSR's."""
    result = argparse.ArgumentParser(prog="train.py", description="Train a network.")
    result.add_argument("-opt", required=True, metavar="FILE", help="option file")
    result.add_argument(
        "--launcher",
        choices=distributed.LAUNCHERS,
        default="none",
        help="pytorch under torchrun, slurm under srun, for one process per GPU",
    )
    result.add_argument(
        "--auto_resume", action="store_true", help="go on at the newest checkpoint, if there is one"
    )
    result.add_argument(
        "--debug",
        action="store_true",
        help="a short run under the name debug_NAME, with the traceback of an error",
    )
    result.add_argument(
        "--force_yml",
        nargs="+",
        default=[],
        metavar="KEY:KEY=VALUE",
        help="set options, e.g. train:optim_g:lr=1e-4 val:val_freq=500",
    )
    result.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    return result


def main(argv: Sequence[str], root: Path | None = None) -> int:
    """Train as the command line says; ``root`` (the working directory) holds ``experiments/``.

    Returns:
        0 when the run is complete, 130 or 143 when it was asked to stop and saved.

    Raises:
        ValueError, OSError: with a message for the user.
    """
    arguments = parser().parse_args(argv)
    options = load_options(arguments.opt, TrainOptions, arguments.force_yml)
    if arguments.debug:
        options = load_options(
            arguments.opt, TrainOptions, _debugging(options, arguments.force_yml)
        )
    placement = distributed.set_up(arguments.launcher, options)
    try:
        session = assemble(
            options,
            placement,
            root=(root or Path.cwd()).resolve(),
            file=arguments.opt,
            auto_resume=arguments.auto_resume,
        )
        return _run(session)
    finally:
        distributed.tear_down()
        stop_logging()


def _run(session: Session) -> int:
    began = time.monotonic()
    try:
        code = train(session)
        if code == 0:
            _conclude(session, time.monotonic() - began)
        return code
    finally:
        session.log.close()


def _debugging(options: TrainOptions, overrides: Sequence[str]) -> list[str]:
    """Return overrides for a debugging run, as BasicSR has it: short intervals, another name."""
    name = options.name if options.name.startswith("debug") else f"debug_{options.name}"
    short = [f"name={name}", "logger:print_freq=1", "logger:save_checkpoint_freq=8"]
    return [*overrides, *short, *(["val:val_freq=8"] if options.phases("val") else [])]


def _conclude(session: Session, seconds: float) -> None:
    """Draw the curves and say where things are and how to test them."""
    if session.placement.rank != 0:
        return
    options, paths = session.options, session.opt["path"]
    folder, log = Path(paths["experiments_root"]), session.log
    log.note(f"{options.train.total_iter:,} iterations complete, {duration(seconds)} in this run")
    if draw_curves(folder / "metrics.jsonl", folder / "curves.png", options.name):
        log.note(f"curves   {folder / 'curves.png'}")
    weights = _result(session)
    log.note(f"weights  {weights}")
    file = folder / "test.yml"
    if write_test_file(options, weights, file):
        log.note(f"test it  python test.py -opt {file}")
    else:
        log.note("test it  python test.py -opt FILE --force_yml path:pretrain_network_g=WEIGHTS")


def _result(session: Session) -> Path:
    """Return the best weights, or the last where nothing was measured."""
    best, latest = (session.keeper.models / f"net_g_{name}.pth" for name in ("best", "latest"))
    return best if best.is_file() and session.best.records else latest
