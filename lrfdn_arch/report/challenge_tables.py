"""Tables by the rules of the challenges: both image sets of a year, scores and gates."""

from collections.abc import Sequence

from lrfdn_arch.evaluation.entries import Entry, kit_row
from lrfdn_arch.evaluation.protocols import YEARS, Year, passes
from lrfdn_arch.evaluation.scores import score
from lrfdn_arch.report.comparison import Comparison
from lrfdn_arch.report.tables import (
    FLOP_COUNTERS,
    Row,
    Table,
    published_row,
    verdict,
    with_interval,
)


def year_table(entries: Sequence[Entry], year: Year) -> Table:
    """Return both sets of a year in the organisers' columns, with the published rows."""
    flops = f"FLOPs, {FLOP_COUNTERS[year.counter]} (G)"
    rows: list[Row] = []
    for entry in entries:
        row = {name.replace("[", "(").replace("]", ")"): v for name, v in kit_row(entry).items()}
        rows.append({flops if name == "FLOPs (G)" else name: v for name, v in row.items()})
    for row in year.published:
        psnr: Row = {"Val PSNR": row.psnr_valid, "Test PSNR": row.psnr_test}
        rows.append(published_row(row, year) | psnr | {"Ave Time (ms)": row.time_ms})
    notes = [f"Published rows: {year.source}. Runtimes of different machines cannot be compared."]
    return Table(f"Both image sets, as {year.name} reports them", rows, notes)


def score_table(comparison: Comparison, years: Sequence[Year] = tuple(YEARS.values())) -> Table:
    """Return the scores of the networks by the rules of ``years``, those that have a score."""
    rows: list[Row] = []
    scored = [year for year in years if year.weights]
    for entry in comparison.entries:
        for year in scored:
            base = comparison.find_baseline(year)
            same_run = base is not None and entry.environment == base.environment
            found = score(entry.network, base and base.network, year, same_run=same_run)
            source = f"measured on {base.environment.device}" if base else year.source
            psnr, name = entry.mean("psnr_rgb"), comparison.dataset.name
            gate = year.gates.get(year.role_of(name)) if name in year.sets.values() else None
            rows.append(
                {
                    "Model": entry.label,
                    "Year": year.year,
                    "Baseline": base.network.label if base else year.baseline,
                    "Score runtime": with_interval(found.runtime, 3),
                    "Score FLOPs": found.flops,
                    "Score params": found.params,
                    "Score": with_interval(found.total, 3),
                    "Gate, strict": verdict(passes(psnr, gate, printed=False)),
                    "as printed": verdict(passes(psnr, gate, printed=True)),
                    "Source of the baseline": source,
                }
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
    return Table("Scores by the rules of each year", rows, notes)


def _weights(year: Year) -> str:
    parts = ", ".join(f"{weight:g} {part}" for part, weight in year.weights.items())
    return f"Weights of {year.year}: {parts}."


def _gates(year: Year) -> str:
    gates = (f"{gate:.2f} dB on {year.sets[role]}" for role, gate in year.gates.items())
    return f"{year.year}: {', '.join(gates)}"
