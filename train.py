"""Train a network: ``python train.py -opt options/train/LRFDN/train_LRFDN_x4_demo.yml``."""

import sys
from functools import partial
from pathlib import Path

from lrfdn_arch.commands.train import main
from lrfdn_arch.entry import run

if __name__ == "__main__":
    sys.exit(run(partial(main, root=Path(__file__).parent)))
