"""When an account wants a plan, and what the planner is told of its debt."""

from __future__ import annotations

from datetime import date

from agents.account_day import Rules, outstanding_on
from agents.base import derived_id
from schemas import events as ev
from state.account import AccountState
from state.delinquency import bucket_of, measure

SOURCE = "reprieve.account"
MEANS_CHANGED = "means_changed"


def wants_plan(s: AccountState, rules: Rules) -> bool:
    """Say whether the account is far enough behind, and may still have a plan."""
    plans = rules.policy.plans
    if s.closed or s.bad_debt == "terminated":
        return False
    if s.plan is not None:
        return bool(s.plan.review)
    if not s.overdue_since:
        return False
    if s.plans_broken > plans.max_broken:
        return False
    return s.days_past_due > plans.request_over_days or s.missed >= max(1, plans.request_missed)


def why_not(s: AccountState, rules: Rules) -> str:
    """Return the reason why an account that wanted a plan no longer does."""
    if s.plan is not None:
        return "plan_active"
    if s.bad_debt == "terminated":
        return "terminated"
    if s.closed:
        return "closed"
    if not s.overdue_since:
        return "cured"
    # Behind still, but not as far as a plan is offered for: it paid some of it, or the policy asks for more now.
    return "plans_used_up" if s.plans_broken > rules.policy.plans.max_broken else "less_behind"


def debt_of(s: AccountState, rules: Rules, day: int) -> ev.Debt:
    """Return the debt of an account at the close of a day."""
    m = measure(s.receivables, s.holds, day, rules.policy.delinquency)
    owed = outstanding_on(s, day)
    ahead = next((r for r in s.receivables if r.due >= day), s.receivables[-1] if s.receivables else None)
    last = s.receivables[-1].due if s.receivables else day
    return ev.Debt(
        account_id=s.account_id,
        product=s.product,
        jurisdiction=s.jurisdiction,
        currency=s.currency,
        # Under a plan its own rate is what was agreed, and what nobody may be offered worse than.
        annual_rate_bps=s.annual_rate_bps if s.plan is None else s.plan.annual_rate_bps,
        outstanding=ev.Amounts(principal=owed.principal, interest=owed.interest, fees=owed.fees, penalty=owed.penalty),
        overdue_amount=m.overdue,
        days_past_due=m.days_past_due,
        missed=m.missed,
        bucket=bucket_of(m.days_past_due, rules.policy.delinquency.grace_days),
        bad_debt=s.bad_debt,
        stage=s.stage,
        remaining_months=max(0, -(-(last - day) // 31)),
        contract_instalment=ahead.asked if ahead else 0,
        oldest_due_on=date.fromordinal(m.oldest_due) if m.oldest_due else None,
        plans_broken=s.plans_broken,
        holds=tuple(sorted({h.kind for h in s.holds if h.covers(day)})),
        attempts=s.attempts,
    )


def workout_event(s: AccountState, rules: Rules, cause: ev.Event, day: int) -> ev.Event | None:
    """Return what the planner has to be told after a day, None where it knows; notes it in the state."""
    now = ""
    if wants_plan(s, rules):
        holds = ",".join(sorted({h.kind for h in s.holds if h.covers(day)}))
        principal = outstanding_on(s, day).principal
        now = f"{s.bucket}|{s.bad_debt}|{s.missed}|{s.plans_broken}|{holds}|{principal}"
        if s.plan is not None:
            now = f"{s.plan.plan_id}|{s.plan.review}|{holds}|{principal}"
    if now == s.requested:
        return None
    before, s.requested = s.requested, now
    if not now:
        return ev.WorkoutEnded(
            event_id=derived_id(cause.event_id, "WorkoutEnded", s.account_id, day),
            occurred_at=cause.occurred_at,
            source=SOURCE,
            borrower_id=s.borrower_id,
            account_id=s.account_id,
            business_date=date.fromordinal(day),
            caused_by=cause.event_id,
            reason=why_not(s, rules),
        )
    return ev.WorkoutRequested(
        event_id=derived_id(cause.event_id, "WorkoutRequested", s.account_id, day),
        occurred_at=cause.occurred_at,
        source=SOURCE,
        borrower_id=s.borrower_id,
        account_id=s.account_id,
        business_date=date.fromordinal(day),
        caused_by=cause.event_id,
        trigger=MEANS_CHANGED if s.plan is not None else "changed" if before else "fell_behind",
        debt=debt_of(s, rules, day),
    )
