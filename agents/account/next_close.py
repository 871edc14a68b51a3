"""The next business date whose close matters to an account, though nothing arrives for it."""

from __future__ import annotations

import calendar
from datetime import date
from functools import lru_cache

from agents.account.arrangements import next_days
from agents.account.bad_debt import recovered_on
from agents.account.classification import earliest_cure, earliest_upgrade, probation_end, probation_since
from agents.account.day import DayFold
from agents.account.plan_lifecycle import next_month
from state.delinquency import days_late, paused_days
from state.ledger import ACCRUAL_UNIT, half_up, penalty_rate, tolerance


def is_month_end(day: int) -> bool:
    """Return whether a day is the last of its month."""
    return date.fromordinal(day + 1).day == 1


@lru_cache(maxsize=1_024)
def month_end_after(day: int) -> int:
    """Return the first month end after a day."""
    d = date.fromordinal(day + 1)
    return day + 1 + calendar.monthrange(d.year, d.month)[1] - d.day


def next_fold_day(d: DayFold) -> int:
    """Return the next day on which the account can change by itself, 0 for never.

    It may name a day too early, never one too late: an account that is visited on every day says the same.
    """
    s, policy, day = d.s, d.policy, d.day
    if s.closed_on or s.bad_debt == "terminated":
        # Who disputed it is offered ways to pay other debts once a hold has settled the dispute.
        disputes = [h.end + 1 for h in s.holds if h.kind == "dispute" and h.end >= day]
        return min((*disputes, *(p.due + 1 for p in s.promises)), default=0)
    rules = policy.delinquency
    days: list[int] = []
    overdue = False
    paused = d.paused()
    earning = penalty_rate(policy.charges, s.annual_rate_bps)
    next_due = 0
    for r in s.receivables:
        if next_due and r.due > next_due:
            break
        if earning and not r.plan and r.principal + r.interest:
            # What is within tolerance earns penalty interest too.
            days.append(month_end_after(max(day, r.due)))
            earning = 0
        if s.overdue_since and r.due >= day and r.owed():
            # What falls due changes what is overdue and the exposure, and with them what is material.
            days += [r.due, r.due + 1]
        if r.unpaid() <= tolerance(rules, r.amount_due):
            if r.plan and not r.settled and r.due > day:
                # What is within tolerance from the start counts as paid on the day on which it is due.
                days.append(r.due)
            if r.due >= day and not r.billed and r.interest + r.fees:
                # What is left of it within tolerance is owed from then on.
                days.append(r.due + 1)
            continue
        if r.due < day <= s.payments_deferred_to:
            # It is late once what was deferred is due.
            days.append(s.payments_deferred_to + 1)
            continue
        if r.due >= day:
            days.append(max(r.due, s.payments_deferred_to) + 1)
            # Another one of the same day may matter a day earlier; later ones do not.
            next_due = r.due
            continue
        overdue = True
        late = days_late(max(r.due, s.payments_deferred_to), paused, day)
        if s.plan is not None and r.plan and not r.missed_reported and not r.settled:
            days.append(day + max(1, policy.plans.kept_within_days + 1 - late))
        if not r.missed_reported or late <= rules.grace_days:
            days.append(day + max(1, rules.grace_days + 1 - late))
    if s.plan is not None and (due := next_month(d, s.plan)):
        late = max(0, day - due - paused_days(paused, due, day))
        days += [due, due + 1, max(day, due) + policy.plans.kept_within_days + 1 - late]
    if s.plan is not None and s.plan.is_temporary:
        days += next_days(d, s.plan)
    for hold in s.holds:
        if hold.end >= day:
            days.append(hold.end + 1)
        after = policy.bad_debt.charge_off_after_hold.get(hold.kind)
        if after is not None:
            days.append(hold.start + after)
    if s.party_holds:
        days += [h.end + 1 for _, h in s.party_holds if h.end >= day]
    if overdue:
        aged = s.days_past_due
        days += [day + t - aged for t in d.rules.thresholds if t > aged][:1]
    if s.materiality_since:
        days += [
            day + t - s.days_past_due_material for t in d.rules.counter_thresholds if t > s.days_past_due_material
        ][:1]
    # Penalty interest that waits is put on at a month's end, also where the rate is 0 by now.
    if s.ifrs9_stage > 1 or s.allowance or half_up(s.accrued, ACCRUAL_UNIT) > s.penalty_posted:
        days.append(month_end_after(day))
    if s.bad_debt == "candidate":
        days.append(s.bad_debt_on + policy.bad_debt.recognise_after_days)
    elif s.bad_debt == "recognised":
        days.append(earliest_cure(s, policy))
    elif s.bad_debt == "recovering":
        days.append(recovered_on(s) + policy.bad_debt.recovery_lapse_days + 1)
    for promise in s.promises:
        days.append(promise.due + 1)
    if s.bad_debt_rejected and not s.overdue_since and s.plan is None:
        # A rejection is forgotten at the next close without arrears.
        days.append(day + 1)
    if s.distressed_restructuring is not None:
        days.append(s.distressed_restructuring.since + 1)
    if s.arrears_free_since:
        days += [
            probation_end(s.arrears_free_since, policy.impairment.probation_days, policy.impairment.probation_months),
            s.arrears_free_since + policy.plans.probation_days,
        ]
        days += [max(earliest_upgrade(s, c), probation_since(s, c) + 1) for c in policy.classifications]
    return min([x for x in days if x > day], default=0)
