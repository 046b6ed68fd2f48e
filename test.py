"""Test a network: ``python test.py -opt options/test/LRFDN/test_LRFDN_x4_released.yml``."""

import sys
from functools import partial
from pathlib import Path

from lrfdn_arch.commands.test import main
from lrfdn_arch.entry import run

if __name__ == "__main__":
    sys.exit(run(partial(main, root=Path(__file__).parent)))
