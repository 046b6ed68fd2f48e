"""Colours under alpha: the ones nobody sees, and the ones multiplied by it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def with_hidden_filled(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Give pixels whose alpha is 0 the colour of the nearest one that is seen.

    A network reads neighbours: black under alpha 0 becomes a dark fringe of what is seen.

    Args:
        colours: (H, W, C).
        alpha: (H, W), of the same type.
    """
    import cv2

    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return colours
    # One label for each seen pixel; the others bear the label of the nearest seen one.
    _, labels = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    seen = ~hidden
    by_label = np.zeros((labels.max() + 1, colours.shape[2]), colours.dtype)
    by_label[labels[seen]] = colours[seen]
    filled = colours.copy()
    filled[hidden] = by_label[labels[hidden]]
    return filled


def unmultiplied(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Divide colours (H, W, C) by the alpha (H, W, 1) that they were multiplied by."""
    largest = np.iinfo(colours.dtype).max
    whole = colours * (float(largest) / np.maximum(alpha, 1))
    return whole.clip(0, largest).round().astype(colours.dtype)
