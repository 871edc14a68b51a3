"""Drift: are options, and the probabilities with which they are recommended, still spread as they were at first?

Measured by the population stability index (PSI), Σ (now − then) · ln(now / then) over bins of shares, the bins cut at
quantiles of the first period. It is read as is usual in credit scoring: below 0.1 stable, from 0.1 moderate, from 0.25
major (Siddiqi 2006). Chance alone gives (bins − 1) · (1 / offers then + 1 / offers now) on average (Yurdakul 2018), so
months with too few offers for a reading say so.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from math import log

from msgspec import Struct

from schemas import events as ev
from state.learning import FEATURES, MILLI, WIDTH

MODERATE, MAJOR = 0.1, 0.25
# More than this by chance alone, and a reading would say little.
_MOST_CHANCE = 0.05
# The first period is as many months as have so many offers; a bin holds so many of them, and there are at most so many.
_FIRST_OFFERS, _IN_A_BIN, _MOST_BINS = 200, 40, 10
PROPENSITY = "propensity"
# The constant, and which one was recommended: of that the propensity tells.
_NOT_COMPARED = ("one", "recommended")

# What an offer shows of one figure: the figure of each of its options.
Shown = tuple[float, ...]


class Shift(Struct, frozen=True):
    """A month against the first period. psi: None where there are too few offers. chance: what chance alone gives."""

    offers: int
    psi: float | None
    chance: float
    reading: str


class Stability(Struct, frozen=True):
    """One figure against its first period: which months that is, how many offers it has, and the months behind it."""

    name: str
    first: str
    first_offers: int
    months: dict[str, Shift]


def stability(decisions: Sequence[ev.DecisionLogged]) -> tuple[Stability, ...]:
    """Return the drift of each feature, and of propensities where chance had a part in the recommendation."""
    rows = [d for d in decisions if all(len(o.x) == WIDTH for o in d.shown)]
    found = [
        _stability(name, rows, partial(_figure, at)) for at, name in enumerate(FEATURES) if name not in _NOT_COMPARED
    ]
    drawn = [d for d in decisions if len(d.shown) > 1 and all(o.propensity > 0 for o in d.shown)]
    found.append(_stability(PROPENSITY, drawn, lambda d: tuple(o.propensity for o in d.shown)))
    return tuple(s for s in found if s is not None)


def _figure(at: int, d: ev.DecisionLogged) -> Shown:
    return tuple(o.x[at] / MILLI for o in d.shown)


def _stability(
    name: str, decisions: Sequence[ev.DecisionLogged], figure: Callable[[ev.DecisionLogged], Shown]
) -> Stability | None:
    by_month: dict[str, list[Shown]] = {}
    for d in sorted(decisions, key=lambda d: d.business_date):
        by_month.setdefault(d.business_date.strftime("%Y-%m"), []).append(figure(d))
    months = list(by_month)
    first: list[Shown] = []
    for used, month in enumerate(months, 1):
        first += by_month[month]
        if len(first) >= _FIRST_OFFERS or used == len(months):
            named = months[0] if used == 1 else f"{months[0]} to {month}"
            return Stability(name, named, len(first), {m: shift(first, by_month[m]) for m in months[used:]})
    return None


def shift(first: Sequence[Shown], now: Sequence[Shown]) -> Shift:
    """Return how far a figure has shifted. Each offer counts once, in equal parts for its options."""
    edges = _edges(first)
    chance = len(edges) * (1 / len(first) + 1 / len(now))
    if chance > _MOST_CHANCE:
        return Shift(len(now), None, chance, "too few")
    psi = sum((b - a) * log(b / a) for a, b in zip(_bin_shares(first, edges), _bin_shares(now, edges), strict=True))
    return Shift(len(now), psi, chance, reading_of(psi))


def reading_of(psi: float) -> str:
    """Return how a population stability index is usually read."""
    if psi < MODERATE:
        return "stable"
    return "moderate" if psi < MAJOR else "major"


def _edges(first: Sequence[Shown]) -> list[float]:
    """Return the upper edges of all bins but the last: quantiles of the first period, each value once."""
    values = sorted(v for shown in first for v in shown)
    bins = min(_MOST_BINS, max(2, len(first) // _IN_A_BIN))
    return sorted({values[(len(values) * n - 1) // bins] for n in range(1, bins)})


def _bin_shares(offers: Sequence[Shown], edges: Sequence[float]) -> list[float]:
    # Half an offer more in every bin, so that an empty one has a logarithm too.
    sums = [0.5] * (len(edges) + 1)
    for shown in offers:
        for value in shown:
            sums[bisect_left(edges, value)] += 1 / len(shown)
    return [s / sum(sums) for s in sums]
