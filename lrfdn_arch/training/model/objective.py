"""What training minimizes: the losses of an option file, each under the name it is logged by."""

from collections.abc import Mapping
from typing import Any

import torch
from basicsr.losses import build_loss
from torch import Tensor, nn

from lrfdn_arch.options.training import Loss, LossTerm, Train
from lrfdn_arch.training.model.precision import Precision
from lrfdn_arch.weights import load_network

PERCEPTUAL = ("l_percep", "l_style")  # BasicSR's perceptual loss returns both, or None for one


def load_teacher(opt: Mapping[str, Any], precision: Precision) -> nn.Module | None:
    """Load the network of ``path: pretrain_network_teacher``, if there is one."""
    file = opt["path"].get("pretrain_network_teacher")
    if not file:
        return None
    network = load_network(file, network_g=opt.get("network_teacher")).network
    return precision.prepare(network.requires_grad_(False))


class Objective:
    """The losses of a batch.

    Args:
        train: the section with ``pixel_opt``, ``perceptual_opt`` and ``losses``.
        precision: where and in which precision the teacher computes.
        teacher: maps ``lq`` to the target of losses with ``target: teacher``.
    """

    def __init__(self, train: Train, precision: Precision, teacher: nn.Module | None) -> None:
        self._precision = precision
        self._teacher = teacher
        self._terms: dict[str, tuple[nn.Module, str, bool]] = {}
        if train.pixel_opt:
            self._add("l_pix", train.pixel_opt)
        if train.perceptual_opt:
            self._add(PERCEPTUAL[0], train.perceptual_opt)
        for term in train.losses:
            self._add(self._unused(_name(term)), term)

    def _add(self, name: str, section: Loss) -> None:
        arguments = section.arguments()
        target = arguments.pop("target", "gt")
        loss = build_loss({"type": section.type, **arguments}).to(self._precision.device)
        self._terms[name] = loss, target, arguments.get("reduction") == "sum"

    def _unused(self, name: str) -> str:
        numbered = [name, *(f"{name}_{number}" for number in range(2, len(self._terms) + 3))]
        return next(name for name in numbered if name not in self._terms)

    def __call__(self, output: Tensor, lq: Tensor, gt: Tensor, share: float) -> dict[str, Tensor]:
        """Return the losses of a part of a batch by name; their sum is to be minimized.

        Args:
            output: of the network, float32, (N, C, H*s, W*s).
            lq: its input, (N, C, H, W).
            gt: shape of ``output``.
            share: of the batch that the part is; losses that are means count by it.
        """
        targets = {"gt": gt}
        if self._teacher is not None:
            targets["teacher"] = self._imitated(self._teacher, lq, gt)
        losses: dict[str, Tensor] = {}
        for name, (loss, target, is_sum) in self._terms.items():
            value = loss(output, targets[target])
            named = (
                zip(PERCEPTUAL, value, strict=True) if isinstance(value, tuple) else [(name, value)]
            )
            for key, part in named:
                if part is not None:
                    losses[key] = part if is_sum else part * share
        return losses

    @torch.no_grad()
    def _imitated(self, teacher: nn.Module, lq: Tensor, gt: Tensor) -> Tensor:
        with self._precision.computing():
            output = teacher(lq).float()
        if output.shape != gt.shape:
            raise ValueError(
                f"path:pretrain_network_teacher: the teacher makes {tuple(output.shape)} of "
                f"{tuple(lq.shape)}, expected {tuple(gt.shape)}; take one of the same scale"
            )
        return output


def _name(term: LossTerm) -> str:
    suffix = "_teacher" if term.target == "teacher" else ""
    return f"l_{term.type.removesuffix('Loss').lower()}{suffix}"
