"""What an evaluation leaves behind: one documented JSON, ``results.json``, read back as checked.

Everything a table, plot or page shows comes from here and from the images beside it
(``images/LABEL/NAME.png``). Infinite PSNR (equal images) is the string ``"Infinity"``.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

FORMAT = "lrfdn-results-1"
RESULTS_FILE = "results.json"
IMAGES = "images"
BICUBIC, HR = "LR-bicubic", "HR"
REFERENCES = (BICUBIC, HR)  # folders of images that are no network's


def _check_name(name: str) -> str:
    if Path(name).is_absolute() or ".." in Path(name).parts or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} leads out of the folder of images")
    return name


def check_label(label: str) -> str:
    """Return ``label`` if it can name a folder of images beside the references; else raise."""
    if not re.fullmatch(r"\w[\w.+-]*", label) or label in REFERENCES:
        raise ValueError(
            f"{label!r} cannot be a network's label: use letters, digits, '.', '_', '+' and '-', "
            f"and none of {', '.join(REFERENCES)}"
        )
    return label


# Both name files in reports, also of results that others wrote.
ImageName = Annotated[str, AfterValidator(_check_name)]
Label = Annotated[str, AfterValidator(check_label)]


class Record(BaseModel):
    """A part of the JSON: frozen, and without keys of other versions."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Protocol(Record):
    """How images were judged. Results of different protocols never share a table.

    Attributes:
        name: whose protocol it is.
        scale: how much larger HR is than LR.
        crop_border: pixels cut from each side before metrics.
        ssim: whether SSIM was computed.
        tf32: whether convolutions were allowed to round float32 to TF32 (NVIDIA GPUs only).
    """

    name: str = "NTIRE 2023 Efficient SR"
    scale: int
    crop_border: int
    ssim: bool
    tf32: bool = False


class Dataset(Record):
    """Which images.

    Attributes:
        name: what reports call the set.
        count: number of images.
        has_ground_truth: without it there are no metrics.
        sha256: over all names and pixels.
    """

    name: str
    count: int
    has_ground_truth: bool
    sha256: str


class Environment(Record):
    """Where it was computed. ``git_commit`` ends in ``+`` where files were changed since."""

    device: str
    cpu: str
    threads: int
    os: str
    python: str
    torch: str
    cuda: str | None
    cudnn: str | None
    numpy: str
    opencv: str
    lrfdn: str
    git_commit: str | None
    date: str


class Weights(Record):
    """A weights file; ``released`` says whose where its sha256 is a published one's."""

    file: str
    sha256: str
    key: str | None
    released: str | None


class Counts(Record):
    """Complexity at 3x256x256; the two FLOPs are different counters (``complexity.py``)."""

    params: int
    flops_2023: int
    flops_fvcore: int
    activations: int
    convolutions: int


class ImageScore(Record):
    """One image: PSNR in dB and SSIM on RGB and on luma; milliseconds of the forward pass."""

    name: ImageName
    psnr_rgb: float | None = None
    ssim_rgb: float | None = None
    psnr_y: float | None = None
    ssim_y: float | None = None
    runtime_ms: float | None = None


class KitTiming(Record):
    """Runtime as the 2023 kit takes it; every image once, the first included, no warm-up.

    Attributes:
        clock: ``CUDA events`` or ``CPU clock`` (where there is no GPU; the kit needs one).
        mean_ms: mean of the images' forward passes.
        memory_mib: ``torch.cuda.max_memory_allocated``; None without a GPU.
        interruptions: how often the evaluation was continued, each time with a cold start.
    """

    clock: Literal["CUDA events", "CPU clock"]
    mean_ms: float
    memory_mib: float | None
    interruptions: int = 0


class FairTiming(Record):
    """Runtime after warm-up, networks in turn: median and spread of ``repeats`` passes.

    Attributes:
        input_size: (batch, channels, height, width).
        memory_mib: peak of this network alone, above what there was before it.
        memory_kind: ``CUDA allocated`` or ``resident``; None where it cannot be measured.
    """

    device: str
    precision: Literal["fp32", "fp16", "bf16"]
    compiled: bool
    input_size: tuple[int, int, int, int]
    warmup: int
    repeats: int
    median_ms: float
    p25_ms: float
    p75_ms: float
    min_ms: float
    max_ms: float
    memory_mib: float | None
    memory_kind: Literal["CUDA allocated", "resident"] | None

    @property
    def variant(self) -> str:
        """Precision and mode, e.g. ``fp16, compiled``."""
        return f"{self.precision}, {'compiled' if self.compiled else 'eager'}"


class NetworkResult(Record):
    """One network: what it is, what it costs, what it scored."""

    label: Label
    network: str
    arguments: dict[str, Any]
    data_range: float
    weights: Weights
    counts: Counts
    images: tuple[ImageScore, ...]
    kit_timing: KitTiming
    fair_timings: tuple[FairTiming, ...] = ()


class Results(Record):
    """One evaluation: networks judged alike on the same images.

    Attributes:
        bicubic: the scores of MATLAB's bicubic, where images were saved.
        has_images: whether ``images/`` holds every network's output and the references.
    """

    format: Literal["lrfdn-results-1"] = FORMAT
    protocol: Protocol
    dataset: Dataset
    environment: Environment
    networks: tuple[NetworkResult, ...]
    bicubic: tuple[ImageScore, ...] = ()
    has_images: bool

    @model_validator(mode="after")
    def _check_labels(self) -> "Results":
        labels = [network.label for network in self.networks]
        if not labels or len(set(labels)) != len(labels):
            raise ValueError(f"expected networks with different labels, found {labels}")
        return self


def mean(images: tuple[ImageScore, ...], metric: str) -> float | None:
    """Return the mean of the per-image values of ``metric``, None where there are none."""
    values = [getattr(image, metric) for image in images]
    return None if not values or None in values else sum(values) / len(values)


def read_results(folder: Path) -> Results:
    """Read ``folder/results.json``.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is of another format or damaged; the message names the first faults.
    """
    file = folder / RESULTS_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder} holds no {RESULTS_FILE}: it is not the --out of a finished `lrfdn challenge`"
        )
    try:
        return Results.model_validate_json(file.read_bytes())
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3]]
        raise ValueError(
            f"{file} is not what this version writes ({FORMAT}):\n  " + "\n  ".join(faults)
        ) from error
