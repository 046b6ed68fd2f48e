"""``train``: optimizer, learning rate, losses, length, EMA."""

from typing import ClassVar, Literal

from pydantic import Field

from lrfdn_arch.options.fields import Numbers, Positive, Section, Typed, Whole, Wholes

SchedulerType = Literal[
    "MultiStepLR",
    "MultiStepRestartLR",
    "CosineAnnealingRestartLR",
    "CosineAnnealingLR",
    "OneCycleLR",
    "ConstantLR",
]


class Optimizer(Typed):
    """An optimizer of ``torch.optim``, or Muon, by name; further keys are its arguments."""

    only_written: ClassVar[bool] = True

    type: str = Field(min_length=1, description="Adam, AdamW, NAdam, ... of torch.optim, or Muon.")
    lr: float = Field(gt=0, description="Learning rate at its highest.")
    weight_decay: float = Field(default=0.0, ge=0, description="L2 penalty; decoupled in AdamW.")
    betas: tuple[float, float] = Field(
        default=(0.9, 0.999), strict=False, description="Momentum terms of the Adam family."
    )


class Scheduler(Section):
    """The learning rate as a function of the iteration."""

    only_written: ClassVar[bool] = True

    type: SchedulerType = Field(description="The shape of the curve.")
    milestones: Wholes = Field(
        default=(), description="MultiStep: iterations that multiply by gamma."
    )
    gamma: float = Field(default=0.1, gt=0, description="MultiStep: the factor.")
    restarts: Wholes = Field(
        default=(0,), description="MultiStepRestartLR: iterations that restart."
    )
    restart_weights: Numbers = Field(
        default=(1.0,), description="Factor of each restart or period."
    )
    periods: tuple[Positive, ...] = Field(
        default=(), strict=False, description="CosineAnnealingRestartLR: length of each cosine."
    )
    eta_min: float = Field(default=0.0, ge=0, description="Cosine: the lowest learning rate.")
    T_max: Positive | None = Field(
        default=None, description="CosineAnnealingLR: length of the cosine; total_iter by default."
    )
    pct_start: float = Field(default=0.3, gt=0, lt=1, description="OneCycleLR: share spent rising.")
    div_factor: float = Field(
        default=25.0, ge=1, description="OneCycleLR: lr / div_factor at the start."
    )
    final_div_factor: float = Field(
        default=1e4, ge=1, description="OneCycleLR: the start's rate / final_div_factor at the end."
    )


class Loss(Typed):
    """A loss of BasicSR's LOSS_REGISTRY; further keys are its arguments."""


class Train(Section):
    """How the network is trained."""

    total_iter: Positive = Field(description="Number of iterations (updates); exact.")
    warmup_iter: Whole = Field(
        default=-1, ge=-1, description="Iterations over which the rate rises linearly; -1 for none."
    )
    optim_g: Optimizer = Field(description="The optimizer.")
    scheduler: Scheduler = Field(description="The learning-rate curve.")
    pixel_opt: Loss | None = Field(default=None, description="Pixel loss, e.g. L1Loss.")
    perceptual_opt: Loss | None = Field(default=None, description="Perceptual loss of BasicSR.")
    ema_decay: float = Field(
        default=0.0, ge=0, lt=1, description="Decay of the averaged weights; 0 turns them off."
    )
    ema_warmup: bool = Field(
        default=True,
        description="Average over fewer iterations at the start: decay min(ema_decay, (1+n)/(10+n))"
        " at update n. BasicSR has no such thing.",
    )
    grad_clip_max_norm: float | None = Field(
        default=None, gt=0, description="Longer gradients are shortened to this norm."
    )
