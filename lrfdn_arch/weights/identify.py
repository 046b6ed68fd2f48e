"""Which network a state dict belongs to, read off its names and shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Identity:
    """A network class of ours and the constructor arguments that its weights determine.

    ``img_range`` leaves no trace in weights; it is the class's default.
    """

    network: str
    num_in_ch: int
    num_out_ch: int
    num_feat: int
    num_block: int
    upscale: int

    def options(self) -> dict[str, Any]:
        """Return the ``network_g`` section of an option file."""
        return {
            "type": self.network,
            "num_in_ch": self.num_in_ch,
            "num_out_ch": self.num_out_ch,
            "num_feat": self.num_feat,
            "num_block": self.num_block,
            "upscale": self.upscale,
        }

    def __str__(self) -> str:
        sizes = f"{self.num_feat} channels, {self.num_block} blocks"
        return f"{self.network} x{self.upscale} ({sizes})"


def identify(state: Mapping[str, Tensor]) -> Identity | None:
    """Return what ``state`` is the state dict of, or None where it is neither LRFDN nor RFDN.

    The number of output channels and the scale share one dimension (num_out_ch * upscale**2); as
    many output as input channels are assumed, as in every super-resolution network here.
    """
    names = {"B1.cw": "LRFDN", "B1.esa.conv_f.weight": "RFDN"}
    network = next((name for key, name in names.items() if key in state), None)
    needed = ("fea_conv.weight", "upsampler.0.weight")
    if network is None or any(key not in state or state[key].dim() != 4 for key in needed):
        return None
    if not all(state[key].numel() for key in needed):
        return None
    num_feat, num_in_ch = state["fea_conv.weight"].shape[:2]
    pixels = state["upsampler.0.weight"].shape[0]
    upscale = isqrt(pixels // num_in_ch)
    if num_in_ch * upscale**2 != pixels:
        return None
    num_block = sum(key.startswith("B") and key.endswith(".c5.bias") for key in state)
    return Identity(network, num_in_ch, num_in_ch, num_feat, num_block, upscale)
