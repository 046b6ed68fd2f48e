"""Self-contained HTML pages: the comparison, and the one that upscales the reader's pictures."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import islice
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from lrfdn_arch.evaluation.results import BICUBIC
from lrfdn_arch.report.comparison import Comparison
from lrfdn_arch.report.plots import colour_of
from lrfdn_arch.report.tables import Table

_TEMPLATES = files("lrfdn_arch.report") / "templates"
_VIEWER = ("error_map.js", "stage.js", "viewer.js")


def page(
    comparison: Comparison,
    tables: list[Table],
    plots: dict[str, str],
    pictures: dict[str, Any],
    live: dict[str, Any] | None,
) -> str:
    """Render the HTML page: the main table first, SVG elements by name, the viewer's data.

    ``live`` is from :func:`live_data`, for a page that upscales the reader's pictures, too.
    """
    return _render(
        "page.html",
        ("table.js", *_VIEWER, *(("live.js",) if live else ())),
        comparison=comparison,
        facts=facts(comparison),
        tables=tables,
        plots={name: Markup(svg) for name, svg in plots.items()},
        pictures=pictures,
        colours={e.label: colour_of(comparison, e) for e in comparison.entries},
        live=live,
    )


def live_page(networks: Sequence[Mapping[str, Any]], runtime: Mapping[str, str]) -> str:
    """Render the HTML page that upscales the reader's pictures.

    Args:
        networks: from :func:`lrfdn_arch.export.browser.browser_network`.
        runtime: from :func:`lrfdn_arch.export.browser.browser_runtime`.

    Raises:
        ValueError: two networks have the same label, or their scales differ.
    """
    layers = [{"id": BICUBIC, "caption": "The picture"}]
    layers += [{"id": network["id"], "caption": network["id"]} for network in networks]
    return _render(
        "live.html",
        (*_VIEWER, "live.js"),
        pictures={"layers": layers, "images": []},
        live=live_data(networks, runtime),
    )


def live_data(networks: Sequence[Mapping[str, Any]], runtime: Mapping[str, str]) -> dict[str, Any]:
    """Return what a page needs to upscale pictures; see :func:`live_page`."""
    labels, scales = [n["id"] for n in networks], {n["scale"] for n in networks}
    if len(set(labels)) < len(labels) or len(scales) > 1:
        found = ", ".join(f"{network['id']} x{network['scale']}" for network in networks)
        raise ValueError(f"networks of a page need different labels and one scale, got {found}")
    return {
        "scale": scales.pop(),
        "networks": networks,
        "runtime": runtime,
        "worker": _read("worker.js"),
    }


def _render(template: str, scripts: Sequence[str], **values: Any) -> str:
    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(
        **values,
        style=Markup(_read("page.css")),
        scripts=[Markup(_read(name)) for name in scripts],
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
    times = (
        (a.median_ms, b.median_ms)
        for a in ours.network.fair_timings
        for b in baseline.network.fair_timings
        if (a.device, a.variant, a.input_size) == (b.device, b.variant, b.input_size)
    )
    for pair in islice(times, 1):
        result.append(_ratio(*pair, "of the time (fair median)", "ms", 1))
    return result


def _ratio(a: float, b: float, what: str, unit: str, digits: int) -> dict[str, str]:
    detail = f"{what}: {a:.{digits}f} vs. {b:.{digits}f} {unit}"
    return {"figure": f"{100 * a / b:.0f} %", "what": detail}


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
