"""From checked options to a finished run."""

import time
from pathlib import Path

from lrfdn_arch.options import TrainOptions
from lrfdn_arch.training import distributed
from lrfdn_arch.training.assembly import assemble
from lrfdn_arch.training.distributed import Launcher
from lrfdn_arch.training.log.curves import draw_curves
from lrfdn_arch.training.log.progress_line import duration
from lrfdn_arch.training.log.run_log import stop_logging
from lrfdn_arch.training.log.summary import write_test_file
from lrfdn_arch.training.loop import train
from lrfdn_arch.training.session import Session


def run_training(
    options: TrainOptions, *, launcher: Launcher, root: Path, file: str, auto_resume: bool
) -> int:
    """Train as ``options``, read from ``file``, specify.

    Args:
        options: the checked options.
        launcher: what started this process.
        root: folder of ``experiments/`` and ``tb_logger/``.
        file: the option file, copied into the experiment's folder.
        auto_resume: resume from the newest checkpoint, if there is one.

    Returns:
        0 when the run is complete, 130 or 143 when it was asked to stop and saved.
    """
    placement = distributed.set_up(launcher, options)
    try:
        session = assemble(options, placement, root=root, file=file, auto_resume=auto_resume)
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
        log.note(f"test it  lrfdn test -opt {file}")
    else:
        log.note("test it  lrfdn test -opt FILE --force_yml path:pretrain_network_g=WEIGHTS")


def _result(session: Session) -> Path:
    """Return the best weights, or the last where nothing was measured."""
    best, latest = (session.keeper.models / f"net_g_{name}.pth" for name in ("best", "latest"))
    return best if best.is_file() and session.best.records else latest
