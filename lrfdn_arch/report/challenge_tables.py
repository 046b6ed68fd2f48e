"""Tables by the rules of the challenges: both image sets of a year, scores and gates."""

from collections.abc import Sequence

from lrfdn_arch.evaluation.entries import Entry
from lrfdn_arch.evaluation.protocols import YEARS, Year, passes
from lrfdn_arch.evaluation.scores import measured_baseline, published_baseline, score_against
from lrfdn_arch.report.comparison import Comparison
from lrfdn_arch.report.tables import (
    FLOP_COUNTERS,
    Cell,
    Column,
    Table,
    published_label,
    verdict,
    with_interval,
)


def year_table(entries: Sequence[Entry], year: Year) -> Table:
    """Return both sets of a year in the organisers' columns, with the published rows."""
    rows: list[list[Cell]] = [
        [
            entry.label,
            *(None if s.psnr is None else float(s.psnr.mean()) for s in entry.sets.values()),
            *(float(scores.runtime_ms.mean()) for scores in entry.sets.values()),
            entry.runtime_ms,
            entry.params / 1e6,
            entry.flops / 1e9,
            entry.activations / 1e6,
            next(iter(entry.sets.values())).memory_mib,
            entry.convolutions,
        ]
        for entry in entries
    ]
    for row in year.published:
        costs = [row.params_m, row.flops_g, row.acts_m, row.memory_m, row.convolutions]
        psnr = [row.psnr_valid, row.psnr_test]
        rows.append([published_label(row, year), *psnr, None, None, row.time_ms, *costs])
    headings = (
        ("Val PSNR", 2),
        ("Test PSNR", 2),
        ("Val Time (ms)", 2),
        ("Test Time (ms)", 2),
        ("Ave Time (ms)", 2),
        ("Params (M)", 3),
        (f"FLOPs, {FLOP_COUNTERS[year.counter]} (G)", 2),
        ("Acts (M)", 2),
        ("Mem (M)", 2),
        ("Conv", 0),
    )
    columns = (Column("Model"), *(Column(heading, digits) for heading, digits in headings))
    notes = [f"Published rows: {year.source}. Runtimes of different machines cannot be compared."]
    return Table(f"Both image sets, as {year.name} reports them", columns, rows, notes)


def score_table(comparison: Comparison, years: Sequence[Year] = tuple(YEARS.values())) -> Table:
    """Return the scores of the networks by the rules of ``years``, those that have a score."""
    rows: list[list[Cell]] = []
    scored = [year for year in years if year.weights]
    for entry in comparison.entries:
        for year in scored:
            base = comparison.find_baseline(year)
            baseline = published_baseline(year)
            if base is not None:
                device, same_run = base.environment.device, entry.environment == base.environment
                baseline = measured_baseline(base.network, device, same_run=same_run)
            score = score_against(entry.network, baseline, year.weights)
            gate = year.gates.get(year.role_of(comparison.dataset.name))
            psnr = entry.mean("psnr_rgb")
            is_gated = comparison.dataset.name in year.sets.values()
            gates: list[Cell] = [None, None]
            if is_gated and gate is not None and psnr is not None:
                gates = [verdict(passes(psnr, gate, printed=printed)) for printed in (False, True)]
            rows.append(
                [
                    entry.label,
                    year.year,
                    baseline.label,
                    score.runtime and with_interval(score.runtime, 3),
                    score.flops,
                    score.params,
                    score.total and with_interval(score.total, 3),
                    *gates,
                    baseline.source,
                ]
            )
    columns = (
        Column("Model"),
        Column("Year", 0),
        Column("Baseline"),
        Column("Score runtime"),
        Column("Score FLOPs", 3),
        Column("Score params", 3),
        Column("Score"),
        Column("Gate, strict"),
        Column("as printed"),
        Column("Source of the baseline"),
    )
    notes = [
        "Score_X = exp(2 X / X of the baseline); lower is better and the baseline scores 7.389. "
        + " ".join(_weights(year) for year in scored),
        "Runtimes and scores are those of this machine, from the medians of the fair timing, and "
        "only where the year's baseline was timed in the same run with the same precision and "
        "input; otherwise a dash is shown, as for published baselines. In brackets: 95 % interval "
        "of a bootstrap over rounds, in each of which every network ran once.",
        "PSNR gates: " + "; ".join(_gates(year) for year in scored) + ". Other sets have none.",
    ]
    return Table("Scores by the rules of each year", columns, rows, notes)


def _weights(year: Year) -> str:
    parts = ", ".join(f"{weight:g} {part}" for part, weight in year.weights.items())
    return f"Weights of {year.year}: {parts}."


def _gates(year: Year) -> str:
    gates = (f"{gate:.2f} dB on {year.sets[role]}" for role, gate in year.gates.items())
    return f"{year.year}: {', '.join(gates)}"
