"""The whole option file, for training and for testing, and its smaller sections."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from lrfdn_arch.options.base import (
    Count,
    FileName,
    Numbers,
    Positive,
    Section,
    Typed,
    Whole,
    check_name,
)
from lrfdn_arch.options.faults import Fault
from lrfdn_arch.options.training import Stage, Train

# Models whose options are all fields of these classes, so that any other key is a misspelling.
KNOWN_MODELS = ("LRFDNModel", "SRModel")
# Datasets whose arguments are all fields of Dataset, so that any other key is a misspelling.
KNOWN_DATASETS = ("PairedLMDBDataset", "PairedImageDataset", "SingleImageDataset")

PhaseName = Annotated[str, Field(pattern=r"^(train|(val|test)(_.+)?)$")]


class IoBackend(Section):
    """Where BasicSR's own datasets read from."""

    type: Literal["disk", "lmdb", "memcached"] = "disk"
    """disk or lmdb."""


class Dataset(Section):
    """One dataset. Other dataset types than the known ones may take further keys of their own."""

    name: FileName
    """Shown in logs, and the folder of saved images."""
    type: Annotated[str, AfterValidator(partial(check_name, kind="dataset"))] = Field(min_length=1)
    """Dataset class in BasicSR's DATASET_REGISTRY."""
    dataroot_gt: str | list[str] | None = None
    """Folder or .lmdb of the high-resolution images."""
    dataroot_lq: str | list[str] | None = None
    """Folder or .lmdb of the low-resolution images."""
    dataroot: str | None = None
    """Images of a dataset without pairs."""
    meta_info_file: str | None = None
    """Text file that lists the image names."""
    filename_tmpl: str | None = None
    """LR name made from the HR name, e.g. '{}x4' for 0801x4.png."""
    io_backend: IoBackend | None = None
    """For BasicSR's own datasets."""
    color: Literal["rgb", "bgr", "y", "gray"] | None = None
    """Color space the images are converted to; RGB by default."""
    mean: Numbers | None = None
    """Subtracted per channel."""
    std: Numbers | None = None
    """Divided by, per channel."""
    output: Literal["uint8", "float32"] | None = None
    """Type of PairedLMDBDataset's images; uint8 moves a quarter of the bytes."""
    seed: Count | None = None
    """PairedLMDBDataset: seed of its crops; manual_seed by default."""
    resident: bool = False
    """PairedLMDBDataset for training: keep all images in the GPU's memory (31.5 GB for DF2K),
    instead of reading them with workers; the batches are the same."""
    gt_size: Positive | None = None
    """Side of the square HR training patch, pixels, a multiple of scale."""
    use_hflip: bool = True
    """Flip training patches horizontally at random."""
    use_rot: bool = True
    """Flip vertically and transpose at random."""
    batch_size_per_gpu: Positive | None = None
    """Training patches each process holds in memory at once."""
    accum_iter: Positive = 1
    """Batches whose gradients are summed for one iteration (one update)."""
    num_worker_per_gpu: Count = 0
    """Data workers of each training process."""
    pin_memory: bool | None = None
    """Page-locked batches; by default on with a GPU, off without."""
    persistent_workers: bool = False
    """For BasicSR's loop; this package's never ends its workers."""
    prefetch_mode: Literal["cpu", "cuda"] | None = None
    """For BasicSR's loop."""
    num_prefetch_queue: Positive = 1
    """For BasicSR's loop."""
    dataset_enlarge_ratio: Positive = 1
    """How often an epoch shows each image; needed where a batch is larger than the dataset."""
    use_shuffle: bool = True
    """Common in option files, not used."""

    @classmethod
    def wrong(cls, data: Mapping[str, Any]) -> dict[str, Fault]:
        """Return unknown keys of a known ``type``."""
        return super().wrong(data) if data.get("type") in KNOWN_DATASETS else {}


class Network(Typed):
    """A network of BasicSR's ARCH_REGISTRY; further keys are its constructor's arguments."""

    kind: ClassVar[str] = "network"


class Paths(Section):
    """Weights to start from. BasicSR's other keys (``pretrain_network_d``, ...) pass through."""

    open_to_models: ClassVar[bool] = True

    init: Literal["bilinear"] | None = None
    """bilinear: the untrained network interpolates through its long skip."""
    pretrain_network_g: str | None = None
    """Weights to start from."""
    pretrain_network_teacher: str | None = None
    """Weights of the network that losses with target: teacher imitate."""
    param_key_g: str | None = None
    """params or params_ema in that file; chosen automatically if unset."""
    strict_load_g: bool = True
    """Every weight must be in the file and fit."""
    resume_state: str | None = None
    """A .state file to resume from; --auto_resume finds the newest."""
    ignore_resume_networks: list[str] | None = None
    """Networks that BasicSR's loop does not take from the state."""


class Metric(Typed):
    """A metric of BasicSR's METRIC_REGISTRY; further keys are its arguments."""

    kind: ClassVar[str] = "metric"
    only_written: ClassVar[bool] = True
    not_arguments: ClassVar[tuple[str, ...]] = ("type", "better")
    given: ClassVar[tuple[str, ...]] = ("img", "img2")

    crop_border: Count | None = None
    """Pixels cut off on each side; often scale."""
    test_y_channel: bool = False
    """On the Y channel of YCbCr instead of RGB."""
    better: Literal["higher", "lower"] = "higher"
    """Whether higher or lower values are better."""


class Val(Section):
    """Validation and testing."""

    open_to_models: ClassVar[bool] = True

    val_freq: Positive | None = None
    """Iterations between validations; only at the end by default."""
    save_img: bool = False
    """Write the images under visualization/."""
    suffix: Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f]*$")] | None = None
    """Appended to the names of images of a test."""
    metrics: dict[str, Metric] | None = None
    """Name shown -> metric, e.g. psnr_y -> calculate_psnr on Y."""
    pbar: bool = False
    """A progress bar, in BasicSR's loop."""
    weights: Literal["ema", "raw", "both"] | None = None
    """Which weights; by default both where there is an EMA."""
    best_metric: str | None = None
    """The metric that decides net_g_best.pth; the first by default."""
    use_amp: bool = False
    """Mixed precision here too; fp32 by default."""
    tile_size: Count = 0
    """Side of the LR tiles large images are cut into; 0 for whole images."""
    tile_overlap: Count = 16
    """LR pixels neighboring tiles share."""


class Wandb(Section):
    """Weights & Biases; needs the package ``wandb``."""

    project: str | None = None
    """Project to report to; nothing is reported without one."""
    entity: str | None = None
    """User or team that owns the project."""
    resume_id: str | None = None
    """Run to resume."""


class Logger(Section):
    """What is printed and kept, and how often."""

    print_freq: Positive = 100
    """Iterations between lines of the log."""
    save_checkpoint_freq: Positive = 5000
    """Iterations between checkpoints; one more is written at the end."""
    keep_last: Positive | None = None
    """Checkpoints kept besides the best; all by default."""
    use_tb_logger: bool = False
    """TensorBoard files under tb_logger/."""
    wandb: Wandb | None = None


class DistParams(Section):
    """Several processes."""

    backend: Literal["nccl", "gloo"] | None = None
    """By default nccl on GPUs and gloo on CPUs."""
    port: Whole | None = Field(default=None, gt=0, lt=65536)
    """Port of rank 0 under slurm."""
    timeout: Positive = 60
    """Seconds without a sign of life after which a process counts as lost and ends the others, and
    without progress after which it is named."""
    stuck_timeout: Positive = 600
    """Seconds without progress in any process after which the run ends."""


class Options(Section):
    """What training and testing have in common."""

    open_to_models: ClassVar[bool] = True

    name: FileName
    """Name of the experiment: its folder under experiments/ or results/."""
    imports: tuple[str, ...] = Field(default=(), strict=False)
    """Python files (relative to this file, then to the working directory) or modules that register
    networks, models, datasets, losses or metrics; their code is run."""
    model_type: Annotated[str, AfterValidator(partial(check_name, kind="model"))] = "LRFDNModel"
    """Model in BasicSR's MODEL_REGISTRY."""
    scale: Positive
    """Upscaling factor."""
    num_gpu: Count | Literal["auto"] = "auto"
    """0 for the CPU; auto takes a GPU where there is one."""
    manual_seed: Count = 0
    """Seed of everything random."""
    datasets: dict[PhaseName, Dataset] = Field(min_length=1)
    """One section per phase."""
    network_g: Network
    path: Paths = Paths()
    val: Val | None = None
    logger: Logger = Logger()
    dist_params: DistParams = DistParams()
    use_amp: bool | Literal["auto"] = False
    """Mixed precision in training; auto: bfloat16 on a GPU that has it, otherwise float32."""
    amp_bf16: bool = False
    """bfloat16 in mixed precision; else float16."""
    use_channels_last: bool | Literal["auto"] = False
    """NHWC memory layout; auto: on a GPU that has bfloat16."""
    use_compile: bool | Literal["auto"] = False
    """torch.compile the network; auto: on a GPU with Triton and a C compiler."""
    compile_mode: Literal["default", "reduce-overhead", "max-autotune"] = "default"
    """For use_compile; reduce-overhead uses CUDA graphs."""
    deterministic: bool = False
    """On a GPU, compute the same bits in every run, resumed or not; slower. A CPU always does."""

    def phases(self, kind: str) -> list[str]:
        """Return the names of the phases of ``kind``, e.g. val and val_2, in the file's order."""
        return [phase for phase in self.datasets if phase.split("_")[0] == kind]


class TrainOptions(Options):
    """An option file for ``train.py``."""

    train: Train
    stages: tuple[Stage, ...] = Field(default=(), strict=False)
    """Runs in a row, called NAME_stage1, NAME_stage2, ..., each from the weights of the one before;
    a stage has the keys that differ from the rest of the file."""
    network_teacher: Network | None = None
    """The teacher's network, for files that do not tell it."""
    find_unused_parameters: bool = False
    """For networks that do not use every weight, with many processes."""

    @property
    def train_set(self) -> Dataset:
        """The training dataset."""
        return self.datasets["train"]


class TestOptions(Options):
    """An option file for ``test.py``."""

    __test__ = False  # not a test, whatever pytest thinks of the name
    train: dict[str, Any] | None = None
    """Not used in a test."""
