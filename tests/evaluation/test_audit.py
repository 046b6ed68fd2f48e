"""The audit of rankings: the organisers' file of 2026, our own results, simulated ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from report.stored_results import store

from lrfdn_arch.cli import main
from lrfdn_arch.entry import run
from lrfdn_arch.evaluation.audit import Audit, audit
from lrfdn_arch.evaluation.entries import Entry, SetScores, kit_text, read_entries
from lrfdn_arch.evaluation.protocols import TEST, VALID, YEARS

FIXTURES = Path(__file__).parent.parent / "fixtures"
FILE = FIXTURES / "ntire2026_results.json"  # the organisers' numbers, rounded


@pytest.fixture(scope="module")
def ranking() -> Audit:
    year, entries = read_entries(FILE)
    return audit(entries, year)


def test_the_organisers_table_is_reproduced_to_its_digits() -> None:
    year, entries = read_entries(FILE)
    assert year is YEARS[2026]
    assert kit_text(entries) == (FIXTURES / "ntire2026_results.txt").read_text()


def test_entries_are_ranked_by_score_if_their_printed_psnr_passes(ranking: Audit) -> None:
    placed = [s.label.strip() for s in ranking.standings if s.place]
    assert placed[:5] == [
        "22_SPANV2_ESR_C2",
        "01_PDS",
        "16_PKDSR_FINAL_CKPT",
        "18_DISP",
        "15_DSCF_Fused",
    ]
    rest = [s.label for s in ranking.standings if s.place is None]
    assert rest == ["00_SPAN", "009_RFDN_SPAN", "21_SAFMN"]  # the baseline, and two below the gate


def test_places_2_to_4_keep_their_order_in_more_than_99_percent_of_the_draws(
    ranking: Audit,
) -> None:
    assert ranking.orders[2, 4] > 0.99
    assert [s.places for s in ranking.standings[1:4]] == [(2, 2), (3, 3), (4, 4)]


def test_only_networks_that_images_cannot_tell_apart_are_tied(ranking: Audit) -> None:
    tied = {s.label.strip(): [t.strip() for t in s.tied_with] for s in ranking.standings}
    assert {label: others for label, others in tied.items() if others} == {
        "05_SPANMamba_single_1_4T05": ["11_VSCINet"],
        "11_VSCINet": ["05_SPANMamba_single_1_4T05"],
    }


def test_suspicious_figures_are_flagged(ranking: Audit) -> None:
    warnings = {s.label.strip(): s.warnings for s in ranking.standings}
    winner = warnings["22_SPANV2_ESR_C2"]
    assert winner[0] == ("cold first image (valid): 120.3 ms, median 4.9 ms; 10.6 % of the mean")
    assert "1.59 G" in winner[1]
    assert "9.12 G" in winner[1]
    flops = [label for label, found in warnings.items() if any("FLOPs" in w for w in found)]
    assert flops == ["22_SPANV2_ESR_C2"]
    rounded = {label for label, found in warnings.items() if any("rounding" in w for w in found)}
    assert rounded == {"01_PDS", "04_ZenoSR", "11_VSCINet", "17_AMCANet", "15_DSCF_Fused"}


def test_both_gates_are_shown(ranking: Audit) -> None:
    pds = next(s for s in ranking.standings if s.label == "01_PDS")
    assert (pds.sets[VALID].strict, pds.sets[VALID].printed) == (False, True)
    assert (pds.sets[TEST].strict, pds.sets[TEST].printed) == (True, True)
    margin = pds.sets[VALID].margin
    assert margin is not None
    assert margin.low < margin.value < margin.high


@pytest.mark.slow
def test_text_json_and_plot_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["audit", str(FILE), "--out", str(tmp_path), "--draws", "200"]
    assert main(command) == 0
    assert "| 2       " in capsys.readouterr().out
    content = json.loads((tmp_path / "audit.json").read_text())
    assert content["standings"][0]["score"]["value"] == pytest.approx(3.8733, abs=1e-4)
    assert "Ranking of 2026 with 95 % intervals" in (tmp_path / "audit.svg").read_text()
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["baseline"] == "00_SPAN"


def test_our_own_results_are_audited(tmp_path: Path) -> None:
    folder = store(tmp_path / "results")
    year, entries = read_entries(folder / "results.json")
    found = audit(entries, YEARS[2025], baseline="RFDN", draws=200)
    assert year is YEARS[2023]
    assert found.baseline == "RFDN"
    assert [s.label for s in found.standings] == ["LRFDN", "RFDN"]
    assert found.standings[0].sets[VALID].minus_baseline is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "expected an object, found a list"),
        ('{"00_SPAN": {"valid_psnr": [1]}}', "KeyError: 'valid_runtime'"),
        ("{", "not a JSON file"),
    ],
)
def test_other_files_are_refused_in_one_line(
    tmp_path: Path, content: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text(content)
    assert run(main, ["audit", str(tmp_path / "results.json")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def simulated(generator: np.random.Generator, images: int) -> list[Entry]:
    """Two entries whose PSNR and runtime depend on the image and, independently, on the entry."""
    difficulty = generator.normal(27, 4, images)
    size = generator.gamma(20, 1 / 20, images)
    return [
        Entry(
            label=label,
            params=params,
            flops=params * 65536,
            activations=1e6,
            convolutions=20,
            sets={
                VALID: SetScores(
                    psnr=difficulty + generator.normal(gain, 0.2, images),
                    runtime_ms=milliseconds * size * generator.gamma(50, 1 / 50, images),
                )
            },
        )
        for label, params, gain, milliseconds in (("00_SPAN", 1.5e5, 0, 8), ("A", 1.4e5, 0.1, 6.5))
    ]


@pytest.mark.slow
def test_intervals_cover_the_truth_in_95_percent_of_simulated_challenges() -> None:
    generator, runs = np.random.default_rng(1), 1000
    truth = {
        "psnr": 27.1,
        "difference": 0.1,
        "runtime": 6.5,
        "score": 0.8 * np.exp(2 * 6.5 / 8) + 0.2 * np.exp(2 * 1.4 / 1.5),
    }
    covered = dict.fromkeys(truth, 0)
    for seed in range(runs):
        found = audit(simulated(generator, 200), YEARS[2026], draws=400, seed=seed)
        entry = next(s for s in found.standings if s.label == "A")
        on_set = entry.sets[VALID]
        estimates = (on_set.psnr, on_set.minus_baseline, entry.runtime_ms, entry.score)
        for (name, value), estimate in zip(truth.items(), estimates, strict=True):
            assert estimate is not None
            covered[name] += estimate.low <= value <= estimate.high
    shares = {name: count / runs for name, count in covered.items()}
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares
