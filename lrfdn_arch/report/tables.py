"""Comparison tables, rendered as Markdown, CSV and on the page."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tabulate import tabulate

from lrfdn_arch.evaluation.audit import Estimate
from lrfdn_arch.evaluation.protocols import Published, Year
from lrfdn_arch.evaluation.results import mean
from lrfdn_arch.evaluation.scores import median_interval
from lrfdn_arch.report.comparison import Comparison

Cell = str | float | int | None
Row = dict[str, Cell]
UNKNOWN = "\N{EN DASH}"
FLOP_COUNTERS = {"flops_2023": "2023 kit", "flops_fvcore": "fvcore"}
_LARGE = 1e4  # values from here on are shown with an exponent
_DECIMALS = {  # of columns that are not shown with their table's
    "Params (M)": 3,
    "SSIM": 4,
    "SSIM (Y)": 4,
    "Score FLOPs": 3,
    "Score params": 3,
    "Peak memory (MiB)": 1,
}


@dataclass(frozen=True)
class Table:
    """Rows of unrounded cells by heading.

    The first row has all headings in order; what a row lacks is unknown. ``notes`` are shown below,
    numbers with ``decimals``.
    """

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    decimals: int = 2

    @property
    def headings(self) -> list[str]:
        """The columns' headings."""
        return list(self.rows[0])

    @property
    def numbers(self) -> set[str]:
        """The headings of columns without text."""
        texts = {name for row in self.rows for name, cell in row.items() if isinstance(cell, str)}
        return set(self.headings) - texts

    def show(self, row: Row, heading: str) -> str:
        """Return a cell formatted for display."""
        cell = row.get(heading)
        if isinstance(cell, float):
            return f"{cell:.{_DECIMALS.get(heading, self.decimals)}f}"
        return UNKNOWN if cell is None else str(cell)

    def markdown(self) -> str:
        """Return title, table and notes as Markdown."""
        cells = [[_escaped(self.show(row, name)) for name in self.headings] for row in self.rows]
        table = tabulate(cells, self.headings, tablefmt="github", disable_numparse=True)
        notes = "".join(f"- {note}\n" for note in self.notes)
        return f"## {_escaped(self.title)}\n\n{table}\n" + (f"\n{notes}" if notes else "")

    def csv(self) -> str:
        """Return headings and unrounded cells; unknown ones are empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.headings)
        writer.writerows([_plain(row.get(name)) for name in self.headings] for row in self.rows)
        return text.getvalue()


def _escaped(text: str) -> str:
    """Escape HTML and column separators for a Markdown table."""
    return escape(text, quote=False).replace("|", "\\|")


def _plain(cell: Cell) -> Cell:
    """Escape a cell that a spreadsheet would interpret as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


def verdict(passed: bool | None) -> str | None:
    """Return ``passed``, ``missed``, or None where there is no gate."""
    return None if passed is None else "passed" if passed else "missed"


def with_interval(estimate: Estimate | None, digits: int) -> str | None:
    """Return ``value [low, high]``; None for None."""
    if estimate is None:
        return None
    style = f".{digits}f" if abs(estimate.value) < _LARGE else ".2e"
    if estimate.low is None:
        return f"{estimate.value:{style}}"
    return f"{estimate.value:{style}} [{estimate.low:{style}}, {estimate.high:{style}}]"


def published_rows(comparison: Comparison) -> list[Published]:
    """Return the year's published results of networks that are compared here, or in no package."""
    released = {e.network.network for e in comparison.entries if e.network.weights.released}
    return [
        row
        for row in comparison.year.published
        if row.network in released or (row.network is None and comparison.is_challenge_set)
    ]


def published_row(row: Published, year: Year) -> Row:
    """Return the complexity of a published result, with a name that the page marks."""
    return {
        "Model": f"{row.label}, published {year.year}",
        "Params (M)": row.params_m,
        f"FLOPs, {FLOP_COUNTERS[year.counter]} (G)": row.flops_g,
        "Acts (M)": row.acts_m,
        "Mem (M)": row.memory_m,
        "Conv": row.convolutions,
    }


def main_table(comparison: Comparison) -> Table:
    """Return the kits' columns and more, with the year's published rows beside."""
    baseline, year = comparison.baseline, comparison.year
    published: dict[str, Row] = {}
    for row in published_rows(comparison):
        found = published[row.label] = published_row(row, year) | {"Source": year.source}
        if comparison.is_challenge_set:
            found |= {"PSNR (dB)": row.psnr(comparison.role), "Kit time (ms)": f"{row.time_ms:.2f}"}
        else:
            del found["Mem (M)"]
    rows: list[Row] = []
    for entry in comparison.entries:
        network, counts = entry.network, entry.network.counts
        interval = comparison.intervals[entry.label]
        weights = "released weights" if network.weights.released else network.weights.file
        rows.append(
            {
                "Model": entry.label,
                "PSNR (dB)": entry.mean("psnr_rgb"),
                f"minus {baseline.label} (dB)": with_interval(interval.minus_baseline, 3),
                "Kit time (ms)": with_interval(interval.mean_ms, 2),
                "Params (M)": counts.params / 1e6,
                "FLOPs, 2023 kit (G)": counts.flops_2023 / 1e9,
                "Acts (M)": counts.activations / 1e6,
                "Mem (M)": network.kit_timing.memory_mib,
                "Conv": counts.convolutions,
                "FLOPs, fvcore (G)": counts.flops_fvcore / 1e9,
                "SSIM": entry.mean("ssim_rgb"),
                "PSNR (Y) (dB)": entry.mean("psnr_y"),
                "SSIM (Y)": entry.mean("ssim_y"),
                "Source": f"measured on {entry.environment.device}; {weights}",
            }
        )
        if network.weights.released and network.network in published:
            rows.append(published.pop(network.network))
    rows += published.values()
    if comparison.bicubic and comparison.dataset.has_ground_truth:
        metrics = {"PSNR (dB)": "psnr_rgb", "SSIM": "ssim_rgb"}
        metrics |= {"PSNR (Y) (dB)": "psnr_y", "SSIM (Y)": "ssim_y"}
        values: Row = {name: mean(comparison.bicubic, metric) for name, metric in metrics.items()}
        rows.append({"Model": "Bicubic", **values, "Source": "measured; MATLAB's imresize"})
    elsewhere = " They were measured on other images, so only complexity is shown."
    notes = [
        "PSNR and SSIM are on RGB, those marked (Y) on luma, "
        f"excluding {comparison.protocol.crop_border} pixels on each side.",
        "In brackets: 95 % interval of a bootstrap over images, paired for differences.",
        "Kit time is the mean over all images as in the kits, each run once without warm-up. "
        "See the fair timing for comparable runtimes.",
        f"Published rows: {year.source}." + ("" if comparison.is_challenge_set else elsewhere),
    ]
    if any(entry.network.kit_timing.memory_mib is None for entry in comparison.entries):
        notes.append("Memory is the peak allocated on the GPU; it is not available on the CPU.")
    if not comparison.is_one_machine:
        notes.append("Runtimes of different machines (see Source) cannot be compared.")
    notes += [f"Not evaluated: {failure}." for failure in comparison.failures]
    title = f"{comparison.dataset.name} x{comparison.protocol.scale}"
    return Table(f"Results on {title}, {year.name}", rows, notes)


def timing_table(comparison: Comparison) -> Table:
    """Return the fair timings, one row per network and variant."""
    rows: list[Row] = [
        {
            "Model": entry.label,
            "Variant": timing.variant,
            "Input": "x".join(map(str, timing.input_size)),
            "Median (ms)": with_interval(median_interval(timing), 2),
            "25 % (ms)": timing.p25_ms,
            "75 % (ms)": timing.p75_ms,
            "Fastest (ms)": timing.min_ms,
            "Peak memory (MiB)": timing.memory_mib,
            "Repeats": timing.repeats,
            "Device": timing.device,
        }
        for entry in comparison.entries
        for timing in entry.network.fair_timings
    ]
    notes = [
        "Measured after warm-up with networks interleaved, so that drift affects all equally.",
        "Half of the passes lie between 25 % and 75 %. In brackets: 95 % interval of the median.",
    ]
    return Table("Fair timing", rows, notes)


def image_table(comparison: Comparison) -> Table:
    """Return the PSNR of every image, and each network's difference from the baseline."""
    baseline = comparison.baseline
    by_label = {entry.label: entry.psnr_by_image for entry in comparison.entries}
    rows: list[Row] = []
    for name in (image.name for image in baseline.network.images):
        psnr = {label: values.get(name) for label, values in by_label.items()}
        row: Row = {"Image": name} | {f"{label} (dB)": value for label, value in psnr.items()}
        base = psnr[baseline.label]
        for label in (entry.label for entry in comparison.others):
            value = psnr[label]
            difference = None if value is None or base is None else value - base
            row[f"{label} - {baseline.label} (dB)"] = difference
        rows.append(row)
    return Table("PSNR of every image (RGB)", rows, decimals=4)
