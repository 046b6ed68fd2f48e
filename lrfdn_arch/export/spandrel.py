"""The networks of this package for spandrel, the loader of chaiNNer, ComfyUI and other tools.

    from lrfdn_arch.export.spandrel import install
    install()
    model = spandrel.ModelLoader().load_from_file("lrfdn_x4.safetensors")

Needs the extra ``spandrel``.

Checkpoints that training wrote (``net_g_*.pth``) with another ``img_range`` than the network's
usual one give noise here: spandrel extracts the weights from the file before an architecture sees
it, without the ``img_range`` that the file contains. ``lrfdn export safetensors`` writes a file
with the usual one.
"""

from typing import Any

from lrfdn_arch.archs import ARCHITECTURES, Architecture
from lrfdn_arch.extras import require
from lrfdn_arch.weights import network_from_state


def install(registry: Any = None) -> None:
    """Add every recognizable network to spandrel's registry; calling it again changes nothing.

    Where spandrel has a network of the same name with other weights (SPAN before its training
    branches are merged), the id here ends in ``-lrfdn``.

    Args:
        registry: a ``spandrel.ArchRegistry`` to use instead of ``spandrel.MAIN_REGISTRY``.

    Raises:
        ValueError: spandrel is not installed.
    """
    require("spandrel", extra="spandrel")
    import spandrel

    registry = spandrel.MAIN_REGISTRY if registry is None else registry
    for record in ARCHITECTURES.values():
        if record.read_arguments is None:
            continue
        other = registry.get(record.name)
        own = other is None or type(other.architecture).__module__ == __name__
        identifier = record.name if own else f"{record.name}-lrfdn"
        if registry.get(identifier) is None:
            support = spandrel.ArchSupport.from_architecture(architecture(record, identifier))
            registry.add(support)


def architecture(record: Architecture, identifier: str) -> Any:
    """Return the ``spandrel.Architecture`` of a network with ``read_arguments``.

    Raises:
        ValueError: spandrel is not installed.
    """
    require("spandrel", extra="spandrel")
    import spandrel

    read_arguments = record.read_arguments
    assert read_arguments is not None, "only those can be detected"

    class SpandrelArchitecture(spandrel.Architecture[Any]):
        def __init__(self) -> None:
            super().__init__(id=identifier, detect=lambda state: read_arguments(state) is not None)

        def load(self, state_dict: Any) -> Any:
            loaded = network_from_state(state_dict)
            sizes = (("num_feat", "nf"), ("num_block", "nb"))
            return spandrel.ImageModelDescriptor(
                loaded.network,
                state_dict,
                architecture=self,
                purpose="Restoration" if loaded.scale == 1 else "SR",
                tags=[f"{loaded.arguments[n]}{t}" for n, t in sizes if n in loaded.arguments],
                supports_half=True,
                supports_bfloat16=True,
                scale=loaded.scale,
                input_channels=loaded.channels,
                output_channels=loaded.channels,
                size_requirements=spandrel.SizeRequirements(),
            )

    return SpandrelArchitecture()
