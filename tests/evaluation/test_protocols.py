"""The protocols of the years: both image sets in one command, counters, gates, published rows."""

import zipfile
from pathlib import Path

import pytest
from evaluation.challenge_fixtures import write_set, write_weights

from lrfdn_arch.cli import main
from lrfdn_arch.evaluation.entries import read_entries
from lrfdn_arch.evaluation.protocols import YEARS, year_of
from lrfdn_arch.evaluation.results import read_results


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of 2024 to 2026, with two small images in each."""
    folder = tmp_path_factory.mktemp("data")
    for part, names in (("valid", ("000001", "0801")), ("test", ("000001", "0901"))):
        write_set(folder, dict.fromkeys(names, (40, 32)))
        for kind in ("LR", "HR"):
            (folder / f"Tiny_{kind}").rename(folder / f"DIV2K_LSDIR_{part}_{kind}")
    return folder


def test_one_command_evaluates_both_sets_of_a_year(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = f"LRFDN={write_weights(tmp_path)['LRFDN']}", tmp_path / "out"
    command = ["challenge", "--protocol", "2026", "--data", str(data), "--model", model]
    command += ["--out", str(out), "--no-fair-timing", "--no-ssim", "--device", "cpu"]
    assert main(command) == 0
    table = (out / "results.txt").read_text().splitlines()
    headings = [heading.strip() for heading in table[0].split("\t")]
    assert headings[:6] == [
        "Model",
        "Val PSNR",
        "Test PSNR",
        "Val Time [ms]",
        "Test Time [ms]",
        "Ave Time [ms]",
    ]
    shown = capsys.readouterr().out
    assert "Ranking of 2026" in shown
    assert "On the test set" in shown
    valid, test = (read_results(out / f"DIV2K_LSDIR_{part}") for part in ("valid", "test"))
    assert valid.protocol.name == "NTIRE 2026 Efficient SR"
    assert [image.name for image in test.networks[0].images] == ["000001", "0901"]
    year, (entry,) = read_entries(out)
    assert year is YEARS[2026]
    assert entry.flops == valid.networks[0].counts.flops_fvcore
    times = [network.kit_timing.mean_ms for network in (*valid.networks, *test.networks)]
    assert entry.runtime_ms == pytest.approx(sum(times) / 2)
    with pytest.raises(FileExistsError, match="contains a finished evaluation"):
        main(command)
    assert main([*command, "--overwrite"]) == 0


def test_a_submission_of_a_year_has_a_zip_for_each_set(data: Path, tmp_path: Path) -> None:
    model = f"LRFDN={write_weights(tmp_path)['LRFDN']}"
    command = ["submit", "--protocol", "2025", "--data", str(data), "--model", model]
    assert main([*command, "--out", str(tmp_path / "entry.zip"), "--device", "cpu"]) == 0
    with zipfile.ZipFile(tmp_path / "entry_DIV2K_LSDIR_test.zip") as archive:
        assert archive.namelist() == ["000001.png", "0901.png", "readme.txt"]
    assert (tmp_path / "entry_DIV2K_LSDIR_valid.zip").is_file()


def test_the_years_differ_as_their_kits_do() -> None:
    assert [year.counter for year in YEARS.values()] == ["flops_2023", *["flops_fvcore"] * 3]
    assert [year.baseline for year in YEARS.values()] == ["RFDN", "RLFN", "EFDN", "SPAN"]
    assert all(sum(year.weights.values()) in (0, pytest.approx(1)) for year in YEARS.values())
    assert year_of("NTIRE 2025 Efficient SR") is YEARS[2025]
    assert YEARS[2024].role_of("DIV2K_LSDIR_test") == "test"
