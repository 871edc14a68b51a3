"""The schedule that counts: what was accepted, fitted to what is owed on the day on which the plan begins.

Too little that was agreed is asked for behind the last instalment, too much is taken off the last ones, and nobody has
to pay more a month than he accepted, unless the legal term leaves no other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from schemas import events as ev
from state.calendars import DueDays, add_months
from state.ledger import tolerance
from state.policy import Policy
from state.schedules import MONTHLY, rounded


class Fitted(Struct, frozen=True):
    """A schedule, and what is not asked for since it is within the tolerance of an instalment, in minor units."""

    instalments: tuple[ev.PlanInstalment, ...]
    forgiven: int = 0


def last_day(activated: date, policy: Policy) -> date:
    """Return the last day on which an instalment of a plan may be due: its legal term after it began, rolled as due
    dates are.
    """
    return policy.due_days.roll(add_months(activated, policy.plans.max_term_months))


def term_capacity(agreed: Sequence[ev.PlanInstalment], limit: date, policy: Policy) -> int:
    """Return how much principal a plan can repay by a day in instalments no larger than its largest, minor units."""
    within = [i for i in agreed if i.due_on <= limit]
    return sum(i.principal for i in within) + len(_later(within, agreed, limit, policy.due_days)) * _most(agreed)


def adjust_schedule(
    agreed: Sequence[ev.PlanInstalment], financed: int, annual_rate_bps: int, limit: date, policy: Policy
) -> Fitted:
    """Return the schedule that repays `financed` (>= 0, minor units) with none due after `limit`.

    Its principal and what is forgiven sum to `financed`, exactly. Where less is owed than was agreed the amounts stay
    as they are, interest is worked out anew on the balance that falls faster, and the last instalments go. Where more
    is owed it is asked for behind the last instalment, in instalments no larger than the largest that was accepted;
    what the term has no room for is spread evenly over all that ask for something. A difference within the tolerance
    of the last instalment goes onto it, or is forgiven where it would grow beyond what was accepted: as an instalment
    of its own it would count as paid without a payment.
    """
    schedule = list(agreed)
    less = financed < sum(i.principal for i in agreed)
    if less:
        schedule = _shortened(agreed, financed, annual_rate_bps, policy)
    within = [i for i in schedule if i.due_on <= limit]
    cut = len(within) < len(schedule)
    if financed and not within:
        within = [ev.PlanInstalment(number=1, due_on=limit, amount=0, principal=0, interest=0)]
    gap = financed - sum(i.principal for i in within)
    most = _most(agreed)
    if not gap:
        return _without_tail(within, most, policy) if less else Fitted(tuple(within))
    if gap <= tolerance(policy.delinquency, within[-1].amount):
        return _onto_last(within, gap, most)
    longer = _lengthened(within, gap, most, _later(within, agreed, limit, policy.due_days))
    return Fitted(tuple(_at_rate(longer, annual_rate_bps, policy) if cut else longer))


def _most(agreed: Sequence[ev.PlanInstalment]) -> int:
    return max((i.amount for i in agreed), default=0)


def _shortened(
    agreed: Sequence[ev.PlanInstalment], financed: int, annual_rate_bps: int, policy: Policy
) -> list[ev.PlanInstalment]:
    """Return the instalments with their amounts as they are until a smaller principal is repaid."""
    left = financed
    kept: list[ev.PlanInstalment] = []
    for i in agreed:
        if not left:
            break
        # No rate above the agreed one, by the plan's own interest either.
        interest = min(rounded(left * annual_rate_bps, MONTHLY, policy.options.rounding), i.interest)
        principal = min(i.amount - interest, left)
        left -= principal
        kept.append(replace(i, amount=principal + interest, principal=principal, interest=interest))
    return kept


def _without_tail(schedule: list[ev.PlanInstalment], most: int, policy: Policy) -> Fitted:
    if schedule and schedule[-1].amount <= tolerance(policy.delinquency, schedule[-1].amount):
        return _onto_last(schedule[:-1], schedule[-1].principal, most)
    return Fitted(tuple(schedule))


def _onto_last(schedule: list[ev.PlanInstalment], gap: int, most: int) -> Fitted:
    if schedule and schedule[-1].amount + gap <= most:
        return Fitted((*schedule[:-1], _grown(schedule[-1], gap)))
    return Fitted(tuple(schedule), gap)


def _lengthened(schedule: list[ev.PlanInstalment], gap: int, most: int, later: list[date]) -> list[ev.PlanInstalment]:
    later = later[: -(-gap // most)] if most else []
    behind = min(gap, len(later) * most)
    number = schedule[-1].number
    longer = schedule + [
        ev.PlanInstalment(number=number + n, due_on=due, amount=part, principal=part, interest=0)
        for n, (due, part) in enumerate(zip(later, _evenly(behind, len(later)), strict=True), 1)
    ]
    # Who has nothing to pay in the first months has nothing to pay then whatever the rest grows to.
    asking = [n for n, i in enumerate(longer) if i.amount] or list(range(len(longer)))
    for n, more in zip(asking, _evenly(gap - behind, len(asking)), strict=True):
        longer[n] = _grown(longer[n], more)
    return longer


def _at_rate(schedule: list[ev.PlanInstalment], annual_rate_bps: int, policy: Policy) -> list[ev.PlanInstalment]:
    """Return a schedule that repays faster than was agreed, without the interest that is then not earned."""
    left = sum(i.principal for i in schedule)
    found = []
    for i in schedule:
        interest = min(rounded(left * annual_rate_bps, MONTHLY, policy.options.rounding), i.interest)
        left -= i.principal
        found.append(replace(i, amount=i.principal + interest, interest=interest))
    return found


def _later(
    schedule: Sequence[ev.PlanInstalment], agreed: Sequence[ev.PlanInstalment], limit: date, due_days: DueDays
) -> list[date]:
    """Return the due dates that a schedule may have behind its last one, a month apart, on the day that was agreed."""
    found: list[date] = []
    if schedule:
        anchor = due_days.anchor_of([i.due_on for i in agreed or schedule])
        while (due := due_days.months_on(schedule[-1].due_on, len(found) + 1, anchor)) <= limit:
            found.append(due)
    return found


def _grown(i: ev.PlanInstalment, more: int) -> ev.PlanInstalment:
    return replace(i, amount=i.amount + more, principal=i.principal + more)


def _evenly(amount: int, parts: int) -> list[int]:
    """Return an amount in parts that differ by at most one minor unit, the larger ones first."""
    each, rest = divmod(amount, parts) if parts else (0, 0)
    return [each + (n < rest) for n in range(parts)]
