"""LRFDN and RFDN for spandrel, the loader of chaiNNer, ComfyUI and other tools.

    from lrfdn_arch.export.spandrel import install
    install()
    model = spandrel.ModelLoader().load_from_file("lrfdn_x4.safetensors")

Needs the extra ``spandrel``. Nothing but this module imports it.

Checkpoints that training wrote (``net_g_*.pth``) in another ``img_range`` than the network's usual
one come out wrong here: spandrel takes the weights out of the file before an architecture sees it,
and what the file says of its ``img_range`` stays behind. ``lrfdn export safetensors`` makes a file
in the usual one, which is right everywhere.
"""

from typing import Any

from lrfdn_arch.extras import require
from lrfdn_arch.inference.loading import build_network
from lrfdn_arch.weights import identify

NAMES = ("LRFDN", "RFDN")


def install(registry: Any = None) -> None:
    """Add LRFDN and RFDN to spandrel's registry; calling it again changes nothing.

    Args:
        registry: another ``spandrel.ArchRegistry`` than ``spandrel.MAIN_REGISTRY``.

    Raises:
        ValueError: spandrel is not installed.
    """
    require("spandrel", extra="spandrel")
    import spandrel

    registry = spandrel.MAIN_REGISTRY if registry is None else registry
    for name in NAMES:
        if registry.get(name) is None:
            registry.add(spandrel.ArchSupport.from_architecture(architecture(name)))


def architecture(name: str) -> Any:
    """Return the ``spandrel.Architecture`` of "LRFDN" or "RFDN".

    Raises:
        ValueError: spandrel is not installed.
    """
    require("spandrel", extra="spandrel")
    import spandrel

    class OurArchitecture(spandrel.Architecture[Any]):
        def __init__(self) -> None:
            super().__init__(id=name, detect=_detector(name))

        def load(self, state_dict: Any) -> Any:
            identity = identify(state_dict)
            assert identity is not None, "spandrel loads what was detected"
            return spandrel.ImageModelDescriptor(
                build_network(state_dict),
                state_dict,
                architecture=self,
                purpose="Restoration" if identity.upscale == 1 else "SR",
                tags=[f"{identity.num_feat}nf", f"{identity.num_block}nb"],
                supports_half=True,
                supports_bfloat16=True,
                scale=identity.upscale,
                input_channels=identity.num_in_ch,
                output_channels=identity.num_out_ch,
                size_requirements=spandrel.SizeRequirements(),
            )

    return OurArchitecture()


def _detector(name: str) -> Any:
    def detect(state_dict: Any) -> bool:
        identity = identify(state_dict)
        return identity is not None and identity.network == name

    return detect
