"""The audit of a ranking as text, JSON and a plot, for ``lrfdn audit``."""

import json
from dataclasses import asdict

import matplotlib
from matplotlib.figure import Figure

from lrfdn_arch.evaluation.audit import Audit
from lrfdn_arch.report.plots import COLOURS, STYLE, error_bar, standalone, svg_of
from lrfdn_arch.report.tables import Row, Table, verdict, with_interval

_SHOWN = 100  # times the lowest value, in the plot


def audit_text(audit: Audit) -> str:
    """Return the ranking, the sets and the warnings as Markdown."""
    roles = audit.standings[0].sets
    tables = [_ranking(audit), *(_set_table(audit, role) for role in roles)]
    return "\n".join(table.markdown() for table in tables)


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
            labels = [f"{s.place or ''}  {s.label.strip()}".lstrip() for s, _ in values]
            axes.set_yticks(range(len(values)), labels)
            bottom = len(values) - 0.5
            axes.set(xscale="log", xlabel=title, xlim=(None, limit), ylim=(bottom, -0.5))
            axes.grid(True, axis="x")
        return standalone(svg_of(figure, "audit", f"Ranking of {audit.year} with 95 % intervals"))


def _ranking(audit: Audit) -> Table:
    rows: list[Row] = [
        {
            "Place": str(
                standing.place
                or ("baseline" if standing.label == audit.baseline else "below the gate")
            ),
            "95 %": "{}-{}".format(*standing.places) if standing.places else None,
            "Model": standing.label.strip(),
            "Score": with_interval(standing.score, 2),
            "Runtime (ms)": with_interval(standing.runtime_ms, 2),
            "Ahead of next": None if standing.ahead is None else f"{100 * standing.ahead:.1f} %",
            "Tied with": ", ".join(label.strip() for label in standing.tied_with) or None,
        }
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
    return Table(f"Ranking of {audit.year}", rows, notes)


def _set_table(audit: Audit, role: str) -> Table:
    rows: list[Row] = [
        {
            "Model": standing.label.strip(),
            "PSNR (dB)": with_interval(found.psnr, 2),
            "minus gate": with_interval(found.margin, 4),
            "minus baseline": with_interval(found.minus_baseline, 4),
            "Gate, strict": verdict(found.strict),
            "as printed": verdict(found.printed),
            "Mean (ms)": with_interval(found.mean_ms, 2),
            "Median (ms)": with_interval(found.median_ms, 2),
            "Without the first image (ms)": with_interval(found.without_first_ms, 2),
        }
        for standing in audit.standings
        for found in [standing.sets[role]]
    ]
    return Table(f"On the {role} set", rows)
