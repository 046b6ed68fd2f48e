"""Muon for networks of convolutions, and the table of optimizers an option file may name."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

# The quintic polynomial of Keller Jordan's Muon: steepest at 0, the singular values end between
# about 0.7 and 1.2 (https://kellerjordan.github.io/posts/muon/).
_A, _B, _C = 3.4445, -4.7750, 2.0315

# By the shape of the matrix; the first moves weights about as far as Adam at the same rate.
SCALINGS: dict[str, Callable[[int, int], float]] = {
    "match_rms_adamw": lambda rows, columns: 0.2 * max(rows, columns) ** 0.5,
    "original": lambda rows, columns: max(1.0, rows / columns) ** 0.5,
    "none": lambda rows, columns: 1.0,
}

# They need a closure, sparse gradients, or matrices only; and the class all others derive from.
_UNSUITABLE = ("LBFGS", "SparseAdam", "Muon", "Optimizer")


def orthogonalize(matrices: Tensor, steps: int = 5) -> Tensor:
    """Return the Newton-Schulz approximation of ``U @ V.T`` for each ``U @ S @ V.T``.

    ``matrices`` are (N, rows, columns), of any scale.
    """
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.mT if tall else x


def is_kernel(weight: Tensor) -> bool:
    """Return whether ``weight`` is a matrix per tap: at least two output and input channels.

    Depthwise kernels, biases and vectors per channel, such as LRFDN's ``cw`` (1, C), are not.
    """
    return weight.ndim >= 2 and min(weight.shape[:2]) > 1


class Muon(torch.optim.Optimizer):
    """Muon for convolution kernels and Adam for every other weight.

    A kernel (out, in, k, k) is taken as the matrix (out, in*k*k). Its update is the Nesterov
    momentum of the gradient with all singular values brought to about 1, times ``lr`` and the
    factor of ``scaling``. Kernels of equal shape are computed in one call, in their own dtype
    (torch's Muon computes in bfloat16).

    Training LRFDN x4 on 291 images at equal iterations, the moving average gained over Adam at
    4e-3 0.55 to 0.61 dB after 1,000 iterations and, together with the bilinear start, 0.31 dB
    after 2,500 and 0.15 dB after 10,000; a step took 5 % longer. Learning rates from 2e-3 to 1e-2
    lay within 0.2 dB of each other.

    Args:
        params: weights; :func:`is_kernel` tells which are kernels.
        lr: highest learning rate of the kernels.
        weight_decay: decoupled, of the kernels only.
        momentum: decay of the averaged gradient.
        nesterov: add the gradient to its average once more.
        ns_steps: Newton-Schulz iterations.
        scaling: name of the factor on a kernel's update, in `SCALINGS`.
        adam_lr: highest learning rate of all other weights; the schedule scales both rates alike.
        betas: decay rates of Adam.
        eps: of Adam.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 5e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        scaling: str = "match_rms_adamw",
        adam_lr: float = 4e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if scaling not in SCALINGS:
            raise ValueError(f"scaling: expected one of {', '.join(SCALINGS)}, found {scaling!r}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum: expected at least 0 and below 1, found {momentum}")
        if ns_steps < 1:
            raise ValueError(f"ns_steps: expected at least 1, found {ns_steps}")
        if adam_lr <= 0:
            raise ValueError(f"adam_lr: expected above 0, found {adam_lr}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas: expected two of at least 0 and below 1, found {betas}")
        weights = list(params)
        kernels: dict[str, Any] = {"params": [p for p in weights if is_kernel(p)], "lr": lr}
        kernels |= {"weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
        kernels |= {"ns_steps": ns_steps, "scaling": scaling}
        others: dict[str, Any] = {"params": [p for p in weights if not is_kernel(p)]}
        others |= {"lr": adam_lr, "betas": betas, "eps": eps, "fused": True}
        super().__init__([kernels, others], defaults={})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient. ``closure`` is not supported."""
        assert closure is None, "Muon evaluates no closure"
        kernels, others = self.param_groups
        self._step_kernels(kernels)
        self._step_others(others)

    def _step_kernels(self, group: dict[str, Any]) -> None:
        alike: defaultdict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        for kernel in group["params"]:
            if kernel.grad is not None:
                alike[len(kernel), kernel[0].numel()].append(kernel)
        for shape, kernels in alike.items():
            gradients = torch.stack([_gradient(k).reshape(shape) for k in kernels])
            average = torch.stack([self._momentum(k).reshape(shape) for k in kernels])
            average.lerp_(gradients, 1 - group["momentum"])
            for kernel, new in zip(kernels, average, strict=True):
                self._momentum(kernel).copy_(new.view(kernel.shape))
            update = gradients.lerp(average, group["momentum"]) if group["nesterov"] else average
            rate = group["lr"] * SCALINGS[group["scaling"]](*shape)
            for kernel, step in zip(kernels, orthogonalize(update, group["ns_steps"]), strict=True):
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.add_(step.reshape(kernel.shape), alpha=-rate)

    def _momentum(self, kernel: nn.Parameter) -> Tensor:
        state = self.state[kernel]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(kernel)
        return state["momentum_buffer"]

    def _step_others(self, group: dict[str, Any]) -> None:
        weights = [p for p in group["params"] if p.grad is not None]
        if not weights:
            return
        for weight in weights:
            if not self.state[weight]:
                step = torch.zeros((), dtype=torch.float32, device=weight.device)
                averages = {n: torch.zeros_like(weight) for n in ("exp_avg", "exp_avg_sq")}
                self.state[weight] = {"step": step, **averages}
        steps, averages, squares = (
            [self.state[weight][name] for weight in weights]
            for name in ("step", "exp_avg", "exp_avg_sq")
        )
        beta1, beta2 = group["betas"]
        adam(
            weights,
            [_gradient(weight) for weight in weights],
            averages,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )


def _gradient(weight: nn.Parameter) -> Tensor:
    assert weight.grad is not None, "weights without a gradient are left out"
    return weight.grad


def optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    """Return the optimizers an option file may name: torch's, and :class:`Muon` in its place."""
    of_torch = {
        name: found
        for name, found in vars(torch.optim).items()
        if isinstance(found, type) and issubclass(found, torch.optim.Optimizer)
    }
    return {n: found for n, found in of_torch.items() if n not in _UNSUITABLE} | {"Muon": Muon}
