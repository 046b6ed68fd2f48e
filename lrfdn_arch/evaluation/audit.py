"""What in a ranking is signal and what is noise: intervals, ties, gates, suspicious figures.

Intervals are 95 % percentile intervals of a bootstrap over images, wider for few images, as those
of Student's t are (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015). It is
paired: in each draw all entries get the same images, so what is common to them, such as the size of
an image, cancels in differences, ranks and scores, whose baseline is drawn along.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import ndtr, stdtrit

from lrfdn_arch.evaluation.entries import Entry, SetScores, Values, find_baseline
from lrfdn_arch.evaluation.protocols import PIXELS, Year, passes

DRAWS = 10_000
_MEDIANS = 2_000  # draws for medians, which take a sort each
_LEVELS = (0.025, 0.975)
_COLD = 3  # a first image that takes as many medians was run cold
_LEAST_FLOPS = 0.25  # per parameter and pixel, less takes an operator that is hidden


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; None where there is a single image or none is known."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SetAudit:
    """One entry on one image set: mean PSNR in dB, None without ground truth, and runtimes.

    Attributes:
        minus_baseline: PSNR minus the baseline's on the same images.
        margin: PSNR minus the gate; None where the year has none.
        strict: whether the mean passes the gate, None without one.
        printed: whether its two printed decimals do, which is what the organisers ranked by.
        without_first_ms: mean runtime without the first image.
    """

    psnr: Estimate | None
    minus_baseline: Estimate | None
    margin: Estimate | None
    strict: bool | None
    printed: bool | None
    mean_ms: Estimate
    median_ms: Estimate
    without_first_ms: Estimate


@dataclass(frozen=True)
class Standing:
    """One entry in the ranking.

    Attributes:
        runtime_ms: mean of the sets' mean runtimes.
        score: the year's score, lower is better; None without a baseline or weights.
        place: place among the entries that pass the gates as printed; None for the baseline and
            for entries that do not pass.
        places: 95 % interval of the place.
        ahead: share of the draws in which it is ahead of the next place; None for the last.
        tied_with: entries whose order to this one is the same in less than 97.5 % of the draws.
        sets: by role of the image set.
        warnings: what looks wrong, in words.
    """

    label: str
    runtime_ms: Estimate
    score: Estimate | None
    place: int | None
    places: tuple[int, int] | None
    ahead: float | None
    tied_with: tuple[str, ...]
    sets: dict[str, SetAudit]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """The ranking of one challenge, best first; entries without a place follow.

    ``baseline`` is None if the file does not contain it; ``orders`` is the share of the draws in
    which consecutive places, (first, last), keep their order.
    """

    year: int
    baseline: str | None
    standings: tuple[Standing, ...]
    orders: dict[tuple[int, int], float]


def audit(
    entries: Sequence[Entry],
    year: Year,
    baseline: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Audit:
    """Rank ``entries`` by the rules of ``year`` with intervals, and look for what is wrong.

    The entries were evaluated on the same images. ``baseline`` is a label; without it the year's
    baseline is found by name. ``draws`` and ``seed`` are those of the bootstrap.
    """
    base = find_baseline(entries, year, baseline)
    generator, roles = np.random.default_rng(seed), list(entries[0].sets)
    # Row 0 of every array is computed from all images once, the other rows from one draw each.
    counts = {role: len(entries[0].sets[role].runtime_ms) for role in roles}
    weights = {role: _draw(count, draws, generator) for role, count in counts.items()}
    times = {role: np.stack([e.sets[role].runtime_ms for e in entries], axis=1) for role in roles}
    runtime = np.mean([weights[role] @ times[role] for role in roles], axis=0)
    scores = None
    if base and year.weights:
        flops = np.array([entry.flops / base.flops for entry in entries])
        params = np.array([entry.params / base.params for entry in entries])
        scores = year.score(runtime / runtime[:, [entries.index(base)]], flops, params)
    judged = runtime if scores is None else scores
    sets: list[dict[str, SetAudit]] = [{} for _ in entries]
    for role in roles:
        for entry, found in zip(entries, sets, strict=True):
            against = base.sets[role] if base and base is not entry else None
            gate = year.gates.get(role)
            found[role] = _set_audit(entry.sets[role], against, gate, weights[role])
    ranked = [
        n
        for n in np.argsort(judged[0], kind="stable").tolist()
        if entries[n] is not base and all(s.printed is not False for s in sets[n].values())
    ]
    places = 1 + np.argsort(np.argsort(judged[1:, ranked], axis=1, kind="stable"), axis=1)
    standings, count = [], min(counts.values())
    for n in sorted(range(len(entries)), key=lambda n: (n not in ranked, judged[0, n])):
        place = ranked.index(n) + 1 if n in ranked else None
        low, high = np.quantile(places[:, place - 1], _LEVELS).round() if place else (0, 0)
        standings.append(
            Standing(
                label=entries[n].label,
                runtime_ms=estimate(runtime[:, n], count),
                score=None if scores is None else estimate(scores[:, n], count),
                place=place,
                places=(int(low), int(high)) if place else None,
                ahead=_order(judged, ranked[place - 1 : place + 1]) if place else None,
                tied_with=tuple(
                    entries[m].label for m in ranked if n in ranked and _tied(judged, n, m)
                ),
                sets=sets[n],
                warnings=tuple(_warnings(entries[n], sets[n])),
            )
        )
    windows = [(first, first + 2) for first in range(1, len(ranked) - 1)]
    return Audit(
        year=year.year,
        baseline=base and base.label,
        standings=tuple(standings),
        orders={(a, b): _order(judged, ranked[a - 1 : b]) or 0 for a, b in windows},
    )


def _draw(count: int, draws: int, generator: np.random.Generator) -> Values:
    """Return the weights of images, (1 + draws, count): equal ones, then those of each draw."""
    equal = np.full(count, 1 / count)
    return np.vstack([equal, generator.multinomial(count, equal, draws) / count])


def _set_audit(
    scores: SetScores, base: SetScores | None, gate: float | None, weights: Values
) -> SetAudit:
    count, psnr, minus, margin = weights.shape[1], None, None, None
    if scores.psnr is not None:
        psnr = estimate(weights @ scores.psnr, count)
        if base is not None and base.psnr is not None:
            minus = estimate(weights @ (scores.psnr - base.psnr), count)
        if gate is not None:
            low, high = (None if end is None else end - gate for end in (psnr.low, psnr.high))
            margin = Estimate(psnr.value - gate, low, high)
    return SetAudit(
        psnr=psnr,
        minus_baseline=minus,
        margin=margin,
        strict=passes(psnr and psnr.value, gate, printed=False),
        printed=passes(psnr and psnr.value, gate, printed=True),
        mean_ms=estimate(weights @ scores.runtime_ms, count),
        median_ms=estimate(_medians(scores.runtime_ms, weights[: 1 + _MEDIANS]), count),
        without_first_ms=estimate(_without_first(scores.runtime_ms, weights), count),
    )


def _medians(values: Values, weights: Values) -> Values:
    """Return the median of ``values`` for each row of ``weights``, which sum to 1."""
    order = np.argsort(values)
    below = np.cumsum(weights[:, order], axis=1)
    half = 0.5 - 1e-9  # the sums are multiples of 1/n up to rounding
    lower = np.argmax(below >= half, axis=1)
    upper = np.argmax(below > 0.5 + 1e-9, axis=1)
    return (values[order][lower] + values[order][upper]) / 2


def _without_first(values: Values, weights: Values) -> Values:
    """Return the weighted means of all but the first value; of all, where it alone was drawn."""
    rest = np.where(
        weights[:, :1] > 1 - 1e-9, weights, np.hstack([0 * weights[:, :1], weights[:, 1:]])
    )
    return rest @ values / rest.sum(axis=1)


def estimate(values: Values, count: int) -> Estimate:
    """Return the first of ``values`` with the interval of the others, draws of ``count`` items."""
    if count < 2:
        return Estimate(float(values[0]), None, None)
    level = ndtr(sqrt(count / (count - 1)) * stdtrit(count - 1, _LEVELS[0]))
    low, high = np.quantile(values[1:], [level, 1 - level])
    return Estimate(float(values[0]), float(low), float(high))


def _order(judged: Values, numbers: Sequence[int]) -> float | None:
    """Return the share of the draws in which entries keep their order; None for a single one."""
    if len(numbers) < 2:
        return None
    return float((np.diff(judged[1:, numbers], axis=1) > 0).all(axis=1).mean())


def _tied(judged: Values, a: int, b: int) -> bool:
    share = float((judged[1:, a] < judged[1:, b]).mean())
    return a != b and 1 - _LEVELS[1] < share < _LEVELS[1]


def _warnings(entry: Entry, sets: dict[str, SetAudit]) -> list[str]:
    warnings = []
    for role, scores in entry.sets.items():
        first, median = float(scores.runtime_ms[0]), sets[role].median_ms.value
        if first > _COLD * median:
            share = first / float(scores.runtime_ms.sum())
            warnings.append(
                f"cold first image ({role}): {first:.1f} ms, median {median:.1f} ms; "
                f"{100 * share:.1f} % of the mean"
            )
    # A convolution at full size uses each weight once per pixel, so that FLOPs are parameters times
    # pixels; of the 17 networks in the organisers' files 14 have 0.92 to 1.15 of that. State-space
    # networks, whose scans fvcore does not count, have 0.44.
    whole = entry.params * PIXELS
    if entry.flops < _LEAST_FLOPS * whole:
        warnings.append(
            f"impossible FLOPs: {entry.flops / 1e9:.2f} G, while {entry.params / 1e6:.3f} M "
            f"parameters used at each of 256x256 pixels take {whole / 1e9:.2f} G; an operator is "
            "hidden from the counter"
        )
    for role, scores in sets.items():
        if scores.printed and not scores.strict and scores.psnr:
            warnings.append(
                f"passes the gate only by rounding ({role}): {scores.psnr.value:.4f} dB"
            )
    return warnings
