"""Packing PNGs into an LMDB against BasicSR's make_lmdb_from_imgs.

Run: python benchmarks/bench_packing.py
"""

import argparse
import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from common import in_turns, machine, photographs, table, write_pngs

import lrfdn_arch  # noqa: F401 (repairs what BasicSR's import needs)
from lrfdn_arch.prepare.packing import PackOptions, Target, pack


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    from basicsr.utils.lmdb_util import make_lmdb_from_imgs

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = write_pngs(photographs(arguments.images), root / "png")

        def basicsr() -> None:
            shutil.rmtree(root / "basicsr.lmdb", ignore_errors=True)
            names, keys = [p.name for p in paths.values()], list(paths)
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                make_lmdb_from_imgs(str(root / "png"), str(root / "basicsr.lmdb"), names, keys)

        def ours(codec: str) -> Callable[[], None]:
            def run() -> None:
                pack(paths, [Target(root / f"{codec}.lmdb")], PackOptions(codec), overwrite=True)

            return run

        seconds = in_turns(arguments.repeats, basicsr=basicsr, ppm=ours("ppm"), png=ours("png"))
        rows = [
            [
                name,
                per * 1e3 / arguments.images,
                seconds["basicsr"] / per,
                (root / f"{name}.lmdb" / "data.mdb").stat().st_size / 1e6 / arguments.images,
            ]
            for name, per in seconds.items()
        ]
        floor = _floor(paths, arguments.repeats)
    print(machine())
    print(
        f"{arguments.images} PNGs of 2040x1404, median of {arguments.repeats}, on disk and synced\n"
    )
    print(table(rows, ["packer", "ms per image", "times faster", "MB per image"]))
    print(f"\nfloor: decoding the PNGs on all cores, nothing written: {floor:.1f} ms per image")


def _floor(paths: dict[str, Path], repeats: int) -> float:
    import os
    from concurrent.futures import ThreadPoolExecutor

    from lrfdn_arch.prepare import source_image

    files = [path.read_bytes() for path in paths.values()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seconds = in_turns(repeats, all=lambda: list(pool.map(source_image.read, files)))
    return seconds["all"] * 1e3 / len(files)


if __name__ == "__main__":
    main()
