"""From a weights file to the network it holds: the one way to build a network from weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrfdn_arch.archs import Architecture, find_architecture, recognize
from lrfdn_arch.archs.architecture import State
from lrfdn_arch.extras import is_installed
from lrfdn_arch.text import first_few
from lrfdn_arch.weights.reading import read_with_options

_FEWEST_TENSORS = 4  # per block; names alone must not trigger building thousands of blocks
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)  # of pixels, which networks may require as image sizes


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with its weights.

    Attributes:
        network: in evaluation mode, on the CPU, without gradients; maps (N, channels, H, W) float
            in [0, 1] to (N, channels, H*scale, W*scale), not clamped.
        architecture: its record.
        arguments: the constructor arguments it was built from.
        scale: how much larger its output is than its input.
        channels: of its input images.
    """

    network: nn.Module
    architecture: Architecture
    arguments: Mapping[str, Any]
    scale: int
    channels: int

    def options(self) -> dict[str, Any]:
        """Return the ``network_g`` section of an option file that builds this network."""
        return {"type": self.architecture.name, **self.arguments}

    def __str__(self) -> str:
        return self.architecture.describe({"scale": self.scale, **self.arguments})


def load_network(
    path: str | Path, key: str | None = None, network_g: Mapping[str, Any] | None = None
) -> LoadedNetwork:
    """Load the network that the weights in ``path`` belong to.

    These are tried in order: the ``network_g`` section that the file contains (checkpoints and
    safetensors of this package); ``network_g``; the networks of this package, recognized by names
    and shapes; spandrel, if it is installed.

    Args:
        path: BasicSR ``.pth``, plain state dict or ``.safetensors``.
        key: "params" or "params_ema" of a checkpoint; by default the moving average if present.
        network_g: ``type`` and constructor arguments for a file that does not contain them.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged or would run code when read, contains another network than
            ``network_g``, or its network is unknown.
    """
    state, own = read_with_options(path, key)
    if own.get("type") and network_g and dict(network_g) != own:
        raise ValueError(
            f"{path} was saved with network_g {own}, not {dict(network_g)}; leave out --network"
        )
    return network_from_state(state, str(path), own or network_g)


def network_from_state(
    state: State, source: str = "the state dict", network_g: Mapping[str, Any] | None = None
) -> LoadedNetwork:
    """Do what `load_network` does with a state dict; ``source`` names it in errors."""
    known = dict(network_g or {})
    if named := known.pop("type", None):
        try:
            architecture = find_architecture(named)
        except ValueError as error:
            raise ValueError(
                f"{source} holds a {named}, which is not registered here: give the file or module "
                f"that defines it with --import, or with imports: in the option file ({error})"
            ) from error
        read = architecture.read_arguments(state) if architecture.read_arguments else None
        arguments = (read or {}) | known
    elif found := recognize(state):
        architecture, arguments = found[0], found[1] | known
    else:
        return _by_spandrel(state, source)
    what = architecture.describe(arguments)
    try:
        network = _build(architecture, arguments, state)
        load_strictly(network, state, source)
    except ValueError as error:
        raise ValueError(f"{source} looks like {what} but is not: {error}") from error
    return _measured(network, architecture, arguments, source)


def load_strictly(network: nn.Module, state: State, source: str | Path) -> None:
    """Load ``state``, read from ``source``, every name and shape equal.

    Raises:
        ValueError: as :func:`check_weights`; ``network`` is then unchanged.
    """
    check_weights(network, state, source)
    network.load_state_dict(dict(state))


def check_weights(network: nn.Module, state: State, source: str | Path) -> None:
    """Check that ``state``, read from ``source``, has every name and shape of ``network``.

    Raises:
        ValueError: it has others; the message lists the differences and the network that the file
            seems to contain.
    """
    if differences := _differences(network.state_dict(), state):
        if found := recognize(state):
            differences.append(f"the file seems to hold {found[0].describe(found[1])}")
        lines = [
            f"{source} does not fit {type(network).__name__} as it was built:",
            *differences,
            "give the file of this network, or change network_g (type, num_feat, num_block, "
            "upscale) to the file's",
        ]
        raise ValueError("\n  ".join(lines))


def _build(architecture: Architecture, arguments: Mapping[str, Any], state: State) -> nn.Module:
    """Build a network, comparing shapes before memory is allocated where the class allows it."""
    blocks = arguments.get("num_block", 0)
    if isinstance(blocks, int) and blocks * _FEWEST_TENSORS > len(state):
        raise ValueError(f"{blocks} blocks cannot have {len(state)} tensors")
    try:
        with torch.device("meta"):
            skeleton = architecture.build(arguments)
    except (RuntimeError, NotImplementedError):  # its constructor computes with tensors
        return architecture.build(arguments)
    if differences := _differences(skeleton.state_dict(), state):
        raise ValueError("; ".join(differences))
    return architecture.build(arguments)


def _by_spandrel(state: State, source: str) -> LoadedNetwork:
    first = first_few(state, limit=3)
    refusal = (
        f"{source} holds the weights of no network known here (it has {first}). Give its class and "
        "arguments with --network, e.g. --network '{type: EDSR, num_feat: 64, ...}' or an option "
        "file"
    )
    if not is_installed("spandrel"):
        raise ValueError(f"{refusal}; spandrel, which knows more networks, is not installed")
    import spandrel

    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(dict(state))
    except Exception as error:  # an architecture's detection may fail in any way
        raise ValueError(f"{refusal}; spandrel does not recognize it either") from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise ValueError(f"{refusal}; spandrel takes it for a {descriptor.architecture.name}")
    network = _Descriptor(descriptor).eval().requires_grad_(False)
    architecture = Architecture(descriptor.architecture.name, type(descriptor.model))
    return LoadedNetwork(network, architecture, {}, descriptor.scale, descriptor.input_channels)


class _Descriptor(nn.Module):
    """spandrel's descriptor as a module: it pads images to the sizes that its model accepts."""

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.model = descriptor.model
        self._call: Callable[[Tensor], Tensor] = partial(type(descriptor).__call__, descriptor)

    def forward(self, x: Tensor) -> Tensor:
        return self._call(x)


def _measured(
    network: nn.Module, architecture: Architecture, arguments: Mapping[str, Any], source: str
) -> LoadedNetwork:
    """Measure channels and scale, whose attribute names differ between other packages' classes."""
    network = network.eval().requires_grad_(False)
    channels, error = 3, None
    for name in ("in_nc", "in_chans", "num_in_ch"):
        if name in architecture.parameters:
            channels = int(arguments.get(name, architecture.parameters[name].default))
    height, width = 17, 23  # not multiples of any common block size
    for multiple in _MULTIPLES:
        module = network if multiple == 1 else PaddedNetwork(network, multiple)
        try:
            with torch.inference_mode():
                out = module(torch.zeros(1, channels, height, width))
            scale = out.shape[-1] // width
            if scale < 1 or tuple(out.shape[-2:]) != (height * scale, width * scale):
                raise ValueError(f"it makes {tuple(out.shape)} of {height}x{width}")
            return LoadedNetwork(module, architecture, arguments, scale, channels)
        except (RuntimeError, ValueError, IndexError) as failure:
            error = failure
    raise ValueError(f"{source}: {architecture.name} does not run on small images: {error}")


class PaddedNetwork(nn.Module):
    """A network for which images must be multiples of some pixels, as one for images of any size.

    Images are padded at the bottom and on the right by reflection, as BasicSR's SwinIR model does,
    and the result is cropped.
    """

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network, self.multiple = network, multiple

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H*scale, W*scale)."""
        height, width = x.shape[-2:]
        down, right = -height % self.multiple, -width % self.multiple
        mode = "reflect" if down < height and right < width else "replicate"
        padded = F.pad(x, (0, right, 0, down), mode=mode)
        out = self.network(padded)
        scale = out.shape[-1] // padded.shape[-1]
        return out[..., : height * scale, : width * scale]


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    shapes = [
        f"{name} expected {tuple(expected[name].shape)}, found {tuple(found[name].shape)}"
        for name in expected
        if name in found and expected[name].shape != found[name].shape
    ]
    kinds = (("missing", missing), ("not expected", unexpected), ("of another shape", shapes))
    return [f"{len(names)} {kind}: {first_few(names, limit=3)}" for kind, names in kinds if names]
