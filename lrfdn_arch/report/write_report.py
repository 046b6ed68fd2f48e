"""Report of stored results as tables, plots and a page, for ``lrfdn compare``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrfdn_arch.evaluation.entries import Entry, entries_of, result_folders
from lrfdn_arch.evaluation.protocols import YEARS, Year
from lrfdn_arch.evaluation.results import read_results
from lrfdn_arch.files import write_whole
from lrfdn_arch.report.challenge_tables import score_table, year_table
from lrfdn_arch.report.comparison import Comparison, load_comparison
from lrfdn_arch.report.page import live_data, page
from lrfdn_arch.report.pictures import pictures
from lrfdn_arch.report.plots import plots, standalone
from lrfdn_arch.report.tables import Table, image_table, main_table, timing_table
from lrfdn_arch.text import first_few


def write_report(
    folders: Sequence[Path],
    out: Path,
    page_images: int,
    overwrite: bool,
    networks: Sequence[Mapping[str, Any]],
    runtime: Mapping[str, str] | None,
    year: Year | None,
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
        year: compare by the rules of this challenge; None for those of the results, with the scores
            of all years.

    Returns:
        The main table.

    Raises:
        FileExistsError: output files exist and ``overwrite`` is off; nothing is written.
        ValueError: ``networks`` are not among the results.
    """
    parts = [result_folders(folder) for folder in folders]
    comparison = load_comparison([part[0] for part in parts], year)
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
    shown = pictures(comparison, page_images)
    live = live_data(_labelled(networks, comparison), runtime) if runtime else None
    content["index.html"] = page(comparison, list(tables.values()), drawn, shown, live)
    existing = sorted(name for name in content if (out / name).exists())
    if existing and not overwrite:
        raise FileExistsError(
            f"{out} already has {first_few(existing)}; choose another --out, or use --overwrite"
        )
    for name, text in content.items():
        write_whole(out / name, text.encode())
    return tables["results"]


def _labelled(
    networks: Sequence[Mapping[str, Any]], comparison: Comparison
) -> list[Mapping[str, Any]]:
    """Return the networks with their labels in the comparison, found by the weights' sha256."""
    labels = {entry.network.weights.sha256: entry.label for entry in comparison.entries}
    for network in networks:
        if network["sha256"] not in labels:
            file = network["facts"]["Weights"]
            raise ValueError(f"--live {file}: these results contain no network of these weights")
    return [{**network, "id": labels[network["sha256"]]} for network in networks]
