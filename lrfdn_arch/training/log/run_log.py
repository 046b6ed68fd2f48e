"""What a person sees of a training run, and what is kept of it."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from lrfdn_arch.training.checkpoints.best import BestMetrics
from lrfdn_arch.training.log.loss_watch import LossWatch
from lrfdn_arch.training.log.progress_line import LiveLine, duration
from lrfdn_arch.training.log.sinks import Sink
from lrfdn_arch.training.log.speed import Pace

# After this many iterations the time the run will take is known well enough to say it.
FIRST_ESTIMATE = 50


class RunLog:
    """The screen and the sinks of a run. In other processes than the first it says nothing.

    Args:
        start: the iteration the run starts after.
        total: the last iteration.
        sinks: where numbers are kept.
        active: whether this is the first process.
        line: the screen.
    """

    def __init__(
        self,
        start: int,
        total: int,
        sinks: Sequence[Sink] = (),
        active: bool = True,
        line: LiveLine | None = None,
    ) -> None:
        self.start = start
        self.total = total
        self.sinks = sinks
        self.active = active
        self.line = line or LiveLine()
        self.pace = Pace(start, total)
        self._watch = LossWatch()
        self._last = ""  # loss and rate, as last read off the device
        self._metric = ""

    def note(self, text: str) -> None:
        """Print a line and keep it in the log file."""
        if self.active:
            self.line.print(text)
            logging.getLogger("basicsr").info(text)

    def elsewhere(self) -> AbstractContextManager[None]:
        """Around validation and saving, which are no part of the rate."""
        return self.pace.elsewhere()

    def waited(self, seconds: float) -> None:
        """Add to the time spent waiting for data."""
        self.pace.waited += seconds

    def tick(self, iteration: int) -> None:
        """After every iteration: move the live line, say the time the run will take once."""
        if not self.active:
            return
        if iteration - self.start == FIRST_ESTIMATE and iteration < self.total:
            self.note(
                f"about {duration(self.pace.left(iteration))} to go, at "
                f"{self.pace.rate(iteration):.1f} iterations a second"
            )
        if self.line.due:
            self.line.show(self._status(iteration))

    def training(self, iteration: int, epoch: float, rate: float, log: Mapping[str, float]) -> None:
        """A line of the log: losses and learning rate since the last one."""
        speed, waited = self.pace.rate(iteration), self.pace.waited
        losses = " ".join(f"{k} {v:.4e}" for k, v in log.items() if k.startswith("l_"))
        self._last = f"{losses} lr {rate:.2e}"
        self.pace.reset(iteration)
        if not self.active:
            return
        values = {"epoch": epoch, "lr": rate, **log, "iter_per_s": speed, "data_s": waited}
        self._write("train", iteration, values)
        text = (
            f"iter {iteration:,}/{self.total:,} epoch {epoch:.2f} {self._last} "
            f"{speed:.2f} it/s, {duration(self.pace.left(iteration))} left"
        )
        if not self.line.is_terminal:
            self.line.print(text)
        logging.getLogger("basicsr").info(text)
        total = sum(value for name, value in log.items() if name.startswith("l_"))
        if warning := self._watch.warning(iteration, total):
            self.note(warning)

    def validation(
        self,
        iteration: int,
        dataset: str,
        averages: Mapping[str, Mapping[str, float]],
        best: BestMetrics,
    ) -> None:
        """A validation's results: kind of weights (ema, raw) -> metric -> average."""
        if not self.active:
            return
        both = len(averages) > 1
        for weights, metrics in averages.items():
            values = {"dataset": dataset, "weights": weights, "metrics": dict(metrics)}
            self._write("validation", iteration, values | ({"also_ema": True} if both else {}))
        first = next(iter(averages.values()))
        parts = []
        for name, value in first.items():
            others = "".join(f" ({w} {m[name]:.4f})" for w, m in list(averages.items())[1:])
            record = best.get(dataset, name)
            top = f", best {record['val']:.4f} @ {record['iter']:,}" if record else ""
            parts.append(f"{name} {value:.4f}{others}{top}")
        if parts:
            self._metric = parts[0]
        self.note(f"iter {iteration:,} {dataset}: {'; '.join(parts) or 'no metrics asked for'}")

    def close(self) -> None:
        """Take the live line away and finish the sinks."""
        self.line.clear()
        for sink in self.sinks:
            sink.close()

    def _write(self, kind: str, iteration: int, values: Mapping) -> None:
        for sink in self.sinks:
            sink.write(kind, iteration, values)

    def _status(self, iteration: int) -> str:
        filled = round(20 * iteration / self.total)
        bar = "#" * filled + "." * (20 - filled)
        left = duration(self.pace.left(iteration))
        text = (
            f"[{bar}] {iteration:,}/{self.total:,} {self.pace.rate(iteration):.1f} it/s {left} left"
        )
        return " ".join(filter(None, (text, self._last, self._metric)))


def log_to_file(path: Path, active: bool) -> None:
    """Let BasicSR's logger, which BasicSR's classes use, write to ``path``, warnings on screen too.

    Its own set-up prints every message and a network's whole structure on the screen.
    """
    from basicsr.utils import get_root_logger

    logger = get_root_logger()
    stop_logging()
    logger.setLevel(logging.INFO if active else logging.ERROR)
    screen = logging.StreamHandler()
    screen.setLevel(logging.WARNING)
    screen.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.addHandler(screen)
    if active:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(path, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
        logger.addHandler(file)


def stop_logging() -> None:
    """Close what BasicSR's logger writes to."""
    logger = logging.getLogger("basicsr")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
