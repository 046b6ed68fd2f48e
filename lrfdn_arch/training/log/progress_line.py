"""One line at the bottom of a terminal that is written over, and plain lines above it."""

import os
import shutil
import sys
import time
from typing import TextIO

_ERASE = "\r\x1b[K"
_SECONDS_BETWEEN = 0.2


class LiveLine:
    """Shows text in place on a terminal; where output is piped only whole lines appear.

    Args:
        stream: where to; standard output by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.is_terminal = self.stream.isatty()
        self._shown = False
        self._due = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to show something new; cheap, to be asked before making the text."""
        return self.is_terminal and time.monotonic() >= self._due

    def show(self, text: str) -> None:
        """Replace the line by ``text``, cut to the terminal's width."""
        if not self.is_terminal:
            return
        width = shutil.get_terminal_size().columns
        self._write(_ERASE + text[: width - 1])
        self._shown = True
        self._due = time.monotonic() + _SECONDS_BETWEEN

    def print(self, text: str) -> None:
        """Print ``text`` as a line of its own, above the live one."""
        self.clear()
        self._write(text + "\n")

    def clear(self) -> None:
        """Take the live line away."""
        if self._shown:
            self._shown = False
            self._due = 0.0
            self._write(_ERASE)

    def _write(self, text: str) -> None:
        """Write ``text`` at once; once nobody reads any more, nothing.

        The Ctrl-C that stops a training stops the ``tee`` or ``less`` behind it first.
        """
        try:
            self.stream.write(text)
            self.stream.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())  # Python flushes it once more at the end
            os.close(nowhere)
            self.is_terminal = False


def duration(seconds: float) -> str:
    """Return ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
