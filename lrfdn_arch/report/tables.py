"""Comparison tables, rendered as Markdown, CSV and on the page."""

import csv
import io
from dataclasses import dataclass, field
from html import escape

from tabulate import tabulate

from lrfdn_arch.evaluation.results import mean
from lrfdn_arch.evaluation.scores import (
    GATE_DB,
    GATE_SET,
    PUBLISHED,
    gate,
    measured_baseline,
    score_against,
)
from lrfdn_arch.report.comparison import Comparison, Entry
from lrfdn_arch.report.published import FACTSHEET, TABLE_1, PublishedRow, is_the_factsheet_s_set

Cell = str | float | int | None
UNKNOWN = "\N{EN DASH}"


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


def main_table(comparison: Comparison) -> Table:
    """Return the factsheet's columns and more, with the factsheet's own rows beside."""
    same_set = is_the_factsheet_s_set(comparison.dataset, comparison.protocol)
    rows = []
    for entry in comparison.entries:
        rows.append(_measured(entry))
        published = [row for row in TABLE_1 if row.network == entry.network.network]
        if published and entry.network.weights.released:
            rows.append(_published(published[0], same_set))
    if comparison.bicubic and comparison.dataset.has_ground_truth:
        rows.append(_bicubic(comparison))
    notes = [
        "PSNR and SSIM are on RGB, those marked (Y) on luma, "
        f"excluding {comparison.protocol.crop_border} pixels on each side.",
        "Kit time is the mean over all images as in the 2023 kit, each run once without warm-up. "
        "See the fair timing for comparable runtimes.",
        f"Factsheet rows: {FACTSHEET}."
        + ("" if same_set else " They were measured on other images, so only complexity is shown."),
    ]
    if any(entry.network.kit_timing.memory_mib is None for entry in comparison.entries):
        notes.append("Memory is the peak allocated on the GPU; it is not available on the CPU.")
    if not comparison.is_one_machine:
        notes.append("Runtimes of different machines (see Source) cannot be compared.")
    columns = (
        Column("Model"),
        Column("PSNR (dB)", 2),
        Column("Kit time (ms)", 2),
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
    return Table(f"Results on {title}, {comparison.protocol.name}", columns, rows, notes)


def timing_table(comparison: Comparison) -> Table:
    """Return the fair timings, one row per network and variant."""
    rows: list[list[Cell]] = [
        [
            entry.label,
            timing.variant,
            "x".join(map(str, timing.input_size)),
            timing.median_ms,
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
        Column("Median (ms)", 2),
        Column("25 % (ms)", 2),
        Column("75 % (ms)", 2),
        Column("Fastest (ms)", 2),
        Column("Peak memory (MiB)", 1),
        Column("Repeats", 0),
        Column("Device"),
    )
    notes = [
        "Measured after warm-up with networks interleaved, so that drift affects all equally.",
        "Half of the passes lie between 25 % and 75 %.",
    ]
    return Table("Fair timing", columns, rows, notes)


def score_table(comparison: Comparison) -> Table:
    """Return the scores of the networks by the rules of 2024 and 2025."""
    baseline = comparison.baseline
    rows: list[list[Cell]] = []
    for entry in comparison.entries:
        passed = gate(entry.network, comparison.dataset)
        same_run = entry.environment == baseline.environment
        device = baseline.environment.device
        measured = measured_baseline(baseline.network, device, same_run=same_run)
        for other in (measured, *PUBLISHED):
            score = score_against(entry.network, other)
            parts: list[Cell] = [score.runtime, score.flops, score.params, score.total]
            verdict = None if passed is None else "passed" if passed else "missed"
            rows.append([entry.label, other.label, *parts, verdict, other.source])
    columns = (
        Column("Model"),
        Column("Baseline"),
        Column("Score runtime", 3),
        Column("Score FLOPs", 3),
        Column("Score params", 3),
        Column("Score", 3),
        Column("Gate"),
        Column("Source of the baseline"),
    )
    notes = [
        "Score_X = exp(2 X / X of the baseline), weighted .7 runtime, .15 FLOPs (fvcore), .15 "
        "parameters; lower is better and the baseline scores 7.389.",
        "Runtimes are the medians of the fair timing, compared only if both networks were timed in "
        "the same run with the same precision and input; otherwise a dash is shown, as for the "
        "published baselines, which were timed on other machines.",
        f"The gate of 2024 and 2025 is {GATE_DB:.2f} dB on {GATE_SET}; other sets have no gate.",
    ]
    return Table("Scores of later years", columns, rows, notes)


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


def _measured(entry: Entry) -> list[Cell]:
    n = entry.network
    weights = "released weights" if n.weights.released else n.weights.file
    return [
        entry.label,
        entry.mean("psnr_rgb"),
        n.kit_timing.mean_ms,
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
    costs: list[Cell] = [None] * 7
    return ["Bicubic", psnr, *costs, ssim, psnr_y, ssim_y, "measured; MATLAB's imresize"]


def _published(row: PublishedRow, same_set: bool) -> list[Cell]:
    return [
        f"{row.network}, factsheet",
        row.psnr if same_set else None,
        row.time_ms if same_set else None,
        row.params_m,
        row.flops_g,
        row.acts_m,
        row.memory_m if same_set else None,
        row.convolutions,
        None,
        None,
        None,
        None,
        "factsheet, Table 1: DIV2K validation, A100 40G",
    ]
