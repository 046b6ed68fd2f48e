"""Signs of life between the processes of a run, so that a dead or stuck one is named.

A collective operation waits for all processes for half an hour and cannot be interrupted. So each
process has a thread that publishes, in the store through which the processes found each other, that
it lives, what it does, and why it ended.
"""

import json
import logging
import os
import platform
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrfdn_arch.text import first_few

_EVERY = 1.0  # seconds between two signs of life
_MISSED = 3.0  # seconds without one that are enough once a collective operation has failed
_GRACE = 5.0  # seconds that a process has to end by itself after another one
_EXIT_CODE = 1


@dataclass
class _Process:
    """What is known of a process, with the local times at which it changed."""

    name: str
    activity: str = "starting"
    place: str = ""
    beat: int = 0
    ended: bool = False
    reason: str = ""
    beat_at: float = field(default_factory=time.monotonic)
    active_at: float = field(default_factory=time.monotonic)

    def update(self, message: dict[str, Any]) -> None:
        now = time.monotonic()
        if message["beat"] != self.beat:
            self.beat_at = now
        if message["activity"] != self.activity:
            self.active_at = now
        vars(self).update(message)


class Peers:
    """The processes of a run, each watched by all others from a thread until :meth:`close`.

    Args:
        store: a ``torch.distributed`` store on a connection of its own; None for a single process.
        rank: of this process.
        size: number of processes.
        limits: the option file's ``dist_params``, with ``timeout`` and ``stuck_timeout``.

    Attributes:
        activity: what this process does, in messages of the others.
    """

    def __init__(self, store: Any = None, rank: int = 0, size: int = 1, limits: Any = None) -> None:
        self.activity = "starting"
        self._store, self._rank = store, rank
        self._limits = limits
        self._beat = 0
        self._name = f"process {rank} (pid {os.getpid()} on {platform.node()})"
        self._processes = {number: _Process(f"process {number}") for number in range(size)}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if store is not None:
            self._publish()
            self._thread.start()

    def close(self, reason: str = "", in_another: bool = False) -> None:
        """Stop watching, and tell the others that this process ends.

        The ``reason`` is the error that ends it, here or ``in_another`` process; it is empty where
        the run is complete or was asked to stop.
        """
        if self._store is None or self._closing.is_set():
            return
        self._closing.set()
        self._thread.join()
        try:
            self._publish(ended=True, reason="" if in_another else reason)
            deadline = time.monotonic() + _GRACE
            while self._rank == 0 and time.monotonic() < deadline:
                if all(process.ended for process in self._processes.values()):
                    return
                time.sleep(_EVERY / 10)  # the store may end with process 0, and others need it
                self._read()
        except RuntimeError:  # of the store: nobody is left who would read it
            return

    def cause(self) -> str | None:
        """Return why a collective operation failed, where another process is the reason.

        This takes the seconds in which a living process gives a sign of life.
        """
        deadline = time.monotonic() + _MISSED + _EVERY
        while self._store is not None and time.monotonic() < deadline:
            if failure := self._failure(_MISSED):
                return failure
            time.sleep(_EVERY / 10)
        return None

    def _watch(self) -> None:
        failing_since, warned = None, False
        while not self._closing.wait(_EVERY):
            now = time.monotonic()
            try:
                self._publish()
                self._read()
            except RuntimeError:  # of the store: process 0, or its launcher, is lost
                for number, process in self._processes.items():
                    process.beat_at = process.beat_at if number == 0 else now
            failure = self._failure(self._limits.timeout) or self._stuck(self._limits.stuck_timeout)
            if failure is None:
                failing_since, stuck = None, self._stuck(self._limits.timeout)
                if stuck and self._rank == 0 and not warned:
                    logging.getLogger("basicsr").error(stuck)
                warned = stuck is not None
            elif failing_since is None:
                failing_since = now
            elif now - failing_since > _GRACE:
                logging.getLogger("basicsr").error(f"{failure}. Resume with --auto_resume")
                os._exit(_EXIT_CODE)  # the main thread waits in a collective operation

    def _publish(self, ended: bool = False, reason: str = "") -> None:
        self._beat += 1
        frame = sys._current_frames()[threading.main_thread().ident or 0]
        message = {
            "name": self._name,
            "activity": self.activity,
            "place": f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}",
            "beat": self._beat,
            "ended": ended,
            "reason": reason,
        }
        self._store.set(f"peer/{self._rank}", json.dumps(message))

    def _read(self) -> None:
        keys = [f"peer/{number}" for number in self._processes]
        known = [key for key in keys if self._store.check([key])]
        for key, text in zip(known, self._store.multi_get(known), strict=True):
            self._processes[int(key.partition("/")[2])].update(json.loads(text))

    def _failure(self, limit: float) -> str | None:
        """Return which process ended with an error, or gave no sign of life for ``limit`` s."""
        now = time.monotonic()
        others = [p for number, p in self._processes.items() if number != self._rank]
        for process in others:
            if process.reason:
                return f"{process.name} ended: {process.reason}"
        running = [p for p in others if p.beat and not p.ended]
        first = min(running, key=lambda process: process.beat_at, default=None)
        if first is None or now - first.beat_at <= limit:
            return None
        seconds = f"{now - first.beat_at:.0f} s"
        return f"{first.name} has given no sign of life for {seconds}; it was {first.activity}"

    def _stuck(self, limit: float) -> str | None:
        """Return where all processes are, if none of them made progress for ``limit`` s."""
        now, processes = time.monotonic(), self._processes.values()
        running = sorted((p for p in processes if not p.ended), key=lambda p: p.active_at)
        started = all(process.beat for process in processes)
        if not started or not running or now - running[-1].active_at <= limit:
            return None
        places = [f"{p.name} is {p.activity} ({p.place})" for p in running]
        return f"no progress for {now - running[0].active_at:.0f} s: {first_few(places)}"
