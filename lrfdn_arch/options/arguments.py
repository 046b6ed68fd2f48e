"""The arguments of network and optimizer against the signatures of the classes they name."""

from collections.abc import Mapping
from typing import Any

from lrfdn_arch.options.faults import Fault, KeyPath
from lrfdn_arch.options.root import KNOWN_MODELS
from lrfdn_arch.options.signatures import our_networks, signature_faults
from lrfdn_arch.text import unknown


def argument_faults(data: Mapping[str, Any]) -> list[Fault]:
    """Return the faults in ``network_g`` and ``train:optim_g`` of an option file as read.

    A network that is not one of ours is not judged: only BasicSR's registry knows it. Imports
    torch.
    """
    faults = []
    name, arguments = _typed(data.get("network_g"))
    if name in our_networks():
        faults += signature_faults(our_networks()[name], arguments, ("network_g",))
    if data.get("model_type", KNOWN_MODELS[0]) in KNOWN_MODELS:
        train = data.get("train")
        faults += _optimizer_faults(train.get("optim_g") if isinstance(train, Mapping) else None)
    return faults


def _optimizer_faults(section: Any) -> list[Fault]:
    from lrfdn_arch.training.muon import optimizers

    key: KeyPath = ("train", "optim_g")
    name, arguments = _typed(section)
    if not name:
        return []  # reported as missing
    known = optimizers()
    if name not in known:
        return [Fault((*key, "type"), unknown(name, known, "optimizer"), name)]
    return signature_faults(known[name], arguments, key, given=("params",))


def _typed(section: Any) -> tuple[str, dict[str, Any]]:
    """Return the type and the arguments of a section, empty where it is not one."""
    if not isinstance(section, Mapping) or not isinstance(section.get("type"), str):
        return "", {}
    return section["type"], {str(k): v for k, v in section.items() if k != "type"}
