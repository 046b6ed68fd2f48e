"""Batches on their way from the loader to the network."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def to_device(batch: Mapping[str, Any], device: torch.device, **layout: Any) -> dict[str, Any]:
    """Return ``batch`` with its tensors on ``device``, images as float32 in [0, 1].

    uint8 images travel as bytes, a quarter of the float's size, and are converted there. Moving
    page-locked memory does not wait.
    """
    return {
        key: to_unit_float(value.to(device, non_blocking=True), **layout)
        if isinstance(value, Tensor)
        else value
        for key, value in batch.items()
    }


def to_unit_float(image: Tensor, **layout: Any) -> Tensor:
    """Return ``image`` as float32 in [0, 1]: uint8 is divided by 255, floats stay as they are."""
    if image.dtype == torch.uint8:
        return image.to(torch.float32, **layout).div_(255)
    return image.to(torch.float32, **layout)
