"""One line at the bottom of a terminal that is written over, and plain lines above it."""

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
        self.stream.write(_ERASE + text[: width - 1])
        self.stream.flush()
        self._shown = True
        self._due = time.monotonic() + _SECONDS_BETWEEN

    def print(self, text: str) -> None:
        """Print ``text`` as a line of its own, above the live one."""
        self.clear()
        print(text, file=self.stream, flush=True)

    def clear(self) -> None:
        """Take the live line away."""
        if self._shown:
            self.stream.write(_ERASE)
            self._shown = False
            self._due = 0.0


def duration(seconds: float) -> str:
    """Return ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
