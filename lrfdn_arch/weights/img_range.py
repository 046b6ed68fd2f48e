"""Weights trained in another ``img_range`` than their network's usual one, brought to the usual.

Upscaling, exports and evaluation build a network from its weights alone, and an ``img_range``
leaves no trace in them. Checkpoints of our training say it (``network_g``), and since it only
multiplies what the first convolution reads and divides what the last one writes, those two can
take it over exactly.
"""

import inspect
from pathlib import Path
from typing import Any

from torch import Tensor

from lrfdn_arch import archs
from lrfdn_arch.weights.identify import identify
from lrfdn_arch.weights.loading import read_with_options


def usual_img_range(network: str) -> float:
    """Return the ``img_range`` that ``network``, "LRFDN" or "RFDN", has unless told otherwise."""
    return inspect.signature(getattr(archs, network)).parameters["img_range"].default


def read_usual_state(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """Read weights as ``read_state_dict`` does, for a network of its class's usual ``img_range``.

    Files that do not say what they were trained in, as all but our checkpoints, are taken to be of
    the usual one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as ``read_state_dict``, or the network had ``block_shortcut``, which those who
            build networks from weights alone do not know.
    """
    state, options = read_with_options(path, key)
    identity = identify(state)
    if identity is None:
        return state
    if options.get("block_shortcut"):
        raise ValueError(
            f"{path} was trained with block_shortcut, which only test.py with its option file can "
            "build"
        )
    usual = usual_img_range(identity.network)
    return _rescaled(state, factor=options.get("img_range", usual) / usual)


def _rescaled(state: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    if factor == 1:
        return state
    first, last = "fea_conv.weight", ("upsampler.0.weight", "upsampler.0.bias")
    changed: dict[str, Any] = {first: state[first].double() * factor}
    changed |= {name: state[name].double() / factor for name in last}
    return state | {name: value.to(state[name].dtype) for name, value in changed.items()}
