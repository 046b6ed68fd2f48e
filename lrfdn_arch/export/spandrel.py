"""The networks of this package for spandrel, the loader of ComfyUI, chaiNNer and other programs.

    import lrfdn_arch
    import spandrel
    model = spandrel.ModelLoader().load_from_file("lrfdn_x4.safetensors")

``import lrfdn_arch`` registers them as soon as spandrel is imported, before or after.

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
    """Add every recognizable network to a registry of spandrel; repeating it changes nothing.

    Where spandrel has a network of the same name with other weights (SPAN before its training
    branches are merged), the id here ends in ``-lrfdn``.

    Args:
        registry: a ``spandrel.ArchRegistry``; by default ``spandrel.MAIN_REGISTRY``.

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
        architecture = _architecture(record, record.name if own else f"{record.name}-lrfdn")
        support = spandrel.ArchSupport.from_architecture(architecture)
        registry.add(support, ignore_duplicates=True)


def _architecture(record: Architecture, identifier: str) -> Any:
    import spandrel

    class SpandrelArchitecture(spandrel.Architecture[Any]):
        def __init__(self) -> None:
            assert record.read_arguments is not None, "only those can be detected"
            read = record.read_arguments
            super().__init__(id=identifier, detect=lambda state: read(state) is not None)

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
            )

    return SpandrelArchitecture()
