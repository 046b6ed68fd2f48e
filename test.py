"""Test a network: ``python test.py -opt options/test/LRFDN/test_LRFDN_x4_released.yml``."""

import sys

from lrfdn_arch.engine.testing import main
from lrfdn_arch.entry import run

if __name__ == "__main__":
    sys.exit(run(main))
