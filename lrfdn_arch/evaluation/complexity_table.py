"""``lrfdn complexity``: the counts of networks by name, as a table or as JSON."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate
from torch import nn

from lrfdn_arch import archs
from lrfdn_arch.evaluation.complexity import Complexity, count

TABLE_FORMATS = ("github", "simple", "latex", "csv")
_HEADERS = (
    "Network",
    "Input",
    "Params (M)",
    "FLOPs, 2023 kit (G)",
    "FLOPs, fvcore (G)",
    "Acts (M)",
    "Conv",
)


def complexity_report(
    names: Sequence[str], input_size: tuple[int, int, int], arguments: dict[str, Any], style: str
) -> str:
    """Count the networks called ``names`` and return the text to print.

    Args:
        names: names in the ARCH registry; blocks such as EFSA count too.
        input_size: (channels, height, width) of one image or feature map.
        arguments: constructor arguments for all of them, e.g. ``{"upscale": 2}``.
        style: ``json`` or one of ``TABLE_FORMATS``.

    Raises:
        ValueError: a name is not registered, or a network cannot be built or run like that.
    """
    results = [_count_by_name(name, input_size, arguments) for name in names]
    if style == "json":
        return json.dumps([asdict(result) for result in results], indent=1)
    rows = [_row(result) for result in results]
    if style == "csv":
        return "\n".join(",".join(row) for row in [_HEADERS, *rows])
    return tabulate(rows, headers=_HEADERS, tablefmt=style, disable_numparse=True)


def _row(c: Complexity) -> tuple[str, ...]:
    return (
        c.network,
        "x".join(map(str, c.input_size)),
        f"{c.params / 1e6:.6f}",
        f"{c.flops_2023 / 1e9:.6f}",
        f"{c.flops_fvcore / 1e9:.6f}",
        f"{c.activations / 1e6:.5f}",
        str(c.convolutions),
    )


def _count_by_name(
    name: str, input_size: tuple[int, int, int], arguments: dict[str, Any]
) -> Complexity:
    network = _build(name, input_size[0], arguments)
    try:
        return count(network, input_size)
    except RuntimeError as error:
        raise ValueError(f"{name} does not take an input of {input_size}: {error}") from error


def _build(name: str, channels: int, arguments: dict[str, Any]) -> nn.Module:
    network = _find(name)
    parameters = inspect.signature(network).parameters
    arguments = dict(arguments)
    for required in ("num_feat", "num_in_ch", "num_out_ch"):  # blocks, and networks like EDSR
        if required in parameters and parameters[required].default is inspect.Parameter.empty:
            arguments.setdefault(required, channels)
    try:
        return network(**arguments)
    except TypeError as error:
        known = ", ".join(p for p in parameters if p != "self")
        raise ValueError(f"{name} cannot be built: {error}. Its arguments: {known}") from error


def _find(name: str) -> type[nn.Module]:
    if name in archs.__all__:  # ours, without the seconds that importing BasicSR takes
        return getattr(archs, name)
    from basicsr.utils.registry import ARCH_REGISTRY

    known = dict(iter(ARCH_REGISTRY))
    if name not in known:
        raise ValueError(f"no network is registered as {name!r}. Known: {', '.join(sorted(known))}")
    return known[name]
