"""Losses beside BasicSR's, registered under their names."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FFTLoss(nn.Module):
    """Mean absolute difference of the real and imaginary parts of the 2-D Fourier transforms.

    Args:
        loss_weight: factor on the loss.
        norm: scaling of the transform. ``ortho`` keeps the loss at the size of an L1 loss on
            pixels; ``backward``, used by several published recipes, has no factor, so the loss
            grows with the patch.
    """

    def __init__(self, loss_weight: float = 1.0, norm: str = "ortho") -> None:
        super().__init__()
        if norm not in ("ortho", "backward", "forward"):
            raise ValueError(f"FFTLoss: expected norm ortho, backward or forward, found {norm!r}")
        self.loss_weight = loss_weight
        self.norm = norm

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``pred`` and ``target``, float (N, C, H, W)."""
        difference = torch.fft.rfft2(pred - target, norm=self.norm)
        return self.loss_weight * torch.view_as_real(difference).abs().mean()


class GradientLoss(nn.Module):
    """Mean absolute difference of horizontal and vertical differences of neighbouring pixels.

    Args:
        loss_weight: factor on the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss of ``pred`` and ``target``, (N, C, H, W)."""
        difference = pred - target
        across = difference[..., :, 1:] - difference[..., :, :-1]
        down = difference[..., 1:, :] - difference[..., :-1, :]
        zero = torch.zeros_like
        return self.loss_weight * (F.l1_loss(across, zero(across)) + F.l1_loss(down, zero(down)))
