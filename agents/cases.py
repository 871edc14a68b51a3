"""What accounts say of their debts and plans, taken down for a borrower."""

from __future__ import annotations

from datetime import date

from msgspec.structs import replace

from agents import plausible
from agents.amounts import whole
from agents.offers import Desk
from agents.workout import MEANS_CHANGED
from schemas import events as ev
from state.borrower import BorrowerState, Case, Commitment
from state.calendars import add_months


def request(s: BorrowerState, event: ev.WorkoutRequested) -> None:
    """Note the debt of an account that wants a plan. Raises BadInput where it is out of all proportion."""
    day, account = event.business_date.toordinal(), event.account_id
    plan, before = s.plans.get(account), s.cases.get(account)
    # The account may have asked before it knew of the plan that was made for it.
    if (plan is not None and day <= plan.activated) or (before is not None and day < before.day):
        return
    if not s.cases and day > s.quiet_since and not any(p.runs(day) for p in s.plans.values()):
        _begin_episode(s)
    review = event.trigger == MEANS_CHANGED
    if review and plan is not None and plan.strained < 0:
        # The account tells its debt under a plan whose review is over: the means carry it again.
        return
    if not review:
        s.plans = _ended(s, account)
    others = (whole(case.debt.outstanding) for name, case in s.cases.items() if name != account)
    plausible.check_room(event, len(s.cases.keys() - {account}), plausible.MOST_CASES)
    plausible.check_total(event, (whole(event.debt.outstanding), *others), "debt.outstanding", plausible.MOST_OWED)
    s.cases = {**s.cases, account: Case(day, event.debt, review)}
    known = (day, account, event.debt.currency)
    s.home = min(s.home, known) if s.home[0] else known
    disputed = before is not None and "dispute" in before.debt.holds
    if s.pause_reason == "dispute" and disputed and "dispute" not in event.debt.holds:
        s.paused_until, s.pause_reason = 0, ""
    decide_at(s, day)


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
    s.ceiling = (0, "")
    s.rate_matters = s.explained = s.distressed = False


def end(desk: Desk, event: ev.WorkoutEnded) -> None:
    """Note that an account wants no plan any more, and take an offer back that was over it."""
    s = desk.s
    day, account = event.business_date.toordinal(), event.account_id
    if event.reason != "plan_active":
        s.plans = _ended(s, account, day)
    before = s.cases.get(account)
    if before is None or day < before.day:
        return
    s.cases = {a: c for a, c in s.cases.items() if a != account}
    s.quiet_since = max(s.quiet_since, day)
    offer = s.open_offer()
    if offer is not None and account in offer.account_ids:
        # Of two accounts that end at one close either may be heard of first, and each for a reason of its own.
        desk.cause = replace(event, event_id=event.caused_by)
        desk.withdraw(event.reason if len(offer.account_ids) == 1 else "debts_changed")
    decide_at(s, day)


def follow(s: BorrowerState, event: ev.PlanProgressed) -> None:
    """Note how long a plan goes on asking for money."""
    plan = s.plans.get(event.account_id)
    if plan is None or plan.plan_id != event.plan_id:
        return
    if event.outcome in ("completed", "broken"):
        plan = replace(plan, ended=not event.taken_back)
    elif event.outcome in ("postponed", "adjusted"):
        months = -event.number if event.taken_back else event.number
        plan = replace(plan, until=add_months(date.fromordinal(plan.until), months).toordinal())
    s.plans = {**s.plans, event.account_id: plan}


def decide_at(s: BorrowerState, day: int) -> None:
    """See to a decision at the close of a day, or sooner where one is due sooner."""
    if s.cases or s.plans:
        s.decide_on = min(s.decide_on, day) if s.decide_on else day
