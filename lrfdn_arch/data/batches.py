"""Batches between the loader and the network."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def to_device(batch: Mapping[str, Any], device: torch.device, **layout: Any) -> dict[str, Any]:
    """Return ``batch`` with its tensors on ``device``, images as float32 in [0, 1].

    uint8 images are converted on the device: they are a quarter of the size of floats. Copies from
    page-locked memory are asynchronous.
    """
    return {
        key: to_unit_float(value.to(device, non_blocking=True), **layout)
        if isinstance(value, Tensor)
        else value
        for key, value in batch.items()
    }


def to_unit_float(image: Tensor, **layout: Any) -> Tensor:
    """Return ``image`` as float32: uint8 divided by 255, floats in [0, 1] unchanged."""
    if image.dtype == torch.uint8:  # conversion, division and layout in one kernel
        return torch.div(image, 255, out=torch.empty_like(image, dtype=torch.float32, **layout))
    return image.to(torch.float32, **layout)
