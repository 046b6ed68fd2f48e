"""Weights trained in one ``img_range``, brought to another.

An ``img_range`` leaves no trace in weights, and in the wrong one they give noise. Checkpoints of
our training say it (``network_g``), and our safetensors (metadata). Since it only multiplies what
the first convolution reads and divides what the last one writes, those two can take a change over
exactly: upscaling, exports and evaluation, which build a network from its weights alone, use its
class's usual range, and training and test.py that of the option file.
"""

import inspect
import logging
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lrfdn_arch import archs
from lrfdn_arch.weights.identify import identify
from lrfdn_arch.weights.reading import read_with_options


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


def read_state_for(
    network: nn.Module, path: str | Path, key: str | None = None
) -> dict[str, Tensor]:
    """Read weights as ``read_state_dict`` does, for the ``img_range`` that ``network`` has.

    Files that do not say theirs are taken to be of the network's, as BasicSR takes them, with a
    warning where that is not its class's usual one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as ``read_state_dict``.
    """
    state, options = read_with_options(path, key)
    identity = identify(state)
    own = getattr(network, "img_range", None)
    if identity is None or own is None or identity.network != type(network).__name__:
        return state  # loading will say what they are
    usual = usual_img_range(identity.network)
    if not options:
        if own != usual:
            logging.getLogger("basicsr").warning(
                f"{path} does not say its img_range; taken to be the network's, {own:g}"
            )
        return state
    return _rescaled(state, factor=options.get("img_range", usual) / own)


def _rescaled(state: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    if factor == 1:
        return state
    first, last = "fea_conv.weight", ("upsampler.0.weight", "upsampler.0.bias")
    changed: dict[str, Any] = {first: state[first].double() * factor}
    changed |= {name: state[name].double() / factor for name in last if name in state}
    return state | {name: value.to(state[name].dtype) for name, value in changed.items()}
