"""Published results, shown next to the measured ones and labelled as published."""

from dataclasses import dataclass

from lrfdn_arch.evaluation.results import Dataset, Protocol

FACTSHEET = "factsheet of NTIRE 2023 Efficient SR, team 30, Table 1 (DIV2K validation, A100 40G)"


@dataclass(frozen=True)
class PublishedRow:
    """One row of the factsheet's Table 1; units as in the table, FLOPs of the 2023 kit."""

    network: str
    psnr: float
    time_ms: float
    params_m: float
    flops_g: float
    acts_m: float
    memory_m: float
    convolutions: int


TABLE_1 = (
    PublishedRow("RFDN", 29.04, 20.91, 0.433, 27.10, 112.03, 788.13, 64),
    PublishedRow("LRFDN", 28.81, 19.26, 0.198, 11.23, 86.18, 768.76, 56),
)


def is_the_factsheet_s_set(dataset: Dataset, protocol: Protocol) -> bool:
    """Return whether the image set is the one the factsheet reports PSNR on."""
    return (dataset.name, dataset.count, protocol.scale) == ("DIV2K_valid", 100, 4)
