"""The complexity of named networks as a table or JSON, for ``lrfdn complexity``."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from lrfdn_arch.archs import ARCHITECTURES, Architecture, find_architecture
from lrfdn_arch.evaluation.complexity import Complexity, count
from lrfdn_arch.text import first_line

TABLE_FORMATS = ("github", "simple", "latex", "csv")
_HEADERS = (
    "Network",
    "Input",
    "Params (M)",
    "FLOPs, 2023 kit (G)",
    "FLOPs, fvcore (G)",
    "Acts (M)",
    "Conv",
    "Multi-Adds, 1280x720 (G)",
)


def complexity_report(
    names: Sequence[str], input_size: tuple[int, int, int], arguments: dict[str, Any], style: str
) -> tuple[str, list[str]]:
    """Report the complexity of the networks called ``names``.

    Args:
        names: names in the ARCH registry, or of blocks such as EFSA.
        input_size: (channels, height, width) of one image or feature map.
        arguments: constructor arguments for all of them, e.g. ``{"upscale": 2}``.
        style: ``json`` or one of ``TABLE_FORMATS``.

    Returns:
        The report, and an error message for each network that is not registered or cannot be built
        or run with these arguments.

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
        return json.dumps([asdict(result) for result in results], indent=1), faults
    rows = [_row(result) for result in results]
    if style == "csv":
        return "\n".join(",".join(row) for row in [_HEADERS, *rows]), faults
    return tabulate(rows, headers=_HEADERS, tablefmt=style, disable_numparse=True), faults


def _row(c: Complexity) -> tuple[str, ...]:
    return (
        c.network,
        "x".join(map(str, c.input_size)),
        f"{c.params / 1e6:.6f}",
        f"{c.flops_2023 / 1e9:.6f}",
        f"{c.flops_fvcore / 1e9:.6f}",
        f"{c.activations / 1e6:.5f}",
        str(c.convolutions),
        "-" if c.multi_adds is None else f"{c.multi_adds / 1e9:.2f}",
    )


def _count_by_name(
    name: str, input_size: tuple[int, int, int], arguments: dict[str, Any]
) -> Complexity:
    blocks = {block.__name__: block for a in ARCHITECTURES.values() for block in a.blocks}
    architecture = Architecture(name, blocks[name]) if name in blocks else find_architecture(name)
    parameters = architecture.parameters
    arguments = dict(arguments)
    for required in ("num_feat", "num_in_ch", "num_out_ch"):  # blocks, and networks like EDSR
        if required in parameters and parameters[required].default is inspect.Parameter.empty:
            arguments.setdefault(required, input_size[0])
    network = architecture.build(arguments)
    try:
        return count(network, input_size)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        size = "x".join(map(str, input_size))
        reason = first_line(error)
        raise ValueError(f"{name} does not run on an input of {size}: {reason}") from error
