"""The comparison as a self-contained HTML page."""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from lrfdn_arch.report.comparison import Comparison, Entry
from lrfdn_arch.report.plots import colour_of
from lrfdn_arch.report.tables import Table

_TEMPLATES = files("lrfdn_arch.report") / "templates"
_SCRIPTS = ("table.js", "error_map.js", "stage.js", "viewer.js")


def page(
    comparison: Comparison, tables: list[Table], plots: dict[str, str], pictures: dict[str, Any]
) -> str:
    """Render the HTML page.

    Args:
        comparison: the networks to compare.
        tables: tables in display order, the main one first.
        plots: SVG elements by name.
        pictures: data of the image viewer, see ``pictures.pictures``.
    """
    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html").render(
        comparison=comparison,
        facts=facts(comparison),
        tables=tables,
        plots={name: Markup(svg) for name, svg in plots.items()},
        pictures=pictures,
        colours={e.label: colour_of(comparison, e) for e in comparison.entries},
        style=Markup(_read("page.css")),
        scripts=[Markup(_read(name)) for name in _SCRIPTS],
    )


def facts(comparison: Comparison) -> list[dict[str, str]]:
    """Return the key differences between the first network and the baseline."""
    if not comparison.others:
        return []
    ours, baseline = comparison.others[0], comparison.baseline
    result = []
    a, b = ours.mean("psnr_rgb"), baseline.mean("psnr_rgb")
    if a is not None and b is not None:
        figure = f"{a - b:+.2f} dB".replace("-", "\N{MINUS SIGN}")
        result.append({"figure": figure, "what": f"PSNR, {a:.2f} vs. {b:.2f}"})
    a_counts, b_counts = ours.network.counts, baseline.network.counts
    result.append(_ratio(a_counts.params / 1e6, b_counts.params / 1e6, "of the parameters", "M", 3))
    flops = (a_counts.flops_2023 / 1e9, b_counts.flops_2023 / 1e9)
    result.append(_ratio(*flops, "of the FLOPs (2023 kit)", "G", 2))
    times = _fair_times(ours, baseline)
    if times:
        result.append(_ratio(*times, "of the time (fair median)", "ms", 1))
    return result


def _ratio(a: float, b: float, what: str, unit: str, digits: int) -> dict[str, str]:
    detail = f"{what}: {a:.{digits}f} vs. {b:.{digits}f} {unit}"
    return {"figure": f"{100 * a / b:.0f} %", "what": detail}


def _fair_times(ours: Entry, baseline: Entry) -> tuple[float, float] | None:
    pairs = [
        (a.median_ms, b.median_ms)
        for a in ours.network.fair_timings
        for b in baseline.network.fair_timings
        if (a.device, a.variant, a.input_size) == (b.device, b.variant, b.input_size)
    ]
    return pairs[0] if pairs else None


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
