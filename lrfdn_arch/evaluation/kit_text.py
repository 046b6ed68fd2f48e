"""``results.txt``: the table that the 2023 kit writes, with the same columns and precision."""

from collections.abc import Sequence

from lrfdn_arch.evaluation.results import NetworkResult, mean

# (heading, width) of the kit's file
_COLUMNS = (
    ("Model", 20),
    ("Val PSNR", 10),
    ("Val Time [ms]", 14),
    ("Params [M]", 10),
    ("FLOPs [G]", 10),
    ("Acts [M]", 8),
    ("Mem [M]", 8),
    ("Conv", 8),
)
_SSIM = ("Val SSIM", 10)  # the kit computes it on request but only logs it
UNKNOWN = "-"


def kit_text(networks: Sequence[NetworkResult], ssim: bool = False) -> str:
    """Return the table, tab-separated; FLOPs are those of the 2023 kit's counter.

    Args:
        networks: the networks, one row each.
        ssim: add the mean RGB SSIM as the last column.
    """
    columns = (*_COLUMNS, _SSIM) if ssim else _COLUMNS
    headings = [heading for heading, _ in columns]
    rows = [headings, *(_row(network, ssim) for network in networks)]
    return "".join(
        "\t".join(f"{cell:<{width}}" for cell, (_, width) in zip(row, columns, strict=True)) + "\n"
        for row in rows
    )


def _row(network: NetworkResult, ssim: bool) -> list[str]:
    counts, timing = network.counts, network.kit_timing
    row = [
        network.label,
        _digits(mean(network.images, "psnr_rgb"), 2),
        _digits(timing.mean_ms, 2),
        _digits(counts.params / 1e6, 3),
        _digits(counts.flops_2023 / 1e9, 2),
        _digits(counts.activations / 1e6, 2),
        _digits(timing.memory_mib, 2),
        f"{counts.convolutions:4d}",
    ]
    return [*row, _digits(mean(network.images, "ssim_rgb"), 4)] if ssim else row


def _digits(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"
