"""The whole option file, for training and for testing."""

from typing import Any, Literal

from pydantic import Field

from lrfdn_arch.options.dataset import Dataset, PhaseName
from lrfdn_arch.options.fields import Count, Positive, Section
from lrfdn_arch.options.sections import DistParams, Logger, Network, Paths, Val
from lrfdn_arch.options.training import Train

# Models whose options are all fields of these classes, so that any other key is a misspelling.
KNOWN_MODELS = ("LRFDNModel", "SRModel")


class Options(Section):
    """What training and testing have in common."""

    name: str = Field(
        min_length=1,
        pattern=r"^[^/\\.][^/\\]*$",
        description="Name of the experiment: its folder under experiments/ or results/.",
    )
    imports: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="Python files (relative to this file, then to the working directory) or "
        "modules that register networks, models, datasets, losses or metrics; their code is run.",
    )
    model_type: str = Field(default="LRFDNModel", description="Model in BasicSR's MODEL_REGISTRY.")
    scale: Positive = Field(description="Upscaling factor.")
    num_gpu: Count | Literal["auto"] = Field(
        default="auto", description="0 for the CPU; auto takes a GPU where there is one."
    )
    manual_seed: Count = Field(default=0, description="Seed of everything random.")
    datasets: dict[PhaseName, Dataset] = Field(min_length=1, description="One section per phase.")
    network_g: Network = Field(description="The network.")
    path: Paths = Field(default_factory=Paths, description="Weights to start from.")
    val: Val | None = Field(default=None, description="Validation or test.")
    dist_params: DistParams = Field(default_factory=DistParams, description="Many processes.")
    use_amp: bool = Field(default=False, description="Mixed precision in training.")
    amp_bf16: bool = Field(default=False, description="bfloat16 in mixed precision; else float16.")
    use_channels_last: bool = Field(default=False, description="NHWC memory layout.")
    use_compile: bool = Field(default=False, description="torch.compile the network.")
    compile_mode: Literal["default", "reduce-overhead", "max-autotune"] = Field(
        default="default", description="For use_compile; reduce-overhead uses CUDA graphs."
    )

    def phases(self, kind: str) -> list[str]:
        """Return the names of the phases of ``kind``, e.g. val and val_2, in the file's order."""
        return [phase for phase in self.datasets if phase.split("_")[0] == kind]


class TrainOptions(Options):
    """An option file for ``train.py``."""

    train: Train = Field(description="How the network is trained.")
    logger: Logger = Field(default_factory=Logger, description="What is printed and kept.")
    find_unused_parameters: bool = Field(
        default=False, description="For networks that do not use every weight, with many processes."
    )

    @property
    def train_set(self) -> Dataset:
        """The training dataset."""
        return self.datasets["train"]


class TestOptions(Options):
    """An option file for ``test.py``."""

    __test__ = False  # not a test, whatever pytest thinks of the name
    logger: Logger = Field(default_factory=Logger, description="Not used in a test.")
    train: dict[str, Any] | None = Field(default=None, description="Not used in a test.")
