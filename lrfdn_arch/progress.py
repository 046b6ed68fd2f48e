"""The progress bar of every command."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm

_SECONDS_BETWEEN_LOG_LINES = 30


def progress_bar(
    total: float | None,
    description: str = "",
    *,
    unit: str = "images",
    file: TextIO | None = None,
    log: bool = True,
) -> "tqdm[Any]":
    """Return a tqdm bar, to be used as a context manager.

    On a terminal the bar is redrawn in place and removed at the end. In a log file it leaves a line
    every half minute and one at the end. Print above it with ``bar.write(text, file=...)``.

    Args:
        total: how much there is to do, if it is known.
        description: shown before the bar.
        unit: what is counted: "B" counts bytes, "" shows the percentage only (for fractions).
        file: where the bar is drawn, by default stderr.
        log: whether there is a bar in log files too.
    """
    stream: TextIO = sys.stderr if file is None else file
    terminal = stream.isatty()
    names = () if terminal else ("mininterval", "maxinterval")
    count = "{n_fmt}/{total_fmt} {unit} " if unit else ""
    return tqdm(
        total=total,
        desc=description or None,
        unit=unit,
        unit_scale=unit == "B",
        file=stream,
        disable=not terminal and not log,
        leave=not terminal,
        dynamic_ncols=True,
        **dict.fromkeys(names, _SECONDS_BETWEEN_LOG_LINES),
        bar_format="{l_bar}{bar}| " + count + "[{elapsed}<{remaining}{postfix}]" if total else None,
    )


@contextmanager
def ticking(bar: "tqdm[Any]") -> Iterator[None]:
    """Redraw ``bar`` every second, so that its clock runs during steps that take long."""
    done = threading.Event()

    def redraw() -> None:
        while not done.wait(1):
            bar.refresh()

    thread = threading.Thread(target=redraw, daemon=True)
    if not bar.disable:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if thread.is_alive():
            thread.join()
