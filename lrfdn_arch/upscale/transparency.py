"""Colours under alpha: filling invisible ones, dividing premultiplied ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def with_hidden_filled(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Return colours in which pixels of alpha 0 have that of the nearest visible pixel.

    A network reads neighbours: black under alpha 0 would darken the edge of what is visible.

    Args:
        colours: (H, W, C).
        alpha: (H, W), of the same type.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return colours
    far = sum(alpha.shape)
    distance, columns = _nearest(np.where(hidden.T, far, 0))  # within each row
    _, rows = _nearest(distance.T)
    return colours[rows, np.take_along_axis(columns.T, rows, 0)]


def _nearest(cost: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the least ``cost[k] + abs(row - k)`` of every row, and the k that has it.

    Used on rows and then on columns it finds the nearest pixel by horizontal plus vertical steps.
    """
    bits = len(cost).bit_length()
    row = np.arange(len(cost), dtype=np.int64)[:, None]
    # Each number holds a sum and, in its last bits, k, so that a running minimum carries both.
    above = np.minimum.accumulate(((cost - row) << bits) + row)
    below = np.minimum.accumulate((((cost + row) << bits) + row)[::-1])[::-1]
    nearer = np.minimum(above + (row << bits), below - (row << bits))
    return nearer >> bits, nearer & ((1 << bits) - 1)


def unmultiplied(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Divide premultiplied colours (H, W, C) by their alpha (H, W, 1)."""
    largest = np.iinfo(colours.dtype).max
    whole = colours * (float(largest) / np.maximum(alpha, 1))
    return whole.clip(0, largest).round().astype(colours.dtype)
