"""Mapping of CUDA calls in foreign code to the device at hand."""

import os
import pickle
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_NOTHING = (
    "empty_cache",
    "ipc_collect",
    "manual_seed",
    "manual_seed_all",
    "reset_peak_memory_stats",
    "set_device",
    "synchronize",
)
_ZERO = ("current_device", "max_memory_allocated", "memory_allocated")


class CudaTo(TorchFunctionMode):
    """Within this context, torch functions that name a CUDA device use ``device`` instead."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call ``func`` with its devices mapped."""
        named = {name: self._mapped(value) for name, value in (kwargs or {}).items()}
        if func is torch.Tensor.cuda:
            return args[0].to(self._device)
        # The first argument is a tensor, or the device of torch.device(...) itself.
        return func(*args[:1], *map(self._mapped, args[1:]), **named)

    def _mapped(self, value: Any) -> Any:
        is_cuda = (isinstance(value, torch.device) and value.type == "cuda") or (
            isinstance(value, str) and value.split(":")[0] == "cuda"
        )
        return self._device if is_cuda else value


def replace_cuda(device: torch.device) -> None:
    """Replace CUDA calls of this process that a ``TorchFunctionMode`` does not see."""
    cuda: Any = torch.cuda
    module: Any = nn.Module

    def nothing(*arguments: Any, **options: Any) -> None:
        pass

    def zero(*arguments: Any, **options: Any) -> int:
        return 0

    event = SimpleNamespace(record=nothing, synchronize=nothing, elapsed_time=zero)
    cuda.Event = lambda *arguments, **options: event
    for name in _NOTHING:
        setattr(cuda, name, nothing)
    for name in _ZERO:
        setattr(cuda, name, zero)
    module.cuda = lambda self, *arguments, **options: self.to(device)


def load_to(
    device: torch.device, on_file: Callable[[str], None]
) -> Callable[..., Mapping[str, Any]]:
    """Return a ``torch.load`` that loads to ``device``: weights only where the file allows it.

    ``on_file`` is called with the path of each file.
    """
    load = torch.load

    def load_mapped(file: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(file, (str, os.PathLike)):
            on_file(os.fspath(file))
        try:
            return load(file, map_location=device, weights_only=True)
        except pickle.UnpicklingError:  # whole modules; this process is confined
            return load(file, map_location=device, weights_only=False)

    return load_mapped
