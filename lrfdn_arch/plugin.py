"""What is registered with BasicSR and spandrel, and when: the list, and the post-import hooks."""

from importlib import import_module

from lrfdn_arch.import_hooks import after_import

# (registry in basicsr.utils.registry, module, class) beside the networks of lrfdn_arch.archs.
OTHERS = (
    ("DATASET_REGISTRY", "lrfdn_arch.data.paired_lmdb_dataset", "PairedLMDBDataset"),
    ("LOSS_REGISTRY", "lrfdn_arch.training.losses", "FFTLoss"),
    ("LOSS_REGISTRY", "lrfdn_arch.training.losses", "GradientLoss"),
    ("MODEL_REGISTRY", "lrfdn_arch.training.model.lrfdn_model", "LRFDNModel"),
)


def register() -> None:
    """Put the networks, their blocks, the dataset and the model into BasicSR's registries.

    Each class is registered under its own name; plugins of installed packages are imported after
    them. Calling it again changes nothing.

    Raises:
        ValueError: a name is already taken by another object.
    """
    for network in import_module("lrfdn_arch.archs").ARCHITECTURES.values():
        for cls in (network.network, *network.blocks):
            _register_one("ARCH_REGISTRY", cls)
    for registry, module, name in OTHERS:
        _register_one(registry, getattr(import_module(module), name))
    import_module("lrfdn_arch.extensions").import_plugins()


def _register_one(name: str, cls: type) -> None:
    registry = getattr(import_module("basicsr.utils.registry"), name)
    owner = dict(iter(registry)).get(cls.__name__)  # its own .get() prints and raises
    if owner is None:
        registry.register(cls)
    elif owner is not cls:
        raise ValueError(
            f"BasicSR's {name} already has {cls.__name__!r} from {owner.__module__}, so lrfdn_arch "
            f"cannot register its own from {cls.__module__}. Rename or remove the other one."
        )


def install() -> None:
    """Register as soon as BasicSR or spandrel has been imported, which may be now or later."""
    after_import("basicsr", register)
    after_import("spandrel", lambda: import_module("lrfdn_arch.export.spandrel").install())
