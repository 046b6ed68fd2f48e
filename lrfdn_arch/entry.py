"""Entry point of every command: exit codes, and one line instead of a traceback for user errors."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lrfdn_arch.extras import hint
from lrfdn_arch.text import error_message

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130  # the shell's conventions: 128 and the signal's number
EXIT_TERMINATED = 143


class TerminatedError(KeyboardInterrupt):
    """SIGTERM arrived; it unwinds the stack as Ctrl-C does."""


def run(command: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Run ``command`` on ``argv`` (by default the process's) and return its exit code.

    ``ValueError`` and ``OSError`` carry messages written for users: they are printed on stderr and
    the code is 2; so is the extra that installs a missing package. With ``--debug`` among the
    arguments they are raised as they are. All other exceptions are bugs and keep their traceback.
    SIGTERM ends a command as Ctrl-C does, so that unfinished files are removed.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        with _sigterm_raised():
            return command(arguments) or 0
    except TerminatedError:
        print("\nterminated", file=sys.stderr)
        return EXIT_TERMINATED
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (ValueError, OSError, ModuleNotFoundError) as error:
        missing = isinstance(error, ModuleNotFoundError)
        message = hint(error.name) if missing else error_message(error)
        if message is None or "--debug" in arguments:
            raise
        print(f"error: {message}", file=sys.stderr)
        return EXIT_MISTAKE


@contextmanager
def _sigterm_raised() -> Iterator[None]:
    """Raise TerminatedError on SIGTERM, unless the caller of this process had it ignored.

    Forked processes inherit the handler but not this stack; SIGTERM ends them at once.
    """
    process = os.getpid()

    def terminate(number: int, frame: object) -> None:
        if os.getpid() == process:
            raise TerminatedError
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or before in (signal.SIG_IGN, None):
        yield
        return
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
