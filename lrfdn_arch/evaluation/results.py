"""The results of an evaluation, stored as ``results.json`` and validated on reading.

Tables, plots and pages are generated from this file and the images next to it
(``images/LABEL/NAME.png``). Infinite PSNR (equal images) is the string ``"Infinity"``.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

FORMAT = "lrfdn-results-1"
RESULTS_FILE = "results.json"
IMAGES = "images"
BICUBIC, HR = "LR-bicubic", "HR"  # image folders that do not belong to a network


# Names and labels become file names in reports, including reports of untrusted results.
def _check_name(name: str) -> str:
    if Path(name).is_absolute() or ".." in Path(name).parts or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} is outside the images folder")
    return name


def check_label(label: str) -> str:
    """Return ``label``; raise ValueError if it cannot be used as the name of an image folder."""
    if not re.fullmatch(r"\w[\w.+-]*", label) or label in (BICUBIC, HR):
        raise ValueError(
            f"{label!r} is not a valid label: use letters, digits, '.', '_', '+' and '-', and "
            f"none of {BICUBIC}, {HR}"
        )
    return label


class Record(BaseModel):
    """Base class of all parts of the JSON; unknown keys are rejected."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="strings", revalidate_instances="always"
    )


class Protocol(Record):
    """The evaluation protocol. Results of different protocols are not comparable.

    Metrics exclude ``crop_border`` pixels on each side. ``tf32`` is whether TF32 was allowed in
    float32 convolutions (NVIDIA GPUs only).
    """

    name: str = "NTIRE 2023 Efficient SR"
    scale: int
    crop_border: int
    ssim: bool
    tf32: bool = False


class Dataset(Record):
    """The image set; ``sha256`` is of all names and pixels. Without HR there are no metrics."""

    name: str
    count: int
    has_ground_truth: bool
    sha256: str


class Environment(Record):
    """Hardware and software; ``git_commit`` ends in ``+`` if there were uncommitted changes."""

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
    """A weights file; ``released`` is its source if its sha256 is that of published weights."""

    file: str
    sha256: str
    key: str | None
    released: str | None


class Counts(Record):
    """Complexity at 3x256x256; the two FLOPs use different counters, see ``complexity.py``."""

    params: PositiveInt
    flops_2023: PositiveInt
    flops_fvcore: PositiveInt
    activations: NonNegativeInt
    convolutions: NonNegativeInt


class ImageScore(Record):
    """PSNR in dB and SSIM of one image on RGB and luma, and its forward time in milliseconds."""

    name: Annotated[str, AfterValidator(_check_name)]
    psnr_rgb: float | None = None
    ssim_rgb: float | None = None
    psnr_y: float | None = None
    ssim_y: float | None = None
    runtime_ms: float | None = None


class KitTiming(Record):
    """Runtime as the 2023 kit measures it: every image once, without warm-up.

    ``mean_ms`` is the mean forward time of the images, ``memory_mib`` the peak that torch allocated
    on the GPU. Each of the ``interruptions`` was followed by a cold start.
    """

    clock: Literal["CUDA events", "CPU clock"]
    mean_ms: PositiveFloat
    memory_mib: float | None
    interruptions: int = 0


class FairTiming(Record):
    """Runtime after warm-up with interleaved networks: median and spread of ``repeats`` passes.

    ``memory_mib`` is the network's peak above the usage before it ran, None where it cannot be
    measured. ``samples_ms`` are all timed passes in order; networks of one run were timed in turn.
    """

    device: str
    precision: Literal["fp32", "fp16", "bf16"]
    compiled: bool
    input_size: tuple[int, int, int, int]
    warmup: int
    repeats: int
    median_ms: PositiveFloat
    p25_ms: PositiveFloat
    p75_ms: PositiveFloat
    min_ms: PositiveFloat
    max_ms: float
    memory_mib: float | None
    memory_kind: Literal["CUDA allocated", "resident"] | None
    samples_ms: tuple[float, ...] = ()

    @property
    def variant(self) -> str:
        """Precision and mode, e.g. ``fp16, compiled``."""
        return f"{self.precision}, {'compiled' if self.compiled else 'eager'}"


class NetworkResult(Record):
    """One network with its complexity, scores and runtimes."""

    label: Annotated[str, AfterValidator(check_label)]
    network: str
    arguments: dict[str, Any]
    data_range: float
    weights: Weights
    counts: Counts
    images: tuple[ImageScore, ...]
    kit_timing: KitTiming
    fair_timings: tuple[FairTiming, ...] = ()


class Results(Record):
    """One evaluation: networks evaluated by the same protocol on the same images.

    ``bicubic`` has the scores of MATLAB's bicubic upscaling, if images were saved (``has_images``);
    ``failures`` why networks of kits could not be evaluated, by label.
    """

    format: Literal["lrfdn-results-1"] = FORMAT
    protocol: Protocol
    dataset: Dataset
    environment: Environment
    networks: tuple[NetworkResult, ...]
    bicubic: tuple[ImageScore, ...] = ()
    has_images: bool
    failures: dict[str, str] = {}

    @model_validator(mode="after")
    def _check_labels(self) -> "Results":
        labels = [network.label for network in self.networks]
        if not labels or len(set(labels)) != len(labels):
            raise ValueError(f"expected networks with different labels, found {labels}")
        return self


def mean(images: tuple[ImageScore, ...], metric: str) -> float | None:
    """Return the mean of the per-image values of ``metric``, None if any is missing."""
    values = [getattr(image, metric) for image in images]
    return None if not values or None in values else sum(values) / len(values)


def read_results(path: Path) -> Results:
    """Read ``results.json``, given by its own path or that of its folder.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged or has another format.
    """
    file = path if path.is_file() else path / RESULTS_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"{path} contains no {RESULTS_FILE}; expected the output of `lrfdn challenge`"
        )
    try:
        return Results.model_validate_json(file.read_bytes())
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3]]
        raise ValueError(
            f"{file}: expected results in format {FORMAT}:\n  " + "\n  ".join(faults)
        ) from error
