"""How fast iterations go and how long the rest will take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Pace:
    """Measures iterations per second, and the seconds that validation and saving take.

    Args:
        start: the iteration the run starts after.
        total: the last iteration.
    """

    def __init__(self, start: int, total: int) -> None:
        self.total = total
        self.begin(start)

    def begin(self, start: int) -> None:
        """Start all clocks, after iteration ``start``."""
        self.waited = 0.0  # seconds spent waiting for data since the last reset
        self._start = self._mark = start
        self._began = self._marked = time.perf_counter()
        self._elsewhere = self._elsewhere_at_mark = 0.0

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Around what is not training."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._elsewhere += time.perf_counter() - began

    def rate(self, iteration: int) -> float:
        """Return iterations per second of training since the last reset."""
        spent = time.perf_counter() - self._marked - (self._elsewhere - self._elsewhere_at_mark)
        return (iteration - self._mark) / spent if iteration > self._mark and spent > 0 else 0.0

    def left(self, iteration: int) -> float:
        """Return the seconds the rest will take, everything included, or 0 before the first."""
        done = iteration - self._start
        spent = time.perf_counter() - self._began
        return spent / done * (self.total - iteration) if done else 0.0

    def reset(self, iteration: int) -> None:
        """Measure anew from ``iteration`` on."""
        self._mark, self._marked = iteration, time.perf_counter()
        self._elsewhere_at_mark = self._elsewhere
        self.waited = 0.0
