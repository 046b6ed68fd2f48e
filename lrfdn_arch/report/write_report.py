"""Report of stored results as tables, plots and a page, for ``lrfdn compare``."""

from collections.abc import Sequence
from pathlib import Path

from lrfdn_arch.files import write_whole
from lrfdn_arch.report.comparison import load_comparison
from lrfdn_arch.report.page import page
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
    folders: Sequence[Path], out: Path, page_images: int = 24, overwrite: bool = False
) -> Table:
    """Compare the results in ``folders`` and write the report to ``out``.

    Args:
        folders: one or more output folders of ``lrfdn challenge``.
        out: output folder for ``index.html``, ``report.md``, a CSV per table and ``plots/*.svg``.
        page_images: maximum number of images on the page; those that differ most are shown.
        overwrite: overwrite existing files.

    Returns:
        The main table.

    Raises:
        FileExistsError: output files exist and ``overwrite`` is off; nothing is written.
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
    content["index.html"] = page(comparison, list(tables.values()), drawn, shown)
    existing = sorted(name for name in content if (out / name).exists())
    if existing and not overwrite:
        raise FileExistsError(
            f"{out} already has {first_few(existing)}; choose another --out, or use --overwrite"
        )
    for name, text in content.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(out / name, text.encode())
    return tables["results"]
