"""Calibration: are probabilities that were foretold as often true as they say?

Both sides are the same quantity. Acceptance: P(accept) of the option that leads, as it was weighed, against whether
that option was the one that was accepted. Keeping: P(keep) of the option that was accepted, which is the probability
that its first three instalments are all kept, against whether they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from msgspec import Struct

from evaluation.estimators import share
from evaluation.joined import Judged

_BINS = 5
_BPS = 10_000


class Foretold(Struct, frozen=True):
    """A probability that was foretold, the month of the offer, and whether what it speaks of came."""

    month: str
    probability: float
    came: bool


class Bin(Struct, frozen=True):
    """Offers with the mean of what was foretold, and the share for which it came, with its 95 % interval."""

    offers: int
    foretold: float
    came: float
    low: float
    high: float


class Calibration(Struct, frozen=True):
    """How far what was foretold is true.

    overall: all offers (calibration in the large). bins: of about the same size, by what was foretold (the reliability
    diagram). expected_error: mean distance of foretold and came over the bins (expected calibration error). brier: mean
    squared error of the single probability (Brier score). months: by the month in which the offer was made.
    """

    overall: Bin
    expected_error: float
    brier: float
    bins: tuple[Bin, ...]
    months: dict[str, Bin]


def acceptance(judged: Sequence[Judged]) -> list[Foretold]:
    """Return P(accept) of leads against their acceptance, of offers whose time to be answered is over.

    A lead that the borrower had proposed himself is left out: he is likelier to accept it than anything was weighed to.
    """
    found = []
    for j in judged:
        lead = j.logged.chosen or ""
        candidate = j.foretold(lead)
        if j.answered and j.logged.arm != "borrower" and candidate is not None:
            found.append(Foretold(month_of(j), candidate.accept_bps / _BPS, j.accepted and j.option == lead))
    return found


def keeping(judged: Sequence[Judged]) -> list[Foretold]:
    """Return P(keep) of accepted options against the keeping of their first instalments, of mature offers."""
    found = []
    for j in judged:
        candidate = j.foretold(j.option) if j.accepted else None
        if j.mature and candidate is not None and j.first_kept is not None:
            found.append(Foretold(month_of(j), candidate.keep_bps / _BPS, j.first_kept))
    return found


def month_of(judged: Judged) -> str:
    """Return the month in which an offer was made."""
    return judged.logged.business_date.strftime("%Y-%m")


def calibration(pairs: Sequence[Foretold]) -> Calibration | None:
    """Return how far what was foretold is true; None where nothing is known."""
    if not pairs:
        return None
    bins = [_bin(part) for part in _parts(pairs)]
    months = sorted({p.month for p in pairs})
    return Calibration(
        overall=_bin(pairs),
        expected_error=sum(b.offers * abs(b.foretold - b.came) for b in bins) / len(pairs),
        brier=fmean((p.probability - p.came) ** 2 for p in pairs),
        bins=tuple(bins),
        months={month: _bin([p for p in pairs if p.month == month]) for month in months},
    )


def _bin(part: Sequence[Foretold]) -> Bin:
    came = share(sum(p.came for p in part), len(part))
    return Bin(len(part), fmean(p.probability for p in part), came.value, came.low, came.high)


def _parts(pairs: Sequence[Foretold]) -> list[list[Foretold]]:
    """Return pairs in parts of about the same size; those with the same probability stay together."""
    ordered = sorted(pairs, key=lambda p: p.probability)
    parts: list[list[Foretold]] = []
    before, part = -1.0, 0
    for number, pair in enumerate(ordered):
        if not parts or (pair.probability != before and number * _BINS // len(ordered) > part):
            parts.append([])
            part = number * _BINS // len(ordered)
        parts[-1].append(pair)
        before = pair.probability
    return parts
