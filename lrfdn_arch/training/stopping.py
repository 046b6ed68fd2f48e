"""Ending in an orderly way when asked to: Ctrl-C, and SIGTERM from a scheduler."""

import signal
from types import FrameType

EXIT_BASE = 128  # a process ended by signal n counts as exit code 128 + n


class StopRequest:
    """While active, SIGINT and SIGTERM are noted instead of ending the process.

    A second Ctrl-C ends it at once, without saving.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @property
    def requested(self) -> bool:
        """Whether somebody asked."""
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """The exit code of a process that was asked to end: 130 after Ctrl-C, 143 after SIGTERM."""
        return EXIT_BASE + (self.signal or signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
