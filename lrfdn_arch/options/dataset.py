"""``datasets``: one section per phase, ``train``, ``val``, ``val_2``, ``test_1`` and so on."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from lrfdn_arch.options.base import Count, FileName, Numbers, Positive, Section, wrong_name
from lrfdn_arch.options.faults import Fault

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
    type: str = Field(min_length=1)
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
    def wrong(cls, data: Mapping[str, Any], known_model: bool) -> dict[str, Fault]:
        """Return an unknown ``type``, and unknown keys of a known one."""
        if data.get("type") in KNOWN_DATASETS:
            return super().wrong(data, known_model)
        return wrong_name("type", data.get("type"), "dataset")
