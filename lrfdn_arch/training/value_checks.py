"""Comparing values from a file, plain ones and tensors, nested or not, with expected ones."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lrfdn_arch.text import first_few

_LARGEST = 2**63


def differences(found: Any, expected: Any, name: str) -> Iterator[str]:
    """Yield where ``found`` is of another kind or shape than ``expected``, or not finite."""
    if isinstance(expected, Tensor):
        if expected.numel() == 1 and is_number(found):
            return  # step counters were plain numbers once
        if not is_plain_tensor(found):
            yield f"{name} is not a plain tensor"
        elif found.shape != expected.shape or found.dtype != expected.dtype:
            yield f"{name} is {_kind(found)}, expected {_kind(expected)}"
        elif not torch.isfinite(found).all():
            yield f"{name} contains values that are not finite"
    elif isinstance(expected, Mapping):
        if not isinstance(found, Mapping) or found.keys() != expected.keys():
            yield f"{name} has other keys than {first_few(map(str, expected))}"
            return
        for key, value in expected.items():
            yield from differences(found[key], value, f"{name}:{key}")
    elif isinstance(expected, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(expected):
            yield f"{name} is {found!r}, expected {len(expected)} values"
            return
        for number, value in enumerate(expected):
            yield from differences(found[number], value, f"{name}:{number}")
    elif expected is None:
        if found is not None:
            yield f"{name} is {found!r}, expected nothing"
    elif isinstance(expected, bool):
        if not isinstance(found, bool):
            yield f"{name} is {found!r}, expected true or false"
    elif not is_number(found):
        yield f"{name} is {found!r}, expected a finite number"


def shapes(tensors: Any) -> dict[Any, torch.Size] | None:
    """Return the shapes in a mapping from names to tensors, None for anything else."""
    if not isinstance(tensors, Mapping) or not all(isinstance(name, str) for name in tensors):
        return None
    if not all(map(is_plain_tensor, tensors.values())):
        return None
    return {name: tensor.shape for name, tensor in tensors.items()}


def is_nothing(value: Any) -> bool:
    """Return whether ``value`` is None or an empty mapping."""
    return value is None or (isinstance(value, Mapping) and not value)


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}".removeprefix("torch.")


def is_plain_number(value: Any) -> bool:
    """Return whether ``value`` is a number, or numbers such as Adam's betas; not a bool."""
    if isinstance(value, list | tuple):
        return bool(value) and all(map(is_plain_number, value))
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= _LARGEST  # floats take no larger ones
    return isinstance(value, float)


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a finite number or a tensor of one."""
    if isinstance(value, Tensor):
        return is_plain_tensor(value) and value.numel() == 1 and is_number(value.item())
    return not isinstance(value, list | tuple) and is_plain_number(value) and math.isfinite(value)


def is_plain_tensor(value: Any) -> bool:
    """Return whether ``value`` is a dense tensor with memory for each of its elements."""
    return (
        isinstance(value, Tensor)
        and not (value.is_meta or value.is_nested or value.is_quantized)
        and value.layout == torch.strided
        and value.stride() == torch.empty_like(value, device="meta").stride()  # else expanded
    )


def is_count(value: Any) -> bool:
    """Return whether ``value`` is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_list_of_dicts(value: Any) -> bool:
    """Return whether ``value`` is a list of mappings."""
    return isinstance(value, list) and all(isinstance(one, Mapping) for one in value)
