"""The three measures of delinquency: days past due, the material counter, missed instalments.

Days past due run from the oldest unpaid instalment above tolerance; a payment on the due day is
not late. Holds pause only the days on which they overlap the overdue window, and overlapping holds
count once. What an instalment asked for and what was paid toward it decides, never what the waterfall left of it after
our own charges. The material counter follows EBA/GL/2016/07: consecutive days on which what is overdue is
above an absolute and a relative threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from schemas.events import Bucket
from state.account import Hold, Receivable
from state.ledger import owed_on, tolerance
from state.policy import Delinquency

Span = tuple[int, int]
# Behind the last date that a calendar has.
FOREVER = 4_000_000


class Measures(Struct, frozen=True, gc=False):
    """What an account's delinquency is at the close of a day.

    overdue: all that is owed of instalments past due, charges included. exposure: all that is owed on the balance
    sheet (Delegated Regulation (EU) 2018/171 Art 1), 0 without arrears, where nothing asks for it.
    """

    days_past_due: int
    missed: int
    overdue: int
    exposure: int
    oldest_due: int


def pauses(holds: Sequence[Hold], kinds: Sequence[tuple[int, Sequence[str]]]) -> tuple[Span, ...]:
    """Return the days that holds pause as spans (first, last), in order and apart; a day is in one of them at most.

    kinds: the kinds of hold that pause, each from a day (ordinal) on until the next, since a day is judged by its own
    rules. A hold without an end lasts for ever.
    """
    found: list[Span] = []
    ends = [first - 1 for first, _ in kinds[1:]] + [FOREVER]
    spans = sorted(
        (max(h.start, first), min(h.end or FOREVER, end))
        for (first, names), end in zip(kinds, ends, strict=True)
        for h in holds
        if h.kind in names
    )
    for start, end in spans:
        reached = found[-1][1] if found else 0
        start = max(start, reached + 1)
        if start <= end:
            found.append((start, end))
    return tuple(found)


def paused_days(paused: Sequence[Span], after: int, through: int) -> int:
    """Return how many days of (after, through] are paused."""
    return sum(max(0, min(end, through) - max(start, after + 1) + 1) for start, end in paused)


def measure(
    receivables: Sequence[Receivable], paused: Sequence[Span], day: int, rules: Delinquency, deferred_to: int = 0
) -> Measures:
    """Return the measures at the close of a day. `receivables` stand in the order of their due dates.

    deferred_to: the day on which all that was due by it counts as due, 0 for none.
    """
    overdue = missed = days = oldest = 0
    for r in receivables:
        due = max(r.due, deferred_to)
        if due >= day:
            break
        overdue += r.owed()
        if r.unpaid() > tolerance(rules, r.amount_due):
            own = days_late(due, paused, day)
            if not oldest:
                oldest, days = due, own
            if own > rules.grace_days:
                missed += 1
    return Measures(days, missed, overdue, owed_on(receivables, day).total() if oldest else 0, oldest)


def days_late(due: int, paused: Sequence[Span], day: int) -> int:
    """Return the days past due of what was due on a day, paused days left out."""
    late = day - due
    return late - paused_days(paused, due, day) if paused else late


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
