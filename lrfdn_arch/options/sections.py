"""The smaller sections: network, paths, validation, logging, processes."""

from typing import Literal

from pydantic import Field

from lrfdn_arch.options.fields import Count, Positive, Section, Typed, Whole


class Network(Typed):
    """A network of BasicSR's ARCH_REGISTRY; further keys are its constructor's arguments."""


class Paths(Section):
    """Weights to start from. BasicSR's other keys (``pretrain_network_d``, ...) pass through."""

    init: Literal["bilinear"] | None = Field(
        default=None,
        description="bilinear: the untrained network interpolates through its long skip.",
    )
    pretrain_network_g: str | None = Field(default=None, description="Weights to start from.")
    param_key_g: str | None = Field(
        default=None,
        description="params or params_ema in that file; found by itself where not said.",
    )
    strict_load_g: bool = Field(default=True, description="Every weight must be there and fit.")
    resume_state: str | None = Field(
        default=None, description="A .state file to go on from; --auto_resume finds the newest."
    )
    ignore_resume_networks: list[str] | None = Field(
        default=None, description="Networks that BasicSR's loop does not take from the state."
    )


class Metric(Typed):
    """A metric of BasicSR's METRIC_REGISTRY; further keys are its arguments."""

    type: str = Field(min_length=1, description="calculate_psnr, calculate_ssim, ...")
    crop_border: Count | None = Field(
        default=None, description="Pixels cut on each side; often scale."
    )
    test_y_channel: bool = Field(
        default=False, description="On the Y channel of YCbCr instead of RGB."
    )
    better: Literal["higher", "lower"] = Field(default="higher", description="Which way is up.")


class Val(Section):
    """Validation and testing."""

    val_freq: Positive | None = Field(
        default=None, description="Iterations between validations; only at the end where not said."
    )
    save_img: bool = Field(default=False, description="Write the images under visualization/.")
    suffix: str | None = Field(
        default=None, description="Appended to the names of images of a test."
    )
    metrics: dict[str, Metric] | None = Field(
        default=None, description="Name shown -> metric, e.g. psnr_y -> calculate_psnr on Y."
    )
    pbar: bool = Field(default=False, description="A progress bar over the images.")
    weights: Literal["ema", "raw", "both"] | None = Field(
        default=None, description="Which weights; by default both where there is an EMA."
    )
    best_metric: str | None = Field(
        default=None, description="The metric that decides net_g_best.pth; the first by default."
    )
    use_amp: bool = Field(default=False, description="Mixed precision here too; fp32 by default.")
    tile_size: Count = Field(
        default=0, description="Side of the LR tiles large images are cut into; 0 for whole images."
    )
    tile_overlap: Count = Field(default=16, description="LR pixels neighbouring tiles share.")


class Wandb(Section):
    """Weights & Biases; needs the package ``wandb``."""

    project: str | None = Field(
        default=None, description="Project to report to; off where not said."
    )
    resume_id: str | None = Field(default=None, description="Run to go on with.")


class Logger(Section):
    """What is printed and kept, and how often."""

    print_freq: Positive = Field(default=100, description="Iterations between lines of the log.")
    save_checkpoint_freq: Positive = Field(
        default=5000, description="Iterations between checkpoints; one more is written at the end."
    )
    keep_last: Positive | None = Field(
        default=None, description="Checkpoints kept besides the best; all where not said."
    )
    use_tb_logger: bool = Field(default=False, description="TensorBoard files under tb_logger/.")
    wandb: Wandb | None = Field(default=None, description="Weights & Biases.")


class DistParams(Section):
    """Many processes."""

    backend: Literal["nccl", "gloo"] | None = Field(
        default=None, description="nccl on GPUs and gloo on CPUs where not said."
    )
    port: Whole | None = Field(
        default=None, gt=0, lt=65536, description="Port of rank 0 under slurm."
    )
