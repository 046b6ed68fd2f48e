"""How every command starts and ends: one line for a user's mistake, an exit code, no traceback."""

import sys
from collections.abc import Callable, Sequence

from lrfdn_arch.text import error_message

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130  # the shell's convention for SIGINT


def run(command: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Run ``command`` on ``argv`` (by default the process's) and return its exit code.

    ``ValueError`` and ``OSError`` carry messages written for users: they are printed on stderr and
    the code is 2. With ``--debug`` among the arguments they are raised as they are. Everything
    else is a fault of the program and keeps its traceback.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        return command(arguments) or 0
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (ValueError, OSError) as error:
        if "--debug" in arguments:
            raise
        print(f"error: {error_message(error)}", file=sys.stderr)
        return EXIT_MISTAKE
