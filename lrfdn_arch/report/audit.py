"""The audit of a ranking as text, JSON and a plot, for ``lrfdn audit``."""

import json
from dataclasses import asdict

import matplotlib
from matplotlib.figure import Figure

from lrfdn_arch.evaluation.audit import Audit, SetAudit, Standing
from lrfdn_arch.report.plots import COLOURS, STYLE, error_bar, standalone, svg_of
from lrfdn_arch.report.tables import Cell, Column, Table, verdict, with_interval

_SHOWN = 100  # times the lowest value, in the plot


def audit_text(audit: Audit) -> str:
    """Return the ranking, the sets and the warnings as Markdown."""
    return "\n".join(table.markdown() for table in (_ranking(audit), *_set_tables(audit)))


def audit_json(audit: Audit) -> str:
    """Return the audit as JSON."""
    content = asdict(audit)
    content["orders"] = [{"places": p, "kept": share} for p, share in audit.orders.items()]
    return json.dumps(content, indent=1) + "\n"


def audit_plot(audit: Audit) -> str:
    """Return SVG of scores (where there are any) and runtimes, with their intervals."""
    panels = [("Runtime (ms), mean of the sets", [(s, s.runtime_ms) for s in audit.standings])]
    scored = [(s, s.score) for s in audit.standings if s.score]
    if scored:
        panels.insert(0, (f"Score of {audit.year}, against {audit.baseline}", scored))
    with matplotlib.rc_context(STYLE):
        figure = Figure((5 * len(panels), 1 + 0.28 * len(audit.standings)), layout="constrained")
        for number, (title, values) in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), number + 1)
            limit = _SHOWN * min(estimate.value for _, estimate in values)
            for row, (standing, estimate) in enumerate(values):
                if estimate.value > limit:  # a score grows exponentially with its parts
                    text = f"{with_interval(estimate, 0)} \N{RIGHTWARDS ARROW}"
                    axes.text(limit, row, text, ha="right", va="center", size=7)
                    continue
                error = error_bar(estimate)
                colour = COLOURS[0 if standing.place else 1]
                axes.errorbar(estimate.value, row, None, error, "o", c=colour, ms=4, capsize=4)
            axes.set_yticks(range(len(values)), [_place_and_label(s) for s, _ in values])
            bottom = len(values) - 0.5
            axes.set(xscale="log", xlabel=title, xlim=(None, limit), ylim=(bottom, -0.5))
            axes.grid(True, axis="x")
        return standalone(svg_of(figure, "audit", f"Ranking of {audit.year} with 95 % intervals"))


def _ranking(audit: Audit) -> Table:
    columns = (
        Column("Place"),
        Column("95 %"),
        Column("Model"),
        Column("Score"),
        Column("Runtime (ms)"),
        Column("Ahead of next"),
        Column("Tied with"),
    )
    rows: list[list[Cell]] = [
        [
            _place(standing, audit),
            "{}-{}".format(*standing.places) if standing.places else None,
            standing.label.strip(),
            standing.score and with_interval(standing.score, 2),
            with_interval(standing.runtime_ms, 2),
            None if standing.ahead is None else f"{100 * standing.ahead:.1f} %",
            ", ".join(label.strip() for label in standing.tied_with) or None,
        ]
        for standing in audit.standings
    ]
    notes = [
        f"Places {first} to {last} keep their order in {100 * share:.1f} % of the draws."
        for (first, last), share in audit.orders.items()
        if first <= 2
    ]
    notes += [
        "In brackets: 95 % interval of a bootstrap over images, in which all entries get the same "
        "images. Entries are tied if their order holds in less than 97.5 % of the draws.",
        "Entries have a place if their PSNR, as printed with two decimals, passes every gate.",
    ]
    notes += [f"{s.label.strip()}: {warning}." for s in audit.standings for warning in s.warnings]
    return Table(f"Ranking of {audit.year}", columns, rows, notes)


def _set_tables(audit: Audit) -> list[Table]:
    columns = (
        Column("Model"),
        Column("PSNR (dB)"),
        Column("minus gate"),
        Column("minus baseline"),
        Column("Gate, strict"),
        Column("as printed"),
        Column("Mean (ms)"),
        Column("Median (ms)"),
        Column("Without the first image (ms)"),
    )
    return [
        Table(
            f"On the {role} set",
            columns,
            [_set_row(standing.label, standing.sets[role]) for standing in audit.standings],
        )
        for role in audit.standings[0].sets
    ]


def _set_row(label: str, found: SetAudit) -> list[Cell]:
    return [
        label.strip(),
        found.psnr and with_interval(found.psnr, 2),
        found.margin and with_interval(found.margin, 4),
        found.minus_baseline and with_interval(found.minus_baseline, 4),
        verdict(found.strict),
        verdict(found.printed),
        with_interval(found.mean_ms, 2),
        with_interval(found.median_ms, 2),
        with_interval(found.without_first_ms, 2),
    ]


def _place(standing: Standing, audit: Audit) -> str:
    if standing.place:
        return str(standing.place)
    return "baseline" if standing.label == audit.baseline else "below the gate"


def _place_and_label(standing: Standing) -> str:
    place = f"{standing.place}  " if standing.place else ""
    return f"{place}{standing.label.strip()}"
