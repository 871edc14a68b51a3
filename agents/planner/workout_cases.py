"""What accounts say of their debts and plans, taken down for a borrower."""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from agents import input_limits
from agents.account.signals import MEANS_CHANGED
from agents.planner.disputes import drop, ended_by, settle
from agents.planner.figures import owed
from agents.planner.update import BorrowerUpdate
from schemas import events as ev
from state.borrower import BorrowerState, Case, Commitment
from state.calendars import add_months


def open_case(s: BorrowerState, event: ev.WorkoutRequested) -> None:
    """Note the debt of an account that wants a plan. Raises InvalidEventError where it is out of all proportion."""
    day, account = event.business_date.toordinal(), event.account_id
    plan, before = s.plans.get(account), s.cases.get(account)
    # The account may have asked before it knew of the plan that was made for it.
    if (plan is not None and day <= plan.activated) or (before is not None and day < before.day):
        return
    if not s.cases and day > s.last_case_closed_on and not any(p.runs(day) for p in s.plans.values()):
        _begin_episode(s)
    review = event.trigger == MEANS_CHANGED
    if review and plan is not None and plan.reviewed_at_limit < 0:
        # The account tells its debt under a plan whose review is over: the means carry it again.
        return
    if not review:
        s.plans = _ended(s, account)
    others = (owed(case.debt) for name, case in s.cases.items() if name != account)
    input_limits.check_entries(event, len(s.cases.keys() - {account}), input_limits.MAX_CASES)
    input_limits.check_total(event, (owed(event.debt), *others), "debt.outstanding", input_limits.MAX_OWED)
    s.cases = {**s.cases, account: Case(day, event.debt, review)}
    known = (day, account, event.debt.currency)
    s.base_currency = min(s.base_currency, known) if s.base_currency[0] else known
    settle(s, account, ended_by(event.debt, before))
    disputed = before is not None and "dispute" in before.debt.holds
    if s.pause_reason == "dispute" and disputed and "dispute" not in event.debt.holds:
        s.paused_until, s.pause_reason = 0, ""
    schedule_decision(s, day)


def _ended(s: BorrowerState, account: str, day: int | None = None) -> dict[str, Commitment]:
    """Return the plans with that of an account ended, unless it began behind a day.

    It is kept: where a payment is heard of late, the plan was never broken, and asks for its instalments again.
    """
    plan = s.plans.get(account)
    if plan is None or (day is not None and day < plan.activated):
        return s.plans
    return {**s.plans, account: replace(plan, ended=True)}


def _begin_episode(s: BorrowerState) -> None:
    """Forget what belongs to an earlier spell of trouble; means, consents and a pause go on."""
    s.sequence = s.plans_offered = s.referrals = s.unanswered = 0
    s.too_high = s.max_term = s.not_before = 0
    s.ceiling, s.lapsed = (0, ""), ()
    s.rate_matters = s.explained = s.distressed = False


def close_case(update: BorrowerUpdate, event: ev.WorkoutEnded) -> None:
    """Note that an account wants no plan any more, and take an offer back that was over it."""
    s = update.s
    day, account = event.business_date.toordinal(), event.account_id
    if event.reason != "plan_active":
        s.plans = _ended(s, account, day)
    before = s.cases.get(account)
    if event.reason in ("closed", "terminated"):
        drop(s, (account,), day)
    if settle(s, account, event.dispute_ended_on):
        schedule_decision(s, day)
    if before is None or day < before.day:
        return
    s.cases = {a: c for a, c in s.cases.items() if a != account}
    s.last_case_closed_on = max(s.last_case_closed_on, day)
    offer = s.open_offer()
    if offer is not None and account in offer.account_ids:
        # Of two accounts that end at one close either may be heard of first, and each for a reason of its own.
        update.caused_by = event.caused_by
        update.withdraw_offer(event.reason if len(offer.account_ids) == 1 else "debts_changed")
    schedule_decision(s, day)


def track_plan(s: BorrowerState, event: ev.PlanProgressed) -> None:
    """Note how long a plan goes on asking for money."""
    plan = s.plans.get(event.account_id)
    if event.outcome == "taken_over" and event.until is not None:
        activated, until = event.business_date.toordinal(), event.until.toordinal()
        plan = Commitment(
            event.plan_id,
            event.currency,
            event.instalment,
            activated,
            until,
            event.jurisdiction,
            event.product,
        )
    if plan is None or plan.plan_id != event.plan_id:
        return
    if event.outcome in ("completed", "broken", "ended"):
        plan = replace(plan, ended=not event.taken_back)
    elif event.outcome in ("postponed", "adjusted"):
        months = -event.number if event.taken_back else event.number
        plan = replace(plan, until=add_months(date.fromordinal(plan.until), months).toordinal())
    s.plans = {**s.plans, event.account_id: plan}


def schedule_decision(s: BorrowerState, day: int) -> None:
    """See to a decision at the close of a day, or sooner where one is due sooner."""
    if s.cases or s.plans:
        s.decide_on = min(s.decide_on, day) if s.decide_on else day
