"""Colours under alpha: filling invisible ones, dividing premultiplied ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def with_hidden_filled(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Give pixels whose alpha is 0 the colour of the nearest visible pixel.

    A network reads neighbours: black under alpha 0 would darken the edge of what is visible.

    Args:
        colours: (H, W, C).
        alpha: (H, W), of the same type.
    """
    import cv2

    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return colours
    # Each visible pixel gets a label; the others get the label of the nearest visible one.
    _, labels = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    visible = ~hidden
    by_label = np.zeros((labels.max() + 1, colours.shape[2]), colours.dtype)
    by_label[labels[visible]] = colours[visible]
    filled = colours.copy()
    filled[hidden] = by_label[labels[hidden]]
    return filled


def unmultiplied(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Divide premultiplied colours (H, W, C) by their alpha (H, W, 1)."""
    largest = np.iinfo(colours.dtype).max
    whole = colours * (float(largest) / np.maximum(alpha, 1))
    return whole.clip(0, largest).round().astype(colours.dtype)
