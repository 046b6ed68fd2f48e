"""The table of this package's networks, and any other network of BasicSR's registry by name."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from lrfdn_arch.archs import (
    efdn_arch,
    lrfdn_arch,
    maffsrn_arch,
    rfanet_arch,
    rfdn_arch,
    rlfn_arch,
    span_arch,
)
from lrfdn_arch.archs.architecture import Architecture, Released, State
from lrfdn_arch.text import unknown

_MODULES = (lrfdn_arch, rfdn_arch, rlfn_arch, efdn_arch, span_arch, maffsrn_arch, rfanet_arch)
ARCHITECTURES: Mapping[str, Architecture] = {
    module.ARCHITECTURE.name: module.ARCHITECTURE for module in _MODULES
}
RELEASED: Mapping[str, tuple[Architecture, Released]] = {
    released.sha256: (record, released)
    for record in ARCHITECTURES.values()
    for released in record.released
}


def find_architecture(name: str) -> Architecture:
    """Return the record of the network called ``name`` in option files.

    Other names than this package's are looked up in BasicSR's ARCH registry, which imports BasicSR
    and takes seconds; see `find_registered`.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    return Architecture(name, find_registered("ARCH_REGISTRY", "network", name))


def find_registered(registry_name: str, what: str, name: str) -> Any:
    """Return the class or function that BasicSR knows as ``name``, the ``type`` in an option file.

    Args:
        registry_name: e.g. ``ARCH_REGISTRY``, in ``basicsr.utils.registry``.
        what: the kind of its entries, for the message: ``network``, ``dataset``, ``model``.
        name: of an entry.

    Raises:
        ValueError: nothing is registered under that name.
    """
    known = registered(registry_name)
    if name not in known:
        raise ValueError(f"{what} type {name!r}: {unknown(name, known, f'{what} type')}")
    return known[name]


def registered(registry_name: str) -> dict[str, Any]:
    """Return everything in a registry of BasicSR, also by the short names that it accepts."""
    import basicsr  # noqa: F401 (fills the registries)
    from basicsr.utils import registry

    full = dict(iter(getattr(registry, registry_name)))
    return {name.removesuffix("_basicsr"): found for name, found in full.items()} | full


def architecture_of(network: nn.Module) -> Architecture | None:
    """Return the record of a network of exactly one of this package's classes, else None."""
    record = ARCHITECTURES.get(type(network).__name__)
    return record if record is not None and type(network) is record.network else None


def recognize(state: State) -> tuple[Architecture, dict[str, Any]] | None:
    """Return the network that a state dict fits and its constructor arguments, else None."""
    for record in ARCHITECTURES.values():
        arguments = record.read_arguments(state) if record.read_arguments else None
        if arguments is not None:
            return record, arguments
    return None


def build_network(options: Mapping[str, Any]) -> nn.Module:
    """Build the network of an option file's ``network_g``: ``type`` and constructor arguments."""
    arguments = {key: value for key, value in options.items() if key != "type"}
    return find_architecture(options["type"]).build(arguments)
