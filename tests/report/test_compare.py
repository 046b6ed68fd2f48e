"""Results put side by side: only where they belong together, as tables, plots and data."""

import csv
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from stored_results import COUNTS, store

from lrfdn_arch.cli import main
from lrfdn_arch.evaluation.images import read_rgb, write_png
from lrfdn_arch.evaluation.protocols import YEARS
from lrfdn_arch.evaluation.results import read_results
from lrfdn_arch.report import plots as drawing
from lrfdn_arch.report.challenge_tables import score_table
from lrfdn_arch.report.comparison import load_comparison
from lrfdn_arch.report.pictures import LARGEST, pictures
from lrfdn_arch.report.plots import plots
from lrfdn_arch.report.tables import (
    Table,
    image_table,
    main_table,
    timing_table,
)

FACTSHEET_COLUMNS = [
    "Model",
    "PSNR (dB)",
    "Kit time (ms)",
    "Params (M)",
    "FLOPs, 2023 kit (G)",
    "Acts (M)",
    "Mem (M)",
    "Conv",
]


def test_other_scales_sets_and_protocols_are_refused_and_named(tmp_path: Path) -> None:
    first = store(tmp_path / "first", has_images=False)
    other = store(tmp_path / "x3", scale=3, sha256="333", has_images=False)
    with pytest.raises(ValueError) as caught:
        load_comparison([first, other])
    message = str(caught.value)
    assert f"scale: 4 in {first}, 3 in {other}" in message
    assert f"crop_border: 4 in {first}, 3 in {other}" in message
    other = store(tmp_path / "set14", name="Set14", sha256="14", count=14, has_images=False)
    with pytest.raises(ValueError, match=r"images: Tiny \(3 images\) in .*, Set14 \(14 images\)"):
        load_comparison([first, other])
    other = store(tmp_path / "again", sha256="888", has_images=False)
    with pytest.raises(ValueError, match=r"Tiny \(3 images\) in \S+again, with different pixels"):
        load_comparison([first, other])


def test_evaluations_of_the_same_images_share_a_table(tmp_path: Path) -> None:
    folders = [store(tmp_path / "released"), store(tmp_path / "mine", ("LRFDN", "slim"))]
    comparison = load_comparison(folders)
    labels = [entry.label for entry in comparison.entries]
    assert labels == ["LRFDN (released)", "RFDN", "LRFDN (mine)", "slim"]
    assert comparison.baseline.label == "RFDN"
    shown = pictures(comparison, 24)
    assert [layer["id"] for layer in shown["layers"]] == ["LR-bicubic", *labels, "HR"]


def test_networks_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    folders = [store(tmp_path / "a/results", ("LRFDN",)), store(tmp_path / "b/results", ("LRFDN",))]
    labels = [entry.label for entry in load_comparison(folders).entries]
    assert labels == [f"LRFDN ({folder})" for folder in folders]
    with pytest.raises(ValueError, match="given twice"):
        load_comparison([folders[0], tmp_path / "b/../a/results"])


def test_the_main_table_has_the_factsheet_s_columns_and_rows(tmp_path: Path) -> None:
    store(tmp_path / "a", name="DIV2K_valid", count=100, psnr=29.0)
    table = main_table(load_comparison([tmp_path / "a"]))
    assert table.headings[:2] + table.headings[3:9] == FACTSHEET_COLUMNS
    rows = {
        row["Model"]: [table.show(row, heading) for heading in FACTSHEET_COLUMNS[1:]]
        for row in table.rows
    }
    assert rows["RFDN, published 2023"] == [
        "29.04",
        "20.91",
        "0.433",
        "27.10",
        "112.03",
        "788.13",
        "64",
    ]
    assert rows["LRFDN, published 2023"] == [
        "28.81",
        "19.26",
        "0.198",
        "11.23",
        "86.18",
        "768.76",
        "56",
    ]
    assert rows["LRFDN"][2:5] == ["0.198", "11.23", "86.18"]
    assert rows["LRFDN"][0] == "29.00"


def test_the_factsheet_s_psnr_never_stands_beside_another_set_s(tmp_path: Path) -> None:
    table = main_table(load_comparison([store(tmp_path / "a")]))
    (row,) = (row for row in table.rows if row["Model"] == "RFDN, published 2023")
    assert row.get("PSNR (dB)") is None
    assert row.get("Kit time (ms)") is None
    assert any("measured on other images" in note for note in table.notes)


def test_own_weights_get_no_factsheet_row(tmp_path: Path) -> None:
    table = main_table(load_comparison([store(tmp_path / "a", released=False)]))
    assert [row["Model"] for row in table.rows] == ["LRFDN", "RFDN", "Bicubic"]
    assert str(table.rows[0]["Source"]).endswith("; LRFDN.pth")


def test_bicubic_is_what_every_table_of_the_field_starts_from(tmp_path: Path) -> None:
    comparison = load_comparison([store(tmp_path / "a")])
    row = main_table(comparison).rows[-1]
    assert row["Model"] == "Bicubic"
    assert row["PSNR (dB)"] == pytest.approx(sum(i.psnr_rgb or 0 for i in comparison.bicubic) / 3)
    known = {"Model", "PSNR (dB)", "SSIM", "PSNR (Y) (dB)", "SSIM (Y)", "Source"}
    assert set(row) == known, "it has no weights and no kit time"


def test_kit_time_and_fair_time_have_tables_of_their_own(tmp_path: Path) -> None:
    comparison = load_comparison([store(tmp_path / "a")])
    assert [heading for heading in main_table(comparison).headings if "(ms)" in heading] == [
        "Kit time (ms)"
    ]
    timing = timing_table(comparison)
    assert [list(row.values())[:6] for row in timing.rows] == [
        ["LRFDN", "fp32, eager", "1x3x256x256", "20.00", 19.0, 22.0],
        ["RFDN", "fp32, eager", "1x3x256x256", "40.00", 39.0, 42.0],
    ]


def test_runtimes_of_different_machines_are_not_compared(tmp_path: Path) -> None:
    folders = [store(tmp_path / "cpu"), store(tmp_path / "gpu", ("slim",), device="Some GPU")]
    comparison = load_comparison(folders)
    assert "psnr_runtime" not in plots(comparison)
    assert any("different machines" in note for note in main_table(comparison).notes)
    scores = [row for row in score_table(comparison).rows if row["Model"] == "slim"]
    assert [(row["Score runtime"], row["Score"]) for row in scores] == [(None, None)] * 3


def test_scores_say_against_what_and_from_where(tmp_path: Path) -> None:
    table = score_table(load_comparison([store(tmp_path / "a")]))
    rows = {(row["Model"], row["Year"]): row for row in table.rows}
    assert set(rows) == {(label, y) for label in ("LRFDN", "RFDN") for y in (2024, 2025, 2026)}
    rlfn = rows["LRFDN", 2024]
    assert (rlfn["Baseline"], rlfn["Score runtime"]) == ("RLFN", None)
    assert rlfn["Source of the baseline"] == YEARS[2024].source
    assert rows["LRFDN", 2025]["Gate, strict"] is None, "the gate is for its own set"


def test_a_baseline_timed_in_the_same_run_gives_a_score_with_its_interval(tmp_path: Path) -> None:
    results = read_results(store(tmp_path / "a"))
    samples = {"LRFDN": (20.0, 21.0, 19.0), "RFDN": (40.0, 41.0, 39.0)}
    networks = []
    for network in results.networks:
        timing = network.fair_timings[0].model_copy(update={"samples_ms": samples[network.label]})
        label = "00_SPAN" if network.label == "RFDN" else network.label
        networks.append(network.model_copy(update={"label": label, "fair_timings": (timing,)}))
    results = results.model_copy(update={"networks": tuple(networks), "has_images": False})
    (tmp_path / "a/results.json").write_text(results.model_dump_json())
    rows = {
        (row["Model"], row["Year"]): row
        for row in score_table(load_comparison([tmp_path / "a"]), [YEARS[2026]]).rows
    }
    assert rows["00_SPAN", 2026]["Score runtime"] == "7.389 [7.389, 7.389]"
    row = rows["LRFDN", 2026]
    flops, params = (float(row[heading] or 0) for heading in ("Score FLOPs", "Score params"))
    total = 0.8 * math.e + 0.1 * flops + 0.1 * params
    assert str(row["Score"]).startswith(f"{total:.3f} [")


def test_both_gates_of_a_challenge_s_set_are_shown(tmp_path: Path) -> None:
    store(tmp_path / "a", name="DIV2K_LSDIR_valid", count=200, psnr=26.8964)
    comparison = load_comparison([tmp_path / "a"], YEARS[2026])
    rows = score_table(comparison, [YEARS[2026]]).rows
    assert [(row["Gate, strict"], row["as printed"]) for row in rows] == [("missed", "passed")] * 2
    labels = [str(row["Model"]) for row in main_table(comparison).rows]
    published = [label for label in labels if "published" in label]
    assert published == [f"{name}, published 2026" for name in ("SPANV2_ESR", "PDS", "PKDSR")]


def test_both_sets_of_a_year_are_reported_in_the_organisers_columns(tmp_path: Path) -> None:
    for part in ("valid", "test"):
        store(tmp_path / f"a/DIV2K_LSDIR_{part}", name=f"DIV2K_LSDIR_{part}", sha256=part)
    command = ["compare", str(tmp_path / "a"), "--protocol", "2026", "--out", str(tmp_path / "r")]
    assert main(command) == 0
    lines = (tmp_path / "r/sets.csv").read_text().splitlines()
    assert lines[0].startswith("Model,Val PSNR,Test PSNR,Val Time (ms),Test Time (ms),Ave Time")
    assert lines[3].startswith('"SPAN, published 2026",26.94,27.01,,,7.74,0.151,9.83')


def test_the_image_table_has_differences_to_the_baseline(tmp_path: Path) -> None:
    table = image_table(load_comparison([store(tmp_path / "a")]))
    for row in table.rows:
        lrfdn, rfdn, difference = (float(cell or 0) for cell in list(row.values())[1:])
        assert difference == pytest.approx(lrfdn - rfdn)
    assert min(table.rows, key=lambda row: float(row["LRFDN - RFDN (dB)"] or 0))["Image"] == "c"


def test_the_command_writes_tables_plots_and_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert main(["compare", str(store(tmp_path / "a")), "--out", str(out)]) == 0
    assert "| LRFDN, published 2023 |" in capsys.readouterr().out
    found = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    svgs = [f"plots/psnr_{name}.svg" for name in ("flops", "params", "per_image", "runtime")]
    tables = ["images.csv", "results.csv", "scores.csv", "timing.csv"]
    assert found == sorted(["index.html", "report.md", *svgs, *tables])
    rows = list(csv.DictReader((out / "results.csv").open()))
    assert float(rows[0]["Params (M)"]) == COUNTS["LRFDN"].params / 1e6
    assert rows[1]["PSNR (dB)"] == ""
    markdown = (out / "report.md").read_text()
    assert "## Fair timing" in markdown
    assert "## Scores by the rules of each year" in markdown


def test_a_report_is_replaced_only_on_request(tmp_path: Path) -> None:
    command = ["compare", str(store(tmp_path / "a")), "--out", str(tmp_path / "report")]
    assert main(command) == 0
    before = (tmp_path / "report/index.html").read_bytes()
    with pytest.raises(FileExistsError, match=r"images\.csv.* exist: .* --overwrite"):
        main(command)
    assert main([*command, "--overwrite"]) == 0
    assert (tmp_path / "report/index.html").read_bytes() == before, "same results, same page"


def test_plots_share_a_page_without_sharing_ids(tmp_path: Path) -> None:
    drawn = plots(load_comparison([store(tmp_path / "a")]))
    ids = [found for svg in drawn.values() for found in re.findall(r' id="([^"]+)"', svg)]
    assert len(set(ids)) == len(ids)
    for name, svg in drawn.items():
        assert "currentColor" in svg, name
        assert svg.startswith("<svg role="), name
        references = re.findall(r'(?:href="|url\()#([^")]+)', svg)
        assert set(references) <= set(ids), name


def test_ten_networks_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: dict[str, Figure] = {}

    def keep(figure: Figure, name: str, _description: str) -> str:
        figure.draw_without_rendering()
        figures[name] = figure
        return ""

    monkeypatch.setattr(drawing, "svg_of", keep)
    labels = tuple(f"{name}_{number}" for number in range(5) for name in ("LRFDN", "RFDN_wide"))
    comparison = load_comparison([store(tmp_path / "a", labels)])  # five on each of two spots
    plots(comparison)
    assert len({drawing.colour_of(comparison, entry) for entry in comparison.entries}) == 10
    for name in ("psnr_FLOPs", "psnr_parameters", "psnr_runtime"):
        (axes,) = figures[name].axes
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == 10
        for number, box in enumerate(boxes):
            assert not box.count_overlaps(boxes[:number]), f"{name}: {axes.texts[number]}"
            assert axes.bbox.fully_contains(*box.min) and axes.bbox.fully_contains(*box.max)
    bars = figures["psnr_per_image"]
    legend = bars.axes[0].get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    assert bars.bbox.contains(*box.min) and bars.bbox.contains(*box.max), "the legend is cut"


def test_pictures_come_in_the_order_of_how_much_the_networks_differ(tmp_path: Path) -> None:
    comparison = load_comparison([store(tmp_path / "a")])
    images = pictures(comparison, 24)["images"]
    assert [image["name"] for image in images] == ["c", "b", "a"]
    differences = [image["difference"] for image in images]
    assert differences == sorted(differences, reverse=True)
    shortened = pictures(comparison, 1)
    assert ([image["name"] for image in shortened["images"]], shortened["total"]) == (["c"], 3)


def test_of_large_images_a_part_is_shown_and_it_says_which(tmp_path: Path) -> None:
    folder = store(tmp_path / "a", size=LARGEST + 100)
    file = folder / "images/LRFDN/c.png"
    image = read_rgb(file).copy()
    image[-40:, -40:] = 255 - image[-40:, -40:]
    file.unlink()
    write_png(file, image)
    (first, *_) = pictures(load_comparison([folder]), 1)["images"]
    assert first["crop"]["side"] == LARGEST
    assert first["crop"]["top"] == 100
    assert first["size"] == [LARGEST + 108, LARGEST + 100]


def test_gone_images_are_named(tmp_path: Path) -> None:
    folder = store(tmp_path / "a")
    (folder / "images/RFDN/b.png").unlink()
    with pytest.raises(ValueError, match=r"1 images .* missing, e\.g\. .*RFDN/b\.png"):
        pictures(load_comparison([folder]), 24)


@pytest.mark.parametrize(
    ("labels", "has_ground_truth", "has_images"),
    [
        (("LRFDN",), True, True),
        (("LRFDN",), False, False),
        (("LRFDN", "RFDN"), False, True),
        (("LRFDN", "RFDN"), True, False),
    ],
)
def test_there_is_a_page_whatever_is_known(
    tmp_path: Path, labels: tuple[str, ...], has_ground_truth: bool, has_images: bool
) -> None:
    folder = store(tmp_path / "a", labels, has_ground_truth=has_ground_truth, has_images=has_images)
    assert main(["compare", str(folder), "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report/index.html").read_text()
    assert ('id="viewer"' in page) == has_images
    assert ("psnr_flops" in page) == has_ground_truth


def test_the_page_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    main(["compare", str(store(tmp_path / "a")), "--out", str(tmp_path / "report")])
    page = (tmp_path / "report/index.html").read_text()
    assert "default-src 'none'" in page
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", page))
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # XML names, not fetched
    assert addresses <= names, addresses - names
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script>"
    main(["compare", str(store(tmp_path / "a", name=name)), "--out", str(tmp_path / "report")])
    page = (tmp_path / "report/index.html").read_text()
    assert "<script>alert" not in page
    data = re.search(r'id="pictures">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["total"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["networks"][0].update(label="../elsewhere"), "is not a valid label"),
        (lambda r: r["networks"][0].update(label="HR"), "is not a valid label"),
        (lambda r: r["networks"][0].update(label=r["networks"][1]["label"]), "different labels"),
        (lambda r: r.update(networks=[]), "different labels"),
        (
            lambda r: r["networks"][0]["images"][0].update(name="/etc/x"),
            "is outside the images folder",
        ),
        (lambda r: r["bicubic"][0].update(name="a/../../x"), "is outside the images folder"),
        (lambda r: r["networks"][0]["counts"].update(params=0), "counts.params"),
        (lambda r: r["networks"][0]["counts"].update(flops_2023=0), "counts.flops_2023"),
        (lambda r: r["networks"][0]["fair_timings"][0].update(median_ms=0), "median_ms"),
    ],
)
def test_names_that_lead_elsewhere_and_zeros_are_refused_in_results_of_others(
    tmp_path: Path, change: Callable[[Any], object], message: str
) -> None:
    file = store(tmp_path / "a") / "results.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        load_comparison([tmp_path / "a"])


def test_cells_are_neither_html_nor_formulas() -> None:
    table = Table("a <b>", [{"x": "=1+1"}, {"x": "<script>"}, {"x": "a|b"}, {"x": -1.5}])
    assert list(csv.reader(table.csv().splitlines()))[1:] == [
        ["'=1+1"],
        ["<script>"],
        ["a|b"],
        ["-1.5"],
    ]
    markdown = table.markdown()
    assert "<script>" not in markdown
    assert "<b>" not in markdown
    assert r"a\|b" in markdown
