"""``lrfdn verify``: checks that LMDBs are complete and that LR and HR belong together."""

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser("verify", help="check that LMDBs are complete and belong together")
    parser.add_argument("lmdbs", nargs="+", metavar="LMDB", help="e.g. datasets/**/*.lmdb")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Check every LMDB, report all faults at the end."""
    from lrfdn_arch.data.lmdb_reader import read_meta_info
    from lrfdn_arch.prepare.verify import describe, expand, pairs, verify_images, verify_pair
    from lrfdn_arch.progress import progress_bar

    paths = expand(arguments.lmdbs)
    faults: dict[Path, str] = {}
    for path in paths:
        try:
            with progress_bar(len(read_meta_info(path)), path.name) as bar:
                verify_images(path, bar.update)
            print(f"whole: {describe(path)}")
        except (ValueError, OSError) as error:
            faults[path] = str(error)
    for lq, gt, scale in pairs(paths):
        if lq in faults or gt in faults:
            continue
        try:
            exact = verify_pair(lq, gt, scale)
            print(f"pair:  {lq} belongs to {gt}; {exact} LR images compared are MATLAB's bicubic")
        except (ValueError, OSError) as error:
            faults[lq] = str(error)
    if faults:
        head = f"faulty LMDBs: {len(faults)} of {len(paths)}"
        raise ValueError("\n".join([head, *faults.values()]))
