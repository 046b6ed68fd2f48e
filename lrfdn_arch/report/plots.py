"""SVG plots that use the page's text colour, for light and dark backgrounds."""

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrfdn_arch.report.comparison import Comparison, Entry
from lrfdn_arch.report.published import TABLE_1, is_the_factsheet_s_set

# One colour per network, distinguishable with common types of colour blindness (Okabe & Ito).
COLOURS = ("#0a9396", "#e07a1f", "#5e60ce", "#c2456b", "#7a8b1d", "#3a7ca5")
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
    entries = comparison.entries
    result = {}
    if comparison.is_one_machine:
        label, times, spread = _runtimes(comparison)
        result["psnr_runtime"] = _scatter(comparison, "runtime", label, times, spread)
    result |= {
        "psnr_flops": _scatter(
            comparison,
            "FLOPs",
            "FLOPs, 2023 kit (G)",
            [e.network.counts.flops_2023 / 1e9 for e in entries],
        ),
        "psnr_params": _scatter(
            comparison,
            "parameters",
            "Parameters (M)",
            [e.network.counts.params / 1e6 for e in entries],
        ),
    }
    if comparison.others:
        result["psnr_per_image"] = _per_image(comparison)
    return result


def _runtimes(
    comparison: Comparison,
) -> tuple[str, list[float], list[tuple[float, float]] | None]:
    """Return axis label, times in ms and spread: of comparable fair timings, else the kit's."""
    timings = [e.network.fair_timings for e in comparison.entries]
    first = [t[0] for t in timings if t]
    alike = {(t.device, t.variant, t.input_size) for t in first}
    if len(first) == len(timings) and len(alike) == 1:
        one = first[0]
        size = "x".join(map(str, one.input_size))
        label = f"Fair time (ms): median, {one.variant}, {size}"
        spread = [(t.median_ms - t.p25_ms, t.p75_ms - t.median_ms) for t in first]
        return label, [t.median_ms for t in first], spread
    return "Kit time (ms)", [e.network.kit_timing.mean_ms for e in comparison.entries], None


def _scatter(
    comparison: Comparison,
    what: str,
    x_label: str,
    values: Sequence[float],
    spread: Sequence[tuple[float, float]] | None = None,
) -> str:
    with matplotlib.rc_context(STYLE):
        figure = Figure(_SIZE, layout="constrained")
        axes = figure.subplots()
        for number, (entry, x) in enumerate(zip(comparison.entries, values, strict=True)):
            y, colour = entry.mean("psnr_rgb") or 0, colour_of(comparison, entry)
            if spread:
                low, high = spread[number]
                axes.errorbar(x, y, xerr=[[low], [high]], color=colour, capsize=3, alpha=0.6)
            axes.plot(x, y, "o", color=colour, markersize=10)
            _annotate(axes, entry.label, x, y)
        if what != "runtime" and is_the_factsheet_s_set(comparison.dataset, comparison.protocol):
            for row in TABLE_1:
                x = row.flops_g if what == "FLOPs" else row.params_m
                axes.plot(x, row.psnr, "o", color=_INK, fillstyle="none", markersize=13)
                _annotate(axes, f"{row.network}, factsheet", x, row.psnr, below=True)
        axes.set(xlabel=x_label, ylabel=f"PSNR on {comparison.dataset.name} (dB, RGB)")
        axes.set_xlim(0, max(values) * 1.3)
        axes.margins(y=0.35)
        axes.grid(True)
        names = ", ".join(entry.label for entry in comparison.entries)
        return svg_of(figure, f"psnr_{what}", f"PSNR against {what} of {names}")


def _annotate(axes: Axes, text: str, x: float, y: float, below: bool = False) -> None:
    offset = (0, -18) if below else (0, 11)
    axes.annotate(text, (x, y), offset, textcoords="offset points", ha="center")


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
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(others))
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
    return element.replace("<svg", f'<svg role="img" aria-label="{_attribute(description)}"', 1)


def standalone(svg: str) -> str:
    """Return an SVG element as a standalone file with fixed text and background colours."""
    style = '<svg style="color: #1c2733; background: #ffffff"'
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg.replace("<svg", style, 1)


def _attribute(text: str) -> str:
    return escape(text, quote=True)
