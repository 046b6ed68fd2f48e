"""imresize against BasicSR's, on a 2040x1404 image: python benchmarks/bench_imresize.py."""

import argparse

import cv2
import numpy as np
from common import HEIGHT, WIDTH, in_turns, machine, photographs, table

import lrfdn_arch  # noqa: F401 (repairs what BasicSR's import needs)
from lrfdn_arch.data.bicubic import imresize


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    from basicsr.utils.matlab_functions import imresize as basicsr_imresize

    (image,) = photographs(1)
    as_float = image.astype(np.float64) / 255  # its conversion is not counted: some have it anyway
    rows = []
    for name, scale in (("1/2", 1 / 2), ("1/3", 1 / 3), ("1/4", 1 / 4), ("1/8", 1 / 8)):
        seconds = in_turns(
            repeats,
            ours=lambda scale=scale: imresize(image, scale),
            basicsr=lambda scale=scale: basicsr_imresize(as_float, scale),
        )
        theirs = np.rint(np.clip(basicsr_imresize(as_float, scale), 0, 1) * 255)
        ours = imresize(image, scale)
        different = 100 * np.mean(theirs != ours)
        ratio = seconds["basicsr"] / seconds["ours"]
        rows.append([name, seconds["basicsr"] * 1e3, seconds["ours"] * 1e3, ratio, different])
    headers = ["scale", "BasicSR ms", "ours ms", "times faster", "% pixels BasicSR has different"]
    print(machine())
    print(f"{WIDTH}x{HEIGHT}x3 uint8, median of {repeats}\n")
    print(table(rows, headers))
    floor = in_turns(repeats, convert=lambda: image.astype(np.float32))["convert"] * 1e3
    print(f"\nfloor: uint8 to float32 once, which the products need: {floor:.1f} ms")
    copy = in_turns(
        repeats, area=lambda: cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=3)
    )
    print(f"for comparison, OpenCV's 4x4 mean (INTER_AREA) at 1/4: {copy['area'] * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
