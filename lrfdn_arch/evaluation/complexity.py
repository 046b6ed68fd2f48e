"""Complexity of a network: parameters, FLOPs by two counters, activations, convolutions.

The 2023 counter is that of the NTIRE 2023 Efficient SR kit and of the factsheet's Table 1; since
2024 the challenge has used fvcore. The two give different numbers and are reported separately.
"""

import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_PAPERS_OUTPUT = (720, 1280)  # height and width, from CARN (Ahn et al., ECCV 2018) on
_ACTIVATIONS = (nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6)


@dataclass(frozen=True)
class Complexity:
    """Complexity of one network for one image of a given size.

    Attributes:
        network: name of the network's class.
        input_size: (channels, height, width).
        params: number of parameters.
        flops_2023: the 2023 kit's counter, see :func:`flops_2023`.
        flops_fvcore: fvcore's ``FlopCountAnalysis``, the counter of 2024 and later.
        activations: elements of the outputs of all Conv2d and ConvTranspose2d calls.
        convolutions: number of those calls.
        multi_adds: multiply-accumulates of convolutions and linear layers for an output of
            1280x720, as papers report them; None where the network does not run at that size.
    """

    network: str
    input_size: tuple[int, int, int]
    params: int
    flops_2023: int
    flops_fvcore: int
    activations: int
    convolutions: int
    multi_adds: int | None


def count(
    network: nn.Module, input_size: Sequence[int] = (3, 256, 256), *, multi_adds: bool = True
) -> Complexity:
    """Count the complexity of ``network`` for one image of ``input_size`` (C, H, W).

    Without ``multi_adds`` those at the papers' size, which take another run, are None.

    The network is run in evaluation mode, on the meta device if its operators support it and
    otherwise on zeros of its device and dtype; its mode is restored afterwards.
    """
    channels, height, width = input_size
    parameter = next(network.parameters())
    lq = torch.zeros(1, channels, height, width, device=parameter.device, dtype=parameter.dtype)
    was_training = network.training
    network.eval()
    try:
        counter, output = _run_with_counters(network, lq)
        return Complexity(
            network=type(network).__name__,
            input_size=(channels, height, width),
            params=sum(p.numel() for p in network.parameters()),
            flops_2023=counter.flops,
            flops_fvcore=_flops_fvcore(network, lq),
            activations=counter.activations,
            convolutions=counter.convolutions,
            multi_adds=_multi_adds(network, lq, output[-1] // width) if multi_adds else None,
        )
    finally:
        network.train(was_training)


def multiply_accumulates(module: nn.Module, inputs: Tensor, output: Tensor) -> int:
    """Count the multiply-accumulates of one convolution or linear call without bias; else 0."""
    if isinstance(module, _CONVOLUTIONS):
        per_position = prod(module.kernel_size) * module.in_channels * module.out_channels
        positions = output.shape[0] * prod(output.shape[2:])
        return per_position // module.groups * positions
    if isinstance(module, nn.Linear):
        return inputs.numel() * module.out_features
    return 0


def flops_2023(module: nn.Module, inputs: Tensor, output: Tensor) -> int:
    """Count one call of ``module`` as the 2023 kit does.

    Convolutions (including transposed ones) and linear layers count as their multiply-accumulates
    without bias; BatchNorm2d as two operations per element if affine, else one; the modules ReLU,
    PReLU, ELU, LeakyReLU and ReLU6 as one per output element. Everything else counts as zero, such
    as GELU, functional calls, pooling, resizing and additions.
    """
    if isinstance(module, nn.BatchNorm2d):
        return output.numel() * (2 if module.affine else 1)
    if isinstance(module, _ACTIVATIONS):
        return output.numel()
    return multiply_accumulates(module, inputs, output)


class _Counter:
    """A forward hook that accumulates the counts of all modules."""

    def __init__(self) -> None:
        self.flops = 0
        self.multi_adds = 0
        self.activations = 0
        self.convolutions = 0

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.flops += flops_2023(module, inputs[0], output)
        self.multi_adds += multiply_accumulates(module, inputs[0], output)
        if isinstance(module, _CONVOLUTIONS):
            self.activations += output.numel()
            self.convolutions += 1


def _run_with_counters(network: nn.Module, lq: Tensor) -> tuple[_Counter, torch.Size]:
    """Return the counts of one run and its output's shape, on the meta device where possible."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    shapes = {name: tensor.to("meta") for name, tensor in tensors}
    copied = deepcopy(network)  # EDSR, for one, stores the mean of its images on their device
    try:
        return _counted(copied, lambda: functional_call(copied, shapes, (lq.to("meta"),)))
    except (RuntimeError, NotImplementedError):  # an operator or a constant needs real data
        return _counted(network, lambda: network(lq))


def _counted(network: nn.Module, run: Callable[[], Tensor]) -> tuple[_Counter, torch.Size]:
    counter = _Counter()
    counted = (*_CONVOLUTIONS, *_ACTIVATIONS, nn.Linear, nn.BatchNorm2d)
    hooks = [m.register_forward_hook(counter) for m in network.modules() if isinstance(m, counted)]
    try:
        with torch.no_grad():
            return counter, run().shape
    finally:
        for hook in hooks:
            hook.remove()


def _multi_adds(network: nn.Module, lq: Tensor, scale: int) -> int | None:
    if scale < 1:
        return None
    height, width = (round(side / scale) for side in _PAPERS_OUTPUT)
    try:
        return _run_with_counters(network, lq.new_zeros(1, lq.shape[1], height, width))[
            0
        ].multi_adds
    except (RuntimeError, ValueError, IndexError):
        return None  # e.g. it takes multiples of its window alone


def _flops_fvcore(network: nn.Module, lq: Tensor) -> int:
    # It traces with torch.jit, whose deprecation is not the user's concern, and warns of every
    # operator it counts as zero, which is its documented behaviour.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit")
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(network, lq)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return int(analysis.tracer_warnings("none").total())
