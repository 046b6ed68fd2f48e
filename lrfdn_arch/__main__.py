"""``python -m lrfdn_arch``: the ``lrfdn`` command, also where its script is not on the PATH."""

from lrfdn_arch.cli import console

if __name__ == "__main__":
    console()
