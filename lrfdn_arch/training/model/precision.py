"""In which numbers and memory layout a network is trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lrfdn_arch.device import can_compile, has_bfloat16, uses_tf32


@dataclass(frozen=True)
class Precision:
    """Precision, memory layout and compilation, as the option file asks for them."""

    device: torch.device
    autocast: torch.dtype | None = None  # bfloat16 or float16 in mixed precision
    memory_format: torch.memory_format = torch.contiguous_format  # of images and weights
    compile_mode: str | None = None  # of torch.compile; None for no compilation

    @classmethod
    def of(cls, opt: Mapping[str, Any], device: torch.device) -> "Precision":
        """Read ``use_amp, amp_bf16, use_channels_last, use_compile, compile_mode``.

        ``auto`` is off on the CPU and on GPUs that lack what it stands for.

        Raises:
            ValueError: bfloat16 is asked for and the GPU lacks it.
        """

        def chosen(key: str, automatic: Callable[[torch.device], bool]) -> bool:
            return automatic(device) if opt.get(key) == "auto" else bool(opt.get(key))

        amp, layout = chosen("use_amp", has_bfloat16), chosen("use_channels_last", has_bfloat16)
        compiled = chosen("use_compile", can_compile)
        bfloat16 = opt.get("use_amp") == "auto" or opt.get("amp_bf16")
        half = torch.bfloat16 if bfloat16 else torch.float16
        on_gpu = device.type == "cuda"
        if amp and bfloat16 and on_gpu and not torch.cuda.is_bf16_supported():
            raise ValueError(
                "amp_bf16: this GPU lacks bfloat16; set use_amp: auto, or amp_bf16: false"
            )
        return cls(
            device,
            half if amp else None,
            torch.channels_last if layout else torch.contiguous_format,
            opt.get("compile_mode", "default") if compiled else None,
        )

    def prepare(self, network: nn.Module) -> nn.Module:
        """Move ``network`` to the device in the memory layout and compile it, all in place.

        In place, so that its weights keep their names (``torch.compile(network)`` puts
        ``_orig_mod.`` before each).
        """
        if self.compile_mode is not None:
            network.compile(mode=self.compile_mode)
        return self.place(network)

    def place(self, network: nn.Module) -> nn.Module:
        """Move ``network`` to the device in the memory layout, in place."""
        return network.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload]

    def computing(self) -> torch.autocast:
        """Return the context in which the network and nothing else computes."""
        return torch.autocast(
            self.device.type, dtype=self.autocast, enabled=self.autocast is not None
        )

    def scaler(self) -> torch.amp.GradScaler:
        """Return the gradient scaler; it does nothing but in float16."""
        return torch.amp.GradScaler(self.device.type, enabled=self.autocast is torch.float16)

    def __str__(self) -> str:
        float32 = "float32 (TF32 convolutions)" if uses_tf32(self.device) else "float32"
        words = {None: float32, torch.bfloat16: "bfloat16 mixed", torch.float16: "float16 mixed"}
        parts = [words[self.autocast]]
        if self.memory_format is torch.channels_last:
            parts.append("channels_last")
        if self.compile_mode is not None:
            parts.append(f"compiled ({self.compile_mode})")
        return ", ".join(parts)
