"""``results.txt``: the table that the kits write, with the same columns and precision."""

from collections.abc import Sequence

from lrfdn_arch.evaluation.entries import Entry
from lrfdn_arch.evaluation.protocols import TEST, VALID

UNKNOWN = "-"
# (heading, width) of the kits' file
_PSNR = {VALID: ("Val PSNR", 10), TEST: ("Test PSNR", 10)}
_TIME = {VALID: ("Val Time [ms]", 14), TEST: ("Test Time [ms]", 14)}
_AVERAGE = ("Ave Time [ms]", 14)
_COSTS = (
    ("Params [M]", 10),
    ("FLOPs [G]", 10),
    ("Acts [M]", 8),
    ("Mem [M]", 8),
    ("Conv", 8),
)
_SSIM = ("Val SSIM", 10)  # the kits compute it on request but only log it


def kit_text(entries: Sequence[Entry], ssim: bool = False) -> str:
    """Return the table, tab-separated, in the kits' columns.

    Args:
        entries: the entries, one row each, evaluated on the same sets.
        ssim: add the mean RGB SSIM of the first set as the last column.
    """
    roles = list(entries[0].sets)
    average = [_AVERAGE] if len(roles) > 1 else []
    columns = [("Model", 20), *(_PSNR[r] for r in roles), *(_TIME[r] for r in roles), *average]
    columns += [*_COSTS, _SSIM] if ssim else _COSTS
    rows = [[heading for heading, _ in columns], *(_row(entry, ssim) for entry in entries)]
    return "".join(
        "\t".join(f"{cell:<{width}}" for cell, (_, width) in zip(row, columns, strict=True)) + "\n"
        for row in rows
    )


def _row(entry: Entry, ssim: bool) -> list[str]:
    sets = list(entry.sets.values())
    times = [float(scores.runtime_ms.mean()) for scores in sets]
    row = [
        entry.label,
        *(_digits(None if s.psnr is None else float(s.psnr.mean()), 2) for s in sets),
        *(_digits(time, 2) for time in times),
        *([_digits(entry.runtime_ms, 2)] if len(sets) > 1 else []),
        _digits(entry.params / 1e6, 3),
        _digits(entry.flops / 1e9, 2),
        _digits(entry.activations / 1e6, 2),
        _digits(sets[0].memory_mib, 2),
        f"{entry.convolutions:4d}",
    ]
    return [*row, _digits(sets[0].ssim, 4)] if ssim else row


def _digits(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"
