"""The report of a comparison, and self-contained HTML pages.

Both the report's page and one of its own can upscale the reader's pictures.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from lrfdn_arch.evaluation.entries import Entry, entries_of, result_folders
from lrfdn_arch.evaluation.protocols import YEARS, Year
from lrfdn_arch.evaluation.results import BICUBIC, mean, read_results
from lrfdn_arch.files import check_new, write_whole
from lrfdn_arch.report.challenge_tables import score_table, year_table
from lrfdn_arch.report.comparison import Comparison, load_comparison
from lrfdn_arch.report.pictures import pictures
from lrfdn_arch.report.plots import colour_of, plots, standalone
from lrfdn_arch.report.tables import Table, image_table, main_table, timing_table

_TEMPLATES = files("lrfdn_arch.report") / "templates"
_VIEWER = ("error_map.js", "stage.js", "viewer.js")


def write_report(
    folders: Sequence[Path],
    out: Path,
    page_images: int,
    overwrite: bool,
    networks: Sequence[Mapping[str, Any]],
    runtime: Mapping[str, str] | None,
    year: Year | None,
) -> Table:
    """Compare the results in ``folders``, and return the main table.

    ``out`` gets ``index.html``, ``report.md``, a CSV file for each table and ``plots/*.svg``.

    Args:
        folders: one or more output folders of ``lrfdn challenge``.
        out: the output folder.
        page_images: maximum number of images on the page; those that differ most are shown.
        overwrite: overwrite existing files.
        networks: those that the page contains, as for :func:`live_page`.
        runtime: what runs them; None for a page without networks.
        year: compare by the rules of this challenge; None for those of the results, with the scores
            of all years.

    Raises:
        FileExistsError: output files exist and ``overwrite`` is off; nothing is written.
        ValueError: ``networks`` are not among the results.
    """
    parts = [result_folders(folder) for folder in folders]
    comparison = load_comparison([part[0] for part in parts], year)
    labels = {entry.network.weights.sha256: entry.label for entry in comparison.entries}
    for network in networks:
        if network["sha256"] not in labels:
            file = network["facts"]["Weights"]
            raise ValueError(f"--live {file}: these results contain no network of these weights")
    labelled = [{**network, "id": labels[network["sha256"]]} for network in networks]
    both: list[Entry] = []
    for part in parts:
        if len(part) > 1:
            both += entries_of([read_results(folder) for folder in part], comparison.year)
    tables = {
        "results": main_table(comparison),
        "sets": year_table(both, comparison.year) if both else None,
        "timing": timing_table(comparison),
        "scores": score_table(comparison, [year] if year else list(YEARS.values())),
        "images": image_table(comparison) if comparison.dataset.has_ground_truth else None,
    }
    tables = {name: table for name, table in tables.items() if table and table.rows}
    drawn = plots(comparison)
    content = {f"{name}.csv": table.csv() for name, table in tables.items()}
    content["report.md"] = "\n".join(table.markdown() for table in tables.values())
    content |= {f"plots/{name}.svg": standalone(svg) for name, svg in drawn.items()}
    content["index.html"] = _render(
        "page.html",
        ("table.js", *_VIEWER, *(("live.js",) if runtime else ())),
        comparison=comparison,
        facts=_facts(comparison),
        tables=list(tables.values()),
        plots={name: Markup(svg) for name, svg in drawn.items()},
        pictures=pictures(comparison, page_images),
        colours={e.label: colour_of(comparison, e) for e in comparison.entries},
        live=_live_data(labelled, runtime) if runtime else None,
    )
    check_new(*(out / name for name in content), overwrite=overwrite)
    for name, text in content.items():
        write_whole(out / name, text.encode())
    return tables["results"]


def live_page(networks: Sequence[Mapping[str, Any]], runtime: Mapping[str, str]) -> str:
    """Render the HTML page that upscales the reader's pictures.

    The arguments are made by ``browser_network`` and ``browser_runtime`` of
    :mod:`lrfdn_arch.export.browser`.

    Raises:
        ValueError: two networks have the same label, or their scales differ.
    """
    layers = [{"id": BICUBIC, "caption": "The picture"}]
    layers += [{"id": network["id"], "caption": network["id"]} for network in networks]
    return _render(
        "live.html",
        (*_VIEWER, "live.js"),
        pictures={"layers": layers, "images": []},
        live=_live_data(networks, runtime),
    )


def _live_data(networks: Sequence[Mapping[str, Any]], runtime: Mapping[str, str]) -> dict[str, Any]:
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


def _facts(comparison: Comparison) -> list[dict[str, str]]:
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
