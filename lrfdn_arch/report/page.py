"""Self-contained HTML pages: the comparison, and the one that upscales the reader's pictures."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import product
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from lrfdn_arch.evaluation.results import BICUBIC, mean
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
    networks = comparison.others[0].network, comparison.baseline.network
    params = [network.counts.params / 1e6 for network in networks]
    flops = [network.counts.flops_2023 / 1e9 for network in networks]
    ratios = [("of the parameters", *params, "M", 3), ("of the FLOPs (2023 kit)", *flops, "G", 2)]
    times = [
        ("of the time (fair median)", a.median_ms, b.median_ms, "ms", 1)
        for a, b in product(*(network.fair_timings for network in networks))
        if (a.device, a.variant, a.input_size) == (b.device, b.variant, b.input_size)
    ]
    shown = [
        {
            "figure": f"{100 * a / b:.0f} %",
            "what": f"{what}: {a:.{digits}f} vs. {b:.{digits}f} {unit}",
        }
        for what, a, b, unit, digits in (*ratios, *times[:1])
    ]
    a, b = (mean(network.images, "psnr_rgb") for network in networks)
    if a is not None and b is not None:
        figure = f"{a - b:+.2f} dB".replace("-", "\N{MINUS SIGN}")
        shown.insert(0, {"figure": figure, "what": f"PSNR, {a:.2f} vs. {b:.2f}"})
    return shown


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
