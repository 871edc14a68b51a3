"""One day of one account: the facts that count from it, folded into the state, and what is said of it.

A day is folded once all facts of it are known as far as they have come; a late one folds the
account anew. Days on which nothing can change are not visited: `next_day` names the next that matters.
"""

from __future__ import annotations

import calendar
from bisect import insort
from collections.abc import Iterable
from datetime import date
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from schemas import events as ev
from state.account import AccountState, Paid, Receivable
from state.delinquency import measure, paused_days
from state.ledger import (
    ACCRUAL_UNIT,
    allocate,
    half_up,
    room_for_charges,
    tolerance,
)
from state.policy import Classification, Policy

EVIDENCE_KEPT = 50


class Rules:
    """A policy with what can be computed from it once, and those that take its place.

    later: rules that apply from a business date (ordinal) on, in the order of these. zone: of business dates; a change
    of policy leaves it, since it would move facts to other days.
    """

    __slots__ = ("charge_off_after", "counter_thresholds", "later", "policy", "thresholds", "zone")

    def __init__(self, policy: Policy, later: tuple[tuple[int, Rules], ...] = ()) -> None:
        self.policy = policy
        self.later = later
        self.zone = ZoneInfo(policy.business_time_zone)
        grace, bad, stages = policy.delinquency.grace_days, policy.bad_debt, policy.impairment
        days = {
            grace + 1,
            31,
            61,
            91,
            stages.stage2_over_days + 1,
            stages.stage3_from_days,
            bad.days_past_due_over + 1,
            policy.plans.request_over_days + 1,
        }
        if bad.charge_off_after is not None:
            days.add(bad.charge_off_after)
        counter: set[int] = set()
        for rule in policy.classifications:
            (counter if rule.material_counter else days).update(t.from_days for t in rule.thresholds)
        self.thresholds = tuple(sorted(d for d in days if d > 0))
        self.counter_thresholds = tuple(sorted(d for d in counter if d > 0))

    def on(self, day: int) -> Rules:
        """Return the rules that apply on a business date."""
        rules = self
        for first, other in self.later:
            if day < first:
                break
            rules = other
        return rules

    def next_stop(self, after: int) -> int | None:
        """Return the next day that is folded whatever happens on it: rules end with it, or others begin."""
        return next((day for first, _ in self.later for day in (first - 1, first) if day > after), None)


class Day:
    """The fold of one day: the state under change, the rules, and what is said.

    `said` holds event classes with their fields; the agent puts the envelope on.
    """

    __slots__ = ("day", "paid_today", "policy", "reviews", "rules", "s", "said")

    def __init__(self, state: AccountState, rules: Rules, day: int) -> None:
        self.s = state
        self.rules = rules
        self.policy = rules.policy
        self.day = day
        self.said: list[tuple[type[ev.Event], dict[str, object]]] = []
        self.reviews: list[ev.BadDebtReviewed] = []
        self.paid_today = 0

    def say(self, what: type[ev.Event], /, **fields: object) -> None:
        """Say something of this day."""
        self.said.append((what, fields))

    def performing(self) -> bool:
        """Say which waterfall applies: the performing one until the account is credit-impaired."""
        return self.s.stage < 3

    def in_arrears(self) -> bool:
        """Say whether anything above tolerance was due before this day and is unpaid."""
        rules = self.policy.delinquency
        for r in self.s.receivables:
            if r.due >= self.day:
                return False
            if r.unpaid() > tolerance(rules, r.asked):
                return True
        return False

    def active_holds(self) -> tuple[ev.HoldKind, ...]:
        """Return the kinds of hold in force on this day."""
        return tuple(sorted({h.kind for h in self.s.holds if h.covers(self.day)}))

    # -- money

    def accrue(self) -> None:
        """Earn penalty interest on what has been overdue since the last time, paused days left out."""
        s = self.s
        rate = self.policy.charges.penalty_rate_bps
        if rate and s.receivables and s.receivables[0].due < self.day and s.bad_debt != "terminated":
            pausing = self.policy.delinquency.pausing_holds
            for r in s.receivables:
                if r.due >= self.day:
                    break
                since = max(s.accrued_to, r.due)
                days = self.day - since
                if s.holds:
                    days -= paused_days(s.holds, pausing, since, self.day)
                s.accrued += r.principal * rate * days
            # Whole units are kept as not yet posted: their fractions alone would outgrow 64 bits within years.
            whole, s.accrued = divmod(s.accrued, ACCRUAL_UNIT)
            s.penalty_posted -= whole
        s.accrued_to = self.day

    def post_penalty(self) -> None:
        """Put the penalty interest earned so far on the oldest overdue instalment, within the cap."""
        s = self.s
        rules = self.policy.charges
        if not rules.penalty_rate_bps or not s.receivables or s.receivables[0].due >= self.day:
            return
        due = half_up(s.accrued, ACCRUAL_UNIT) - s.penalty_posted
        amount = min(due, self.room())
        s.penalty_posted += due
        if amount > 0:
            self.charge(0, amount, "penalty_interest")

    def room(self) -> int:
        """Return how much may still be charged under the cap of the policy."""
        s = self.s
        return room_for_charges(self.policy.charges, max(s.original_principal, s.billed), s.charged)

    def charge(self, index: int, amount: int, kind: ev.ChargeKind) -> None:
        """Put a charge on the receivable at an index, and say so."""
        s = self.s
        r = s.receivables[index]
        s.receivables = (
            *s.receivables[:index],
            replace(r, penalty=r.penalty + amount),
            *s.receivables[index + 1 :],
        )
        s.charged += amount
        if s.plan is not None and r.plan:
            s.plan = replace(s.plan, charged=s.plan.charged + amount)
        number = r.number if kind == "late_fee" else None
        self.say(ev.ChargeAccrued, kind=kind, amount=amount, currency=s.currency, number=number)

    def allocate(self, amount: int) -> None:
        """Allocate an amount to the receivables; what is left is credit."""
        s = self.s
        before = s.receivables
        result = allocate(
            before,
            amount,
            self.day,
            self.policy.allocation,
            performing=self.performing(),
        )
        s.receivables = result.receivables
        s.paid = s.paid.plus(result.paid)
        s.credit += result.left
        if s.plan is not None:
            # What was billed beside the plan is paid for good; only the plan's part is allocated anew if it breaks.
            s.plan = replace(s.plan, paid=s.plan.paid.plus(owed_to_plan(before).minus(owed_to_plan(s.receivables))))

    def add_receivables(self, *added: Receivable) -> None:
        """Add receivables in the order of their due dates, and let credit pay them."""
        s = self.s
        items = list(s.receivables)
        for r in added:
            insort(items, r, key=receivable_order)
        s.receivables = tuple(items)
        if s.credit:
            credit, s.credit = s.credit, 0
            self.allocate(credit)


def owed_to_plan(receivables: Iterable[Receivable]) -> Paid:
    """Return what is still owed to a plan, by component."""
    total = Paid()
    for r in receivables:
        if r.plan:
            total = total.plus(Paid(r.principal, r.interest, r.fees, r.penalty))
    return total


def receivable_order(r: Receivable) -> tuple[int, bool, int]:
    """Return the order in which receivables are owed."""
    return (r.due, r.plan, r.number)


def receivable_of(
    number: int, due: date, principal: int, interest: int, fees: int, *, billed: bool = False
) -> Receivable:
    """Return the receivable of an instalment that was asked for."""
    return Receivable(
        number,
        due.toordinal(),
        principal,
        interest,
        fees,
        0,
        principal + interest + fees,
        billed=billed,
    )


def note_attempt(d: Day, evidence: str) -> None:
    """Count a failed attempt to collect in the present arrears."""
    s = d.s
    s.attempts += 1
    s.evidence = tuple(sorted({*s.evidence, evidence}))[-EVIDENCE_KEPT:]


def clean_for(d: Day, days: int) -> bool:
    """Say whether the account has been without arrears for so many days since its last ones."""
    return bool(d.s.clean_since) and d.day - d.s.clean_since >= days


def probation_of(s: AccountState, rule: Classification) -> int:
    """Return the clean days that an upgrade of a class takes; a longer time where there was a plan."""
    return max(rule.probation_days, rule.after_plan_days if s.had_plan else 0)


def proving_since(s: AccountState, rule: Classification) -> int:
    """Return the day (ordinal) from which probation runs for a class, 0 while there are arrears.

    Where a distressed restructuring counts, it runs from that one at the earliest (EBA/GL/2016/07, para 72).
    """
    if s.clean_since and rule.distressed and s.distressed is not None:
        return max(s.clean_since, s.distressed.since)
    return s.clean_since


def is_month_end(day: int) -> bool:
    """Say whether a day is the last of its month."""
    return date.fromordinal(day + 1).day == 1


def month_end_after(day: int) -> int:
    """Return the first month end after a day."""
    d = date.fromordinal(day + 1)
    return day + 1 + calendar.monthrange(d.year, d.month)[1] - d.day


def next_day(d: Day) -> int:
    """Return the next day on which the account can change by itself, 0 for never.

    It may name a day too early, never one too late.
    """
    s, policy, day = d.s, d.policy, d.day
    if s.bad_debt == "terminated":
        return 0
    rules = policy.delinquency
    days: list[int] = []
    overdue = False
    for r in s.receivables:
        if r.unpaid() <= tolerance(rules, r.asked):
            if r.plan and not r.settled and r.due > day:
                # What is within tolerance from the start counts as paid on the day on which it is due.
                days.append(r.due)
            continue
        if r.due >= day:
            days.append(r.due + 1)
            break
        overdue = True
        if s.plan is not None and r.plan and not r.reported:
            days.append(max(day + 1, r.due + policy.plans.kept_within_days + 1))
        if not r.reported:
            days.append(max(day + 1, r.due + rules.grace_days + 1))
    days += [h.end + 1 for h in s.holds if h.end >= day]
    if overdue:
        aged = s.days_past_due
        days += [day + t - aged for t in d.rules.thresholds if t > aged][:1]
    if s.material_since:
        days += [day + t - s.counter_days for t in d.rules.counter_thresholds if t > s.counter_days][:1]
    if s.stage > 1 or (overdue and policy.charges.penalty_rate_bps):
        days.append(month_end_after(day))
    if s.bad_debt == "candidate":
        days.append(s.bad_debt_on + policy.bad_debt.recognise_after_days)
    elif s.bad_debt == "recovering":
        days.append(s.last_payment + policy.bad_debt.recovery_lapse_days + 1)
    days += [p.due + 1 for p in s.promises]
    if s.clean_since:
        waits = [
            policy.bad_debt.cure_probation_days,
            policy.impairment.probation_days,
            policy.plans.probation_days,
        ]
        days += [s.clean_since + wait for wait in waits]
        for c in policy.classifications:
            days += [proving_since(s, c) + max(wait, 1) for wait in (c.probation_days, c.after_plan_days)]
    return min((x for x in days if x > day), default=0)


def remeasure(d: Day) -> None:
    """Put the three measures of this day's close into the state."""
    s, rules = d.s, d.policy.delinquency
    m = measure(s.receivables, s.holds, d.day, rules)
    s.days_past_due, s.missed, s.overdue = m.days_past_due, m.missed, m.overdue
    if m.oldest_due:
        s.overdue_since = s.overdue_since or d.day
        s.clean_since = 0
    elif s.overdue_since:
        s.overdue_since, s.clean_since = 0, d.day


def outstanding_on(s: AccountState, day: int) -> Paid:
    """Return what is owed on a day: all principal and charges, and interest and fees of what is due or was billed."""
    return owed_on(s.receivables, day)


def owed_on(receivables: Iterable[Receivable], day: int) -> Paid:
    """Return what is owed of receivables on a day (ordinal), as `outstanding_on` does of all of an account's."""
    principal = interest = fees = penalty = 0
    for r in receivables:
        principal += r.principal
        penalty += r.penalty
        if r.due <= day or r.billed:
            interest += r.interest
            fees += r.fees
    return Paid(principal, interest, fees, penalty)
