"""The lines a training run prints and keeps, its progress bar, and how fast it is."""

import contextlib
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from lrfdn_arch.files import writing
from lrfdn_arch.progress import progress_bar
from lrfdn_arch.training.metric_writers import MetricWriter
from lrfdn_arch.training.validation import Averages, Records

FIRST_ESTIMATE = 50  # iterations after which the duration of the run is known well enough
_EXPLODED = 10  # times the lowest loss; batches and schedules change it two- or threefold


class RunLogger:
    """Standard output, the log file and the metric writers of a run.

    The run starts after iteration ``start``. Only the first process is ``active``: others print
    nothing. The loop adds to ``waited`` the seconds it waits for data.
    """

    def __init__(
        self, start: int, total: int, writers: Sequence[MetricWriter] = (), active: bool = True
    ) -> None:
        self.writers, self.active = writers, active
        self._start, self._total = start, total
        self._has_bar = active and sys.stdout.isatty()
        self._bar: tqdm | None = None
        self._lowest, self._exploded = math.inf, False
        self._metric = ""
        self.begin()

    def begin(self) -> None:
        """Start the clocks, just before the first iteration."""
        self._start_line(self._start)
        self._began = self._first_ended = self._marked
        if self._has_bar and self._bar is None:
            self._bar = progress_bar(self._total, unit="it", file=sys.stdout)
            self._bar.initial = self._bar.n = self._start

    def _start_line(self, iteration: int) -> None:
        self.waited = 0.0
        self._paused = 0.0  # seconds spent on other work than training since the last line
        self._marked, self._mark = time.perf_counter(), iteration

    def note(self, text: str) -> None:
        """Print a line and keep it in the log file."""
        if self.active:
            self._print(text)
            logging.getLogger("basicsr").info(text)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the duration of a block out of the iterations per second."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._paused += time.perf_counter() - began

    def progress(self, text: str) -> None:
        """Show what is done between iterations, on a terminal only."""
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def tick(self, iteration: int) -> None:
        """Count an iteration; print once how long the run will take."""
        if iteration == self._start + 1:
            self._first_ended = time.perf_counter()
        if iteration - self._start == FIRST_ESTIMATE and iteration < self._total:
            rate = f"{self._rate(iteration):.1f} iterations a second"
            self.note(f"about {self._left(iteration)} to go, at {rate}")
        if self._bar is not None:
            self._bar.update(iteration - self._bar.n)

    def training(self, iteration: int, epoch: float, rate: float, log: Mapping[str, float]) -> None:
        """Print and write the means of the losses since the last call, and the learning rate."""
        speed, waited = self._rate(iteration), self.waited
        self._start_line(iteration)
        if not self.active:
            return
        values = {"epoch": epoch, "lr": rate, **log, "iter_per_s": speed, "data_s": waited}
        self._write("train", iteration, values)
        losses = {name: value for name, value in log.items() if name.startswith("l_")}
        status = " ".join(f"{name} {value:.4e}" for name, value in losses.items())
        status = f"{status} lr {rate:.2e}"
        text = (
            f"iter {iteration:,}/{self._total:,} epoch {epoch:.2f} {status} {speed:.2f} it/s, "
            f"{self._left(iteration)} left"
        )
        logging.getLogger("basicsr").info(text)
        if self._bar is not None:
            self._bar.set_postfix_str(f"{status} {self._metric}", refresh=False)
        else:
            self._print(text)
        self._warn_of_explosion(iteration, sum(losses.values()))

    def validation(self, iteration: int, dataset: str, averages: Averages, best: Records) -> None:
        """Print and write the results of a validation, beside the ``best`` so far."""
        both = {"also_ema": True} if len(averages) > 1 else {}
        for weights, metrics in averages.items():
            values = {"dataset": dataset, "weights": weights, "metrics": dict(metrics), **both}
            self._write("validation", iteration, values)
        first, *others = averages.items()
        parts = []
        for name, value in first[1].items():
            more = "".join(f" ({weights} {m[name]:.4f})" for weights, m in others)
            record = best.get(name)
            top = f", best {record['val']:.4f} @ {record['iter']:,}" if record else ""
            parts.append(f"{name} {value:.4f}{more}{top}")
        self._metric = parts[0] if parts else ""
        results = "; ".join(parts) or "no metrics in val:metrics"
        self.note(f"iter {iteration:,} {dataset}: {results}")

    def close(self) -> None:
        """Remove the progress bar and finish the writers."""
        if self._bar is not None:
            self._bar.close()
        for writer in self.writers:
            writer.close()

    def _warn_of_explosion(self, iteration: int, loss: float) -> None:
        """Warn when the loss, still finite, jumps; once until it has come back."""
        exploded_before, self._exploded = self._exploded, loss > _EXPLODED * self._lowest
        self._lowest = min(self._lowest, loss)
        if self._exploded and not exploded_before:
            self.note(
                f"iter {iteration:,}: the loss is {loss / self._lowest:.3g} times its lowest. "
                "Weights seldom recover from that: start from an earlier checkpoint, such as "
                "net_g_best.pth (path:pretrain_network_g), with a lower train:optim_g:lr"
            )

    def _write(self, kind: str, iteration: int, values: Mapping) -> None:
        for writer in self.writers:
            writer.write(kind, iteration, values)

    def _rate(self, iteration: int) -> float:
        """Return the iterations per second of training since the last line."""
        spent = time.perf_counter() - self._marked - self._paused
        return (iteration - self._mark) / spent if iteration > self._mark and spent > 0 else 0.0

    def _left(self, iteration: int) -> str:
        """Return the duration of the remaining iterations, validation and saving included."""
        began, done = self._began, iteration - self._start
        if done > 1:  # the first iteration imports and tunes what the others use
            began, done = self._first_ended, done - 1
        spent = time.perf_counter() - began
        return duration(spent / done * (self._total - iteration) if done else 0.0)

    def _print(self, text: str) -> None:
        """Print a line above the bar, or nothing once the reader of a pipe has ended.

        Ctrl-C ends a ``tee`` or ``less`` behind a training before it ends the training.
        """
        try:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())  # Python flushes it once more at the end
            os.close(nowhere)


def duration(seconds: float) -> str:
    """Return ``1:02:03`` or ``2:03``."""
    return tqdm.format_interval(round(max(seconds, 0))).removeprefix("0")


def log_to_file(path: Path, active: bool) -> None:
    """Write what BasicSR's logger receives to ``path``, and warnings to the screen.

    BasicSR's own set-up prints every message and a network's whole structure. Processes that are
    not ``active``, all but the first, log errors only, to the screen.
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
        file = _LogFile(path, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
        logger.addHandler(file)


class _LogFile(logging.FileHandler):
    """A log file; where it cannot be written the run ends, as with the run's other files."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        with writing(Path(self.baseFilename)):
            raise  # the error that logging is handling, of which it would print the traceback


def stop_logging() -> None:
    """Remove and close the handlers of BasicSR's logger."""
    logger = logging.getLogger("basicsr")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):  # lines that could not be written before
            handler.close()
