"""A figure of several versions of the same images, each with an enlarged crop below."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

DPI = 100
PANEL_WIDTH = 3.6  # inches


@dataclass(frozen=True)
class Row:
    """One image in several versions, in the order they are shown.

    Attributes:
        name: shown beside the row.
        versions: caption -> uint8 RGB (H, W, 3), all of the same size.
        crop: (top, left, side) of the square that is shown enlarged, in pixels.
    """

    name: str
    versions: Mapping[str, Image]
    crop: tuple[int, int, int]


def where_they_differ_most(a: Image, b: Image, side: int = 64) -> tuple[int, int, int]:
    """Return (top, left, side) of the square in which two images (H, W, 3) differ most.

    The square is smaller if the images are smaller.
    """
    difference = np.abs(a.astype(np.int64) - b.astype(np.int64)).sum(axis=2)
    side = min(side, *difference.shape)
    sums = np.pad(difference.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(windows.argmax()), windows.shape)
    return int(top), int(left), side


def side_by_side(rows: Sequence[Row], path: Path) -> None:
    """Write ``path`` (PNG): for each row the full images, with enlarged crops below."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    columns = max(len(row.versions) for row in rows)
    shapes = [next(iter(row.versions.values())).shape for row in rows]
    heights = [h for shape in shapes for h in (PANEL_WIDTH * shape[0] / shape[1], PANEL_WIDTH)]
    size = (PANEL_WIDTH * columns + 0.3, sum(heights) + 0.45 * len(heights))
    figure = Figure(figsize=size, dpi=DPI, layout="compressed")
    axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    for number, row in enumerate(rows):
        top, left, side = row.crop
        for column, (caption, image) in enumerate(row.versions.items()):
            whole, zoomed = axes[2 * number][column], axes[2 * number + 1][column]
            whole.imshow(image, interpolation="none")
            whole.set_title(caption, fontsize=11)
            whole.add_patch(
                Rectangle((left, top), side, side, fill=False, edgecolor="#ffd400", linewidth=1.5)
            )
            zoomed.imshow(image[top : top + side, left : left + side], interpolation="none")
        axes[2 * number][0].set_ylabel(row.name, fontsize=11)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.1)
