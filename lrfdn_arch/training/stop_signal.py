"""Stopping in order at Ctrl-C or SIGTERM, and at once at the second one."""

import os
import signal
import socket
import sys
import threading
import time
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)
_EXIT_BASE = 128  # shells report a process ended by signal n as 128 + n
_SAME_REQUEST = 1.0  # seconds; launchers pass on a signal that the whole group has received
_GRACE = 2.0  # seconds the main thread has to end after the second signal


class StopSignal:
    """While active, the first SIGINT or SIGTERM is noted and a second one ends the process.

    A main thread that waits in a collective operation runs no signal handlers. So the second signal
    is handled by a thread of its own, which ends the process without saving if the main thread does
    not.

    Attributes:
        requested: whether the run was asked to stop.
        deferred: whether the first signal is only noted, because the loop asks for it after every
            iteration; otherwise it interrupts the main thread, as without this class.
        exit_code: of a stopped process: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self) -> None:
        self.requested = self.deferred = False
        self.exit_code = _EXIT_BASE + signal.SIGTERM
        self._since = 0.0

    def __enter__(self) -> "StopSignal":
        self._before = {number: signal.signal(number, self._handle) for number in _STOPPING}
        received, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._left = threading.Event()
        threading.Thread(target=self._end_at_the_second, args=(received,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._left.set()
        self._sender.close()  # ends the thread

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.requested:
            self.requested, self.exit_code, self._since = True, _EXIT_BASE + number, now
            if self.deferred:
                return
        elif now - self._since < _SAME_REQUEST:
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(self.exit_code)

    def _end_at_the_second(self, received: socket.socket) -> None:
        """Read the numbers of received signals; end the process at the second request to stop."""
        first: float | None = None
        with received:
            while numbers := received.recv(64):
                for number in set(numbers).intersection(_STOPPING):
                    if first is None:
                        first = time.monotonic()
                    elif time.monotonic() - first >= _SAME_REQUEST and not self._left.wait(_GRACE):
                        os._exit(_EXIT_BASE + number)
