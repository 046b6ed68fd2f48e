"""What is registered with BasicSR, and when: the one list, and the post-import hook behind it."""

from importlib import import_module
from typing import Any

from lrfdn_arch.import_hooks import after_import

# (registry in basicsr.utils.registry, module, names). A class is registered under its own name.
REGISTERED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("ARCH_REGISTRY", "lrfdn_arch.archs.srb_arch", ("SRB",)),
    ("ARCH_REGISTRY", "lrfdn_arch.archs.efsa_arch", ("EFSA", "ESA")),
    ("ARCH_REGISTRY", "lrfdn_arch.archs.lrfdn_arch", ("LRFDN", "LRFDB")),
    ("ARCH_REGISTRY", "lrfdn_arch.archs.rfdn_arch", ("RFDN", "RFDB")),
    ("DATASET_REGISTRY", "lrfdn_arch.data.paired_lmdb_dataset", ("PairedLMDBDataset",)),
    ("MODEL_REGISTRY", "lrfdn_arch.training.model.lrfdn_model", ("LRFDNModel",)),
)


def register() -> None:
    """Put every object of ``REGISTERED`` into its BasicSR registry.

    Calling it again changes nothing.

    Raises:
        ValueError: a name is already taken by an object that is not ours.
    """
    registries = import_module("basicsr.utils.registry")
    for registry_name, module_name, names in REGISTERED:
        registry = getattr(registries, registry_name)
        module = import_module(module_name)
        for name in names:
            _register_one(registry, registry_name, getattr(module, name))


def _register_one(registry: Any, registry_name: str, obj: type) -> None:
    owner = dict(iter(registry)).get(obj.__name__)  # its own .get() prints and raises
    if owner is None:
        registry.register(obj)
    elif owner is not obj:
        raise ValueError(
            f"BasicSR's {registry_name} already has {obj.__name__!r} from {owner.__module__}, so "
            f"lrfdn_arch cannot register its own from {obj.__module__}. Rename or remove the "
            "other one."
        )


def install() -> None:
    """Register as soon as BasicSR has been imported, which may be now or later."""
    after_import("basicsr", register)
