"""SVG plots that use the page's text colour, for light and dark backgrounds."""

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from lrfdn_arch.evaluation.audit import Estimate
from lrfdn_arch.evaluation.scores import median_interval
from lrfdn_arch.report.comparison import Comparison, Entry
from lrfdn_arch.report.tables import FLOP_COUNTERS, published_rows

# One colour and marker per network; the markers tell apart what colour blindness makes alike. All
# are readable on light and on dark backgrounds.
COLOURS = (
    *("#0a9396", "#e07a1f", "#5e60ce", "#c2456b", "#7a8b1d"),
    *("#2f7fd6", "#c9a227", "#a05a2c", "#b565c9", "#7d8794"),
)
_MARKERS = "os^DvP*X<>"
_INK = "#010203"  # replaced by currentColor, the colour of the surrounding text
STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",  # renders the same without the font
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _INK,
    "grid.alpha": 0.12,
}
_SIZE = (4.5, 3.3)  # inches; as wide as a phone at the page's scale
_MOST_NAMES = 32  # more image names do not fit under the bars


def colour_of(comparison: Comparison, entry: Entry) -> str:
    """Return the colour of a network in all plots and on the page."""
    return COLOURS[comparison.entries.index(entry) % len(COLOURS)]


def plots(comparison: Comparison) -> dict[str, str]:
    """Return SVG by file name (no extension); empty without ground truth.

    PSNR against runtime is omitted if runtimes were measured on different machines.
    """
    if not comparison.dataset.has_ground_truth:
        return {}
    counter, counts = comparison.year.counter, [e.network.counts for e in comparison.entries]
    result = {}
    if comparison.is_one_machine:
        result["psnr_runtime"] = _scatter(comparison, "runtime", *_runtimes(comparison))
    label = f"FLOPs, {FLOP_COUNTERS[counter]} (G)"
    flops = [Estimate(getattr(c, counter) / 1e9, None, None) for c in counts]
    result["psnr_flops"] = _scatter(comparison, "FLOPs", label, flops)
    params = [Estimate(c.params / 1e6, None, None) for c in counts]
    result["psnr_params"] = _scatter(comparison, "parameters", "Parameters (M)", params)
    if comparison.others:
        result["psnr_per_image"] = _per_image(comparison)
    return result


def _runtimes(comparison: Comparison) -> tuple[str, list[Estimate]]:
    """Return axis label and times in ms: of comparable fair timings, else the kits'."""
    timings = [e.network.fair_timings for e in comparison.entries]
    first = [t[0] for t in timings if t]
    alike = {(t.device, t.variant, t.input_size) for t in first}
    if len(first) == len(timings) and len(alike) == 1:
        size = "x".join(map(str, first[0].input_size))
        label = f"Fair time (ms): median, {first[0].variant}, {size}"
        return label, [median_interval(timing) for timing in first]
    return "Kit time (ms)", [comparison.intervals[e.label].mean_ms for e in comparison.entries]


def _scatter(comparison: Comparison, what: str, x_label: str, costs: Sequence[Estimate]) -> str:
    """Plot PSNR against a cost; PSNR's bars are those of the difference to the baseline."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(_SIZE, layout="constrained")
        axes = figure.subplots()
        points: list[tuple[str, float, float, str]] = []
        for entry, cost in zip(comparison.entries, costs, strict=True):
            x, y, colour = cost.value, entry.mean("psnr_rgb") or 0, colour_of(comparison, entry)
            bars = error_bar(comparison.intervals[entry.label].minus_baseline), error_bar(cost)
            marker = _MARKERS[comparison.entries.index(entry) % len(_MARKERS)]
            axes.errorbar(x, y, *bars, marker, c=colour, ms=7, capsize=3, elinewidth=1)
            points.append((entry.label, x, y, colour))
        is_shared = what != "runtime" and comparison.is_challenge_set
        for row in published_rows(comparison) if is_shared else ():
            x, psnr = row.flops_g if what == "FLOPs" else row.params_m, row.psnr(comparison.role)
            if psnr is not None:
                axes.plot(x, psnr, "o", color=_INK, fillstyle="none", markersize=11)
                points.append((f"{row.label}, published", x, psnr, _INK))
        axes.set(xlabel=x_label, ylabel=f"PSNR on {comparison.dataset.name} (dB, RGB)")
        axes.set_xlim(0, max(cost.value for cost in costs) * 1.3)
        axes.margins(y=0.25)
        axes.grid(True)
        _label(axes, points)
        names = ", ".join(entry.label for entry in comparison.entries)
        return svg_of(figure, f"psnr_{what}", f"PSNR against {what} of {names}")


def _label(axes: Axes, points: Sequence[tuple[str, float, float, str]]) -> None:
    """Write (label, x, y, colour) beside each point, over no other point or label."""
    assert isinstance(axes.figure, Figure)
    axes.figure.draw_without_rendering()  # lays out the axes
    pixels = axes.figure.dpi / 72  # of a typographic point
    inside, places = axes.bbox, axes.transData.transform([point[1:3] for point in points])
    taken = [Bbox.from_bounds(x, y, 0, 0).padded(6 * pixels) for x, y in places]
    from_above = sorted(zip(points, places, strict=True), key=lambda both: -both[0][2])
    for (text, x, y, colour), place in from_above:
        note = axes.annotate(
            text, (x, y), (0, 0), textcoords="offset points", color=colour, ha="center", va="center"
        )
        note.set_in_layout(False)
        size = np.array(note.get_window_extent().size) / pixels
        aside = size[0] / 2 + 10
        shifts = [
            (right, up)
            for distance in range(12, 90, 6)
            for up in (distance, -distance, distance - 12)
            for right in (0, aside, -aside)
            if up >= 12 or up <= -12 or right
        ]
        corners = [place + (np.array(shift) - size / 2) * pixels for shift in shifts]
        boxes = [Bbox.from_bounds(*corner, *(size * pixels)) for corner in corners]
        free = (
            number
            for number, box in enumerate(boxes)
            if inside.contains(*box.min) and inside.contains(*box.max)
            if not box.count_overlaps(taken)
        )
        chosen = next(free, 0)
        note.set_position(shifts[chosen])
        taken.append(boxes[chosen])


def _per_image(comparison: Comparison) -> str:
    baseline, others = comparison.baseline, comparison.others
    reference = baseline.psnr_by_image
    first = others[0].psnr_by_image
    names = sorted(reference, key=lambda name: first[name] - reference[name])
    with matplotlib.rc_context(STYLE):
        figure = Figure((2 * _SIZE[0], 0.75 * _SIZE[1]), layout="constrained")
        axes = figure.subplots()
        width = 0.6 / len(others)
        for number, entry in enumerate(others):
            heights = [entry.psnr_by_image[name] - reference[name] for name in names]
            places = [i + (number - (len(others) - 1) / 2) * width for i in range(len(names))]
            axes.bar(places, heights, width, color=colour_of(comparison, entry), label=entry.label)
        axes.axhline(0, color=_INK, linewidth=1)
        axes.set_ylabel(f"PSNR minus {baseline.label}'s (dB)")
        if len(names) <= _MOST_NAMES:
            axes.set_xticks(range(len(names)), names, rotation=30 if len(names) > 8 else 0)
        else:
            axes.set_xticks([])
            axes.set_xlabel(f"{len(names)} images")
        axes.grid(True, axis="y")
        # Above the axes: inside, it would cover a bar.
        columns = min(len(others), 5)
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns)
        return svg_of(figure, "psnr_per_image", f"PSNR of every image minus {baseline.label}'s")


def svg_of(figure: Figure, name: str, description: str) -> str:
    """Return the figure as a deterministic SVG element with ids unique on the page."""
    text = io.StringIO()
    settings: dict[Any, Any] = {"svg.hashsalt": name}  # ids are random otherwise
    with matplotlib.rc_context(settings):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    element = text.getvalue()[text.getvalue().index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    # Every plot has a figure_1 and defines its own glyphs; on one page ids must differ.
    element = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", element)
    element = element.replace(_INK, "currentColor")
    return element.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)


def error_bar(estimate: Estimate | None) -> list[list[float]] | None:
    """Return the bar's lengths below and above the value, as matplotlib takes them."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    return [[max(estimate.value - estimate.low, 0)], [max(estimate.high - estimate.value, 0)]]


def standalone(svg: str) -> str:
    """Return an SVG element as a standalone file with fixed text and background colours."""
    style = '<svg style="color: #1c2733; background: #ffffff"'
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg.replace("<svg", style, 1)
