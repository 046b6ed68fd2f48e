"""Comparison tables, rendered as Markdown, CSV and on the page."""

import csv
import io
from dataclasses import dataclass, field
from html import escape

from tabulate import tabulate

from lrfdn_arch.evaluation.audit import Estimate
from lrfdn_arch.evaluation.protocols import Published, Year
from lrfdn_arch.evaluation.results import mean
from lrfdn_arch.evaluation.scores import median_interval
from lrfdn_arch.report.comparison import Comparison, Entry, intervals

Cell = str | float | int | None
UNKNOWN = "\N{EN DASH}"
FLOP_COUNTERS = {"flops_2023": "2023 kit", "flops_fvcore": "fvcore"}
_LARGE = 1e4  # values from here on are shown with an exponent


@dataclass(frozen=True)
class Column:
    """A column heading, and the number of decimals its numbers are shown with."""

    heading: str
    digits: int | None = None

    def show(self, cell: Cell) -> str:
        """Return ``cell`` formatted for display."""
        if cell is None:
            return UNKNOWN
        if isinstance(cell, str) or self.digits is None:
            return str(cell)
        return f"{cell:.{self.digits}f}"


@dataclass(frozen=True)
class Table:
    """Rows of raw cells; ``notes`` are shown below."""

    title: str
    columns: tuple[Column, ...]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)

    def shown(self) -> list[list[str]]:
        """Return the rows formatted for display."""
        return [
            [column.show(cell) for column, cell in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]

    def markdown(self) -> str:
        """Return title, table and notes as Markdown."""
        headings = [column.heading for column in self.columns]
        cells = [
            [escape(cell, quote=False).replace("|", "\\|") for cell in row] for row in self.shown()
        ]
        table = tabulate(cells, headings, tablefmt="github", disable_numparse=True)
        notes = "".join(f"- {note}\n" for note in self.notes)
        return f"## {_escaped(self.title)}\n\n{table}\n" + (f"\n{notes}" if notes else "")

    def csv(self) -> str:
        """Return headings and unrounded cells; unknown ones are empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.heading for column in self.columns])
        writer.writerows([_plain(cell) for cell in row] for row in self.rows)
        return text.getvalue()


def _escaped(text: str) -> str:
    """Escape HTML and column separators for a Markdown table."""
    return escape(text, quote=False).replace("|", "\\|")


def _plain(cell: Cell) -> Cell:
    """Escape a cell that a spreadsheet would interpret as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


def published_rows(comparison: Comparison) -> list[Published]:
    """Return the year's published results of networks that are compared here, or in no package."""
    released = {e.network.network for e in comparison.entries if e.network.weights.released}
    return [
        row
        for row in comparison.year.published
        if row.network in released or (row.network is None and comparison.is_challenge_set)
    ]


def main_table(comparison: Comparison) -> Table:
    """Return the kits' columns and more, with the year's published rows beside."""
    audited, baseline, year = intervals(comparison), comparison.baseline, comparison.year
    published = {row.label: row for row in published_rows(comparison)}
    rows = []
    for entry in comparison.entries:
        found = audited[entry.label]
        rows.append(_measured(entry, found.minus_baseline, found.mean_ms))
        own = published.get(entry.network.network)
        if own and entry.network.weights.released:
            rows.append(_published(published.pop(own.label), comparison))
    rows += [_published(row, comparison) for row in published.values()]
    if comparison.bicubic and comparison.dataset.has_ground_truth:
        rows.append(_bicubic(comparison))
    notes = [
        "PSNR and SSIM are on RGB, those marked (Y) on luma, "
        f"excluding {comparison.protocol.crop_border} pixels on each side.",
        "In brackets: 95 % interval of a bootstrap over images, paired for differences.",
        "Kit time is the mean over all images as in the kits, each run once without warm-up. "
        "See the fair timing for comparable runtimes.",
        f"Published rows: {year.source}."
        + (
            ""
            if comparison.is_challenge_set
            else " They were measured on other images, so only complexity is shown."
        ),
    ]
    if any(entry.network.kit_timing.memory_mib is None for entry in comparison.entries):
        notes.append("Memory is the peak allocated on the GPU; it is not available on the CPU.")
    if not comparison.is_one_machine:
        notes.append("Runtimes of different machines (see Source) cannot be compared.")
    notes += [f"Not evaluated: {failure}." for failure in comparison.failures]
    columns = (
        Column("Model"),
        Column("PSNR (dB)", 2),
        Column(f"minus {baseline.label} (dB)"),
        Column("Kit time (ms)"),
        Column("Params (M)", 3),
        Column("FLOPs, 2023 kit (G)", 2),
        Column("Acts (M)", 2),
        Column("Mem (M)", 2),
        Column("Conv", 0),
        Column("FLOPs, fvcore (G)", 2),
        Column("SSIM", 4),
        Column("PSNR (Y) (dB)", 2),
        Column("SSIM (Y)", 4),
        Column("Source"),
    )
    title = f"{comparison.dataset.name} x{comparison.protocol.scale}"
    return Table(f"Results on {title}, {year.name}", columns, rows, notes)


def timing_table(comparison: Comparison) -> Table:
    """Return the fair timings, one row per network and variant."""
    rows: list[list[Cell]] = [
        [
            entry.label,
            timing.variant,
            "x".join(map(str, timing.input_size)),
            with_interval(median_interval(timing), 2),
            timing.p25_ms,
            timing.p75_ms,
            timing.min_ms,
            timing.memory_mib,
            timing.repeats,
            timing.device,
        ]
        for entry in comparison.entries
        for timing in entry.network.fair_timings
    ]
    columns = (
        Column("Model"),
        Column("Variant"),
        Column("Input"),
        Column("Median (ms)"),
        Column("25 % (ms)", 2),
        Column("75 % (ms)", 2),
        Column("Fastest (ms)", 2),
        Column("Peak memory (MiB)", 1),
        Column("Repeats", 0),
        Column("Device"),
    )
    notes = [
        "Measured after warm-up with networks interleaved, so that drift affects all equally.",
        "Half of the passes lie between 25 % and 75 %. In brackets: 95 % interval of the median.",
    ]
    return Table("Fair timing", columns, rows, notes)


def verdict(passed: bool | None) -> str | None:
    """Return ``passed``, ``missed``, or None where there is no gate."""
    return None if passed is None else "passed" if passed else "missed"


def with_interval(estimate: Estimate, digits: int) -> str:
    """Return ``value [low, high]``."""
    style = f".{digits}f" if abs(estimate.value) < _LARGE else ".2e"
    if estimate.low is None:
        return f"{estimate.value:{style}}"
    return f"{estimate.value:{style}} [{estimate.low:{style}}, {estimate.high:{style}}]"


def image_table(comparison: Comparison) -> Table:
    """Return the PSNR of every image, and each network's difference from the baseline."""
    baseline = comparison.baseline
    others = comparison.others
    columns = [Column("Image"), *(Column(f"{e.label} (dB)", 4) for e in comparison.entries)]
    columns += [Column(f"{e.label} - {baseline.label} (dB)", 4) for e in others]
    by_label = {entry.label: entry.psnr_by_image for entry in comparison.entries}
    rows: list[list[Cell]] = []
    for name in (image.name for image in baseline.network.images):
        psnr = {label: values.get(name) for label, values in by_label.items()}
        base = psnr[baseline.label]
        minus = [_minus(psnr[entry.label], base) for entry in others]
        rows.append([name, *psnr.values(), *minus])
    return Table("PSNR of every image (RGB)", tuple(columns), rows)


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _measured(entry: Entry, difference: Estimate | None, kit_ms: Estimate) -> list[Cell]:
    n = entry.network
    weights = "released weights" if n.weights.released else n.weights.file
    return [
        entry.label,
        entry.mean("psnr_rgb"),
        difference and with_interval(difference, 3),
        with_interval(kit_ms, 2),
        n.counts.params / 1e6,
        n.counts.flops_2023 / 1e9,
        n.counts.activations / 1e6,
        n.kit_timing.memory_mib,
        n.counts.convolutions,
        n.counts.flops_fvcore / 1e9,
        entry.mean("ssim_rgb"),
        entry.mean("psnr_y"),
        entry.mean("ssim_y"),
        f"measured on {entry.environment.device}; {weights}",
    ]


def _bicubic(comparison: Comparison) -> list[Cell]:
    psnr, ssim, psnr_y, ssim_y = (
        mean(comparison.bicubic, metric) for metric in ("psnr_rgb", "ssim_rgb", "psnr_y", "ssim_y")
    )
    costs: list[Cell] = [None] * 8
    return ["Bicubic", psnr, *costs, ssim, psnr_y, ssim_y, "measured; MATLAB's imresize"]


def _published(row: Published, comparison: Comparison) -> list[Cell]:
    same, year = comparison.is_challenge_set, comparison.year
    flops = {year.counter: row.flops_g}
    return [
        published_label(row, year),
        row.psnr(comparison.role) if same else None,
        None,
        f"{row.time_ms:.2f}" if same else None,
        row.params_m,
        flops.get("flops_2023"),
        row.acts_m,
        row.memory_m if same else None,
        row.convolutions,
        flops.get("flops_fvcore"),
        None,
        None,
        None,
        year.source,
    ]


def published_label(row: Published, year: Year) -> str:
    """Return the name of a published row, as its marking on the page expects it."""
    return f"{row.label}, published {year.year}"
