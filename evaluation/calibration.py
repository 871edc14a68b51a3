"""Calibration: are predicted probabilities as often true as they say?

Both sides are the same quantity. Acceptance: P(accept) of the recommended option, as it was weighed, against whether
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


class Predicted(Struct, frozen=True):
    """A predicted probability, the month of the offer, and whether what it speaks of was observed."""

    month: str
    probability: float
    observed: bool


class Bin(Struct, frozen=True):
    """Offers with the mean of the predictions, and the share for which they came true, with its 95 % interval."""

    offers: int
    predicted: float
    observed: float
    low: float
    high: float


class Calibration(Struct, frozen=True):
    """How far predictions are true.

    overall: all offers (calibration in the large). bins: of about the same size, by the prediction (the reliability
    diagram). expected_error: mean distance of predicted and observed over the bins (expected calibration error). brier:
    mean squared error of the single probability (Brier score). months: by the month in which the offer was made.
    """

    overall: Bin
    expected_error: float
    brier: float
    bins: tuple[Bin, ...]
    months: dict[str, Bin]


def acceptance(judged: Sequence[Judged]) -> list[Predicted]:
    """Return P(accept) of recommended options against their acceptance, of offers whose time to be answered is over.

    An option that the borrower had proposed is left out: they are likelier to accept it than anything was weighed to.
    """
    found = []
    for j in judged:
        recommended = j.logged.chosen or ""
        candidate = j.candidate(recommended)
        if j.answered and j.logged.arm != "borrower" and candidate is not None:
            found.append(Predicted(month_of(j), candidate.accept_bps / _BPS, j.accepted and j.option == recommended))
    return found


def keeping(judged: Sequence[Judged]) -> list[Predicted]:
    """Return P(keep) of accepted options against the keeping of their first instalments, of mature offers."""
    found = []
    for j in judged:
        candidate = j.candidate(j.option) if j.accepted else None
        if j.mature and candidate is not None and j.first_kept is not None:
            found.append(Predicted(month_of(j), candidate.keep_bps / _BPS, j.first_kept))
    return found


def month_of(judged: Judged) -> str:
    """Return the month in which an offer was made."""
    return judged.logged.business_date.strftime("%Y-%m")


def calibration(pairs: Sequence[Predicted]) -> Calibration | None:
    """Return how far predictions are true; None where nothing is known."""
    if not pairs:
        return None
    bins = [_bin(part) for part in _parts(pairs)]
    months = sorted({p.month for p in pairs})
    return Calibration(
        overall=_bin(pairs),
        expected_error=sum(b.offers * abs(b.predicted - b.observed) for b in bins) / len(pairs),
        brier=fmean((p.probability - p.observed) ** 2 for p in pairs),
        bins=tuple(bins),
        months={month: _bin([p for p in pairs if p.month == month]) for month in months},
    )


def _bin(part: Sequence[Predicted]) -> Bin:
    observed = share(sum(p.observed for p in part), len(part))
    return Bin(len(part), fmean(p.probability for p in part), observed.value, observed.low, observed.high)


def _parts(pairs: Sequence[Predicted]) -> list[list[Predicted]]:
    """Return pairs in parts of about the same size; those with the same probability stay together."""
    ordered = sorted(pairs, key=lambda p: p.probability)
    parts: list[list[Predicted]] = []
    before, part = -1.0, 0
    for number, pair in enumerate(ordered):
        if not parts or (pair.probability != before and number * _BINS // len(ordered) > part):
            parts.append([])
            part = number * _BINS // len(ordered)
        parts[-1].append(pair)
        before = pair.probability
    return parts
