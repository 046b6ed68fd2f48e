"""Stopping before an update that would spoil the weights, without waiting for the device."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class NotFiniteError(ValueError):
    """A loss or gradient is not finite; the update was not made."""


class FiniteGuard:
    """Checks loss and gradient norm of every iteration.

    Reading a value from a GPU makes the host wait for it. There the guard only sets a flag on the
    device, which the model obeys: no update is made from the first bad iteration on. The host reads
    the flag when it waits for the device anyway, before anything is printed or saved. Elsewhere the
    guard reads it at once. With many processes all of them must call its methods.

    Args:
        device: of the losses.
        deferred: whether the model obeys the flag, :attr:`found_inf`, instead of an exception.
        overflow_is_normal: whether a gradient scaler handles infinite gradients, as in float16;
            only the loss is checked then.
    """

    def __init__(
        self, device: torch.device, deferred: bool = False, overflow_is_normal: bool = False
    ) -> None:
        self.deferred = deferred
        self.overflow_is_normal = overflow_is_normal
        # As fused optimizers expect it: a float, 1 from the first bad iteration on.
        self.found_inf = torch.zeros((), device=device)
        self._numbers = torch.zeros(3, dtype=torch.float64, device=device)  # iteration, loss, norm
        self._batches: dict[int, Sequence[str]] = {}

    def observe(self, iteration: int, loss: Tensor, norm: Tensor, images: Sequence[str]) -> None:
        """Check loss and gradient norm (0-dimensional) of an iteration on ``images``.

        Unless the guard is deferred it raises as :meth:`raise_if_bad`.
        """
        watched = loss if self.overflow_is_normal else loss + norm
        bad = (~torch.isfinite(watched)).float()
        numbers = torch.stack((torch.full_like(loss, iteration), loss, norm)).double()
        self._numbers = torch.where(bad > self.found_inf, numbers, self._numbers)
        self.found_inf = torch.maximum(self.found_inf, bad)
        self._batches[iteration] = images
        if not self.deferred:
            self.raise_if_bad()

    def raise_if_bad(self) -> None:
        """Wait for the device, and for the other processes.

        Raises:
            NotFiniteError: there was a bad iteration since the last call, in any process: it made
                no update where the others did.
        """
        batches, self._batches = self._batches, {}
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(self.found_inf, dist.ReduceOp.MAX)
        if not self.found_inf.item():
            return
        number, loss, norm = self._numbers.tolist()
        if not number:
            raise NotFiniteError(
                "another process had a loss or gradient that is not finite; its output says where"
            )
        names = ", ".join(Path(image).name for image in batches.get(int(number), ()))
        raise NotFiniteError(
            f"iteration {number:.0f}: loss {loss:.4g}, gradient norm {norm:.4g}. This update was "
            "not made, and the last checkpoints are as they were.\n"
            f"  images of the batch: {names or 'unknown'}\n"
            "  if the images are fine, lower train:optim_g:lr, lengthen train:warmup_iter, set "
            "train:grad_clip_max_norm, or use amp_bf16 in place of float16"
        )


def check_finite(model: Any, iteration: int) -> None:
    """Check all iterations since the last call, by the model's guard or by the losses it reports.

    Raises:
        NotFiniteError: one was not finite; without a guard the model's weights are spoilt.
    """
    if getattr(model, "guard", None) is not None:
        model.guard.raise_if_bad()
        return
    bad = [f"{k} is {v}" for k, v in model.log_dict.items() if not math.isfinite(v)]
    if bad:
        raise NotFiniteError(
            f"iteration {iteration}: {', '.join(bad)}; nothing was saved since. Lower "
            "train:optim_g:lr or look at the images"
        )
