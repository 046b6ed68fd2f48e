"""Complexity of a network: parameters, FLOPs by two counters, activations, convolutions.

The 2023 counter is that of the NTIRE 2023 Efficient SR kit and of the factsheet's Table 1; since
2024 the challenge has used fvcore. The two give different numbers and are reported separately.
"""

import inspect
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from math import prod
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor, nn
from torch.func import functional_call

from lrfdn_arch.archs import ARCHITECTURES, Architecture, find_architecture
from lrfdn_arch.device import evaluating
from lrfdn_arch.evaluation.results import Counts
from lrfdn_arch.text import first_line

_ACTIVATIONS = (nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6)
_COUNTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d, *_ACTIVATIONS)
_PAPERS_OUTPUT = (720, 1280)  # height and width, from CARN (Ahn et al., ECCV 2018) on


def count(network: nn.Module, input_size: Sequence[int] = (3, 256, 256)) -> Counts:
    """Count the complexity of ``network`` for one image of ``input_size`` (C, H, W).

    The network is run in evaluation mode, on the meta device if its operators support it and
    otherwise on zeros of its device and dtype; its mode is restored afterwards.
    """
    with evaluating(network):
        lq = _zeros(network, input_size)
        counter = _Counter(network, lq)
        # Not validated: a network may have nothing that is counted, while results may not.
        return Counts.model_construct(
            params=sum(p.numel() for p in network.parameters()),
            flops_2023=counter.flops,
            flops_fvcore=_flops_fvcore(network, lq),
            activations=counter.activations,
            convolutions=counter.convolutions,
        )


def multi_adds(network: nn.Module, input_size: Sequence[int] = (3, 16, 16)) -> int | None:
    """Count multiply-accumulates for an output of 1280x720, as papers report them.

    They are those of convolutions and linear layers. ``input_size`` (C, H, W) is one that the
    network runs on, from which its scale is found; None where it does not run at the papers' size.
    """
    with evaluating(network):
        scale = _Counter(network, _zeros(network, input_size)).width // input_size[2]
        try:
            height, width = (round(side / scale) for side in _PAPERS_OUTPUT)
            lq = _zeros(network, (input_size[0], height, width))
            return _Counter(network, lq).multi_adds
        except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
            return None  # e.g. it takes multiples of its window alone


def _zeros(network: nn.Module, size: Sequence[int]) -> Tensor:
    parameter = next(network.parameters())
    return torch.zeros(1, *size, device=parameter.device, dtype=parameter.dtype)


class _Counter:
    """The counts of one run of a network, on the meta device where possible.

    ``flops`` are those of the 2023 kit: convolutions (including transposed ones) and linear layers
    count as their multiply-accumulates without bias; BatchNorm2d as two operations per element if
    affine, else one; the modules ReLU, PReLU, ELU, LeakyReLU and ReLU6 as one per output element.
    Everything else counts as zero, such as GELU, functional calls, pooling, resizing and additions.
    """

    def __init__(self, network: nn.Module, lq: Tensor) -> None:
        tensors = [*network.named_parameters(), *network.named_buffers()]
        shapes = {name: tensor.to("meta") for name, tensor in tensors}
        copied = deepcopy(network)  # EDSR, for one, stores the mean of its images on their device
        try:
            self._run(copied, lambda: functional_call(copied, shapes, (lq.to("meta"),)))
        except (RuntimeError, NotImplementedError):  # an operator or a constant needs real data
            self._run(network, lambda: network(lq))

    def _run(self, network: nn.Module, forward: Callable[[], Tensor]) -> None:
        self.flops = self.multi_adds = self.activations = self.convolutions = 0
        modules = (module for module in network.modules() if isinstance(module, _COUNTED))
        hooks = [module.register_forward_hook(self._add) for module in modules]
        try:
            with torch.no_grad():
                self.width = forward().shape[-1]
        finally:
            for hook in hooks:
                hook.remove()

    def _add(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        multi_adds = operations = 0
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            per_position = prod(module.kernel_size) * module.in_channels * module.out_channels
            positions = output.shape[0] * prod(output.shape[2:])
            multi_adds = per_position // module.groups * positions
            self.activations += output.numel()
            self.convolutions += 1
        elif isinstance(module, nn.Linear):
            multi_adds = inputs[0].numel() * module.out_features
        elif isinstance(module, nn.BatchNorm2d):
            operations = output.numel() * (2 if module.affine else 1)
        else:
            operations = output.numel()
        self.multi_adds += multi_adds
        self.flops += multi_adds + operations


def _flops_fvcore(network: nn.Module, lq: Tensor) -> int:
    # It traces with torch.jit, whose deprecation is not the user's concern, and warns of every
    # operator it counts as zero, which is its documented behaviour.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit")
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(network, lq)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return int(analysis.tracer_warnings("none").total())


def complexity_report(
    names: Iterable[str], input_size: tuple[int, int, int], arguments: dict[str, Any], style: str
) -> tuple[str, list[str]]:
    """Report the complexity of networks for ``lrfdn complexity``, and what failed.

    Args:
        names: names in the ARCH registry, or of blocks such as EFSA.
        input_size: (channels, height, width) of one image or feature map.
        arguments: constructor arguments for all of them, e.g. ``{"upscale": 2}``.
        style: ``json``, ``csv`` or a format of tabulate.

    Returns:
        The report, and a message for each network that cannot be found, built or run.

    Raises:
        ValueError: every network failed.
    """
    results, faults = [], []
    for name in names:
        try:
            results.append(_count_by_name(name, input_size, arguments))
        except ValueError as error:
            faults.append(str(error))
    if not results:
        raise ValueError("\n".join(faults))
    if style == "json":
        return json.dumps(results, indent=1), faults
    rows = [
        {
            "Network": c["network"],
            "Input": "x".join(map(str, input_size)),
            "Params (M)": f"{c['params'] / 1e6:.6f}",
            "FLOPs, 2023 kit (G)": f"{c['flops_2023'] / 1e9:.6f}",
            "FLOPs, fvcore (G)": f"{c['flops_fvcore'] / 1e9:.6f}",
            "Acts (M)": f"{c['activations'] / 1e6:.5f}",
            "Conv": str(c["convolutions"]),
            "Multi-Adds, 1280x720 (G)": "-"
            if c["multi_adds"] is None
            else f"{c['multi_adds'] / 1e9:.2f}",
        }
        for c in results
    ]
    if style == "csv":
        return "\n".join(",".join(row) for row in [rows[0], *(r.values() for r in rows)]), faults
    return tabulate(rows, headers="keys", tablefmt=style, disable_numparse=True), faults


def _count_by_name(
    name: str, input_size: tuple[int, int, int], arguments: dict[str, Any]
) -> dict[str, Any]:
    blocks = {block.__name__: block for a in ARCHITECTURES.values() for block in a.blocks}
    architecture = Architecture(name, blocks[name]) if name in blocks else find_architecture(name)
    parameters = architecture.parameters
    arguments = dict(arguments)
    for required in ("num_feat", "num_in_ch", "num_out_ch"):  # blocks, and networks like EDSR
        if required in parameters and parameters[required].default is inspect.Parameter.empty:
            arguments.setdefault(required, input_size[0])
    network = architecture.build(arguments)
    try:
        counts = count(network, input_size).model_dump()
        return {
            "network": type(network).__name__,
            "input_size": input_size,
            **counts,
            "multi_adds": multi_adds(network, input_size),
        }
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        size = "x".join(map(str, input_size))
        reason = first_line(error)
        raise ValueError(f"{name} does not run on an input of {size}: {reason}") from error
