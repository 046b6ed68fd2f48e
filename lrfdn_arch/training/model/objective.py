"""What training minimizes: the losses of an option file, each under the name it is logged by."""

from collections.abc import Mapping
from typing import Any

import torch
from basicsr.losses import build_loss
from torch import Tensor, nn

from lrfdn_arch.options.training import Loss, Train
from lrfdn_arch.training.model.precision import Precision
from lrfdn_arch.weights import load_network

_PERCEPTUAL = ("l_percep", "l_style")  # BasicSR's perceptual loss returns both, or None for one


class Objective:
    """The losses of a batch: ``pixel_opt``, ``perceptual_opt`` and ``losses`` of ``train``.

    ``path: pretrain_network_teacher`` of BasicSR's dict ``opt``, in the ``precision`` of training,
    maps ``lq`` to the target of losses with ``target: teacher``.
    """

    def __init__(self, train: Train, opt: Mapping[str, Any], precision: Precision) -> None:
        self._precision = precision
        self._teacher: nn.Module | None = None
        if file := opt["path"].get("pretrain_network_teacher"):
            teacher = load_network(file, network_g=opt.get("network_teacher")).network
            self._teacher = precision.prepare(teacher.requires_grad_(False))
        self._terms: dict[str, tuple[nn.Module, str, bool]] = {}
        if train.pixel_opt:
            self._add("l_pix", train.pixel_opt)
        if train.perceptual_opt:
            self._add(_PERCEPTUAL[0], train.perceptual_opt)
        for term in train.losses:
            suffix = "_teacher" if term.target == "teacher" else ""
            name = f"l_{term.type.removesuffix('Loss').lower()}{suffix}"
            numbered = [name, *(f"{name}_{number}" for number in range(2, len(self._terms) + 3))]
            self._add(next(n for n in numbered if n not in self._terms), term)

    def _add(self, name: str, section: Loss) -> None:
        arguments = section.arguments()
        target = arguments.pop("target", "gt")
        loss = build_loss({"type": section.type, **arguments}).to(self._precision.device)
        self._terms[name] = loss, target, arguments.get("reduction") == "sum"

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
            several = isinstance(value, tuple)
            for key, part in zip(_PERCEPTUAL, value, strict=True) if several else [(name, value)]:
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
