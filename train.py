"""Train a network: ``python train.py -opt options/train/LRFDN/train_LRFDN_x4_demo.yml``."""

import sys
from functools import partial
from pathlib import Path

from lrfdn_arch.entry import run
from lrfdn_arch.training.run import main

if __name__ == "__main__":
    sys.exit(run(partial(main, root=Path(__file__).parent)))
