"""``datasets``: one section per phase, ``train``, ``val``, ``val_2``, ``test_1`` and so on."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lrfdn_arch.options.fields import Count, Numbers, Positive, Section, Typed

# Datasets whose arguments are all fields below, so that any other key is a misspelling.
KNOWN_DATASETS = ("PairedLMDBDataset", "PairedImageDataset", "SingleImageDataset")

PhaseName = Annotated[str, Field(pattern=r"^(train|(val|test)(_.+)?)$")]


class IoBackend(Section):
    """Where BasicSR's own datasets read from."""

    type: Literal["disk", "lmdb", "memcached"] = Field(default="disk", description="disk or lmdb.")


class Dataset(Typed):
    """One dataset. Other dataset types than the known ones may take further keys of their own."""

    name: str = Field(min_length=1, description="Shown in logs, and the folder of saved images.")
    type: str = Field(min_length=1, description="Dataset class in BasicSR's DATASET_REGISTRY.")
    dataroot_gt: str | list[str] | None = Field(
        default=None, description="Folder or .lmdb of the high-resolution images."
    )
    dataroot_lq: str | list[str] | None = Field(
        default=None, description="Folder or .lmdb of the low-resolution images."
    )
    dataroot: str | None = Field(default=None, description="Images of a dataset without pairs.")
    meta_info_file: str | None = Field(
        default=None, description="Text file that lists the image names."
    )
    filename_tmpl: str | None = Field(
        default=None, description="LR name made of the HR name, e.g. '{}x4' for 0801x4.png."
    )
    io_backend: IoBackend | None = Field(default=None, description="For BasicSR's own datasets.")
    color: Literal["rgb", "bgr", "y", "gray"] | None = Field(
        default=None, description="Colour the images are converted to; RGB by default."
    )
    mean: Numbers | None = Field(default=None, description="Subtracted per channel.")
    std: Numbers | None = Field(default=None, description="Divided by, per channel.")
    output: Literal["uint8", "float32"] | None = Field(
        default=None,
        description="What PairedLMDBDataset yields; uint8 moves a quarter of the bytes.",
    )
    seed: Count | None = Field(
        default=None,
        description="PairedLMDBDataset: seed of its crops; manual_seed where not said.",
    )
    gt_size: Positive | None = Field(
        default=None,
        description="Side of the square HR training patch, pixels, a multiple of scale.",
    )
    use_hflip: bool = Field(
        default=True, description="Flip training patches horizontally at random."
    )
    use_rot: bool = Field(default=True, description="Flip vertically and transpose at random.")
    batch_size_per_gpu: Positive | None = Field(
        default=None, description="Training patches each process holds in memory at once."
    )
    accum_iter: Positive = Field(
        default=1, description="Batches whose gradients are summed for one iteration (one update)."
    )
    num_worker_per_gpu: Count = Field(
        default=0, description="Loader processes of each training process."
    )
    pin_memory: bool | None = Field(
        default=None, description="Page-locked batches; on with a GPU, off without, unless said."
    )
    persistent_workers: bool = Field(
        default=False, description="For BasicSR's loop; ours never ends them."
    )
    prefetch_mode: Literal["cpu", "cuda"] | None = Field(
        default=None, description="For BasicSR's loop."
    )
    num_prefetch_queue: Positive = Field(default=1, description="For BasicSR's loop.")
    dataset_enlarge_ratio: Positive = Field(
        default=1,
        description="How often an epoch shows each image; ours only asks for it where a batch is "
        "larger than the dataset.",
    )
    use_shuffle: bool = Field(default=True, description="Written in many files, read by nobody.")

    def to_plain(self, phase: str, scale: int, manual_seed: int) -> dict[str, Any]:
        """Return BasicSR's dict of this dataset for ``phase`` (train, val or test)."""
        plain = written_or_defaulted(self)
        plain |= {"phase": phase, "scale": scale, "manual_seed": manual_seed}
        if phase != "train":  # BasicSR hands these to its constructor of the loader in any phase
            for key in ("batch_size_per_gpu", "num_worker_per_gpu", "accum_iter"):
                plain.pop(key, None)
        return plain


def written_or_defaulted(section: Section) -> dict[str, Any]:
    """Return ``section`` as a plain dict: what was written, and the defaults that are not None.

    BasicSR asks ``'mean' in opt``, so a None nobody wrote must not appear.
    """
    plain: dict[str, Any] = {}
    for key in (*type(section).model_fields, *section.passed_through()):
        value = getattr(section, key)
        implicit = key not in section.model_fields_set
        if implicit and (value is None or section.only_written):
            continue
        plain[key] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return written_or_defaulted(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
