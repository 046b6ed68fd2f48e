"""The training model: what one iteration is. It serves any network of the registry."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import torch
import torch.distributed as dist
from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lrfdn_arch.archs.lookup import build_network
from lrfdn_arch.data.augment import choose
from lrfdn_arch.data.paired_lmdb_dataset import to_device
from lrfdn_arch.options.basicsr_dict import train_section
from lrfdn_arch.training.checkpoint import save_state, save_weights
from lrfdn_arch.training.finite import FiniteGuard
from lrfdn_arch.training.model.objective import Objective
from lrfdn_arch.training.model.optimizer import (
    build_optimizer,
    learning_rate,
    load_optimizer_state,
)
from lrfdn_arch.training.model.precision import Precision
from lrfdn_arch.training.model.reparameterize import branch_state, reparameterize
from lrfdn_arch.training.model.weights import WeightAverage, decay_at, load_initial


class LRFDNModel(SRModel):
    """BasicSR's ``SRModel`` with mixed precision, accumulation, clipping, EMA and a NaN guard.

    It takes BasicSR's option dict and works in BasicSR's ``train_pipeline`` and ``test_pipeline``
    too. Additions to the options are described in :mod:`lrfdn_arch.options`.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        BaseModel.__init__(self, opt)  # SRModel's own would load weights and wrap its way
        self.precision = Precision.of(opt, self.device)
        network = build_network(opt["network_g"])
        load_initial(network, opt["path"])
        section = train_section(opt["train"]).reparameterize if opt.get("is_train", True) else None
        if section is not None:
            reparameterize(network, section)
        self.net_g = self.model_to_device(network)
        if self.is_train:
            self.init_training_settings()

    def model_to_device(self, net: nn.Module) -> nn.Module:
        """Place ``net`` as the options say; over processes of GPUs or CPUs alike."""
        net = self.precision.prepare(net)
        if not self.opt["dist"]:
            return net
        ids = [torch.cuda.current_device()] if self.device.type == "cuda" else None
        unused = self.opt.get("find_unused_parameters", False)
        return DistributedDataParallel(net, device_ids=ids, find_unused_parameters=unused)

    def init_training_settings(self) -> None:
        """Build losses, optimizer, EMA, scaler and guard."""
        opt, train = self.opt, train_section(self.opt["train"])
        self.train_options = train
        self.bare: nn.Module = self.get_bare_model(self.net_g)
        self.net_g.train()
        self.objective = Objective(train, opt, self.precision)
        self.micro_batch = opt["datasets"]["train"]["batch_size_per_gpu"]
        self.weights = [p for p in self.bare.parameters() if p.requires_grad]
        self.optimizer_g = build_optimizer(train.optim_g, self.weights)
        self.optimizers.append(self.optimizer_g)
        self.scaler = self.precision.scaler()
        self.ema_decay = train.ema_decay
        # Only random first weights must be forgotten fast.
        self.ema_warmup = train.ema_warmup and not opt["path"].get("pretrain_network_g")
        if self.ema_decay > 0:
            self.net_g_ema = build_network(opt["network_g"])
            self.net_g_ema.load_state_dict(self.bare.state_dict())
            load_initial(self.net_g_ema, opt["path"], average=True)
            self.precision.place(self.net_g_ema).eval().requires_grad_(False)
            self.average = WeightAverage(self.net_g_ema, self.bare)
        scaled, on_gpu = self.scaler.is_enabled(), self.device.type == "cuda"
        self.guard = FiniteGuard(self.device, deferred=on_gpu, overflow_is_normal=scaled)
        self._sums: dict[str, Tensor] = {}
        self._summed = 0

    def update_learning_rate(self, current_iter: int, warmup_iter: int = -1) -> None:
        """Set the rate of iteration ``current_iter``; a warm-up is part of the curve."""
        train = self.train_options
        rate = learning_rate(train, current_iter)
        for group in self.optimizer_g.param_groups:
            group["lr"] = rate * (group["initial_lr"] / train.optim_g.lr)

    def feed_data(self, data: Mapping[str, Any]) -> None:
        """Take a batch: ``lq`` (N, C, H, W), ``gt`` (N, C, H*s, W*s), uint8 or float in [0, 1]."""
        batch = to_device(data, self.device, memory_format=self.precision.memory_format)
        self.lq: Tensor = batch["lq"]
        self.images: Sequence[str] = batch.get("lq_path", ())
        if "gt" in batch:
            self.gt: Tensor = batch["gt"]

    def optimize_parameters(self, current_iter: int) -> None:
        """Make one update from the batch, a part of ``batch_size_per_gpu`` images at a time."""
        lq, gt = self._patches(current_iter)
        parts = list(zip(lq.split(self.micro_batch), gt.split(self.micro_batch), strict=True))
        self._clear_gradients(parts=len(parts))
        total = torch.zeros((), device=self.device)
        for left, (lq, gt) in zip(reversed(range(len(parts))), parts, strict=True):
            # Only the last part exchanges gradients between processes.
            group = self.net_g if isinstance(self.net_g, DistributedDataParallel) else None
            with group.no_sync() if left and group is not None else nullcontext():
                total += self._backward(lq, gt, share=len(lq) / len(self.lq))
        norm = self._gradient_norm()
        self.guard.observe(current_iter, total, norm, self.images)
        if self.scaler.is_enabled():  # it skips updates of infinite gradients
            norm = torch.where(torch.isfinite(norm), norm, torch.zeros_like(norm))
        self._note("grad_norm", norm)
        self._update()
        if self.ema_decay > 0:
            self.average.update(decay_at(current_iter, self.ema_decay, self.ema_warmup))
        self._summed += 1

    def _patches(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Return the batch, LR and HR, cut to the patch size drawn for this iteration."""
        sizes = self.train_options.patch_sizes
        if not sizes:
            return self.lq, self.gt
        size = sizes[choose(self.opt["manual_seed"], iteration, len(sizes))]
        scale = self.gt.shape[-1] // self.lq.shape[-1]
        return self.lq[..., : size // scale, : size // scale], self.gt[..., :size, :size]

    def _clear_gradients(self, parts: int) -> None:
        """Remove the gradients, or set them to zero where CUDA graphs compute several parts.

        A graph writes the gradients of each part into the same memory. Without a tensor to add
        them to, those of the first part would be used in place and overwritten by the next part.
        """
        graphs = self.precision.compile_mode in ("reduce-overhead", "max-autotune")
        kept = parts > 1 and graphs
        self.optimizer_g.zero_grad(set_to_none=not kept)
        for weight in self.weights if kept else ():
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)

    def _backward(self, lq: Tensor, gt: Tensor, share: float) -> Tensor:
        """Add the gradient of a ``share`` of the batch and return its part of the loss."""
        with self.precision.computing():
            output = self.net_g(lq)
        losses = self.objective(output.float(), lq, gt, share)
        loss = torch.stack(list(losses.values())).sum()
        self.scaler.scale(loss).backward()
        for name, value in losses.items():
            self._note(name, value.detach())
        return loss.detach()

    def _gradient_norm(self) -> Tensor:
        """Return the norm of the gradient, after which it is clipped if the options say so."""
        self.scaler.unscale_(self.optimizer_g)
        gradients = [p.grad for p in self.weights if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        longest = self.train_options.grad_clip_max_norm
        if longest is not None:
            torch.nn.utils.clip_grads_with_norm_(self.weights, longest, norm, foreach=True)
        return norm

    @torch.no_grad()
    def _update(self) -> None:
        """Update the weights, unless a deferred guard has seen something not finite."""
        obeys = all(group.get("fused") for group in self.optimizer_g.param_groups)
        guarded = self.guard.deferred and not self.scaler.is_enabled()
        if guarded and obeys:  # as a gradient scaler would tell it
            self.optimizer_g.grad_scale = None  # type: ignore[attr-defined]
            self.optimizer_g.found_inf = self.guard.found_inf  # type: ignore[attr-defined]
        before = [weight.clone() for weight in self.weights] if guarded and not obeys else ()
        self.scaler.step(self.optimizer_g)
        self.scaler.update()
        for weight, old in zip(self.weights, before, strict=False):
            torch.where(self.guard.found_inf > 0, old, weight, out=weight)

    def _note(self, name: str, value: Tensor) -> None:
        self._sums[name] = self._sums[name] + value if name in self._sums else value

    def get_current_log(self) -> "OrderedDict[str, float]":
        """Return the means since the last call, over all processes; waits for the device.

        With many processes all of them must call it.
        """
        self.guard.raise_if_bad()
        if not self._summed:
            return OrderedDict()
        means = torch.stack(list(self._sums.values())).double() / self._summed
        if self.opt["dist"]:
            dist.all_reduce(means)
            means /= self.opt["world_size"]
        log = OrderedDict(zip(self._sums, means.tolist(), strict=True))
        self._sums, self._summed = {}, 0
        return log

    def state_dict(self) -> dict[str, Any]:
        """Return what this model has beyond BasicSR's networks, optimizers and schedulers."""
        state = {"scaler": self.scaler.state_dict(), "ema_warmup": self.ema_warmup}
        branches = branch_state(self.bare)
        return state | {"branches": branches} if branches else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state_dict` returned."""
        self.ema_warmup = state.get("ema_warmup", self.ema_warmup)
        for name, weight in branch_state(self.bare).items():
            weight.copy_(state["branches"][name])
        if self.scaler.is_enabled() and state.get("scaler"):
            self.scaler.load_state_dict(deepcopy(state["scaler"]))

    def resume_training(self, resume_state: Mapping[str, Any]) -> None:
        """Load optimizer and scaler of a state saved here or by BasicSR.

        BasicSR's schedulers are ignored: the rate is a function of the iteration.
        """
        self.load_state_dict(resume_state.get("model", {}))
        load_optimizer_state(self.optimizer_g, resume_state["optimizers"][0])

    def save(self, epoch: int, current_iter: int) -> None:
        """Write ``net_g_N.pth`` and ``N.state`` for BasicSR's loop, whole or not at all."""
        self.guard.raise_if_bad()
        if self.opt["rank"] != 0:
            return
        label, paths = "latest" if current_iter == -1 else current_iter, self.opt["path"]
        save_weights(self, paths["models"], label)
        if current_iter != -1:
            state = f"{paths['training_states']}/{current_iter}.state"
            save_state(self, state, epoch, current_iter)
        get_root_logger().info(f"saved net_g_{label}.pth")
