"""``lrfdn compare``: stored results in, a folder with tables, plots and one page out."""

from collections.abc import Sequence
from pathlib import Path

from lrfdn_arch.files import write_whole
from lrfdn_arch.report.comparison import load_comparison
from lrfdn_arch.report.page import page
from lrfdn_arch.report.pictures import pictures
from lrfdn_arch.report.plots import plots
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
    """Compare the results in ``folders`` and write everything about it into ``out``.

    Args:
        folders: what ``lrfdn challenge`` left, one or more.
        out: gets ``index.html``, ``report.md``, a CSV per table and ``plots/*.svg``.
        page_images: how many images the page shows, those that differ most.
        overwrite: replace files that are there.

    Returns:
        The main table.

    Raises:
        FileExistsError: files are there and ``overwrite`` is off; nothing was written.
        ValueError: the results cannot stand in one table.
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
    content |= {f"plots/{name}.svg": _standalone(svg) for name, svg in drawn.items()}
    shown = pictures(comparison, page_images)
    content["index.html"] = page(comparison, list(tables.values()), drawn, shown)
    existing = sorted(name for name in content if (out / name).exists())
    if existing and not overwrite:
        raise FileExistsError(
            f"{out} already has {first_few(existing)}; choose another --out, or give --overwrite"
        )
    for name, text in content.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(out / name, text.encode())
    return tables["results"]


def _standalone(svg: str) -> str:
    """Give an SVG element for a page the ink and the paper it needs in a file of its own."""
    style = '<svg style="color: #1c2733; background: #ffffff"'
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg.replace("<svg", style, 1)
