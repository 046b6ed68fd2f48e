"""Objects from BasicSR's registries, with an error that helps where a name is not there."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from lrfdn_arch.text import unknown


def find(registry_name: str, what: str, name: str) -> Any:
    """Return the class or function registered as ``name``.

    Args:
        registry_name: e.g. ``ARCH_REGISTRY``, in ``basicsr.utils.registry``.
        what: what it holds, for the message: ``network``, ``dataset``, ``model``.
        name: the ``type`` of an option file.

    Raises:
        ValueError: nothing is registered under that name.
    """
    import basicsr  # noqa: F401 (fills the registries)
    from basicsr.utils import registry

    full = dict(iter(getattr(registry, registry_name)))
    known = {key.removesuffix("_basicsr"): found for key, found in full.items()} | full
    if name not in known:
        raise ValueError(f"{what} type {name!r}: {unknown(name, known, f'{what} type')}")
    return known[name]


def build_network(opt: Mapping[str, Any]) -> nn.Module:
    """Build the network of an option file's ``network_g``: ``type`` and constructor arguments.

    Raises:
        ValueError: the type is not registered, or its constructor does not take these arguments.
    """
    arguments = {key: value for key, value in opt.items() if key != "type"}
    network = find("ARCH_REGISTRY", "network", opt["type"])
    try:
        return network(**arguments)
    except TypeError as error:
        raise ValueError(f"network_g: {opt['type']} cannot be built: {error}") from error
