"""The three measures of delinquency: days past due, the material counter, missed instalments.

Days past due run from the oldest unpaid instalment above tolerance; a payment on the due day is
not late. Holds pause only the days on which they overlap the overdue window, and overlapping holds
count once. The material counter follows EBA/GL/2016/07: consecutive days on which what is overdue is
above an absolute and a relative threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from schemas.events import Bucket
from state.account import Hold, Receivable
from state.ledger import tolerance
from state.policy import Delinquency


class Measures(Struct, frozen=True, gc=False):
    """What an account's delinquency is at the close of a day."""

    days_past_due: int
    missed: int
    overdue: int
    exposure: int
    oldest_due: int


def paused_days(holds: Sequence[Hold], kinds: Sequence[str], after: int, through: int) -> int:
    """Return how many days of (after, through] any hold of these kinds covers; a day counts once."""
    spans = sorted((max(h.start, after + 1), min(h.end or through, through)) for h in holds if h.kind in kinds)
    total, reached = 0, after
    for start, end in spans:
        start = max(start, reached + 1)
        if end >= start:
            total += end - start + 1
            reached = end
    return total


def measure(receivables: Sequence[Receivable], holds: Sequence[Hold], day: int, rules: Delinquency) -> Measures:
    """Return the measures at the close of a day. `receivables` stand in the order of their due dates."""
    exposure = overdue = missed = days = oldest = 0
    for r in receivables:
        owed = r.owed()
        exposure += owed
        if r.due >= day:
            continue
        overdue += owed
        if r.unpaid() > tolerance(rules, r.asked):
            own = days_late(r, holds, day, rules)
            if not oldest:
                oldest, days = r.due, own
            if own > rules.grace_days:
                missed += 1
    return Measures(days, missed, overdue, exposure, oldest)


def days_late(r: Receivable, holds: Sequence[Hold], day: int, rules: Delinquency) -> int:
    """Return the days past due of one instalment, paused days left out."""
    late = day - r.due
    return late - paused_days(holds, rules.pausing_holds, r.due, day) if holds else late


def is_material(measures: Measures, rules: Delinquency) -> bool:
    """Say whether what is overdue is above both thresholds."""
    overdue = measures.overdue
    return overdue > rules.material_absolute and overdue * 10_000 > rules.material_relative_bps * measures.exposure


def bucket_of(days_past_due: int, grace_days: int) -> Bucket:
    """Return the bucket of a number of days past due; the first `grace_days` are `grace`."""
    if days_past_due <= 0:
        return "current"
    if days_past_due <= grace_days:
        return "grace"
    if days_past_due <= 30:
        return "dpd_1_30"
    if days_past_due <= 60:
        return "dpd_31_60"
    return "dpd_61_90" if days_past_due <= 90 else "dpd_over_90"
