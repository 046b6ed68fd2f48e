"""BasicSR's option file as typed, checked, documented, frozen models.

    options = load_options("options/train/LRFDN/x4.yml", TrainOptions, overrides=["scale=2"])
    opt = to_basicsr(options, root=project_root)  # a fresh dict with everything BasicSR expects

Importing this package imports neither torch nor BasicSR.
"""

from lrfdn_arch.options.basicsr_dict import Placement, check_files, to_basicsr
from lrfdn_arch.options.faults import Fault, OptionsError
from lrfdn_arch.options.loading import load_options, stage_options
from lrfdn_arch.options.root import Options, TestOptions, TrainOptions

__all__ = [
    "Fault",
    "Options",
    "OptionsError",
    "Placement",
    "TestOptions",
    "TrainOptions",
    "check_files",
    "load_options",
    "stage_options",
    "to_basicsr",
]
