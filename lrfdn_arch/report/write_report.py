"""Report of stored results as tables, plots and a page, for ``lrfdn compare``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrfdn_arch.files import write_whole
from lrfdn_arch.report.comparison import Comparison, load_comparison
from lrfdn_arch.report.page import live_data, page
from lrfdn_arch.report.pictures import pictures
from lrfdn_arch.report.plots import plots, standalone
from lrfdn_arch.report.tables import (
    Table,
    image_table,
    main_table,
    score_table,
    timing_table,
)
from lrfdn_arch.text import first_few


def write_report(
    folders: Sequence[Path],
    out: Path,
    page_images: int = 24,
    overwrite: bool = False,
    networks: Sequence[Mapping[str, Any]] = (),
    runtime: Mapping[str, str] | None = None,
) -> Table:
    """Compare the results in ``folders`` and write the report to ``out``.

    Args:
        folders: one or more output folders of ``lrfdn challenge``.
        out: output folder for ``index.html``, ``report.md``, a CSV per table and ``plots/*.svg``.
        page_images: maximum number of images on the page; those that differ most are shown.
        overwrite: overwrite existing files.
        networks: those that the page contains, for the reader's pictures, from
            :func:`lrfdn_arch.export.browser.browser_network`.
        runtime: what runs them, from :func:`lrfdn_arch.export.browser.browser_runtime`.

    Returns:
        The main table.

    Raises:
        FileExistsError: output files exist and ``overwrite`` is off; nothing is written.
        ValueError: ``networks`` are not among the results.
    """
    comparison = load_comparison(folders)
    tables = {
        "results": main_table(comparison),
        "timing": timing_table(comparison),
        "scores": score_table(comparison),
        "images": image_table(comparison),
    }
    if not comparison.dataset.has_ground_truth:
        del tables["images"]
    tables = {name: table for name, table in tables.items() if table.rows}
    drawn = plots(comparison)
    content = {f"{name}.csv": table.csv() for name, table in tables.items()}
    content["report.md"] = "\n".join(table.markdown() for table in tables.values())
    content |= {f"plots/{name}.svg": standalone(svg) for name, svg in drawn.items()}
    shown = pictures(comparison, page_images)
    live = live_data(_labelled(networks, comparison), runtime) if runtime else None
    content["index.html"] = page(comparison, list(tables.values()), drawn, shown, live)
    existing = sorted(name for name in content if (out / name).exists())
    if existing and not overwrite:
        raise FileExistsError(
            f"{out} already has {first_few(existing)}; choose another --out, or use --overwrite"
        )
    for name, text in content.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(out / name, text.encode())
    return tables["results"]


def _labelled(
    networks: Sequence[Mapping[str, Any]], comparison: Comparison
) -> list[Mapping[str, Any]]:
    """Return the networks with their labels in the comparison, found by the weights' sha256."""
    labels = {entry.network.weights.sha256: entry.label for entry in comparison.entries}
    unknown = [
        network["facts"]["Weights"] for network in networks if network["sha256"] not in labels
    ]
    if unknown:
        raise ValueError(f"--live {unknown[0]}: these results contain no network of these weights")
    return [{**network, "id": labels[network["sha256"]]} for network in networks]
