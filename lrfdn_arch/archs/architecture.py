"""The record beside each network class: what the rest of the package needs to know about it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lrfdn_arch.device import memory_errors

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Released:
    """Weights that a network's authors or a challenge's organisers published."""

    name: str  # what users call them, unique among all networks
    sha256: str  # of the file, in hexadecimal
    source: str  # for reports, e.g. "NTIRE 2023 Efficient SR, team 30"
    url: str  # where the file can be downloaded


@dataclass(frozen=True)
class RangeLayers:
    """The tensors that a change of ``img_range`` scales: it is their only effect on weights."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Architecture:
    """A network class and the information about it that its code does not contain.

    Everything but ``name`` and ``network`` is optional: without it a network runs unfused, on
    whole images if memory allows, and is built from the arguments that its file or the user
    provides. A network keeps its constructor arguments as attributes of the same names where it has
    ``read_arguments`` or ``fuse``.

    Attributes:
        name: of the network in BasicSR's ARCH registry, ``type`` in option files.
        network: the class; maps (N, C, H, W) float in [0, 1], RGB, to (N, C, H*scale, W*scale).
        blocks: its building blocks, registered under their class names.
        read_arguments: infers constructor arguments from a state dict; None if the weights belong
            to another network. ``img_range`` cannot be inferred from weights.
        fuse: returns the deployed form, a :class:`lrfdn_arch.archs.fused.FusedNetwork`, of a
            network whose modules are those its class builds.
        range_layers: for networks that multiply their input by ``img_range`` and divide their
            output by it, and do nothing else with it.
        overlap: LR pixels that tiles must share for results within 1e-5 of the whole image's,
            given windows (see :mod:`lrfdn_arch.window`); None if unknown.
        papers: references to its papers, written into exported files.
        released: published weights.
    """

    name: str
    network: type[nn.Module]
    blocks: tuple[type[nn.Module], ...] = ()
    read_arguments: Callable[[State], dict[str, Any] | None] | None = None
    fuse: Callable[[Any], nn.Module] | None = None
    range_layers: RangeLayers | None = None
    overlap: int | None = None
    papers: tuple[str, ...] = ()
    released: tuple[Released, ...] = ()

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The constructor's parameters by name."""
        return inspect.signature(self.network).parameters

    @property
    def usual_img_range(self) -> float:
        """The default of ``img_range``, which released weights are trained with; 1 without one."""
        parameter = self.parameters.get("img_range")
        return 1.0 if parameter is None or self.range_layers is None else parameter.default

    def build(self, arguments: Mapping[str, Any]) -> nn.Module:
        """Return a new network.

        Raises:
            ValueError: the constructor does not take these arguments, or memory runs out.
        """
        try:
            with memory_errors():
                return self.network(**arguments)
        except MemoryError as error:
            raise ValueError(f"{self.name} does not fit into memory: {error}") from error
        except TypeError as error:
            known = f"Its arguments: {', '.join(self.parameters)}"
            raise ValueError(f"{self.name} cannot be built: {error}. {known}") from error

    def arguments_of(self, network: nn.Module) -> dict[str, Any]:
        """Return the constructor arguments of ``network``, read from its attributes."""
        found = {name: getattr(network, name, None) for name in self.parameters}
        return {name: value for name, value in found.items() if value is not None}

    def describe(self, arguments: Mapping[str, Any]) -> str:
        """Return name, scale and size in words, e.g. ``LRFDN x4 (64 channels, 4 blocks)``."""
        scale = arguments.get("upscale", arguments.get("scale"))
        units = {"num_feat": "channels", "num_block": "blocks"}
        sizes = [f"{arguments[name]} {unit}" for name, unit in units.items() if name in arguments]
        head = self.name if scale is None else f"{self.name} x{scale}"
        return f"{head} ({', '.join(sizes)})" if sizes else head
