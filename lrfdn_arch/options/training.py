"""``train``: optimizer, learning rate, losses, length, EMA."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from lrfdn_arch.options.base import Numbers, Positive, Section, Typed, Whole, Wholes

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

    open_to_models: ClassVar[bool] = True  # which may have optimizers of their own
    only_written: ClassVar[bool] = True
    kind: ClassVar[str] = "optimizer"
    given: ClassVar[tuple[str, ...]] = ("params",)

    lr: float = Field(gt=0)
    """Learning rate at its highest."""
    weight_decay: float = Field(default=0.0, ge=0)
    """L2 penalty; decoupled in AdamW."""
    betas: tuple[float, float] = Field(default=(0.9, 0.999), strict=False)
    """Momentum terms of the Adam family."""


class Scheduler(Section):
    """The learning rate as a function of the iteration."""

    only_written: ClassVar[bool] = True
    open_to_models: ClassVar[bool] = True

    type: SchedulerType
    """The shape of the curve."""
    milestones: Wholes = ()
    """MultiStep: iterations that multiply by gamma."""
    gamma: float = Field(default=0.1, gt=0)
    """MultiStep: the factor."""
    restarts: Wholes = (0,)
    """MultiStepRestartLR: iterations that restart."""
    restart_weights: Numbers = (1.0,)
    """Factor of each restart or period."""
    periods: tuple[Positive, ...] = Field(default=(), strict=False)
    """CosineAnnealingRestartLR: length of each cosine."""
    eta_min: float = Field(default=0.0, ge=0)
    """Cosine: the lowest learning rate."""
    T_max: Positive | None = None
    """CosineAnnealingLR: length of the cosine; total_iter by default."""
    pct_start: float = Field(default=0.3, gt=0, lt=1)
    """OneCycleLR: share spent rising."""
    div_factor: float = Field(default=25.0, ge=1)
    """OneCycleLR: lr / div_factor at the start."""
    final_div_factor: float = Field(default=10000.0, ge=1)
    """OneCycleLR: the start's rate / final_div_factor at the end."""


class Loss(Typed):
    """A loss of BasicSR's LOSS_REGISTRY; further keys are its arguments."""

    kind: ClassVar[str] = "loss"


class LossTerm(Loss):
    """A loss of the list ``losses``, logged as ``l_`` and its type, e.g. ``l_fft``."""

    not_arguments: ClassVar[tuple[str, ...]] = ("type", "target")

    target: Literal["gt", "teacher"] = "gt"
    """What the output is compared with: the ground truth, or the output of the network of
    path:pretrain_network_teacher."""


class Reparameterize(Section):
    """Convolutions trained as sums of branches, merged wherever weights are saved or measured."""

    kind: Literal["rep", "ecb", "dbb"] = "rep"
    """Branches beside each convolution. rep: 1x1-3x3-1x1, 1x1 and identity; ecb: those of ECBSR;
    dbb: those of the diverse branch block."""
    layers: tuple[str, ...] = Field(default=("*",), strict=False)
    """Patterns of module names, e.g. B*.c1_r."""
    kernel_sizes: tuple[Literal[1, 3], ...] = Field(default=(3,), strict=False, min_length=1)
    """Which convolutions: 3x3, 1x1."""
    expansion: Positive = 2
    """Channels inside a branch, as a multiple of its input channels."""


class Train(Section):
    """How the network is trained."""

    open_to_models: ClassVar[bool] = True

    total_iter: Positive
    """Number of iterations (updates); exact."""
    warmup_iter: Whole = Field(default=-1, ge=-1)
    """Iterations over which the rate rises linearly; -1 for none."""
    optim_g: Optimizer
    scheduler: Scheduler
    pixel_opt: Loss | None = None
    """Pixel loss, e.g. L1Loss."""
    perceptual_opt: Loss | None = None
    """Perceptual loss of BasicSR."""
    losses: tuple[LossTerm, ...] = Field(default=(), strict=False)
    """Losses to add, e.g. [{type: L1Loss}, {type: FFTLoss, loss_weight: 0.05}]."""
    patch_sizes: tuple[Positive, ...] = Field(default=(), strict=False)
    """Sides of HR patches: each iteration draws one and cuts its patches of gt_size to it."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the averaged weights; 0 turns them off."""
    ema_warmup: bool = True
    """Average over fewer iterations at the start: decay min(ema_decay, (1+n)/(10+n)) at update n.
    BasicSR always uses ema_decay."""
    reparameterize: Reparameterize | None = None
    """Train chosen convolutions as sums of branches."""
    grad_clip_max_norm: float | None = Field(default=None, gt=0)
    """Longer gradients are shortened to this norm."""


class Stage(Section):
    """One of several runs in a row: the keys in which it differs from the rest of the file."""

    start_from: Literal["best", "latest"] = "latest"
    """Weights of the stage before to start from; the first stage starts as path specifies."""
    datasets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Keys of each phase, e.g. train: {gt_size: 192}."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Keys of train; sections with a type, such as optim_g, replace the file's as a whole."""
    val: dict[str, Any] = Field(default_factory=dict)
    """Keys of val."""
    logger: dict[str, Any] = Field(default_factory=dict)
    """Keys of logger."""
    use_amp: bool | Literal["auto"] | None = None
    """Mixed precision in this stage; by default as in the file."""
    amp_bf16: bool | None = None
    """bfloat16 in this stage; by default as in the file."""
